//! The process of one staging: started, asked over HTTP, stopped.
//!
//! Must not know why; keeps nothing on disk. A process lives no longer than the host: it ends when its standard input,
//! of which the host holds the other end, is closed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::files::Folder;
use super::wire::LINE_MAX;

/// How long a new process may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer over HTTP may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// A staging's process that was seen to answer.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Closed with the host, however it ends; that ends the process.
    _lifeline: ChildStdin,
    /// Its id.
    pub(super) pid: u32,
    /// Where it listens, on loopback.
    pub(super) port: u16,
}

/// What a staging says of itself at `/status.json`, as far as the host reads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Its name.
    pub(super) name: String,
    /// The version it runs.
    pub(super) tag: String,
    /// How often its page was looked at.
    pub(super) visits: u64,
}

impl Process {
    /// Starts the staging of this folder, on this port if that is free, and waits until it answers.
    pub(super) async fn start(folder: &Folder, port: Option<u16>) -> io::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg0("dms")
            .args(["demo-host", "serve-staging"])
            .arg(folder.path())
            .args(port.map(|port| format!("--port={port}")))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(folder.log()?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let lifeline = child.stdin.take().expect("invariant: standard input is a pipe");
        let pid = child.id().expect("invariant: nobody has waited for the process");
        match timeout(START_TIMEOUT, first_answer(&mut child)).await {
            Ok(Ok(port)) => Ok(Self { child, _lifeline: lifeline, pid, port }),
            Ok(Err(error)) => Err(with_log(folder, &error.to_string())),
            Err(_) => Err(with_log(folder, &format!("it did not answer within {} s", START_TIMEOUT.as_secs()))),
        }
    }

    /// How the process ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(sentence(status)),
            Err(error) => Some(format!("its process is lost: {error}")),
        }
    }

    /// Asks it to end, kills it if it does not, and returns when it is gone.
    pub(super) async fn stop(mut self) -> io::Result<()> {
        self.ask_to_end();
        if timeout(GRACE, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }

    /// Asks it to end, and returns at once.
    pub(super) fn ask_to_end(&self) {
        // After its end was waited for, the number may belong to somebody else.
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ended_already = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

/// Where a staging with this port is found.
pub(super) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/")
}

/// Asks the staging on this port what it is.
pub(super) async fn ask(port: u16) -> io::Result<Answer> {
    let asked = timeout(ANSWER_TIMEOUT, get(port, "/status.json"));
    let body = asked.await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 2 s"))??;
    Ok(serde_json::from_slice(&body)?)
}

/// Reads the port from the process's first line, then asks it there.
async fn first_answer(child: &mut Child) -> io::Result<u16> {
    let stdout = child.stdout.take().expect("invariant: standard output is a pipe");
    let mut line = String::new();
    BufReader::new(stdout.take(16)).read_line(&mut line).await?;
    let Ok(port) = line.trim().parse() else {
        let status = child.wait().await?;
        return Err(io::Error::other(sentence(status)));
    };
    ask(port).await?;
    Ok(port)
}

/// HTTP/1.0, so that the body is neither chunked nor followed by anything.
async fn get(port: u16, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LINE_MAX).read_to_end(&mut answer).await?;
    let head_end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    match head_end {
        Some(end) if answer.starts_with(b"HTTP/1.0 200 ") || answer.starts_with(b"HTTP/1.1 200 ") => {
            Ok(answer.split_off(end + 4))
        }
        Some(_) | None => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not answer as a staging does")),
    }
}

fn sentence(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("its process ended with exit code {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("its process was ended by {signal}"),
            Err(_) => format!("its process was ended by signal {signal}"),
        },
        (None, None) => "its process ended".to_owned(),
    }
}

fn with_log(folder: &Folder, what: &str) -> io::Error {
    io::Error::other(format!("{what}; see {}", folder.path().join("log").display()))
}
