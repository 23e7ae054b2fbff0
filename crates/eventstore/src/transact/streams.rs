//! What this replica keeps in memory of streams: folded states by version, and a lock for each stream in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dm_domain::ids::StagingName;

use crate::transact::Loaded;

/// Most folded states that are kept.
const STATES_MAX: usize = 512;

/// States and locks. Both are bounded: states by number, locks by the commands that wait.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    states: Mutex<States>,
    locks: Mutex<HashMap<StagingName, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug, Default)]
struct States {
    /// Each with the moment of its last use, counted in uses.
    by_name: HashMap<StagingName, (Loaded, u64)>,
    uses: u64,
}

impl Streams {
    /// The newest fold that is kept.
    pub(super) fn state(&self, staging: &StagingName) -> Option<Loaded> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.uses += 1;
        let now = states.uses;
        let (loaded, used) = states.by_name.get_mut(staging)?;
        *used = now;
        Some(loaded.clone())
    }

    /// Keeps a fold, unless a newer one is kept; in place of the one that was not used for longest when there are many.
    pub(super) fn keep(&self, staging: &StagingName, loaded: &Loaded) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.uses += 1;
        let now = states.uses;
        if let Some((kept, used)) = states.by_name.get_mut(staging) {
            *used = now;
            if kept.version < loaded.version {
                *kept = loaded.clone();
            }
            return;
        }
        if states.by_name.len() >= STATES_MAX {
            let oldest = states.by_name.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| name.clone());
            oldest.and_then(|name| states.by_name.remove(&name));
        }
        states.by_name.insert(staging.clone(), (loaded.clone(), now));
    }

    /// Drops a fold that turned out not to be the log's.
    pub(super) fn forget(&self, staging: &StagingName) {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).by_name.remove(staging);
    }

    /// A turn at a stream: to be held from before its lock is asked for until after it was released.
    pub(super) fn turn(&self, staging: &StagingName) -> Turn<'_> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = locks.entry(staging.clone()).or_default().clone();
        Turn { streams: self, staging: staging.clone(), lock }
    }
}

/// A place in the queue for a stream. The last one to leave takes the lock away, so that locks do not pile up.
pub(super) struct Turn<'a> {
    streams: &'a Streams,
    staging: StagingName,
    pub(super) lock: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut locks = self.streams.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Turns are made and dropped under the map's lock only: two references are the map's and this one.
        if Arc::strong_count(&self.lock) == 2 {
            locks.remove(&self.staging);
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_domain::Decider;
    use dm_domain::ids::Version;
    use dm_domain::staging::Staging;

    use super::*;

    fn name(text: &str) -> StagingName {
        StagingName::parse(text).unwrap()
    }

    fn at(version: i64) -> Loaded {
        Loaded { state: Arc::new(Staging::initial()), version: Version(version) }
    }

    fn locks(streams: &Streams) -> usize {
        streams.locks.lock().unwrap().len()
    }

    #[tokio::test]
    async fn a_lock_goes_with_the_last_one_who_wanted_it() {
        let streams = Streams::default();
        let first = streams.turn(&name("a"));
        let held = first.lock.lock().await;
        let second = streams.turn(&name("a"));
        assert!(second.lock.try_lock().is_err(), "one at a time");
        drop(held);
        drop(first);
        assert_eq!(locks(&streams), 1);
        assert!(second.lock.try_lock().is_ok());
        drop(second);
        assert_eq!(locks(&streams), 0);
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_no_lock() {
        let streams = Streams::default();
        let holder = streams.turn(&name("a"));
        let waiter = streams.turn(&name("a"));
        drop(holder);
        drop(waiter);
        assert_eq!(locks(&streams), 0);
        let (a, b) = (streams.turn(&name("a")), streams.turn(&name("b")));
        let (_a, _b) = (a.lock.try_lock().unwrap(), b.lock.try_lock().unwrap());
        assert_eq!(locks(&streams), 2, "streams do not wait for each other");
    }

    #[test]
    fn only_the_newest_fold_is_kept() {
        let streams = Streams::default();
        assert!(streams.state(&name("a")).is_none());
        streams.keep(&name("a"), &at(2));
        streams.keep(&name("a"), &at(1));
        assert_eq!(streams.state(&name("a")).unwrap().version, Version(2));
        streams.forget(&name("a"));
        assert!(streams.state(&name("a")).is_none());
    }

    #[test]
    fn the_fold_that_was_not_used_for_longest_makes_room() {
        let streams = Streams::default();
        for n in 0..STATES_MAX {
            streams.keep(&name(&format!("s{n}")), &at(1));
        }
        streams.state(&name("s0"));
        streams.keep(&name("new"), &at(1));
        assert!(streams.state(&name("s0")).is_some());
        assert!(streams.state(&name("new")).is_some());
        assert!(streams.state(&name("s1")).is_none());
        assert_eq!(streams.states.lock().unwrap().by_name.len(), STATES_MAX);
    }
}
