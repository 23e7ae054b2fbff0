//! `dms run-shim`: stands between `dms` and one wrapper, so that nothing a wrapper starts outlives its right to run.
//!
//! A process of its own, single-threaded. It owns the wrapper's process tree: as a child subreaper it is the parent of
//! whatever the tree leaves behind, and it ends only when the kernel says that it has no child left. It must not know
//! what the wrapper is for, nor read its output, which goes straight to `dms`.
//!
//! Locked file, then a look at the socket, then the wrapper: a `dms` that starts after its predecessor died either
//! finds the file locked and waits, or the shim finds the socket closed and never starts the wrapper.

mod exec;
mod link;
pub(crate) mod protocol;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setsid};

use self::link::Link;
use self::protocol::{Notice, Order, Spec, StopCause};
use super::boottime::Moment;
use crate::processes::{self, Process, Seen};
use crate::telemetry;

/// How long `dms` may take to send the spec, and a wrapper to be executed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest sleep, so that a deadline is kept after the machine has slept: `poll` does not count that time.
const POLL_MAX: Duration = Duration::from_secs(1);
/// How often children are killed before the whole tree is looked at, which takes longer than some processes live.
const KILLS_PER_WALK: u32 = 16;
/// Between two looks at a tree that is being stopped.
const POLL_STOPPING: Duration = Duration::from_millis(10);

/// The program: `dms run-shim` is the shim, `dms run-shim --exec PARENT WRAPPER [ARG...]` becomes the wrapper.
///
/// To be called before any thread or runtime is there.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(2);
    match arguments.next() {
        Some(flag) if flag == exec::FLAG => exec::main(arguments),
        Some(_) => {
            telemetry::tell("dms run-shim is started by dms itself");
            ExitCode::from(2)
        }
        None => match run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                telemetry::tell(&format!("dms run-shim: {error}"));
                ExitCode::FAILURE
            }
        },
    }
}

fn run() -> io::Result<()> {
    // It may not when it leads a group, which is just as good: nobody signals that one.
    let _ = setsid();
    prctl::set_child_subreaper(true)?;
    let signals = block_signals()?;
    let mut link = Link::from_stdin()?;
    let Some(spec) = receive_spec(&mut link)? else { return Ok(()) };
    let _lock = match lock(&spec) {
        Ok(file) => file,
        Err(cause) => {
            link.send(&Notice::NotStarted(cause));
            return Ok(());
        }
    };
    link.receive();
    if link.is_closed() {
        return Ok(());
    }
    if spec.deadline <= Moment::now() {
        link.send(&Notice::Stopping(StopCause::Deadline));
        link.send(&Notice::Gone);
        return Ok(());
    }
    match start(&spec) {
        Ok(leader) => {
            link.send(&Notice::Started(leader.as_raw()));
            Shim::new(link, signals, &spec, leader).supervise();
        }
        Err(cause) => {
            link.send(&Notice::NotStarted(cause));
            while reap(|_, _| ()) {
                kill_all(true);
            }
        }
    }
    Ok(())
}

/// SIGCHLD wakes the loop; what is meant to end a program must not end this one before its tree is gone.
fn block_signals() -> io::Result<SignalFd> {
    let mut blocked = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        blocked.add(signal);
    }
    blocked.thread_block()?;
    Ok(SignalFd::with_flags(&blocked, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// The first message; none when `dms` went away before it was complete.
fn receive_spec(link: &mut Link) -> io::Result<Option<Spec>> {
    let end = Moment::now().after(PATIENCE);
    loop {
        link.receive();
        if let Some(spec) = link.next() {
            return spec.map(Some);
        }
        let left = end.left(Moment::now());
        if link.is_closed() {
            return Ok(None);
        }
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no spec came"));
        }
        wait_readable(&[PollFd::new(link.as_fd(), PollFlags::POLLIN)], left);
    }
}

fn lock(spec: &Spec) -> Result<File, String> {
    let describe = |error: &dyn std::fmt::Display| format!("cannot lock {}: {error}", spec.lock.display());
    let file = File::options().create(true).append(true).open(&spec.lock).map_err(|error| describe(&error))?;
    file.try_lock().map_err(|error| describe(&error))?;
    Ok(file)
}

/// Starts the wrapper by way of `--exec`, and returns once it is executed or cannot be.
fn start(spec: &Spec) -> Result<Pid, String> {
    let program = spec.argv.first().map_or("", String::as_str);
    let cannot = |error: io::Error| format!("cannot start {program}: {error}");
    if spec.pinned.as_ref().is_some_and(|pinned| pinned.was_replaced(Path::new(program))) {
        return Err(format!("cannot start {program}: the file has changed since the run was claimed"));
    }
    let (mut report, theirs) = UnixStream::pair().map_err(cannot)?;
    let child = Command::new("/proc/self/exe")
        .arg("run-shim")
        .arg(exec::FLAG)
        .arg(std::process::id().to_string())
        .args(&spec.argv)
        .env_clear()
        .envs(&spec.env)
        .current_dir(&spec.cwd)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .spawn()
        .map_err(cannot)?;
    let mut cause = String::new();
    report.set_read_timeout(Some(PATIENCE)).map_err(cannot)?;
    // The other end closes when the wrapper is executed; before that only a failure is written to it.
    report.read_to_string(&mut cause).map_err(cannot)?;
    if cause.is_empty() {
        Ok(Pid::from_raw(i32::try_from(child.id()).expect("invariant: a process id fits its own type")))
    } else {
        Err(format!("cannot start {program}: {}", cause.trim_end()))
    }
}

/// Takes the ends of children, and says whether any child is left. The kernel's answer is the only one that can be
/// trusted: while it is read, `/proc` changes.
fn reap(mut ended: impl FnMut(Pid, Notice)) -> bool {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(pid, code)) => ended(pid, Notice::Exited(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => ended(pid, Notice::Signalled(signal as i32)),
            Ok(WaitStatus::StillAlive) => return true,
            Err(Errno::ECHILD) => return false,
            Ok(_) | Err(_) => {}
        }
    }
}

/// What has lost its parents is a child of this process, and is killed on sight; what has not, once its parents are dead,
/// or when the whole tree is looked at.
fn kill_all(whole_tree: bool) {
    processes::look_at_children(Pid::this(), Seen::kill);
    if whole_tree {
        processes::descendants(Pid::this()).into_iter().for_each(Seen::kill);
    }
}

fn wait_readable(what: &[PollFd<'_>], at_most: Duration) {
    let mut what = what.to_vec();
    // Rounded up, so that a wait for less than a millisecond does not spin.
    let milliseconds = at_most.min(POLL_MAX).as_micros().div_ceil(1_000);
    let timeout = u16::try_from(milliseconds).map_or(PollTimeout::from(1_000_u16), PollTimeout::from);
    // An interruption or an error is a wait that ended early.
    let _ = poll(&mut what, timeout);
}

/// A wrapper that was started, and what is to become of it.
struct Shim {
    link: Link,
    signals: SignalFd,
    leader: Pid,
    leader_ended: bool,
    deadline: Moment,
    limit: Moment,
    grace: Duration,
    asked: bool,
    /// When SIGKILL follows, once SIGTERM is out.
    kill_at: Option<Moment>,
    /// Who has had its SIGTERM: a second one makes some programs give up half-way through their tidying.
    told: BTreeSet<Process>,
    /// How often it was tried to kill all.
    kills: u32,
}

impl Shim {
    fn new(link: Link, signals: SignalFd, spec: &Spec, leader: Pid) -> Self {
        Self {
            link,
            signals,
            leader,
            leader_ended: false,
            deadline: spec.deadline,
            limit: Moment::now().after(Duration::from_millis(spec.limit_ms)),
            grace: Duration::from_millis(spec.grace_ms),
            asked: false,
            kill_at: None,
            told: BTreeSet::new(),
            kills: 0,
        }
    }

    /// Until nothing is left of the tree.
    fn supervise(mut self) {
        while self.reap() {
            self.take_orders();
            self.begin_to_stop();
            self.signal();
            self.sleep();
        }
        self.link.send(&Notice::Gone);
    }

    fn reap(&mut self) -> bool {
        let (leader, mut end) = (self.leader, None);
        let any_left = reap(|pid, how| {
            if pid == leader {
                end = Some(how);
            }
        });
        if let Some(how) = end {
            self.leader_ended = true;
            self.link.send(&how);
        }
        any_left
    }

    fn take_orders(&mut self) {
        self.link.receive();
        while let Some(order) = self.link.next() {
            match order {
                Ok(Order::Deadline(deadline)) => self.deadline = deadline,
                Ok(Order::Stop) | Err(_) => self.asked = true,
            }
        }
    }

    /// What a wrapper leaves behind at its end is stopped like the wrapper itself.
    fn begin_to_stop(&mut self) {
        let now = Moment::now();
        if self.kill_at.is_some() {
            return;
        }
        if !self.leader_ended {
            let cause = if self.asked {
                StopCause::Asked
            } else if self.limit <= now {
                StopCause::TimeLimit
            } else if self.link.is_closed() {
                StopCause::Closed
            } else if self.deadline <= now {
                StopCause::Deadline
            } else {
                return;
            };
            self.link.send(&Notice::Stopping(cause));
        }
        self.kill_at = Some(now.after(self.grace));
    }

    fn signal(&mut self) {
        let Some(kill_at) = self.kill_at else { return };
        if kill_at <= Moment::now() {
            kill_all(self.kills.is_multiple_of(KILLS_PER_WALK));
            self.kills = self.kills.wrapping_add(1);
            return;
        }
        let mut told = BTreeSet::new();
        for Seen { process, .. } in processes::descendants(Pid::this()) {
            if !self.told.contains(&process) {
                process.signal(Signal::SIGTERM);
            }
            told.insert(process);
        }
        self.told = told;
    }

    fn sleep(&mut self) {
        let at_most = if self.kill_at.is_some() {
            POLL_STOPPING
        } else {
            let now = Moment::now();
            self.deadline.min(self.limit).left(now)
        };
        let signals = PollFd::new(self.signals.as_fd(), PollFlags::POLLIN);
        let link = PollFd::new(self.link.as_fd(), PollFlags::POLLIN);
        // A closed link is readable for ever.
        if self.link.is_closed() {
            wait_readable(&[signals], at_most);
        } else {
            wait_readable(&[signals, link], at_most);
        }
        while matches!(self.signals.read_signal(), Ok(Some(_))) {}
    }
}
