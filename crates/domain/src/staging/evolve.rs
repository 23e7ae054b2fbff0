//! What each fact makes of a state. Total: a fact has happened, so it is never refused.
//!
//! A fact that does not fit leaves the life as it is. Our own histories never come to that; `fits` is how tests know.

use std::time::Duration;

use crate::ids::{Attempt, RunId};
use crate::staging::configuration::Configuration;
use crate::staging::event::{
    ConfigurationRequested, Event, Failed, Interruption, Outcome, Recorded, RetryRequested, RunFinished,
    RunInterrupted, RunStarted, Timestamp,
};
use crate::staging::state::{Condition, Life, Phase, Request, Rest, Started, State, later};
use crate::staging::{Reason, Verb};

/// The state after one more fact.
pub(super) fn evolve(state: State, recorded: &Recorded) -> State {
    let life = match apply(state.life, recorded) {
        Ok(life) | Err(life) => life,
    };
    State { version: recorded.version, life }
}

/// Whether a fact can follow on this state.
#[cfg(feature = "testing")]
pub(crate) fn fits(state: &State, recorded: &Recorded) -> bool {
    recorded.version == state.version.next() && apply(state.life.clone(), recorded).is_ok()
}

/// The life after the fact, or the same life when the fact does not fit.
type Applied = Result<Life, Life>;

fn apply(life: Life, recorded: &Recorded) -> Applied {
    match &recorded.event {
        Event::CreateRequested(requested) => created(life, recorded, requested),
        Event::UpdateRequested(requested) => reconfigured(life, recorded, requested, Verb::Update),
        Event::RestoreRequested(requested) => reconfigured(life, recorded, requested, Verb::Restore),
        Event::DeleteRequested(requested) => opened(life, |rest| {
            let timeout = Some(requested.status_timeout);
            request(recorded, requested.run, Verb::Delete, rest.configuration.clone(), timeout)
        }),
        Event::CleanupRequested(requested) => opened(life, |rest| {
            let cleanup = request(recorded, requested.run, Verb::Cleanup, rest.configuration.clone(), None);
            Request { forced: requested.force, ..cleanup }
        }),
        Event::RetryRequested(requested) => opened(life, |rest| retried(recorded, requested, rest)),
        Event::RequestWithdrawn(withdrawn) => taken_back(life, withdrawn.run),
        Event::CancelRequested(of) => on_request(life, of.run, None, |request| cancelled(request, recorded)),
        Event::RunStarted(started) => {
            on_request(life, started.run, None, |request| claimed(request, recorded, started))
        }
        Event::RunFinished(finished) => {
            on_request(life, finished.run, Some(finished.attempt), |request| ended(request, recorded, finished))
        }
        Event::RunInterrupted(interrupted) => {
            on_request(life, interrupted.run, Some(interrupted.attempt), |request| lost(request, interrupted))
        }
        Event::BecameRunning(of) => settle(life, of.run, of.attempt, |_| Condition::Running),
        Event::BecameArchived(of) => {
            settle(life, of.run, of.attempt, |_| Condition::Archived { since: recorded.at, cleanup_failed: None })
        }
        Event::CleanedUp(of) => cleaned_up(life, of.run, recorded.at),
        Event::Failed(failed) => self::failed(life, failed),
        Event::CheckFailed(of) => on_rest(life, of.run, of.attempt, |rest| Rest { failed_once: true, ..rest }),
        Event::CheckPassed(of) => on_rest(life, of.run, of.attempt, |rest| Rest { failed_once: false, ..rest }),
        Event::BecameUnreadable(of) => readable(life, of.run, of.attempt, false),
        Event::BecameReadable(of) => readable(life, of.run, of.attempt, true),
        Event::LinksRead(of) => on_rest(life, of.run, of.attempt, |rest| Rest { links_read: true, ..rest }),
    }
}

fn created(life: Life, recorded: &Recorded, requested: &ConfigurationRequested) -> Applied {
    let Life::Absent { cleaned_up_at } = life else { return Err(life) };
    let incarnation = recorded.version;
    let configuration = Configuration::created(requested, incarnation);
    let request =
        Box::new(request(recorded, requested.run, Verb::Create, configuration, Some(requested.status_timeout)));
    Ok(Life::First { cleaned_up_at, incarnation, request })
}

fn reconfigured(life: Life, recorded: &Recorded, requested: &ConfigurationRequested, verb: Verb) -> Applied {
    opened(life, |rest| {
        let configuration = rest.configuration.clone().requested(requested, recorded.version);
        request(recorded, requested.run, verb, configuration, Some(requested.status_timeout))
    })
}

fn retried(recorded: &Recorded, requested: &RetryRequested, rest: &Rest) -> Request {
    let mut configuration = rest.configuration.clone();
    configuration.effective.clone_from(&requested.effective);
    let timeout = match requested.verb {
        Verb::Create | Verb::Update | Verb::Restore | Verb::Delete => Some(requested.status_timeout),
        Verb::Cleanup => None,
    };
    request(recorded, requested.run, requested.verb, configuration, timeout)
}

/// Puts a request on top of what is at rest.
fn opened(life: Life, request: impl FnOnce(&Rest) -> Request) -> Applied {
    match life {
        Life::Settled { incarnation, rest, request: None } => {
            let request = Some(Box::new(request(&rest)));
            Ok(Life::Settled { incarnation, rest, request })
        }
        Life::Absent { .. } | Life::First { .. } | Life::Settled { request: Some(_), .. } => Err(life),
    }
}

fn request(
    recorded: &Recorded,
    run: RunId,
    verb: Verb,
    configuration: Configuration,
    status_timeout: Option<Duration>,
) -> Request {
    Request {
        run,
        verb,
        forced: false,
        by: recorded.actor.clone(),
        since: recorded.at,
        configuration,
        status_timeout,
        owners_lost: 0,
        phase: Phase::Queued { attempts: 0 },
    }
}

/// Takes the request off again: what lies under it was never touched.
fn taken_back(life: Life, run: RunId) -> Applied {
    match life {
        Life::First { cleaned_up_at, request, .. } if request.run == run => Ok(Life::Absent { cleaned_up_at }),
        Life::Settled { incarnation, rest, request: Some(request) } if request.run == run => {
            Ok(Life::Settled { incarnation, rest, request: None })
        }
        Life::Absent { .. } | Life::First { .. } | Life::Settled { .. } => Err(life),
    }
}

fn cleaned_up(life: Life, run: RunId, at: Timestamp) -> Applied {
    match life {
        Life::Settled { request: Some(request), .. } if request.run == run => {
            Ok(Life::Absent { cleaned_up_at: Some(at) })
        }
        Life::Absent { .. } | Life::First { .. } | Life::Settled { .. } => Err(life),
    }
}

/// Changes the open request, if it is the one of `run` (and of `attempt`).
fn on_request(
    mut life: Life,
    run: RunId,
    attempt: Option<Attempt>,
    change: impl FnOnce(&mut Request) -> bool,
) -> Applied {
    let request = match &mut life {
        Life::First { request, .. } | Life::Settled { request: Some(request), .. } => request,
        Life::Absent { .. } | Life::Settled { request: None, .. } => return Err(life),
    };
    let fits = request.run == run && attempt.is_none_or(|attempt| attempt == request.attempt()) && change(request);
    if fits { Ok(life) } else { Err(life) }
}

fn cancelled(request: &mut Request, recorded: &Recorded) -> bool {
    if let Phase::Started { cancelled_by, .. } = &mut request.phase {
        *cancelled_by = Some(recorded.actor.clone());
    }
    // Where nobody has to be stopped, the `Failed` beside it says all.
    true
}

fn claimed(request: &mut Request, recorded: &Recorded, started: &RunStarted) -> bool {
    let due = match request.phase {
        Phase::Queued { attempts } => Some(attempts + 1),
        Phase::Started { .. } | Phase::Awaiting { .. } => None,
    };
    if due != Some(started.attempt) {
        return false;
    }
    let started = Started {
        attempt: started.attempt,
        owner: started.owner,
        at: recorded.at,
        time_limit: started.time_limit,
        ask: started.ask,
    };
    request.phase = Phase::Started { started, cancelled_by: None };
    true
}

fn ended(request: &mut Request, recorded: &Recorded, finished: &RunFinished) -> bool {
    let Phase::Started { .. } = request.phase else { return false };
    // Any other end has its `Failed` or `CleanedUp` beside it, which takes the request away.
    if let (Outcome::Exited(0), Some(timeout)) = (&finished.outcome, request.status_timeout) {
        let since = recorded.at;
        request.phase =
            Phase::Awaiting { attempt: finished.attempt, since, until: later(since, timeout), unreadable: false };
    }
    true
}

fn lost(request: &mut Request, interrupted: &RunInterrupted) -> bool {
    let Phase::Started { .. } = request.phase else { return false };
    request.phase = Phase::Queued { attempts: interrupted.attempt };
    request.owners_lost += match interrupted.reason {
        Interruption::OwnerLost => 1,
        Interruption::Stopping => 0,
    };
    true
}

fn failed(life: Life, failed: &Failed) -> Applied {
    let cause = failed.cause.clone();
    settle(life, failed.run, failed.attempt, |before| match (before, failed.reason) {
        (Some(Condition::Archived { since, .. }), Reason::CleanupFailed) => {
            Condition::Archived { since, cleanup_failed: Some(cause) }
        }
        (_, reason) => Condition::Failure { reason, cause },
    })
}

/// Brings the life to rest in a condition that may depend on the one before.
fn settle(life: Life, run: RunId, attempt: Attempt, to: impl FnOnce(Option<Condition>) -> Condition) -> Applied {
    let is_of = |request: &Request| request.run == run && request.attempt() == attempt;
    let (incarnation, rest) = match life {
        Life::First { incarnation, request, .. } if is_of(&request) => {
            (incarnation, Box::new(request.at_rest(to(None))))
        }
        Life::Settled { incarnation, rest, request: Some(request) } if is_of(&request) => {
            (incarnation, Box::new(request.at_rest(to(Some(rest.condition)))))
        }
        Life::Settled { incarnation, rest, request: None } if is_last(&rest, run, attempt) => {
            let condition = to(Some(rest.condition.clone()));
            (incarnation, Box::new(Rest { condition, failed_once: false, links_read: false, ..*rest }))
        }
        Life::Absent { .. } | Life::First { .. } | Life::Settled { .. } => return Err(life),
    };
    Ok(Life::Settled { incarnation, rest, request: None })
}

/// Changes what is at rest, if nothing is under way and its last run is this one.
fn on_rest(life: Life, run: RunId, attempt: Attempt, change: impl FnOnce(Rest) -> Rest) -> Applied {
    match life {
        Life::Settled { incarnation, rest, request: None } if is_last(&rest, run, attempt) => {
            Ok(Life::Settled { incarnation, rest: Box::new(change(*rest)), request: None })
        }
        Life::Absent { .. } | Life::First { .. } | Life::Settled { .. } => Err(life),
    }
}

fn readable(life: Life, run: RunId, attempt: Attempt, now: bool) -> Applied {
    let life = match on_rest(life, run, attempt, |rest| Rest { unreadable: !now, ..rest }) {
        Ok(life) => return Ok(life),
        Err(life) => life,
    };
    on_request(life, run, Some(attempt), |request| match &mut request.phase {
        Phase::Awaiting { unreadable, .. } => {
            *unreadable = !now;
            true
        }
        Phase::Queued { .. } | Phase::Started { .. } => false,
    })
}

fn is_last(rest: &Rest, run: RunId, attempt: Attempt) -> bool {
    rest.last_run.run == run && rest.last_run.attempt == attempt
}

impl Request {
    /// What stays of a request at its end.
    fn at_rest(self, condition: Condition) -> Rest {
        let unreadable = match self.phase {
            Phase::Awaiting { unreadable, .. } => unreadable,
            Phase::Queued { .. } | Phase::Started { .. } => false,
        };
        let last_run = self.as_last_run();
        Rest {
            condition,
            configuration: self.configuration,
            last_run,
            failed_once: false,
            unreadable,
            links_read: false,
        }
    }
}
