//! The database's time, without asking it each time.
//!
//! One offset to this machine's monotonic clock, taken anew at each lease renewal; the wall clock of this machine is
//! never read, so that a wrong one does no harm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// By how much two good clocks may drift apart: this part of the time that has passed.
const DRIFT: u32 = 2_000;

/// A smaller step back of the estimate is a correction, and waited out; a larger one is a step of the database's clock.
const CORRECTION: TimeDelta = TimeDelta::seconds(5);

/// Tells the database's time. Cheap to clone; clones share the offset.
#[derive(Debug, Clone)]
pub struct Clock {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug)]
struct Seen {
    best: Observation,
    /// What was told last.
    told: DateTime<Utc>,
}

/// An answer of the database. It was true at some moment between question and answer, and is taken for that of the middle.
#[derive(Debug, Clone, Copy)]
struct Observation {
    middle: Instant,
    /// At most so much earlier or later.
    doubt: Duration,
    now: DateTime<Utc>,
}

impl Clock {
    /// Starts from an answer of the database, `now`, to a question that was sent at `asked`, and that has just come.
    pub fn new(asked: Instant, now: DateTime<Utc>) -> Self {
        let best = Observation::between(asked, Instant::now(), now);
        Self { seen: Arc::new(Mutex::new(Seen { best, told: DateTime::UNIX_EPOCH })) }
    }

    /// Takes another answer, which has just come. The offset is taken anew unless what is known is better, even after the
    /// two clocks may have drifted since.
    pub fn observe(&self, asked: Instant, now: DateTime<Utc>) {
        self.lock().observe(Observation::between(asked, Instant::now(), now));
    }

    /// The database's time now, as well as it is known. It does not go back, unless the database's own does.
    pub fn now(&self) -> DateTime<Utc> {
        self.lock().now(Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn observe(&mut self, new: Observation) {
        let known = self.best.doubt_at(new.middle);
        let apart = (self.best.at(new.middle) - new.now).abs();
        // Two that cannot both be right: the database's clock was set.
        let was_set = apart > delta(known + new.doubt);
        if was_set || new.doubt <= known {
            self.best = new;
        }
    }

    fn now(&mut self, at: Instant) -> DateTime<Utc> {
        let estimate = self.best.at(at);
        if estimate > self.told || self.told - estimate > CORRECTION {
            self.told = estimate;
        }
        self.told
    }
}

impl Observation {
    fn between(asked: Instant, answered: Instant, now: DateTime<Utc>) -> Self {
        let doubt = answered.saturating_duration_since(asked) / 2;
        Self { middle: asked + doubt, doubt, now }
    }

    /// The database's time at a moment.
    fn at(&self, moment: Instant) -> DateTime<Utc> {
        let since = delta(moment.saturating_duration_since(self.middle));
        self.now + since - delta(self.middle.saturating_duration_since(moment))
    }

    /// How wrong that may be.
    fn doubt_at(&self, moment: Instant) -> Duration {
        self.doubt + moment.saturating_duration_since(self.middle) / DRIFT
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// What the database's clock says so long after a moment at which it said 1,000 s.
    fn time(after: Duration) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(1_000) + delta(after)
    }

    /// Asked so long after `start`; the database looked at its clock `there` later, and the answer was `back` on its way.
    fn observation(start: Instant, asked: Duration, there: Duration, back: Duration) -> Observation {
        Observation::between(start + asked, start + asked + there + back, time(asked + there))
    }

    fn seen(best: Observation) -> Seen {
        Seen { best, told: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn the_clock_is_wrong_by_half_a_round_trip_at_most() {
        let start = Instant::now();
        for (there, back) in [(0, 100), (100, 0), (50, 50), (30, 70)] {
            let mut seen = seen(observation(start, Duration::ZERO, millis(there), millis(back)));
            let wrong = seen.now(start + SECOND) - time(SECOND);
            assert!(wrong.abs() <= delta(millis(50)), "{there} ms there and {back} ms back: {wrong}");
        }
    }

    #[test]
    fn an_answer_that_took_long_does_not_spoil_what_is_known_better() {
        let start = Instant::now();
        let mut seen = seen(observation(start, Duration::ZERO, millis(1), millis(1)));
        seen.observe(observation(start, SECOND, millis(4_000), millis(0)));
        assert!((seen.now(start + 6 * SECOND) - time(6 * SECOND)).abs() <= delta(millis(1)));
        // In time the two clocks may have drifted further than that.
        let hours = Duration::from_hours(3);
        seen.observe(observation(start, hours, millis(4_000), millis(0)));
        assert_eq!(seen.best.now, time(hours + millis(4_000)));
        seen.observe(observation(start, hours + 5 * SECOND, millis(1), millis(1)));
        assert_eq!(seen.best.now, time(hours + 5 * SECOND + millis(1)), "a better one is taken at once");
    }

    #[test]
    fn a_correction_does_not_turn_time_back_and_a_step_of_the_databases_clock_does() {
        let start = Instant::now();
        let mut seen = seen(observation(start, Duration::ZERO, millis(0), millis(800)));
        // It believes that the answer was on its way for as long as the question, so it is behind by 400 ms. Now ahead:
        let mut ahead = Seen { best: observation(start, Duration::ZERO, millis(800), millis(0)), ..seen };
        let before = ahead.now(start + SECOND);
        assert!(before > time(SECOND));
        ahead.observe(observation(start, SECOND, millis(1), millis(1)));
        assert_eq!(ahead.now(start + SECOND + millis(10)), before, "it waits");
        assert_eq!(ahead.now(start + 2 * SECOND), time(2 * SECOND), "and goes on");

        seen = ahead;
        let stepped = time(3 * SECOND) - TimeDelta::hours(2);
        seen.observe(Observation::between(start + 3 * SECOND, start + 3 * SECOND, stepped));
        assert_eq!(seen.now(start + 3 * SECOND), stepped);
    }
}
