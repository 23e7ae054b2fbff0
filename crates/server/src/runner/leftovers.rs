//! What is left of a call whose shim was killed, or has to be: found and killed, whatever it has made of itself.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::call::{MARK, SHIM_MARK};
use crate::children;
use crate::processes::{self, Seen};

/// Between two rounds.
const POLL: Duration = Duration::from_millis(20);
/// Looks of a round while each finds something: what forks for ever is killed on sight or not at all.
const LOOKS: u32 = 100;
/// How many of them are made before one at the whole tree.
const LOOKS_AT_CHILDREN: u32 = 16;
/// How many looks in a row that find nothing are enough though none of them was a whole one.
const LOOKS_IN_VAIN: u32 = 50;
/// How often the environments of all processes are looked at before a mark counts as gone.
const LOOKS_AT_MARKS: u32 = 3;
/// After how many rounds it is said that something cannot be killed.
const COMPLAIN_EVERY: u32 = 500;

/// Kills what a shim has left that was a child of this process and is dead: a subreaper is given whatever lost its
/// parents, so it is done when it has nothing that it was given. Goes on for as long as something lives: whoever waits
/// for this must not start the next attempt beside it.
pub(crate) async fn clear() {
    for round in 1_u32.. {
        // Without an answer this `dms` is ending, and the next one looks by itself.
        let Ok(living @ 1..) = tokio::task::spawn_blocking(round_of_looks).await else { return };
        if round.is_multiple_of(COMPLAIN_EVERY) {
            tracing::warn!(living, "what a wrapper has left cannot be killed");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// How many the last look found; 0 when nothing is left.
fn round_of_looks() -> usize {
    let (mut living, mut in_vain) = (Vec::new(), 0);
    for look in 0..LOOKS {
        living.clear();
        let is_whole = children::adopted(|one| {
            one.kill();
            living.push(one);
        });
        if !living.is_empty() {
            in_vain = 0;
            if look.is_multiple_of(LOOKS_AT_CHILDREN) {
                kill(&processes::trees(living.clone()));
            }
        } else if is_whole || in_vain == LOOKS_IN_VAIN {
            return 0;
        } else {
            in_vain += 1;
        }
    }
    living.len().max(1)
}

/// Kills what an earlier `dms` and its shim have left of a call, which is known by the mark in its environment; says
/// whether nothing was.
pub(crate) async fn are_gone(report: &Path) -> bool {
    for _ in 0..LOOKS_AT_MARKS {
        let report = report.to_owned();
        let look = tokio::task::spawn_blocking(move || kill(&processes::marked(MARK, report.as_os_str()))).await;
        if !matches!(look, Ok(0)) {
            return false;
        }
    }
    true
}

/// Sees to the end of a call that should have ended by itself, if it is on this machine; says whether nothing of it was.
///
/// A shim that somebody has stopped is woken: it finds that its time is over, and nothing of its tree can get away from it.
/// One that is overdue is killed, its tree before it.
pub(crate) async fn end_call(folder: &str, is_overdue: bool) -> bool {
    let name = folder.to_owned();
    let look = tokio::task::spawn_blocking(move || {
        let shims = processes::with_variable(SHIM_MARK, name.as_ref());
        for shim in &shims {
            if shim.is_stopped {
                tracing::warn!(call = name, "a shim has been stopped and outlives its dms or its lease; it is woken");
                shim.process.signal(Signal::SIGCONT);
            } else if is_overdue {
                tracing::warn!(call = name, "a shim outlives its dms or its lease, and is killed");
                let tree = processes::descendants(shim.process.pid());
                // A shim and what it has not executed yet are in one group.
                let tree: Vec<_> = tree.into_iter().filter(|one| one.group != shim.group).collect();
                if kill(&tree) == 0 {
                    shim.process.signal(Signal::SIGKILL);
                }
            }
        }
        shims.is_empty()
    });
    look.await.unwrap_or(false)
}

/// Kills these; says how many of them were alive.
fn kill(seen: &[Seen]) -> usize {
    for one in seen {
        one.kill();
    }
    seen.iter().filter(|one| !one.is_zombie).count()
}
