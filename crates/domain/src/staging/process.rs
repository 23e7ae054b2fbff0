//! What a state calls for: the work that is due, and the moment at which time alone changes the answer.
//!
//! Looks at state, never at "the last event", so that a crash, a restart and the happy path are one path.

use crate::ids::{Attempt, RunId, Version};
use crate::staging::event::Timestamp;
use crate::staging::state::{LastRun, Phase, Request, Rest};
use crate::staging::{State, Verb};

/// Something a runner should do for a staging. A state calls for at most one thing at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Claim this run and start its wrapper.
    Run {
        /// Which run.
        run: RunId,
        /// The number that the new attempt gets.
        attempt: Attempt,
        /// Which wrapper.
        verb: Verb,
    },
    /// Stop the wrapper of this attempt; only its owner can.
    Stop {
        /// Which run.
        run: RunId,
        /// Which of its attempts.
        attempt: Attempt,
    },
    /// Ask `check` or `archive_check`, again and again.
    Check {
        /// Goes back with the report.
        incarnation: Version,
        /// Goes back with the report.
        run: RunId,
        /// Goes back with the report.
        attempt: Attempt,
        /// Whether it shall be gone (`archive_check`) rather than up (`check`).
        archived: bool,
        /// Since when a pass is awaited; none once the staging is at rest.
        awaited_since: Option<Timestamp>,
    },
    /// Ask `info`, once after each `BecameRunning`.
    Links {
        /// Goes back with the report.
        run: RunId,
        /// Goes back with the report.
        attempt: Attempt,
    },
}

/// The work that `state` calls for.
pub fn pending_work(state: &State) -> Option<Work> {
    match (state.request(), state.rest()) {
        (Some(request), _) => of_request(state.incarnation()?, request),
        (None, Some(rest)) => of_rest(state.incarnation()?, rest),
        (None, None) => None,
    }
}

/// When the first check that ends decides, pass or not: the end of the wait for a pass.
pub fn next_deadline(state: &State) -> Option<Timestamp> {
    match state.request()?.phase {
        Phase::Awaiting { until, .. } => Some(until),
        Phase::Queued { .. } | Phase::Started { .. } => None,
    }
}

fn of_request(incarnation: Version, request: &Request) -> Option<Work> {
    let (run, verb) = (request.run, request.verb);
    match &request.phase {
        Phase::Queued { attempts } => Some(Work::Run { run, attempt: attempts + 1, verb }),
        Phase::Started { cancelled_by: None, .. } => None,
        Phase::Started { started, cancelled_by: Some(_) } => Some(Work::Stop { run, attempt: started.attempt }),
        Phase::Awaiting { attempt, since, .. } => Some(Work::Check {
            incarnation,
            run,
            attempt: *attempt,
            archived: verb == Verb::Delete,
            awaited_since: Some(*since),
        }),
    }
}

/// Links come before the next check: they are asked once, and a check would come first for ever.
fn of_rest(incarnation: Version, rest: &Rest) -> Option<Work> {
    let LastRun { run, attempt, .. } = rest.last_run;
    if rest.links_due() {
        return Some(Work::Links { run, attempt });
    }
    let archived = rest.asks_archive_check()?;
    Some(Work::Check { incarnation, run, attempt, archived, awaited_since: None })
}
