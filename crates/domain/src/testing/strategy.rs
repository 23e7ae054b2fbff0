//! Makes up what people and runners ask for, without knowing what state they will ask it of.
//!
//! A step says "the run under way" or "another one"; only when it is taken does it become a command about a real run.

use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;

use crate::ids::{Actor, Attempt, RunId, Version};
use crate::overrides::{Edit, Keys, Values};
use crate::staging::command::{Change, CheckResult, Create, ReportCheck, StartRun};
use crate::staging::event::{Interruption, Links, Outcome, Timestamp};
use crate::staging::{Command, State, Verb, Wish};
use crate::testing::facts::{STATUS_TIMEOUT, app, app_keys, run, tag};
use crate::testing::wishes::claim;

/// One thing that somebody asks for, some time after the one before.
#[derive(Debug, Clone)]
pub struct Step {
    after_seconds: i64,
    by: &'static str,
    asked: Asked,
}

#[derive(Debug, Clone)]
enum Asked {
    Create(Settings),
    Update(Settings),
    Restore(Settings),
    Apply { settings: Settings, always: bool },
    Delete,
    Cleanup { force: bool, archived_for_seconds: Option<u64> },
    Retry { defaults: usize },
    Cancel { named: Option<Which> },
    Start { which: Which, ask: bool },
    Finish { which: Which, outcome: Outcome },
    Interrupt { which: Which, reason: Interruption },
    Check { which: Which, result: CheckResult, before: Option<CheckResult> },
    Links { which: Which },
}

/// About which run a runner reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Here,
    AnotherRun,
    AnotherAttempt,
    AnotherIncarnation,
}

#[derive(Debug, Clone)]
struct Settings {
    tag: Option<&'static str>,
    keys: Vec<(&'static str, What)>,
    defaults: usize,
    base: Option<i64>,
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Set(&'static str),
    Unset,
    Reset,
}

/// What the wrapper reports as defaults at different times.
const DEFAULTS: [&[(&str, &str)]; 3] = [&[], &[("a", "0")], &[("c", "1"), ("d", "0")]];

impl Step {
    /// The step as a command about what there is; `number` is of the run that it would open.
    pub fn command(&self, state: &State, now: Timestamp, number: u128) -> Command {
        let now = now + TimeDelta::seconds(self.after_seconds);
        Command { now, actor: Actor(self.by.to_owned()), run: run(number), wish: self.wish(state) }
    }

    fn wish(&self, state: &State) -> Wish {
        let last = state.last_run();
        let verb = last.map_or(Verb::Create, |last| last.verb);
        let of = |which| of(state, which);
        match &self.asked {
            Asked::Create(settings) => Wish::Create(settings.create()),
            Asked::Update(settings) => Wish::Update(settings.change()),
            Asked::Restore(settings) => Wish::Restore(settings.change()),
            Asked::Apply { settings, always } => Wish::Apply { change: settings.change(), always: *always },
            Asked::Delete => Wish::Delete { status_timeout: STATUS_TIMEOUT },
            Asked::Cleanup { force, archived_for_seconds } => {
                Wish::Cleanup { force: *force, archived_for: archived_for_seconds.map(Duration::from_secs) }
            }
            Asked::Retry { defaults } => {
                Wish::Retry { defaults: app(DEFAULTS[*defaults]), status_timeout: STATUS_TIMEOUT }
            }
            Asked::Cancel { named } => Wish::Cancel { run: named.map(|which| of(which).0) },
            Asked::Start { which, ask } => {
                let (run, attempt) = of(*which);
                Wish::StartRun(StartRun { ask: *ask, ..claim(run, attempt + 1, verb) })
            }
            Asked::Finish { which, outcome } => {
                let (run, attempt) = of(*which);
                Wish::FinishRun { run, attempt, outcome: outcome.clone(), cause: None }
            }
            Asked::Interrupt { which, reason } => {
                let (run, attempt) = of(*which);
                Wish::InterruptRun { run, attempt, reason: *reason }
            }
            Asked::Check { which, result, before } => {
                let (run, attempt) = of(*which);
                let now = state.incarnation().unwrap_or_default();
                let incarnation = if *which == Which::AnotherIncarnation { now.next() } else { now };
                let cause = "down".to_owned();
                Wish::ReportCheck(ReportCheck { incarnation, run, attempt, result: *result, before: *before, cause })
            }
            Asked::Links { which } => {
                let (run, attempt) = of(*which);
                Wish::ReportLinks { run, attempt, links: Links::Found(vec![]) }
            }
        }
    }
}

fn of(state: &State, which: Which) -> (RunId, Attempt) {
    let (here, attempt) = state.last_run().map_or((run(0), 0), |last| (last.run, last.attempt));
    match which {
        Which::Here | Which::AnotherIncarnation => (here, attempt),
        Which::AnotherRun => (run(u128::MAX), attempt),
        Which::AnotherAttempt => (here, attempt + 7),
    }
}

impl Settings {
    fn edit(&self) -> Edit {
        let text = |(key, what): &(&'static str, What)| match what {
            What::Set(text) => Some((*key, *text)),
            What::Unset | What::Reset => None,
        };
        let set: Vec<_> = self.keys.iter().filter_map(text).collect();
        let named = |wanted: What| -> Keys {
            let names: Vec<_> = self.keys.iter().filter(|(_, what)| *what == wanted).map(|(key, _)| *key).collect();
            app_keys(&names)
        };
        Edit { tag: self.tag.map(tag), set: app(&set), unset: named(What::Unset), reset: named(What::Reset) }
    }

    fn change(&self) -> Change {
        Change {
            edit: self.edit(),
            base: self.base.map(Version),
            defaults: app(DEFAULTS[self.defaults]),
            status_timeout: STATUS_TIMEOUT,
            from: None,
        }
    }

    fn create(&self) -> Create {
        let Edit { set, unset, .. } = self.edit();
        let defaults: Values = app(DEFAULTS[self.defaults]);
        let tag = tag(self.tag.unwrap_or("v1"));
        Create { tag, set, unset, defaults, status_timeout: STATUS_TIMEOUT, from: None }
    }
}

/// Up to `most` things asked one after the other; mostly such that something comes of them.
pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..most)
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = prop_oneof![8 => 0_i64..20, 1 => Just(400)];
    (seconds, prop_oneof![Just("user/anna"), Just("admin/boss")], asked()).prop_map(|(after_seconds, by, asked)| Step {
        after_seconds,
        by,
        asked,
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let age = proptest::option::weighted(0.3, 0_u64..600);
    prop_oneof![
        4 => settings().prop_map(Asked::Create),
        3 => settings().prop_map(Asked::Update),
        2 => settings().prop_map(Asked::Restore),
        3 => (settings(), any::<bool>()).prop_map(|(settings, always)| Asked::Apply { settings, always }),
        2 => Just(Asked::Delete),
        3 => (any::<bool>(), age)
            .prop_map(|(force, archived_for_seconds)| Asked::Cleanup { force, archived_for_seconds }),
        3 => (0..DEFAULTS.len()).prop_map(|defaults| Asked::Retry { defaults }),
        2 => proptest::option::weighted(0.3, which()).prop_map(|named| Asked::Cancel { named }),
        12 => (which(), prop::bool::weighted(0.1)).prop_map(|(which, ask)| Asked::Start { which, ask }),
        12 => (which(), outcome()).prop_map(|(which, outcome)| Asked::Finish { which, outcome }),
        4 => (which(), interruption()).prop_map(|(which, reason)| Asked::Interrupt { which, reason }),
        16 => (which(), result(), proptest::option::of(result()))
            .prop_map(|(which, result, before)| Asked::Check { which, result, before }),
        2 => which().prop_map(|which| Asked::Links { which }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let key = prop_oneof![4 => Just("a"), 1 => Just("a.b"), 2 => Just("c"), 1 => Just("d")];
    let what = prop_oneof![
        2 => Just(What::Set("0")),
        2 => Just(What::Set("1")),
        1 => Just(What::Unset),
        1 => Just(What::Reset),
    ];
    let tag = proptest::option::of(prop_oneof![Just("v1"), Just("v2")]);
    let base = proptest::option::weighted(0.3, 0_i64..40);
    (tag, proptest::collection::vec((key, what), 0..3), 0..DEFAULTS.len(), base)
        .prop_map(|(tag, keys, defaults, base)| Settings { tag, keys, defaults, base })
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        20 => Just(Which::Here),
        1 => Just(Which::AnotherRun),
        1 => Just(Which::AnotherAttempt),
        1 => Just(Which::AnotherIncarnation),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Exited(0)),
        1 => Just(Outcome::Exited(7)),
        1 => Just(Outcome::Signalled(9)),
        1 => Just(Outcome::TimeLimit),
        1 => Just(Outcome::Cancelled),
        1 => Just(Outcome::NotStarted("no such file".to_owned())),
    ]
}

fn interruption() -> impl Strategy<Value = Interruption> {
    prop_oneof![2 => Just(Interruption::OwnerLost), 1 => Just(Interruption::Stopping)]
}

fn result() -> impl Strategy<Value = CheckResult> {
    prop_oneof![
        4 => Just(CheckResult::Pass),
        2 => Just(CheckResult::Failing),
        1 => Just(CheckResult::PartlyAvailable),
        1 => Just(CheckResult::TagMismatch),
        1 => Just(CheckResult::CannotTell),
    ]
}
