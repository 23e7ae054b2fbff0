//! The wish to stop what is under way.

use super::{failed, not_found};
use crate::ids::{Actor, RunId};
use crate::staging::allowed::{Action, Permit, permits};
use crate::staging::event::{OfRun, RequestWithdrawn};
use crate::staging::state::{Phase, Request, Rest, State};
use crate::staging::{Event, Reason, Rejection};

pub(super) fn cancel(state: &State, by: &Actor, named: Option<RunId>) -> Result<Vec<Event>, Rejection> {
    let Some(situation) = state.situation() else { return Err(not_found(state)) };
    let request = match permits(&situation, Action::Cancel { run: named })? {
        Permit::Go => state.request(),
        Permit::Quiet => None,
    };
    let Some(request) = request else { return Ok(vec![]) };
    let requested = Event::CancelRequested(OfRun { run: request.run });
    Ok(match request.phase {
        Phase::Queued { attempts: 0 } => vec![withdrawn(state.rest(), request)],
        Phase::Queued { .. } => vec![requested, failed(request, Reason::Cancelled, cancelled_by(Some(by)))],
        Phase::Started { .. } => vec![requested],
        Phase::Awaiting { .. } => vec![requested, failed(request, Reason::Unconfirmed, before_a_check(by))],
    })
}

/// The cause of a run that was stopped; a runner may report a stop that nobody is known to have asked for.
pub(super) fn cancelled_by(by: Option<&Actor>) -> String {
    by.map_or_else(|| "cancelled".to_owned(), |by| format!("cancelled by {by}"))
}

/// The cause of a run whose wrapper had already ended well.
pub(super) fn before_a_check(by: &Actor) -> String {
    format!("cancelled by {by} before a check passed")
}

fn withdrawn(rest: Option<&Rest>, request: &Request) -> Event {
    Event::RequestWithdrawn(RequestWithdrawn {
        run: request.run,
        status: rest.map(|rest| rest.condition.status()),
        reason: rest.and_then(|rest| rest.condition.trouble()).map(|(reason, _)| reason),
        configuration_version: rest.map(|rest| rest.configuration.version),
        last_run: rest.map(|rest| rest.last_run.run),
    })
}
