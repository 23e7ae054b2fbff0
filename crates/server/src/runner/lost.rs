//! The end of what nobody looks after any more: leases that have expired, and what earlier starts of this `dms` left.

use std::collections::BTreeSet;
use std::fs::{self, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dm_domain::staging::Wish;
use dm_domain::staging::event::Interruption;
use dm_eventstore::LeaseOp;

use super::Inner;
use super::call::{self, lock_of, report_of};
use super::commands::{self, Answer, Report};
use super::{leftovers, regular};
use crate::children;
use crate::db::leases::{self, Lost};
use crate::db::output;

/// Between two looks while something of an earlier start is left.
const LOOK_SOON: Duration = Duration::from_millis(100);
/// How long beyond the grace the shim of an earlier start may take: one that somebody has stopped would keep its run for
/// ever.
const SHIM_OVERDUE: Duration = Duration::from_secs(10);

/// Names of the folders that earlier starts have left: the calls whose shims may still live. To be asked before the
/// first call of this start.
pub(crate) fn left_folders(home: &Path) -> io::Result<BTreeSet<String>> {
    match fs::read_dir(call::folders(home)) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// Looks for ever: often while something of an earlier start is left, else as often as leases are renewed.
pub(crate) async fn look_after(inner: Arc<Inner>, mut folders: BTreeSet<String>) {
    // The sockets of the shims that earlier starts have left closed before this one began.
    let overdue = Instant::now() + inner.times.grace + SHIM_OVERDUE;
    loop {
        settle(&inner, &mut folders, overdue).await;
        let own_left = match leases::lost(&inner.pool, inner.owner).await {
            Ok(lost) => end(&inner, lost, &folders).await,
            Err(error) => {
                tracing::debug!(%error, "lost leases cannot be looked for");
                !folders.is_empty()
            }
        };
        // What ended after its parents is a zombie until somebody asks how.
        let _ = tokio::task::spawn_blocking(|| children::adopted(|_| ())).await;
        let pause = if own_left || !folders.is_empty() { LOOK_SOON } else { inner.times.lease_renewal };
        tokio::time::sleep(pause).await;
    }
}

/// Removes the folders of calls of which nothing is left, shim and tree.
async fn settle(inner: &Inner, folders: &mut BTreeSet<String>, overdue: Instant) {
    let mut left = BTreeSet::new();
    for name in std::mem::take(folders) {
        let path = call::folders(&inner.home).join(&name);
        let is_locked = is_locked(&path);
        if is_locked && !leftovers::end_call(&name, overdue <= Instant::now()).await {
            tracing::debug!(path = %path.display(), "the shim of an earlier start has not ended yet");
        }
        // Without its shim, what is left of a call is killed.
        if is_locked || !leftovers::are_gone(&report_of(&path)).await {
            left.insert(name);
        } else if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(%error, path = %path.display(), "a call's files cannot be removed");
        }
    }
    *folders = left;
}

fn is_locked(folder: &Path) -> bool {
    match regular::open(&lock_of(folder)) {
        Ok(file) => matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}

/// Ends what was lost; says whether leases of earlier starts of this `dms` are left.
async fn end(inner: &Inner, lost: Vec<Lost>, folders: &BTreeSet<String>) -> bool {
    let mut own_left = false;
    for lease in lost {
        let own = lease.owner.id == inner.owner.id;
        if own && lease.owner.start == inner.owner.start {
            // Whoever looks after it here ends it by itself.
            if inner.held.purpose(&lease.staging).is_some() {
                continue;
            }
        } else if own && is_left(&lease, folders) {
            own_left = true;
            continue;
        }
        if lease.is_run {
            // Its lease has expired, so its shim should have ended it: wherever that cannot be seen, its clock is trusted.
            if !own && !leftovers::end_call(&call::run_folder(lease.run, lease.attempt), true).await {
                continue;
            }
            let is_over = interrupt(inner, &lease).await;
            own_left |= own && !is_over;
        } else if own && let Err(error) = leases::release_check(&inner.pool, &lease.staging, lease.owner).await {
            tracing::debug!(%error, "the lease of a check is not released yet");
            own_left = true;
        }
    }
    own_left
}

fn is_left(lease: &Lost, folders: &BTreeSet<String>) -> bool {
    if lease.is_run {
        folders.contains(&call::run_folder(lease.run, lease.attempt))
    } else {
        folders.iter().any(|name| !name.starts_with("run-"))
    }
}

/// Tries once: a staging whose history cannot be read must not keep the others from their end. Says whether the run is
/// over.
async fn interrupt(inner: &Inner, lease: &Lost) -> bool {
    let Lost { staging, run, attempt, owner, .. } = lease;
    let (run, attempt) = (*run, *attempt);
    let report = Report {
        staging: staging.clone(),
        wish: Wish::InterruptRun { run, attempt, reason: Interruption::OwnerLost },
        id: commands::interrupt_id(run, attempt),
        run,
    };
    match inner.report_once(&report, Some(LeaseOp::Break { by: inner.owner, run, attempt })).await {
        Ok(Answer::Accepted) => {
            tracing::warn!(staging.name = %staging, run.id = %run, attempt, %owner, outcome = "owner lost", "run interrupted");
            inner.metrics.lost();
            if let Err(error) = output::close(&inner.pool, run, attempt).await {
                tracing::debug!(%error, "the output of a lost attempt stays open");
            }
            inner.wake.notify_one();
            true
        }
        Ok(Answer::Refused | Answer::Lease) => true,
        Err(error) => {
            tracing::debug!(staging.name = %staging, run.id = %run, attempt, %error, "a lost run is not interrupted yet");
            false
        }
    }
}
