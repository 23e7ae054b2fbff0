//! Keeps PostgreSQL running: a thread that starts it, waits for its end, and starts it again with back-off.
//!
//! A thread and not a task: the child is told of its parent's death by the end of the *thread* that made it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid};
use tokio::sync::watch;

use crate::children;
use crate::local::detached;
use crate::local::postgres::{PostgresError, clean, io_error};

/// The first pause after a crash, doubled with each one that follows.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What has run for so long has not failed to start.
const STABLE: Duration = Duration::from_mins(1);

/// How long each way of asking it to end may take: clients are cut off and everything is written; nothing is written;
/// killed.
const ENDS: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(15)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

/// Between looks at a process that is no child of this one.
const LOOK: Duration = Duration::from_millis(20);

/// The log is begun anew when it is longer than this at a start; one older log is kept.
const MAX_LOG: u64 = 1024 * 1024;

/// Settings for a small database with one client program; lean when idle.
const SETTINGS: [&str; 17] = [
    "listen_addresses=",
    "port=5432",
    "shared_buffers=16MB",
    "maintenance_work_mem=16MB",
    "max_connections=60",
    "max_worker_processes=2",
    "max_parallel_workers_per_gather=0",
    "max_logical_replication_workers=0",
    "wal_level=minimal",
    "max_wal_senders=0",
    "min_wal_size=32MB",
    "max_wal_size=256MB",
    "huge_pages=off",
    "jit=off",
    "log_checkpoints=off",
    "log_timezone=UTC",
    "timezone=UTC",
];

/// What to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) program: PathBuf,
    pub(super) account: Option<(Uid, Gid)>,
    pub(super) data: PathBuf,
    pub(super) log: PathBuf,
    pub(super) sockets: PathBuf,
}

/// The thread, from outside.
#[derive(Debug)]
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    /// How often the server has ended.
    ends: watch::Receiver<u32>,
    /// Closed when the thread has ended.
    thread: watch::Receiver<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    stopping: Condvar,
}

#[derive(Debug, Default)]
struct State {
    child: Option<Pid>,
    stopping: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Supervisor {
    /// Starts the thread.
    pub(super) fn start(plan: Plan) -> Result<Self, PostgresError> {
        let shared = Arc::new(Shared::default());
        let (count, ends) = watch::channel(0);
        let (alive, ended) = watch::channel(());
        let inner = Arc::clone(&shared);
        thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || {
                supervise(&plan, &inner, &count);
                drop(alive);
            })
            .map_err(io_error("a thread for PostgreSQL cannot be started"))?;
        Ok(Self { shared, ends, thread: ended })
    }

    /// Whether the server has ended since it was first started.
    pub(super) fn has_ended(&self) -> bool {
        *self.ends.borrow() > 0
    }

    /// Ends the server and the thread, within a bound.
    pub(super) async fn stop(&self) {
        self.shared.lock().stopping = true;
        self.shared.stopping.notify_all();
        let mut thread = self.thread.clone();
        for (signal, patience) in ENDS {
            if let Some(child) = self.shared.lock().child {
                let _ = kill(child, signal);
            }
            // An error says that the sender is gone, and with it the thread.
            if tokio::time::timeout(patience, thread.changed()).await.is_ok() {
                return;
            }
            tracing::warn!(signal = %signal, "PostgreSQL has not ended in time");
        }
    }
}

fn supervise(plan: &Plan, shared: &Shared, ends: &watch::Sender<u32>) {
    let mut pause = PAUSE;
    loop {
        let begun = Instant::now();
        match start(plan, shared) {
            Ok(None) => return,
            Ok(Some(mut child)) => {
                let status = child.wait();
                shared.lock().child = None;
                if shared.lock().stopping {
                    return;
                }
                tracing::error!(status = ?status.ok(), "PostgreSQL has ended; starting it again");
            }
            Err(error) => tracing::error!(error = %error, "PostgreSQL cannot be started; trying again"),
        }
        ends.send_modify(|count| *count += 1);
        if begun.elapsed() > STABLE {
            pause = PAUSE;
        }
        let waited = shared.stopping.wait_timeout_while(shared.lock(), pause, |state| !state.stopping);
        if waited.unwrap_or_else(PoisonError::into_inner).0.stopping {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Starts the server, unless this is to stop.
fn start(plan: &Plan, shared: &Shared) -> io::Result<Option<Child>> {
    end_leftover(&plan.data)?;
    let log = open_log(&plan.log)?;
    let mut command = detached::command(plan.account, &plan.program);
    command.arg("-D").arg(&plan.data);
    let mut sockets = std::ffi::OsString::from("unix_socket_directories=");
    sockets.push(&plan.sockets);
    command.arg("-c").arg(sockets);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    clean(&mut command).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut state = shared.lock();
    if state.stopping {
        return Ok(None);
    }
    let child = children::start(|| command.spawn(), |child| Some(child.id()))?;
    state.child = i32::try_from(child.id()).ok().map(Pid::from_raw);
    Ok(Some(child))
}

fn open_log(path: &Path) -> io::Result<fs::File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > MAX_LOG) {
        fs::rename(path, path.with_extension("old"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Ends a server that an earlier `dms` has left on this database, and removes the mark of one that is gone. The home's
/// lock is held, so it belongs to nobody.
pub(super) fn end_leftover(data: &Path) -> io::Result<()> {
    let mark = data.join("postmaster.pid");
    let text = match fs::read_to_string(&mark) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).map(Pid::from_raw);
    if let Some(pid) = pid {
        for (signal, patience) in ENDS {
            let deadline = Instant::now() + patience;
            if !serves(pid, data) {
                break;
            }
            tracing::info!(pid = pid.as_raw(), signal = %signal, "ending a PostgreSQL that was left running");
            if kill(pid, signal) == Err(Errno::ESRCH) {
                break;
            }
            while serves(pid, data) && Instant::now() < deadline {
                thread::sleep(LOOK);
            }
        }
        if serves(pid, data) {
            return Err(io::Error::other(format!("the PostgreSQL with pid {pid} cannot be ended")));
        }
    }
    // Its number may by now be that of another process, for which PostgreSQL would refuse to start.
    match fs::remove_file(&mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a process is a server of this database: it works in the folder of its data.
fn serves(pid: Pid, data: &Path) -> bool {
    let Ok(data) = fs::canonicalize(data) else { return false };
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == data)
}
