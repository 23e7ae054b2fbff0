//! What happens when this program is told to end: helm puts its release in order first.
//!
//! helm writes on its output that it was cancelled before it records that; without somebody who reads, it would be killed
//! in between and leave the release pending.

use std::collections::BTreeSet;
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

/// How long the others may take: `dms` kills everything after a second.
const GRACE: Duration = Duration::from_millis(800);

/// As a shell says it of what a signal has ended.
const EXIT_CODE: i32 = 128 + Signal::SIGTERM as i32;

static CHILDREN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// From now on, SIGTERM is passed on to the programs that run, and this one ends with them. To be called before there are
/// other threads.
pub(crate) fn listen() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    // All threads inherit it; programs that are started begin without it.
    if signals.thread_block().is_err() {
        return;
    }
    thread::spawn(move || {
        if signals.wait().is_ok() {
            end();
        }
    });
}

fn end() -> ! {
    let deadline = Instant::now() + GRACE;
    for child in children().iter() {
        let _ended_already = kill(Pid::from_raw(child.cast_signed()), Signal::SIGTERM);
    }
    while !children().is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    std::process::exit(EXIT_CODE)
}

/// A program was started.
pub(crate) fn begun(child: &Child) {
    children().insert(child.id());
}

/// A program was waited for.
pub(crate) fn ended(child: &Child) {
    children().remove(&child.id());
}

fn children() -> MutexGuard<'static, BTreeSet<u32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}
