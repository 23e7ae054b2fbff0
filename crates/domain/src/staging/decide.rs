//! What a command leads to: the facts it causes, a reasoned refusal, or nothing because it is already so.
//!
//! One line for each wish; the rules are in the modules below, what may be asked when in [`allowed`](super::allowed).

mod cancel;
mod checks;
mod requests;
mod runs;

use crate::staging::event::Failed;
use crate::staging::state::{Request, State};
use crate::staging::{Command, Event, Reason, Rejection, Verb, Wish};

/// The events that fulfil `command`; none when everything is already so.
pub(super) fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
    let run = command.run;
    match &command.wish {
        Wish::Create(create) => requests::create(state, run, create),
        Wish::Update(change) => requests::update(state, run, change),
        Wish::Restore(change) => requests::restore(state, run, change),
        Wish::Apply { change, always } => requests::apply(state, run, change, *always),
        Wish::Delete { status_timeout } => requests::delete(state, run, *status_timeout),
        Wish::Cleanup { force, archived_for } => requests::cleanup(state, run, command.now, *force, *archived_for),
        Wish::Retry { defaults, status_timeout } => requests::retry(state, run, defaults, *status_timeout),
        Wish::Cancel { run: named } => cancel::cancel(state, &command.actor, *named),
        Wish::StartRun(start) => runs::start(state, start),
        Wish::FinishRun { run, attempt, outcome, cause } => {
            runs::finish(state, *run, *attempt, outcome, cause.as_deref())
        }
        Wish::InterruptRun { run, attempt, reason } => runs::interrupt(state, *run, *attempt, *reason),
        Wish::ReportCheck(report) => Ok(checks::report(state, command.now, report)),
        Wish::ReportLinks { run, attempt, links } => Ok(checks::links(state, *run, *attempt, links)),
    }
}

fn not_found(state: &State) -> Rejection {
    Rejection::NotFound { cleaned_up_at: state.cleaned_up_at() }
}

/// The end of a request that has not reached its goal. A cleanup's has one reason, so that the status can stay.
fn failed(request: &Request, reason: Reason, cause: String) -> Event {
    let reason = match request.verb {
        Verb::Create | Verb::Update | Verb::Restore | Verb::Delete => reason,
        Verb::Cleanup => Reason::CleanupFailed,
    };
    Event::Failed(Failed { run: request.run, attempt: request.attempt(), reason, cause })
}
