//! Which children this process has started itself. As a subreaper it is also given those that others have left: they are
//! nobody else's to reap, and, once a shim has been killed, to kill.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::processes::{self, Process, Seen};

/// One for the process, as its children are.
static STARTED: Mutex<BTreeSet<Process>> = Mutex::new(BTreeSet::new());

/// From now on what lost its parents below this process comes to it. Whatever child is there already counts as started.
pub(crate) fn adopt() -> io::Result<()> {
    let mut started = lock();
    processes::look_at_children(Pid::this(), |child| {
        started.insert(child.process);
    });
    Ok(prctl::set_child_subreaper(true)?)
}

/// Starts a child. Nobody sees it before it is known whose it is.
pub(crate) fn start<C>(spawn: impl FnOnce() -> io::Result<C>, id: impl FnOnce(&C) -> Option<u32>) -> io::Result<C> {
    let mut started = lock();
    let child = spawn()?;
    started.retain(|process| process.is_there());
    let pid = id(&child).and_then(|id| i32::try_from(id).ok());
    started.extend(pid.and_then(|pid| Process::find(Pid::from_raw(pid))));
    Ok(child)
}

/// Reaps the dead among the children that this process has not started, and shows the living ones. Says whether the look
/// was a whole one: one that has died since it began may have left a child that was not there yet.
pub(crate) fn adopted(mut living: impl FnMut(Seen)) -> bool {
    let started = lock();
    let mut dead = 0;
    let is_whole = processes::look_at_children(Pid::this(), |child| {
        if started.contains(&child.process) {
            return;
        }
        if child.is_zombie {
            dead += 1;
            // It is a zombie and ours, so this neither waits nor fails.
            let _ = waitpid(child.process.pid(), Some(WaitPidFlag::WNOHANG));
        } else {
            living(child);
        }
    });
    is_whole && dead == 0
}

fn lock() -> MutexGuard<'static, BTreeSet<Process>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}
