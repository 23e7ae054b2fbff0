//! What this `dms` has going for which staging: at most one thing each, as there is at most one lease.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use dm_domain::ids::{Attempt, RunId, StagingName};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::boottime::Moment;
use super::output::LastLine;
use super::supervise::Control;

/// What a lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A run's attempt.
    Run(RunId, Attempt),
    /// A check, or `info`.
    Check,
}

/// Why a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Somebody asked for it.
    Cancelled,
    /// This `dms` stops.
    Stopping,
}

/// All that is going. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    entries: Arc<Mutex<BTreeMap<StagingName, Entry>>>,
    /// Told whenever something ends.
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct Entry {
    purpose: Purpose,
    deadline: watch::Sender<Moment>,
    stop: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
    last_line: Option<LastLine>,
}

/// The place of one staging; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    held: Held,
    staging: StagingName,
    reason: Arc<OnceLock<StopReason>>,
}

impl Held {
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        Self { entries: Arc::default(), wake }
    }

    /// Takes the place of a staging, with the first end of its lease; none when something is going for it.
    pub(crate) fn take(&self, staging: &StagingName, purpose: Purpose) -> Option<(Holding, Control)> {
        let mut entries = self.lock();
        if entries.contains_key(staging) {
            return None;
        }
        let (deadline, receiver) = watch::channel(Moment::NEVER);
        let (stop, reason) = (CancellationToken::new(), Arc::default());
        let control = Control { deadline: receiver, stop: stop.clone() };
        let holding = Holding { held: self.clone(), staging: staging.clone(), reason: Arc::clone(&reason) };
        entries.insert(staging.clone(), Entry { purpose, deadline, stop, reason, last_line: None });
        Some((holding, control))
    }

    /// What is going for a staging.
    pub(crate) fn purpose(&self, staging: &StagingName) -> Option<Purpose> {
        self.lock().get(staging).map(|entry| entry.purpose)
    }

    /// For which stagings something is going.
    pub(crate) fn stagings(&self) -> Vec<StagingName> {
        self.lock().keys().cloned().collect()
    }

    /// How many runs and how many checks are going.
    pub(crate) fn count(&self) -> (usize, usize) {
        let entries = self.lock();
        let runs = entries.values().filter(|entry| entry.purpose != Purpose::Check).count();
        (runs, entries.len() - runs)
    }

    /// The lease of a staging ends at this moment, unless it is renewed.
    pub(crate) fn move_deadline(&self, staging: &StagingName, deadline: Moment) {
        if let Some(entry) = self.lock().get(staging) {
            entry.deadline.send_replace(deadline);
        }
    }

    /// Stops a check, so that a run can begin.
    pub(crate) fn stop_check(&self, staging: &StagingName) {
        self.stop(|of, entry| of == staging && entry.purpose == Purpose::Check, StopReason::Stopping);
    }

    /// Stops this attempt, if it is going here.
    pub(crate) fn cancel_run(&self, staging: &StagingName, run: RunId, attempt: Attempt) {
        let purpose = Purpose::Run(run, attempt);
        self.stop(|of, entry| of == staging && entry.purpose == purpose, StopReason::Cancelled);
    }

    /// Stops all checks.
    pub(crate) fn stop_checks(&self) {
        self.stop(|_, entry| entry.purpose == Purpose::Check, StopReason::Stopping);
    }

    /// Stops everything.
    pub(crate) fn stop_all(&self) {
        self.stop(|_, _| true, StopReason::Stopping);
    }

    /// What a run has printed last.
    pub(crate) fn last_line(&self, staging: &StagingName) -> Option<String> {
        let last_line = self.lock().get(staging)?.last_line.clone()?;
        last_line.get()
    }

    fn stop(&self, which: impl Fn(&StagingName, &Entry) -> bool, reason: StopReason) {
        for (_, entry) in self.lock().iter().filter(|(staging, entry)| which(staging, entry)) {
            // The first reason counts: the stop has begun for it.
            let _ = entry.reason.set(reason);
            entry.stop.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StagingName, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holding {
    /// The lease behind it ends at this moment, unless it is renewed.
    pub(crate) fn move_deadline(&self, deadline: Moment) {
        self.held.move_deadline(&self.staging, deadline);
    }

    /// Where its last line can be read.
    pub(crate) fn show(&self, last_line: LastLine) {
        if let Some(entry) = self.held.lock().get_mut(&self.staging) {
            entry.last_line = Some(last_line);
        }
    }

    /// Why it was stopped, if it was.
    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.lock().remove(&self.staging);
        self.held.wake.notify_one();
    }
}
