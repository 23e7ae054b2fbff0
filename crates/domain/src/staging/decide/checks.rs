//! What the runner reports of checks and of `info`. Only changes are events.

use crate::ids::{Attempt, RunId};
use crate::staging::command::{CheckResult, ReportCheck};
use crate::staging::event::{BecameUnreadable, CheckFailed, Failed, Links, LinksRead, OfAttempt, Timestamp};
use crate::staging::state::{Condition, LastRun, Phase, Rest, State};
use crate::staging::{Event, Reason, Verb};

/// What a check's result means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Pass,
    Trouble { code: i32, reason: Reason },
    CannotTell,
}

/// A check says something only about the run after which it was started, and only while nothing is being changed.
pub(super) fn report(state: &State, now: Timestamp, report: &ReportCheck) -> Vec<Event> {
    let (Some(incarnation), Some(last)) = (state.incarnation(), state.last_run()) else { return vec![] };
    if (incarnation, last.run, last.attempt) != (report.incarnation, report.run, report.attempt) {
        return vec![];
    }
    let of = Subject { run: last.run, attempt: last.attempt, verb: last.verb };
    match (state.request(), state.rest()) {
        (Some(request), _) => match request.phase {
            Phase::Awaiting { until, unreadable, .. } => {
                with_readability(unreadable, report, of, awaited(of, now >= until, report))
            }
            Phase::Queued { .. } | Phase::Started { .. } => vec![],
        },
        (None, Some(rest)) if rest.asks_archive_check().is_some() => {
            with_readability(rest.unreadable, report, of, at_rest(of, rest, report))
        }
        (None, _) => vec![],
    }
}

/// Links are read once for each time it became running; an answer for an older time, or a second one, says nothing.
pub(super) fn links(state: &State, run: RunId, attempt: Attempt, links: &Links) -> Vec<Event> {
    let due = state.last_run().is_some_and(|LastRun { run: last, attempt: of, .. }| (last, of) == (run, attempt));
    if !(due && state.links_due()) {
        return vec![];
    }
    vec![Event::LinksRead(LinksRead { run, attempt, links: links.clone() })]
}

/// What the check was asked about.
#[derive(Debug, Clone, Copy)]
struct Subject {
    run: RunId,
    attempt: Attempt,
    verb: Verb,
}

impl Subject {
    fn attempt(self) -> OfAttempt {
        OfAttempt { run: self.run, attempt: self.attempt }
    }

    fn passed(self) -> Event {
        match self.verb {
            Verb::Create | Verb::Update | Verb::Restore | Verb::Cleanup => Event::BecameRunning(self.attempt()),
            Verb::Delete => Event::BecameArchived(self.attempt()),
        }
    }

    fn failed(self, reason: Reason, cause: String) -> Event {
        Event::Failed(Failed { run: self.run, attempt: self.attempt, reason, cause })
    }
}

/// While a pass is awaited: a pass ends the wait, and so does whatever comes first after its time.
fn awaited(of: Subject, overdue: bool, report: &ReportCheck) -> Option<Event> {
    match reading(report.result) {
        Reading::Pass => Some(of.passed()),
        Reading::Trouble { .. } | Reading::CannotTell if overdue => {
            Some(of.failed(Reason::Unconfirmed, format!("no check passed in time: {}", cause(report))))
        }
        Reading::Trouble { .. } | Reading::CannotTell => None,
    }
}

fn at_rest(of: Subject, rest: &Rest, report: &ReportCheck) -> Option<Event> {
    match (&rest.condition, reading(report.result)) {
        (Condition::Archived { .. }, _) | (_, Reading::CannotTell) => None,
        (Condition::Running, Reading::Pass) => rest.failed_once.then_some(Event::CheckPassed(of.attempt())),
        (Condition::Failure { .. }, Reading::Pass) => Some(of.passed()),
        (Condition::Running, Reading::Trouble { reason, .. }) if rest.failed_once => {
            Some(of.failed(reason, cause(report)))
        }
        (Condition::Running, Reading::Trouble { code, .. }) => {
            let OfAttempt { run, attempt } = of.attempt();
            Some(Event::CheckFailed(CheckFailed { run, attempt, code, cause: cause(report) }))
        }
        (Condition::Failure { reason: known, .. }, Reading::Trouble { reason, .. }) => {
            let another = *known != Reason::Unconfirmed && *known != reason;
            let twice = report.before == Some(report.result);
            (another && twice).then(|| of.failed(reason, cause(report)))
        }
    }
}

/// Puts in front that checks cannot tell any more, or can tell again.
fn with_readability(unreadable: bool, report: &ReportCheck, of: Subject, event: Option<Event>) -> Vec<Event> {
    let OfAttempt { run, attempt } = of.attempt();
    let change = match (reading(report.result), unreadable) {
        (Reading::CannotTell, false) => {
            Some(Event::BecameUnreadable(BecameUnreadable { run, attempt, cause: cause(report) }))
        }
        (Reading::Pass | Reading::Trouble { .. }, true) => Some(Event::BecameReadable(of.attempt())),
        (Reading::CannotTell, true) | (Reading::Pass | Reading::Trouble { .. }, false) => None,
    };
    [change, event].into_iter().flatten().collect()
}

fn reading(result: CheckResult) -> Reading {
    match result {
        CheckResult::Pass => Reading::Pass,
        CheckResult::Failing => Reading::Trouble { code: 1, reason: Reason::CheckFailed },
        CheckResult::PartlyAvailable => Reading::Trouble { code: 2, reason: Reason::PartlyAvailable },
        CheckResult::TagMismatch => Reading::Trouble { code: 3, reason: Reason::TagMismatch },
        CheckResult::CannotTell => Reading::CannotTell,
    }
}

/// What the wrapper said, or else what its code says.
fn cause(report: &ReportCheck) -> String {
    if !report.cause.is_empty() {
        return report.cause.clone();
    }
    let words = match report.result {
        CheckResult::Pass => "the check passes",
        CheckResult::Failing => "the check fails",
        CheckResult::PartlyAvailable => "only a part is available",
        CheckResult::TagMismatch => "another tag is running",
        CheckResult::CannotTell => "the check cannot tell",
    };
    words.to_owned()
}
