//! The database's time, without asking it each time.
//!
//! One offset to this machine's monotonic clock, taken anew at each lease renewal; the wall clock of this machine is
//! never read, so that a wrong one does no harm.

use std::sync::{Arc, RwLock};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the database's time. Cheap to clone; clones share the offset.
#[derive(Debug, Clone)]
pub struct Clock {
    seen: Arc<RwLock<(Instant, DateTime<Utc>)>>,
}

impl Clock {
    /// Starts from an answer of the database, `now`, to a question that was sent at `asked`.
    pub fn new(asked: Instant, now: DateTime<Utc>) -> Self {
        Self { seen: Arc::new(RwLock::new((asked, now))) }
    }

    /// Takes the offset anew. `asked` is the moment before the question was sent, so the clock is at most one round
    /// trip ahead of the database, never behind it.
    pub fn observe(&self, asked: Instant, now: DateTime<Utc>) {
        if let Ok(mut seen) = self.seen.write() {
            *seen = (asked, now);
        }
    }

    /// The database's time now.
    pub fn now(&self) -> DateTime<Utc> {
        let (asked, then) = match self.seen.read() {
            Ok(seen) => *seen,
            Err(poisoned) => *poisoned.into_inner(),
        };
        then + TimeDelta::from_std(asked.elapsed()).unwrap_or(TimeDelta::MAX)
    }
}
