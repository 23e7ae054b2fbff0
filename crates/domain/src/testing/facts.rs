//! Events and histories with plain values, spelled shortly.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::ids::{Actor, Attempt, Key, Owner, RunId, Tag};
use crate::overrides::{Keys, Value, Values};
use crate::staging::event::{
    BecameUnreadable, CheckFailed, CleanupRequested, ConfigurationRequested, DeleteRequested, Failed, Interruption,
    Links, LinksRead, OfAttempt, OfRun, Outcome, RetryRequested, RunFinished, RunInterrupted, RunStarted, Timestamp,
};
use crate::staging::{Event, Reason, Verb};

/// How long a pass is awaited in all histories of tests.
pub const STATUS_TIMEOUT: Duration = Duration::from_mins(5);

/// The time limit of all wrappers in tests.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The run of a number.
pub fn run(number: u128) -> RunId {
    RunId(Uuid::from_u128(number))
}

/// Who asks in tests.
pub fn anna() -> Actor {
    Actor("user/anna".to_owned())
}

/// A moment of the tests' calendar, in seconds from its beginning.
pub fn moment(seconds: i64) -> Timestamp {
    let beginning = DateTime::<Utc>::from_timestamp(1_750_000_000, 0).expect("invariant: a time of this century");
    beginning + TimeDelta::seconds(seconds)
}

/// A `dms` of tests.
pub fn owner() -> Owner {
    Owner { id: Uuid::from_u128(0xd35), start: 1 }
}

/// A tag.
pub fn tag(text: &str) -> Tag {
    Tag::parse(text).expect("invariant: tests use valid tags")
}

/// A key.
pub fn key(text: &str) -> Key {
    Key::parse(text).expect("invariant: tests use valid keys")
}

/// Texts for keys of the app level.
pub fn app(entries: &[(&str, &str)]) -> Values {
    let text = |(name, value): &(&str, &str)| (key(name), Value::Text((*value).to_owned()));
    Values { app: entries.iter().map(text).collect(), ..Values::default() }
}

/// Keys of the app level.
pub fn app_keys(names: &[&str]) -> Keys {
    Keys { app: names.iter().map(|name| key(name)).collect(), ..Keys::default() }
}

/// A configuration with this tag, and these texts set on the app level over no defaults.
pub fn configuration(number: u128, tag_text: &str, set: &[(&str, &str)]) -> ConfigurationRequested {
    ConfigurationRequested {
        run: run(number),
        tag: tag(tag_text),
        set: app(set),
        unset: Keys::default(),
        reset: Keys::default(),
        effective: app(set),
        status_timeout: STATUS_TIMEOUT,
        from: None,
    }
}

/// A create of tag `v1`.
pub fn create_requested(number: u128) -> Event {
    Event::CreateRequested(configuration(number, "v1", &[]))
}

/// An update to tag `v2`.
pub fn update_requested(number: u128) -> Event {
    Event::UpdateRequested(configuration(number, "v2", &[]))
}

/// A restore with tag `v1`.
pub fn restore_requested(number: u128) -> Event {
    Event::RestoreRequested(configuration(number, "v1", &[]))
}

/// A delete.
pub fn delete_requested(number: u128) -> Event {
    Event::DeleteRequested(DeleteRequested { run: run(number), status_timeout: STATUS_TIMEOUT })
}

/// A cleanup.
pub fn cleanup_requested(number: u128, force: bool) -> Event {
    Event::CleanupRequested(CleanupRequested { run: run(number), force })
}

/// A retry over no defaults of what has tag `v1`.
pub fn retry_requested(number: u128, verb: Verb) -> Event {
    Event::RetryRequested(RetryRequested {
        run: run(number),
        verb,
        tag: tag("v1"),
        effective: Values::default(),
        status_timeout: STATUS_TIMEOUT,
    })
}

/// The request for a verb, from tag `v1` where a configuration is asked for.
pub fn requested(number: u128, verb: Verb) -> Event {
    match verb {
        Verb::Create => create_requested(number),
        Verb::Update => update_requested(number),
        Verb::Restore => restore_requested(number),
        Verb::Delete => delete_requested(number),
        Verb::Cleanup => cleanup_requested(number, false),
    }
}

/// A cancel of a run.
pub fn cancel_requested(number: u128) -> Event {
    Event::CancelRequested(OfRun { run: run(number) })
}

/// A claim of a wrapper that may be repeated.
pub fn started(number: u128, attempt: Attempt) -> Event {
    Event::RunStarted(RunStarted {
        run: run(number),
        attempt,
        owner: owner(),
        executable: "/wrappers/one".to_owned(),
        digest: Some("d1".to_owned()),
        time_limit: TIME_LIMIT,
        ask: false,
    })
}

/// The end of an attempt.
pub fn finished(number: u128, attempt: Attempt, outcome: Outcome) -> Event {
    Event::RunFinished(RunFinished { run: run(number), attempt, outcome })
}

/// An attempt that has lost its owner.
pub fn interrupted(number: u128, attempt: Attempt, reason: Interruption) -> Event {
    Event::RunInterrupted(RunInterrupted { run: run(number), attempt, reason })
}

/// A failure.
pub fn failed(number: u128, attempt: Attempt, reason: Reason, cause: &str) -> Event {
    Event::Failed(Failed { run: run(number), attempt, reason, cause: cause.to_owned() })
}

/// Names an attempt.
pub fn of(number: u128, attempt: Attempt) -> OfAttempt {
    OfAttempt { run: run(number), attempt }
}

/// A first failed check.
pub fn check_failed(number: u128, attempt: Attempt, code: i32, cause: &str) -> Event {
    Event::CheckFailed(CheckFailed { run: run(number), attempt, code, cause: cause.to_owned() })
}

/// Checks that cannot tell any more.
pub fn became_unreadable(number: u128, attempt: Attempt, cause: &str) -> Event {
    Event::BecameUnreadable(BecameUnreadable { run: run(number), attempt, cause: cause.to_owned() })
}

/// A staging without links.
pub fn links_read(number: u128, attempt: Attempt) -> Event {
    Event::LinksRead(LinksRead { run: run(number), attempt, links: Links::Found(vec![]) })
}

/// A run that was asked for by `request`, whose wrapper has ended well at the first attempt.
pub fn awaiting(number: u128, request: Event) -> Vec<Event> {
    vec![request, started(number, 1), finished(number, 1, Outcome::Exited(0))]
}

/// Created by run 1, running, links read.
pub fn running() -> Vec<Event> {
    let up = [Event::BecameRunning(of(1, 1)), links_read(1, 1)];
    [awaiting(1, create_requested(1)), up.to_vec()].concat()
}

/// Created by run 1, archived by run 2.
pub fn archived() -> Vec<Event> {
    [running(), awaiting(2, delete_requested(2)), vec![Event::BecameArchived(of(2, 1))]].concat()
}

/// Archived by run 2; run 3 was to clean up and failed.
pub fn archived_after_failed_cleanup() -> Vec<Event> {
    [archived(), failing(3, cleanup_requested(3, false), Reason::CleanupFailed)].concat()
}

/// A run that was asked for by `request` and exits 7 at its first attempt.
pub fn failing(number: u128, request: Event, reason: Reason) -> Vec<Event> {
    vec![request, started(number, 1), finished(number, 1, Outcome::Exited(7)), failed(number, 1, reason, "exit 7")]
}

/// In `Failure` for a reason, tag `v1`. The last run is a create; for `cleanup_failed` a forced cleanup.
pub fn failure(reason: Reason) -> Vec<Event> {
    match reason {
        Reason::RunFailed => failing(1, create_requested(1), Reason::RunFailed),
        Reason::Interrupted => {
            let again = |attempt| [started(1, attempt), interrupted(1, attempt, Interruption::OwnerLost)];
            let lost = [again(1), again(2), again(3)].concat();
            [vec![create_requested(1)], lost, vec![failed(1, 3, reason, "lost")]].concat()
        }
        Reason::Cancelled => vec![
            create_requested(1),
            started(1, 1),
            cancel_requested(1),
            finished(1, 1, Outcome::Cancelled),
            failed(1, 1, reason, "cancelled by user/anna"),
        ],
        Reason::Unconfirmed => [awaiting(1, create_requested(1)), vec![failed(1, 1, reason, "not in time")]].concat(),
        Reason::CheckFailed => down(1, reason),
        Reason::PartlyAvailable => down(2, reason),
        Reason::TagMismatch => down(3, reason),
        Reason::CleanupFailed => {
            let cleanup = failing(2, cleanup_requested(2, true), Reason::CleanupFailed);
            [failure(Reason::RunFailed), cleanup].concat()
        }
    }
}

fn down(code: i32, reason: Reason) -> Vec<Event> {
    [running(), vec![check_failed(1, 1, code, "down"), failed(1, 1, reason, "down")]].concat()
}
