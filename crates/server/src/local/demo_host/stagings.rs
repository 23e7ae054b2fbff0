//! All stagings of the host, each of which one caller at a time may hold.

use std::collections::BTreeMap;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dm_domain::ids::StagingName;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard, Semaphore};

use super::files;
use super::slot::Slot;
use super::wire::{Report, State};

/// Most stagings that one host keeps, the stopped ones included.
pub(super) const STAGINGS_MAX: usize = 200;

/// Most stagings that are started at the same time when the host starts.
const STARTS_AT_ONCE: usize = 8;

/// All stagings of a host.
#[derive(Debug)]
pub(super) struct Stagings {
    home: PathBuf,
    slots: Mutex<Slots>,
    starts: Semaphore,
    ending: Notify,
}

type Slots = BTreeMap<StagingName, Arc<AsyncMutex<Slot>>>;

/// A staging that is held by one caller until this is dropped; others wait.
#[derive(Debug)]
pub(super) struct Held<'a> {
    stagings: &'a Stagings,
    name: StagingName,
    /// There until it is dropped.
    slot: Option<OwnedMutexGuard<Slot>>,
}

impl Stagings {
    /// Reads what is on disk; starts nothing.
    pub(super) fn load(home: &Path) -> io::Result<Self> {
        let slots = files::sweep(home)?
            .into_iter()
            .map(|name| (name.clone(), Arc::new(AsyncMutex::new(Slot::load(home, &name)))))
            .collect();
        Ok(Self {
            home: home.to_owned(),
            slots: Mutex::new(slots),
            starts: Semaphore::new(STARTS_AT_ONCE),
            ending: Notify::new(),
        })
    }

    /// Told when somebody wants the host to end.
    pub(super) fn ending(&self) -> &Notify {
        &self.ending
    }

    /// The names of all, in order.
    pub(super) fn names(&self) -> Vec<StagingName> {
        self.slots().keys().cloned().collect()
    }

    /// Whether there are as many as one host keeps, besides the one that is held.
    pub(super) fn is_full(&self) -> bool {
        self.slots().len() > STAGINGS_MAX
    }

    /// Holds a staging, be there something of it or not, as soon as nobody else does.
    pub(super) async fn hold(&self, name: &StagingName) -> Held<'_> {
        let slot = self.slot(name).lock_owned().await;
        Held { stagings: self, name: name.clone(), slot: Some(slot) }
    }

    /// Starts a staging that should run and did not end by itself; any other is left as it is.
    pub(super) async fn resume(&self, name: &StagingName) {
        let mut held = self.hold(name).await;
        if held.is_due()
            && let Ok(_permit) = self.starts.acquire().await
        {
            // Why it does not start is in its file and in the log.
            let _told_already = held.start_again().await;
        }
    }

    /// What is true of all, without asking them.
    pub(super) async fn list(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        for name in self.names() {
            let mut held = self.hold(&name).await;
            held.notice_end();
            reports.push(held.report());
        }
        reports.retain(|report| report.state != State::Absent);
        reports
    }

    /// Takes note of processes that have ended, and says whether any is left. Who is held counts as running.
    pub(super) fn notice_ends(&self) -> bool {
        let mut any = false;
        for slot in self.slots().values() {
            match slot.try_lock() {
                Ok(mut slot) => {
                    slot.notice_end();
                    any |= slot.is_running();
                }
                Err(_) => any = true,
            }
        }
        any
    }

    /// Ends all processes side by side, and leaves written that they should run.
    pub(super) async fn end_all(&self) {
        let mut processes = Vec::new();
        for name in self.names() {
            if let Some(process) = self.hold(&name).await.take_process() {
                process.ask_to_end();
                processes.push((name, process));
            }
        }
        for (name, process) in processes {
            if let Err(error) = process.stop().await {
                tracing::warn!(staging.name = %name, %error, "not stopped");
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, name: &StagingName) -> Arc<AsyncMutex<Slot>> {
        let mut slots = self.slots();
        let slot = slots.entry(name.clone()).or_insert_with(|| {
            let slot = Slot::load(&self.home, name);
            Arc::new(AsyncMutex::new(slot))
        });
        Arc::clone(slot)
    }
}

impl Deref for Held<'_> {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        self.slot.as_ref().expect("invariant: it is there until it is dropped")
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Slot {
        self.slot.as_mut().expect("invariant: it is there until it is dropped")
    }
}

impl Drop for Held<'_> {
    /// Forgets a staging of which nothing is there and for which nobody else waits.
    fn drop(&mut self) {
        let mut slots = self.stagings.slots();
        self.slot = None;
        if let Some(slot) = slots.get_mut(&self.name)
            && let Some(alone) = Arc::get_mut(slot)
            && alone.get_mut().is_empty()
        {
            slots.remove(&self.name);
        }
    }
}
