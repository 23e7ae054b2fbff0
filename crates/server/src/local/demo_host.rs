//! `dms demo-host`: keeps the demo stagings of `wrappers/local`, one process each.
//!
//! A wrapper cannot do that itself: everything it starts ends with it. So one host per `DM_HOME`, started by `dms serve`
//! outside any run, in a session of its own, starts and stops processes for the wrappers and outlives `dms`. Nothing else
//! of DM knows of it, and it knows nothing of DM but the folder.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::home;
use crate::children;

mod cli;
mod files;
mod host;
mod page;
mod process;
mod serve;
mod slot;
mod stagings;
mod wire;

pub use cli::main;

use wire::{Reply, Request};

/// How long a new host may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one started host is waited for before another one is tried, since the first may have met one that was about
/// to end.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sees to it that the host of this home answers, within 10 s. Blocks, so call it where that is allowed.
///
/// To be called by the `dms` that holds the home's lock, outside any run: the host lives as long as somebody holds that
/// lock or it keeps a process. That there is only one is held by a lock of its own, so to call this twice does no harm.
pub fn ensure(home: &Path) -> io::Result<()> {
    let socket = socket_of(home);
    let give_up = Instant::now() + START_TIMEOUT;
    while !answers(&socket) {
        if Instant::now() > give_up {
            let log = home.join(LOG);
            let what = format!("the demo host does not answer; see {}", log.display());
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        let mut host = launch(home)?;
        let retry = Instant::now() + RETRY_AFTER;
        while !answers(&socket) && Instant::now() < retry && host.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        // It may end long before this process, and would be a zombie until then.
        std::thread::Builder::new().name("demo-host".to_owned()).spawn(move || host.wait())?;
    }
    Ok(())
}

/// Ends the host of this home and every staging that it keeps, within 10 s; their files stay. Nothing to do is no error.
/// Whoever calls holds the home's lock, so no other host is started meanwhile.
pub fn end(home: &Path) -> io::Result<()> {
    let socket = socket_of(home);
    let give_up = Instant::now() + START_TIMEOUT;
    while is_there(home)? {
        if Instant::now() > give_up {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the demo host does not end"));
        }
        // One that is about to end does not answer any more.
        let _asked = wire::call(&socket, &Request::End);
        std::thread::sleep(Duration::from_millis(50));
    }
    if let Some(folder) = socket.parent() {
        // It lies below `/tmp` when the home's path is long; it may not be there at all.
        let _empty = std::fs::remove_dir(folder);
    }
    Ok(())
}

/// Whether a host holds the lock of hosts.
fn is_there(home: &Path) -> io::Result<bool> {
    match std::fs::File::open(home.join(LOCK)) {
        Ok(file) => Ok(file.try_lock_shared().is_err()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Held by the host for its life.
const LOCK: &str = "demo-host.lock";

/// What the host has to say goes there.
const LOG: &str = "demo-host.log";

fn launch(home: &Path) -> io::Result<std::process::Child> {
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(home.join(LOG))?;
    let mut command = Command::new("/proc/self/exe");
    std::os::unix::process::CommandExt::arg0(&mut command, "dms");
    command.args(["demo-host", "run", "--home"]).arg(home).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    children::start(|| command.spawn(), |host| Some(host.id()))
}

fn answers(socket: &Path) -> bool {
    matches!(wire::call(socket, &Request::Ping), Ok(Reply::Pong))
}

/// Where the host of this home listens. Depends on the home's path alone; the folder need not be there.
fn socket_of(home: &Path) -> PathBuf {
    const SOCKET: &str = "demo-host.sock";
    home::socket_folder(home, "demo-host", SOCKET).join(SOCKET)
}
