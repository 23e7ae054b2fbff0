//! What is left of a call whose shim was killed: found and killed, whatever it has made of itself.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::call::MARK;
use crate::children;
use crate::processes::{self, Process};

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);
/// How often this is said while something cannot be killed.
const COMPLAIN_EVERY: u32 = 500;

/// Kills what a shim has left that was a child of this process and is dead: a subreaper is given whatever lost its
/// parents, so it is done when it has nothing that it was given. Goes on for as long as something lives: whoever waits
/// for this must not start the next attempt beside it.
pub(crate) async fn clear() {
    let mut looks = 0_u32;
    loop {
        let living = tokio::task::spawn_blocking(|| kill(processes::trees(children::adopted())).len()).await;
        // Without an answer this `dms` is ending, and the next one looks by itself.
        let Ok(living @ 1..) = living else { return };
        looks += 1;
        if looks.is_multiple_of(COMPLAIN_EVERY) {
            tracing::warn!(living, "what a wrapper has left cannot be killed");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Kills what an earlier `dms` and its shim have left of a call, which is known by the mark in its environment; says
/// whether nothing was.
pub(crate) async fn are_gone(report: &Path) -> bool {
    let report = report.to_owned();
    tokio::task::spawn_blocking(move || kill(processes::marked(MARK, &report)).is_empty()).await.unwrap_or(false)
}

fn kill(living: Vec<Process>) -> Vec<Process> {
    for process in &living {
        process.signal(Signal::SIGKILL);
    }
    living
}
