//! What the runner reports of a run: that it is claimed, has ended, or has lost its owner.

use super::cancel::{before_a_check, cancelled_by};
use super::failed;
use crate::ids::{Actor, Attempt, RunId};
use crate::staging::command::StartRun;
use crate::staging::event::{Interruption, OfAttempt, Outcome, RunFinished, RunInterrupted, RunStarted};
use crate::staging::state::{Phase, Request, Started, State};
use crate::staging::{Event, Reason, Rejection, Verb};

/// At the third owner that a run loses, it is the run that loses owners.
const OWNERS_LOST_MAX: u32 = 3;

type Decided = Result<Vec<Event>, Rejection>;

pub(super) fn start(state: &State, claim: &StartRun) -> Decided {
    let refused = Rejection::Stale { run: claim.run };
    let Some(request) = state.request() else { return Err(refused) };
    let due = match request.phase {
        Phase::Queued { attempts } => Some(attempts + 1),
        Phase::Started { .. } | Phase::Awaiting { .. } => None,
    };
    if (request.run, request.verb, due) != (claim.run, claim.verb, Some(claim.attempt)) {
        return Err(refused);
    }
    Ok(vec![Event::RunStarted(RunStarted {
        run: claim.run,
        attempt: claim.attempt,
        owner: claim.owner,
        executable: claim.executable.clone(),
        digest: claim.digest.clone(),
        time_limit: claim.time_limit,
        ask: claim.ask,
    })])
}

pub(super) fn finish(state: &State, run: RunId, attempt: Attempt, outcome: &Outcome, cause: Option<&str>) -> Decided {
    let (request, started, by) = started(state, run, attempt)?;
    let in_words = || cause.filter(|cause| !cause.is_empty()).map_or_else(|| words(outcome, started), str::to_owned);
    let end = match (outcome, request.verb, by) {
        (Outcome::Exited(0), Verb::Cleanup, _) => Some(Event::CleanedUp(OfAttempt { run, attempt })),
        // It was faster than the stop, so what is left to cancel is the wait for a check.
        (Outcome::Exited(0), _, Some(by)) => Some(failed(request, Reason::Unconfirmed, before_a_check(by))),
        (Outcome::Exited(0), _, None) => None,
        (Outcome::Cancelled, _, by) => Some(failed(request, Reason::Cancelled, cancelled_by(by))),
        (Outcome::Exited(_) | Outcome::Signalled(_) | Outcome::TimeLimit | Outcome::NotStarted(_), _, _) => {
            Some(failed(request, Reason::RunFailed, in_words()))
        }
    };
    let finished = Event::RunFinished(RunFinished { run, attempt, outcome: outcome.clone() });
    Ok([Some(finished), end].into_iter().flatten().collect())
}

pub(super) fn interrupt(state: &State, run: RunId, attempt: Attempt, reason: Interruption) -> Decided {
    let (request, started, by) = started(state, run, attempt)?;
    let lost = match reason {
        Interruption::OwnerLost => request.owners_lost + 1,
        Interruption::Stopping => 0,
    };
    let end = if by.is_some() {
        Some(failed(request, Reason::Cancelled, cancelled_by(by)))
    } else if started.ask {
        let cause = format!("interrupted, and {} may not be repeated without asking", request.verb);
        Some(failed(request, Reason::Interrupted, cause))
    } else if lost >= OWNERS_LOST_MAX {
        Some(failed(request, Reason::Interrupted, format!("interrupted: lost its dms {lost} times")))
    } else {
        None
    };
    let interrupted = Event::RunInterrupted(RunInterrupted { run, attempt, reason });
    Ok([Some(interrupted), end].into_iter().flatten().collect())
}

/// The attempt that is reported on, if it is the one whose wrapper runs, and who wants it stopped.
fn started(state: &State, run: RunId, attempt: Attempt) -> Result<(&Request, &Started, Option<&Actor>), Rejection> {
    let request = state.request().filter(|request| request.run == run);
    match request.map(|request| (request, &request.phase)) {
        Some((request, Phase::Started { started, cancelled_by })) if started.attempt == attempt => {
            Ok((request, started, cancelled_by.as_ref()))
        }
        Some((_, Phase::Queued { .. } | Phase::Started { .. } | Phase::Awaiting { .. })) | None => {
            Err(Rejection::Stale { run })
        }
    }
}

fn words(outcome: &Outcome, started: &Started) -> String {
    match outcome {
        Outcome::Exited(code) => format!("exit {code}"),
        Outcome::Signalled(signal) => format!("signal {signal}"),
        Outcome::TimeLimit => format!("time limit of {} exceeded", seconds(started.time_limit)),
        Outcome::Cancelled => cancelled_by(None),
        Outcome::NotStarted(cause) => cause.clone(),
    }
}

fn seconds(limit: std::time::Duration) -> String {
    if limit.subsec_millis() == 0 {
        format!("{} s", limit.as_secs())
    } else {
        format!("{}.{:03} s", limit.as_secs(), limit.subsec_millis())
    }
}
