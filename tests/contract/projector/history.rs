//! Histories to project: made by the domain's own decisions from a list of dice, so that they can be generated, shrunk and
//! repeated. Asserts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use dm_domain::Decider;
use dm_domain::ids::{Actor, CommandId, Key, Owner, RunId, StagingName, Tag};
use dm_domain::overrides::{Edit, Levels, Value, Values};
use dm_domain::staging::event::{Interruption, Link, Links, Outcome};
use dm_domain::staging::{
    Change, CheckResult, Command, Create, Event, Recorded, ReportCheck, Staging, StartRun, State, Wish,
};
use dm_eventstore::{Channel, Metadata, NewEvent, Position, RecordedEvent, StreamId, codec};
use serde_json::value::to_raw_value;
use uuid::Uuid;

/// A wish and what it is about, as two dice.
pub(super) type Dice = (u8, u8);

/// A staging that lives by the domain's rules.
pub(super) struct Life {
    pub(super) name: StagingName,
    pub(super) state: State,
    now: DateTime<Utc>,
    /// Keeps the runs of different lives apart.
    salt: u64,
    runs: u64,
}

impl Life {
    pub(super) fn new(name: &str, salt: u64) -> Self {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        Self { name: StagingName::parse(name).unwrap(), state: Staging::initial(), now, salt, runs: 0 }
    }

    /// What the domain answers to the wish that the dice stand for; nothing when it refuses.
    pub(super) fn roll(&mut self, dice: Dice) -> Vec<Event> {
        let wish = self.wish(dice);
        self.ask(wish)
    }

    /// What the domain answers to a wish; nothing when it refuses.
    pub(super) fn ask(&mut self, wish: Wish) -> Vec<Event> {
        self.runs += 1;
        let run = RunId(Uuid::from_u64_pair(self.salt, self.runs));
        let command = Command { now: self.now, actor: actor(), run, wish };
        Staging::decide(&self.state, &command).unwrap_or_default()
    }

    /// Takes a fact in, as the log has recorded it.
    pub(super) fn take(&mut self, recorded: &Recorded) {
        self.state = Staging::evolve(self.state.clone(), recorded);
        self.now = self.now.max(recorded.at);
    }

    /// A fact as it would be recorded, `later` after the one before.
    pub(super) fn record(&mut self, event: Event, later: Duration) -> Recorded {
        self.pass(later);
        Recorded { version: self.state.version().next(), at: self.now, actor: actor(), event }
    }

    /// Lets time go by.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += TimeDelta::from_std(time).unwrap();
    }

    fn wish(&self, (pick, about): Dice) -> Wish {
        let status_timeout = Duration::from_mins(5);
        match pick % 20 {
            0 | 1 => Wish::Create(Create {
                tag: tag(about),
                set: values(about),
                unset: Levels { app: BTreeSet::from([key(about / 7)]), staging: BTreeSet::new() },
                defaults: Values::default(),
                status_timeout,
                from: None,
            }),
            2 => Wish::Update(change(about)),
            3 => Wish::Restore(change(about)),
            4 => Wish::Delete { status_timeout },
            5 => Wish::Cleanup { force: about.is_multiple_of(3), archived_for: None },
            6 => Wish::Retry { defaults: Values::default(), status_timeout },
            7 => Wish::Cancel { run: None },
            8..=10 => self.start(about),
            11 | 12 => self.finish(Outcome::Exited(0)),
            13 => self.finish(
                [Outcome::Exited(7), Outcome::TimeLimit, Outcome::Signalled(9)][usize::from(about % 3)].clone(),
            ),
            14 => {
                let (run, attempt) = self.newest();
                let reason = if about.is_multiple_of(2) { Interruption::OwnerLost } else { Interruption::Stopping };
                Wish::InterruptRun { run, attempt, reason }
            }
            15 | 16 => self.check(CheckResult::Pass, None),
            17 => {
                let before = [None, Some(CheckResult::Failing)][usize::from(about % 2)];
                self.check([CheckResult::Failing, CheckResult::TagMismatch][usize::from(about / 2 % 2)], before)
            }
            18 => self.check(CheckResult::CannotTell, None),
            _ => {
                let (run, attempt) = self.newest();
                let link = Link { name: "page".to_owned(), url: format!("http://localhost/{about}") };
                let links = if about.is_multiple_of(4) {
                    Links::Unknown("no answer".to_owned())
                } else {
                    Links::Found(vec![link])
                };
                Wish::ReportLinks { run, attempt, links }
            }
        }
    }

    fn newest(&self) -> (RunId, u32) {
        self.state.last_run().map_or((RunId(Uuid::nil()), 0), |last| (last.run, last.attempt))
    }

    pub(super) fn start(&self, owner: u8) -> Wish {
        let (run, attempt) = self.newest();
        Wish::StartRun(StartRun {
            run,
            attempt: attempt + 1,
            owner: Owner { id: Uuid::from_u128(u128::from(owner % 3)), start: 1 },
            verb: self.state.last_run().map_or(dm_domain::staging::Verb::Create, |last| last.verb),
            executable: "/wrappers/any".to_owned(),
            digest: None,
            time_limit: Duration::from_mins(1),
            ask: false,
        })
    }

    pub(super) fn finish(&self, outcome: Outcome) -> Wish {
        let (run, attempt) = self.newest();
        Wish::FinishRun { run, attempt, outcome, cause: Some("with a \0 and a line\nbreak".to_owned()) }
    }

    pub(super) fn check(&self, result: CheckResult, before: Option<CheckResult>) -> Wish {
        let (run, attempt) = self.newest();
        let incarnation = self.state.incarnation().unwrap_or_default();
        Wish::ReportCheck(ReportCheck { incarnation, run, attempt, result, before, cause: "said so".to_owned() })
    }
}

pub(super) fn actor() -> Actor {
    Actor("admin/anna".to_owned())
}

pub(super) fn tag(n: u8) -> Tag {
    Tag::parse(&format!("1.2.{}", n % 5)).unwrap()
}

fn key(n: u8) -> Key {
    Key::parse(&format!("k{}", n % 4)).unwrap()
}

fn values(about: u8) -> Values {
    let text = |n: u8| Value::Text(n.to_string());
    Levels { app: BTreeMap::from([(key(about), text(about))]), staging: BTreeMap::from([(key(about / 3), text(1))]) }
}

pub(super) fn change(about: u8) -> Change {
    let edit = match about % 4 {
        0 => Edit { tag: Some(tag(about)), ..Edit::default() },
        1 => Edit { set: values(about), ..Edit::default() },
        2 => Edit { unset: Levels { app: BTreeSet::from([key(about)]), ..Levels::default() }, ..Edit::default() },
        _ => Edit { reset: Levels { app: BTreeSet::from([key(about)]), ..Levels::default() }, ..Edit::default() },
    };
    Change { edit, base: None, defaults: Values::default(), status_timeout: Duration::from_mins(5), from: None }
}

pub(super) fn metadata(command: CommandId) -> Metadata {
    Metadata {
        actor: actor(),
        channel: Channel::Dmc,
        reason: None,
        command_id: command,
        correlation_id: command.0,
        // No column of a read model may choke on what somebody claims.
        on_behalf: Some("the \0 team".to_owned()),
    }
}

/// As the log would hold it.
pub(super) fn stored(name: &StagingName, position: i64, recorded: &Recorded) -> RecordedEvent {
    let NewEvent { event_type, schema, data } = codec::encode(&recorded.event);
    RecordedEvent {
        position: Position(position),
        stream: StreamId::from(name),
        version: recorded.version,
        event_type: event_type.to_owned(),
        schema,
        data,
        meta: to_raw_value(&metadata(CommandId(Uuid::nil()))).expect("it is plain data"),
        at: recorded.at,
    }
}

/// Dice without end, the same for the same seed.
pub(super) fn dice(seed: u64) -> impl Iterator<Item = Dice> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        // Knuth's constants for a linear congruence; its high bits are good enough dice.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [pick, about, ..] = state.to_be_bytes();
        (pick, about)
    })
}
