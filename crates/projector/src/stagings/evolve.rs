//! How events change a row of `stagings`: a pure fold that agrees with the domain's, without deciding anything.
//!
//! A fact that does not fit the row changes nothing but its version, as in the domain.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use dm_domain::ids::{Actor, Attempt, RunId, StagingName, Version};
use dm_domain::overrides::Level;
use dm_domain::staging::event::{
    CheckFailed, ConfigurationRequested, Failed, Links, Outcome, RetryRequested, RunFinished, RunStarted,
};
use dm_domain::staging::{Event, Reason, Verb};
use dm_eventstore::StreamId;

use crate::stagings::row::{CheckFailure, Condition, Configuration, LastRun, Life, Phase, Request, Rest, Row};
use crate::stagings::{Entry, Gone};
use crate::{Fact, Poison};

/// What is used of an event beside its payload.
#[derive(Clone, Copy)]
struct Recorded<'a> {
    stream: &'a StreamId,
    version: Version,
    at: DateTime<Utc>,
    by: &'a Actor,
}

pub(super) fn evolve(entry: Option<&Entry>, fact: &Fact) -> Result<Option<Entry>, Poison> {
    let event = fact.event()?;
    let recorded = Recorded {
        stream: &fact.recorded.stream,
        version: fact.recorded.version,
        at: fact.recorded.at,
        by: &fact.meta()?.actor,
    };
    match (entry, event) {
        (None, Event::CreateRequested(requested)) => created(Gone::default(), recorded, requested).map(Some),
        (Some(Entry::Gone(gone)), Event::CreateRequested(requested)) => {
            created(gone.clone(), recorded, requested).map(Some)
        }
        (None | Some(Entry::Gone(_)), _) => Ok(None),
        (Some(Entry::Staging(row)), event) => Ok(Some(applied((**row).clone(), recorded, event))),
    }
}

fn created(before: Gone, recorded: Recorded<'_>, requested: &ConfigurationRequested) -> Result<Entry, Poison> {
    let name = StagingName::parse(recorded.stream.as_str()).map_err(|invalid| Poison(invalid.to_string()))?;
    let nothing = Configuration {
        tag: requested.tag.clone(),
        version: recorded.version,
        frozen_version: recorded.version,
        overridden: dm_domain::overrides::Keys::default(),
    };
    let configuration = configured(nothing, recorded, requested);
    let request = Request {
        status_timeout_ms: Some(millis(requested.status_timeout)),
        ..opened(recorded, requested.run, Verb::Create, configuration)
    };
    Ok(Entry::Staging(Box::new(Row {
        name,
        version: recorded.version,
        incarnation: recorded.version,
        created_by: recorded.by.clone(),
        created_at: recorded.at,
        life: Life::First { request, before },
    })))
}

fn applied(mut row: Row, recorded: Recorded<'_>, event: &Event) -> Entry {
    row.version = recorded.version;
    match event {
        // A staging that exists is not created.
        Event::CreateRequested(_) => {}
        Event::UpdateRequested(requested) => reconfigured(&mut row.life, recorded, requested, Verb::Update),
        Event::RestoreRequested(requested) => reconfigured(&mut row.life, recorded, requested, Verb::Restore),
        Event::DeleteRequested(requested) => ask(&mut row.life, |rest| Request {
            status_timeout_ms: Some(millis(requested.status_timeout)),
            ..opened(recorded, requested.run, Verb::Delete, rest.configuration.clone())
        }),
        Event::CleanupRequested(requested) => ask(&mut row.life, |rest| Request {
            forced: requested.force,
            ..opened(recorded, requested.run, Verb::Cleanup, rest.configuration.clone())
        }),
        Event::RetryRequested(requested) => ask(&mut row.life, |rest| retried(recorded, requested, rest)),
        Event::RequestWithdrawn(withdrawn) => return taken_back(row, withdrawn.run),
        Event::CancelRequested(of) => on_request(&mut row.life, of.run, |request| cancelled(request, recorded.at)),
        Event::RunStarted(started) => {
            on_request(&mut row.life, started.run, |request| claimed(request, recorded.at, started));
        }
        Event::RunFinished(finished) => {
            on_request(&mut row.life, finished.run, |request| ended(request, recorded.at, finished));
        }
        Event::RunInterrupted(interrupted) => on_request(&mut row.life, interrupted.run, |request| {
            if matches!(request.phase, Phase::Started { attempt, .. } if attempt == interrupted.attempt) {
                request.phase = Phase::Queued { attempts: interrupted.attempt };
            }
        }),
        Event::BecameRunning(of) => settle(&mut row, recorded.at, (of.run, of.attempt), |_| Condition::Running),
        Event::BecameArchived(of) => settle(&mut row, recorded.at, (of.run, of.attempt), |_| Condition::Archived {
            since: recorded.at,
            cleanup_failed: None,
        }),
        Event::CleanedUp(of) => return cleaned_up(row, of.run, recorded.at),
        Event::Failed(failed) => fail(&mut row, recorded.at, failed),
        Event::CheckFailed(failed) => on_rest(&mut row.life, (failed.run, failed.attempt), |rest| {
            rest.check_failure = Some(first_failure(failed, recorded.at));
        }),
        Event::CheckPassed(of) => on_rest(&mut row.life, (of.run, of.attempt), |rest| rest.check_failure = None),
        Event::BecameUnreadable(of) => readable(&mut row.life, (of.run, of.attempt), Some(recorded.at)),
        Event::BecameReadable(of) => readable(&mut row.life, (of.run, of.attempt), None),
        Event::LinksRead(read) => on_rest(&mut row.life, (read.run, read.attempt), |rest| {
            rest.links_due = false;
            (rest.links, rest.links_cause) = match &read.links {
                Links::Found(links) => (links.clone(), None),
                // Addresses of another time are worse than none.
                Links::Unknown(cause) => (Vec::new(), Some(cause.clone())),
            };
        }),
    }
    Entry::Staging(Box::new(row))
}

fn opened(recorded: Recorded<'_>, run: RunId, verb: Verb, configuration: Configuration) -> Request {
    Request {
        run,
        verb,
        forced: false,
        by: recorded.by.clone(),
        since: recorded.at,
        configuration,
        status_timeout_ms: None,
        phase: Phase::Queued { attempts: 0 },
    }
}

/// Puts a request on top of what is at rest.
fn ask(life: &mut Life, request: impl FnOnce(&Rest) -> Request) {
    match life {
        Life::Settled { rest, request: none @ None } => *none = Some(request(rest)),
        Life::First { .. } | Life::Settled { request: Some(_), .. } => {}
    }
}

fn reconfigured(life: &mut Life, recorded: Recorded<'_>, requested: &ConfigurationRequested, verb: Verb) {
    ask(life, |rest| {
        let configuration = configured(rest.configuration.clone(), recorded, requested);
        Request {
            status_timeout_ms: Some(millis(requested.status_timeout)),
            ..opened(recorded, requested.run, verb, configuration)
        }
    });
}

fn configured(
    mut configuration: Configuration,
    recorded: Recorded<'_>,
    requested: &ConfigurationRequested,
) -> Configuration {
    configuration.tag = requested.tag.clone();
    configuration.version = recorded.version;
    configuration.frozen_version = recorded.version;
    for level in Level::ALL {
        let overridden = configuration.overridden.at_mut(level);
        overridden.extend(requested.set.at(level).keys().cloned());
        overridden.extend(requested.unset.at(level).iter().cloned());
        overridden.retain(|key| !requested.reset.at(level).contains(key));
    }
    configuration
}

fn retried(recorded: Recorded<'_>, requested: &RetryRequested, rest: &Rest) -> Request {
    let mut configuration = rest.configuration.clone();
    let status_timeout_ms = match requested.verb {
        Verb::Create | Verb::Update | Verb::Restore => {
            configuration.frozen_version = recorded.version;
            Some(millis(requested.status_timeout))
        }
        Verb::Delete => Some(millis(requested.status_timeout)),
        Verb::Cleanup => None,
    };
    Request { status_timeout_ms, ..opened(recorded, requested.run, requested.verb, configuration) }
}

/// Takes the request off again: what lies under it was never touched.
fn taken_back(mut row: Row, run: RunId) -> Entry {
    match row.life {
        Life::First { request, before } if request.run == run => return Entry::Gone(before),
        Life::Settled { rest, request: Some(request) } if request.run == run => {
            row.life = Life::Settled { rest, request: None };
        }
        Life::First { .. } | Life::Settled { .. } => {}
    }
    Entry::Staging(Box::new(row))
}

fn cleaned_up(row: Row, run: RunId, at: DateTime<Utc>) -> Entry {
    match row.life {
        Life::Settled { request: Some(ref request), .. } if request.run == run => {
            Entry::Gone(Gone { cleaned_up_at: Some(at) })
        }
        Life::First { .. } | Life::Settled { .. } => Entry::Staging(Box::new(row)),
    }
}

/// Changes the request under way, if it is this run's.
fn on_request(life: &mut Life, run: RunId, change: impl FnOnce(&mut Request)) {
    match life {
        Life::First { request, .. } | Life::Settled { request: Some(request), .. } if request.run == run => {
            change(request);
        }
        Life::First { .. } | Life::Settled { .. } => {}
    }
}

fn cancelled(request: &mut Request, at: DateTime<Utc>) {
    match &mut request.phase {
        Phase::Started { cancelled_at, .. } => *cancelled_at = Some(at),
        // Nobody has to be stopped: the `Failed` beside it says all.
        Phase::Queued { .. } | Phase::Awaiting { .. } => {}
    }
}

fn claimed(request: &mut Request, at: DateTime<Utc>, started: &RunStarted) {
    match request.phase {
        Phase::Queued { attempts } if started.attempt == attempts + 1 => {
            request.phase = Phase::Started { attempt: started.attempt, owner: started.owner, at, cancelled_at: None };
        }
        Phase::Queued { .. } | Phase::Started { .. } | Phase::Awaiting { .. } => {}
    }
}

fn ended(request: &mut Request, at: DateTime<Utc>, finished: &RunFinished) {
    let current = matches!(request.phase, Phase::Started { attempt, .. } if attempt == finished.attempt);
    // Any other end has its `Failed` or `CleanedUp` beside it, which takes the request away.
    if let (true, Outcome::Exited(0), Some(timeout)) = (current, &finished.outcome, request.status_timeout_ms) {
        let until = after(at, timeout);
        request.phase = Phase::Awaiting { attempt: finished.attempt, since: at, until, unreadable_since: None };
    }
}

fn fail(row: &mut Row, at: DateTime<Utc>, failed: &Failed) {
    let cause = failed.cause.clone();
    settle(row, at, (failed.run, failed.attempt), |before| match (before, failed.reason) {
        (Some(Condition::Archived { since, .. }), Reason::CleanupFailed) => {
            Condition::Archived { since: *since, cleanup_failed: Some(cause) }
        }
        (_, reason) => Condition::Failure { reason, cause },
    });
}

/// Brings the life to rest in a condition that may depend on the one before.
fn settle(row: &mut Row, at: DateTime<Utc>, of: (RunId, Attempt), to: impl FnOnce(Option<&Condition>) -> Condition) {
    let (shown, since) = (row.status(), row.changed_at());
    if !is_of(row.last_run(), of) {
        return;
    }
    let before = row.rest();
    let condition = to(before.map(|rest| &rest.condition));
    let (links, links_cause) = match (&condition, before) {
        (Condition::Archived { .. }, _) | (_, None) => (Vec::new(), None),
        (Condition::Running | Condition::Failure { .. }, Some(rest)) => (rest.links.clone(), rest.links_cause.clone()),
    };
    let rest = Rest {
        changed_at: if condition.status() == shown { since } else { at },
        links_due: condition == Condition::Running,
        condition,
        configuration: row.configuration().clone(),
        last: row.last_run(),
        links,
        links_cause,
        check_failure: None,
        unreadable_since: row.unreadable_since(),
    };
    row.life = Life::Settled { rest, request: None };
}

/// Changes what is at rest, if nothing is under way and this attempt brought it there.
fn on_rest(life: &mut Life, of: (RunId, Attempt), change: impl FnOnce(&mut Rest)) {
    match life {
        Life::Settled { rest, request: None } if is_of(rest.last, of) => change(rest),
        Life::First { .. } | Life::Settled { .. } => {}
    }
}

fn readable(life: &mut Life, of: (RunId, Attempt), since: Option<DateTime<Utc>>) {
    on_rest(life, of, |rest| rest.unreadable_since = since);
    on_request(life, of.0, |request| match &mut request.phase {
        Phase::Awaiting { attempt, unreadable_since, .. } if *attempt == of.1 => *unreadable_since = since,
        Phase::Queued { .. } | Phase::Started { .. } | Phase::Awaiting { .. } => {}
    });
}

fn first_failure(failed: &CheckFailed, at: DateTime<Utc>) -> CheckFailure {
    CheckFailure { code: failed.code, cause: failed.cause.clone(), at }
}

fn is_of(last: LastRun, (run, attempt): (RunId, Attempt)) -> bool {
    last.run == run && last.attempt == attempt
}

fn millis(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}

/// A sum beyond the calendar is its end.
fn after(since: DateTime<Utc>, timeout_ms: u64) -> DateTime<Utc> {
    let timeout = TimeDelta::from_std(Duration::from_millis(timeout_ms)).unwrap_or(TimeDelta::MAX);
    since.checked_add_signed(timeout).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
