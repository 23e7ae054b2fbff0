//! What this replica keeps in memory of streams: folded states by version, and a lock for each stream in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dm_domain::ids::StagingName;

use crate::transact::Loaded;

/// Most folded states that are kept.
const STATES_MAX: usize = 512;

/// Bytes that they may take together: a configuration may be large.
const WEIGHT_MAX: usize = 16 * 1024 * 1024;

/// States and locks. Both are bounded: states by number and size, locks by the commands that wait.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    states: Mutex<States>,
    locks: Mutex<HashMap<StagingName, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug, Default)]
struct States {
    /// Each with the moment of its last use, counted in uses.
    by_name: HashMap<StagingName, Kept>,
    uses: u64,
    /// Of all that are kept.
    weight: usize,
}

#[derive(Debug)]
struct Kept {
    loaded: Loaded,
    used: u64,
    weight: usize,
}

impl States {
    fn remove(&mut self, staging: &StagingName) {
        if let Some(kept) = self.by_name.remove(staging) {
            self.weight -= kept.weight;
        }
    }

    fn remove_oldest(&mut self) {
        let oldest = self.by_name.iter().min_by_key(|(_, kept)| kept.used).map(|(name, _)| name.clone());
        if let Some(name) = oldest {
            self.remove(&name);
        }
    }
}

impl Streams {
    /// The newest fold that is kept.
    pub(super) fn state(&self, staging: &StagingName) -> Option<Loaded> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.uses += 1;
        let now = states.uses;
        let kept = states.by_name.get_mut(staging)?;
        kept.used = now;
        Some(kept.loaded.clone())
    }

    /// Keeps a fold, unless a newer one is kept; in place of those that were not used for longest when there are many.
    pub(super) fn keep(&self, staging: &StagingName, loaded: &Loaded) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.uses += 1;
        let used = states.uses;
        if let Some(kept) = states.by_name.get_mut(staging)
            && kept.loaded.version >= loaded.version
        {
            kept.used = used;
            return;
        }
        states.remove(staging);
        let weight = loaded.state.weight();
        while !states.by_name.is_empty() && (states.by_name.len() >= STATES_MAX || states.weight + weight > WEIGHT_MAX)
        {
            states.remove_oldest();
        }
        states.weight += weight;
        states.by_name.insert(staging.clone(), Kept { loaded: loaded.clone(), used, weight });
    }

    /// Drops a fold that turned out not to be the log's.
    pub(super) fn forget(&self, staging: &StagingName) {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(staging);
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
    use std::collections::BTreeMap;
    use std::time::Duration;

    use dm_domain::ids::{Actor, Key, RunId, Tag, Version};
    use dm_domain::overrides::{Keys, Value, Values};
    use dm_domain::staging::event::{ConfigurationRequested, Recorded};
    use dm_domain::staging::{Event, Staging};
    use dm_domain::{Decider, fold};

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

    #[test]
    fn large_folds_make_room_for_each_other_by_their_size() {
        const VALUE: usize = 500 * 1024;
        let streams = Streams::default();
        for n in 0..100 {
            streams.keep(&name(&format!("s{n}")), &with_a_value(VALUE));
            let states = streams.states.lock().unwrap();
            assert!(states.weight <= WEIGHT_MAX, "{}", states.weight);
            assert_eq!(states.weight, states.by_name.values().map(|kept| kept.weight).sum::<usize>());
        }
        // The value stands among the overrides and in what they result in.
        let kept = streams.states.lock().unwrap().by_name.len();
        assert!((10..=WEIGHT_MAX / VALUE / 2).contains(&kept), "{kept}");
        assert!(streams.state(&name("s99")).is_some() && streams.state(&name("s0")).is_none());
        // A newer fold takes the place of the older one, and of its weight.
        streams.keep(&name("s99"), &at(9));
        for n in 0..100 {
            streams.forget(&name(&format!("s{n}")));
        }
        assert_eq!(streams.states.lock().unwrap().weight, 0);
    }

    fn with_a_value(bytes: usize) -> Loaded {
        let value = Value::Text("x".repeat(bytes));
        let app = BTreeMap::from([(Key::parse("key").unwrap(), value)]);
        let values = || Values { app: app.clone(), ..Values::default() };
        let requested = ConfigurationRequested {
            run: RunId(uuid::Uuid::nil()),
            tag: Tag::parse("v1").unwrap(),
            set: values(),
            unset: Keys::default(),
            reset: Keys::default(),
            effective: values(),
            status_timeout: Duration::from_secs(1),
            from: None,
        };
        let recorded = Recorded {
            version: Version(1),
            at: chrono::DateTime::UNIX_EPOCH,
            actor: Actor::system(),
            event: Event::CreateRequested(requested),
        };
        Loaded { state: Arc::new(fold::<Staging>(Staging::initial(), &[recorded])), version: Version(1) }
    }
}
