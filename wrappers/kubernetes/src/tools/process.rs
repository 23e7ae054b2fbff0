//! Other programs: each call has a limit of its own and bounded output, and is over when it says so.
//!
//! A program that meets its limit is asked to end (SIGTERM), and killed when it does not.

use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::say;
use crate::tools::stop;

/// Bytes of an answer that are kept in memory; one that is longer is an error.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of complaints that are kept.
const COMPLAINT_MAX: usize = 64 * 1024;

/// From SIGTERM to SIGKILL. `dms` itself gives a whole wrapper a second.
const GRACE: Duration = Duration::from_millis(700);

/// A call of another program.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    input: Vec<u8>,
    limit: Duration,
    shown: bool,
}

/// How a call ended.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) end: End,
}

/// What ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Exited(i32),
    Signalled,
    OutOfTime,
    TooLong,
}

impl Call {
    pub(crate) fn new(program: &Path, limit: Duration) -> Self {
        Self {
            program: program.to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
            input: Vec::new(),
            limit,
            shown: false,
        }
    }

    #[must_use]
    pub(crate) fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub(crate) fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    #[must_use]
    pub(crate) fn variables(mut self, variables: &[(&'static str, OsString)]) -> Self {
        self.variables.extend(variables.iter().cloned());
        self
    }

    /// What it reads on standard input.
    #[must_use]
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// With this much more time.
    #[must_use]
    pub(crate) fn longer(mut self, time: Duration) -> Self {
        self.limit += time;
        self
    }

    /// What it complains about is shown as it comes.
    #[must_use]
    pub(crate) fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    /// Starts it and waits for its end.
    pub(crate) fn run(self) -> Result<Answer> {
        self.start()?.wait()
    }

    /// Starts it.
    pub(crate) fn start(self) -> Result<Running> {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy().into_owned();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Error::failed(format!("{} cannot be started: {error}", self.program.display())))?;
        stop::begun(&child);
        if let Some(mut stdin) = child.stdin.take() {
            let input = self.input;
            // A program that does not read its input says why with its exit code.
            thread::spawn(move || stdin.write_all(&input));
        }
        let stdout = child.stdout.take().map(|pipe| thread::spawn(move || answer(pipe)));
        let shown = self.shown;
        let stderr = child.stderr.take().map(|pipe| thread::spawn(move || complaints(pipe, shown)));
        Ok(Running { name, child, stdout, stderr, deadline: Instant::now() + self.limit })
    }
}

/// A program that was started. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    stdout: Option<JoinHandle<io::Result<Vec<u8>>>>,
    stderr: Option<JoinHandle<String>>,
    deadline: Instant,
}

impl Running {
    /// Waits for its end, which comes at its limit at the latest.
    pub(crate) fn wait(mut self) -> Result<Answer> {
        let ended = self.ends_by(self.deadline)?;
        self.finish(ended)
    }

    /// Whether it ends within this time. What is out of time has not ended.
    pub(crate) fn ends_within(&mut self, time: Duration) -> Result<bool> {
        Ok(self.ends_by(Instant::now() + time)?.is_some())
    }

    /// Whether its limit is over.
    pub(crate) fn is_out_of_time(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Ends it now: first it is asked, then it is killed.
    pub(crate) fn stop(mut self) -> Result<Answer> {
        let ended = self.ends_by(Instant::now())?;
        self.finish(ended)
    }

    fn finish(&mut self, ended: Option<ExitStatus>) -> Result<Answer> {
        if ended.is_none() {
            self.end()?;
        }
        // The pipes may be held open by what the program has left; its own end is what counts.
        let stdout = join_soon(self.stdout.take()).unwrap_or_else(|| Ok(Vec::new()));
        let stderr = join_soon(self.stderr.take()).unwrap_or_default();
        let end = match (ended, &stdout) {
            (None, _) => End::OutOfTime,
            (Some(_), Err(_)) => End::TooLong,
            (Some(status), Ok(_)) => status.code().map_or(End::Signalled, End::Exited),
        };
        Ok(Answer { stdout: stdout.unwrap_or_default(), stderr, end })
    }

    fn ends_by(&mut self, deadline: Instant) -> Result<Option<ExitStatus>> {
        let mut pause = Duration::from_millis(1);
        loop {
            let ended = self.child.try_wait();
            if let Some(status) = ended.map_err(|error| Error::failed(format!("{} is lost: {error}", self.name)))? {
                stop::ended(&self.child);
                return Ok(Some(status));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn end(&mut self) -> Result<()> {
        ask_to_end(&self.child);
        if self.ends_by(Instant::now() + GRACE)?.is_none() {
            let _ended_already = self.child.kill();
            let _reaped = self.child.wait();
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
        stop::ended(&self.child);
    }
}

/// Asks a child that was not yet waited for to end.
pub(crate) fn ask_to_end(child: &Child) {
    let _ended_already = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
}

/// What a reader has read, unless it goes on reading although its program has ended.
fn join_soon<T>(reader: Option<JoinHandle<T>>) -> Option<T> {
    let reader = reader?;
    let deadline = Instant::now() + GRACE;
    while !reader.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    if reader.is_finished() { reader.join().ok() } else { None }
}

fn answer(mut pipe: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.by_ref().take(ANSWER_MAX).read_to_end(&mut bytes)?;
    // Read on, so that the program can end; keep no half of an answer.
    let more = io::copy(&mut pipe, &mut io::sink())?;
    if more == 0 { Ok(bytes) } else { Err(io::Error::other("the answer is too long")) }
}

fn complaints(mut pipe: impl Read, shown: bool) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(length @ 1..) = pipe.read(&mut buffer) {
        if shown {
            say::bytes(&buffer[..length]);
        }
        kept.extend_from_slice(&buffer[..length]);
        let too_much = kept.len().saturating_sub(COMPLAINT_MAX);
        kept.drain(..too_much);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

/// Where a program is: a path as it stands, a name as `PATH` has it.
pub(crate) fn find(program: &str) -> Result<PathBuf> {
    let path = Path::new(program);
    if program.contains('/') {
        return if path.is_file() { Ok(path.to_owned()) } else { Err(absent(program, "there is no such file")) };
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| absent(program, &format!("it is not on PATH ({})", folders.to_string_lossy())))
}

fn absent(program: &str, why: &str) -> Error {
    Error::failed(format!("{program} is missing: {why}; install it, or name it in the settings below [tools]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit_ms: u64) -> Call {
        Call::new(Path::new("/bin/sh"), Duration::from_millis(limit_ms)).arguments(["-c", script])
    }

    #[test]
    fn a_program_gets_its_input_and_is_heard() {
        let answer = sh("cat; echo no >&2; exit 3", 20_000).input("yes").run().unwrap();
        assert_eq!((answer.stdout.as_slice(), answer.stderr.as_str()), (&b"yes"[..], "no"));
        assert_eq!(answer.end, End::Exited(3));
    }

    #[test]
    fn what_does_not_end_in_time_is_asked_and_then_killed() {
        let asked = sh("trap 'echo asked; exit 1' TERM; while :; do :; done", 100).run().unwrap();
        assert_eq!((asked.end, asked.stdout.as_slice()), (End::OutOfTime, &b"asked\n"[..]));
        let killed = sh("trap '' TERM; while :; do :; done", 100).run().unwrap();
        assert_eq!(killed.end, End::OutOfTime);
    }

    #[test]
    fn a_pipe_that_somebody_else_holds_open_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let begun = Instant::now();
        let answer = sh(&format!("tail -f /dev/null & echo $! > {}", pid.display()), 20_000).run().unwrap();
        assert_eq!(answer.end, End::Exited(0));
        assert!(begun.elapsed() < Duration::from_secs(10));
        let left: i32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        for name in ["no-such-program", "/nowhere/no-such-program"] {
            let error = find(name).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} is missing: ")), "{error}");
        }
        assert!(find("sh").unwrap().ends_with("sh"));
    }
}
