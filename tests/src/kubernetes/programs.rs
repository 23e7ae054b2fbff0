//! The programs of a control plane as processes: they end with the process that started them, also when that is killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::eventually::eventually_blocking;

/// What plays nodes and pods.
const KWOK: &str = "kwok";
/// How long a program may take to end in order before it is killed.
const ORDERLY: Duration = Duration::from_secs(2);
/// By when a program that was killed is gone.
const GONE: Duration = Duration::from_secs(20);
/// kwok crashes now and then, mostly while it starts, and nobody else would start it again: it has a few lives.
const AGAIN: &str = r#"for life in 1 2 3 4 5; do setpriv --pdeathsig KILL -- "$@"; sleep 1; done"#;
/// How much of a log is shown.
const LINES: usize = 15;

/// A thread that starts programs. The kernel ends a program with the thread that has started it, and a thread of a test
/// may end long before the test does.
#[derive(Debug)]
pub(super) struct Keeper(mpsc::Sender<Order>);

#[derive(Debug)]
struct Order {
    command: Command,
    answer: mpsc::Sender<io::Result<Child>>,
}

impl Keeper {
    /// Starts the thread; it ends with this value, and with it what it has started.
    pub(super) fn new() -> Self {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for Order { mut command, answer } in orders {
                // Whoever asked waits.
                let _ = answer.send(command.spawn());
            }
        });
        Self(sender)
    }

    fn spawn(&self, command: Command) -> Child {
        let (answer, answered) = mpsc::channel();
        let what = format!("{command:?}");
        self.0.send(Order { command, answer }).expect("the thread lives as long as this value");
        let child = answered.recv().expect("the thread answers");
        child.unwrap_or_else(|error| panic!("{what} cannot be started: {error}"))
    }
}

/// One program that was started.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts one in a folder, where its log goes too.
    pub(super) fn start(
        keeper: &Keeper,
        tools: &Path,
        folder: &Path,
        name: &'static str,
        arguments: &[String],
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().append(true).create(true).open(&log).expect("the folder is ours");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if name == KWOK {
            command.args(["sh", "-c", AGAIN, "sh"]);
        }
        command.arg(tools.join(name)).args(arguments);
        command.env_clear().env("HOME", folder).env("PATH", "/usr/bin:/bin").current_dir(folder);
        // In a group of its own: Ctrl-C on a terminal is not meant for it.
        command.process_group(0).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("an open file")).stderr(file);
        Self { name, log, child: keeper.spawn(command) }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    /// Whether it runs.
    pub(super) fn is_up(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|error| panic!("{} cannot be sent {signal}: {error}", self.name));
    }

    /// Asks it to end, and kills it when it does not.
    pub(super) fn stop(mut self) {
        let began = Instant::now();
        if self.is_up() {
            self.signal(Signal::SIGCONT);
            self.signal(Signal::SIGTERM);
        }
        eventually_blocking("a program of the control plane has ended", GONE, || {
            if began.elapsed() > ORDERLY {
                // It may have ended meanwhile.
                let _ = self.child.kill();
            }
            self.child.try_wait().expect("it is a child of this process")
        });
    }

    /// The last lines of its log.
    pub(super) fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        format!("--- {} ---\n{}\n", self.name, lines[lines.len().saturating_sub(LINES)..].join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already, and what it holds is thrown away: there is nothing to end in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
