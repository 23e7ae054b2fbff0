//! Good answers: JSON with the position that it reflects, and the receipt of a command.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use dm_api::{Accepted, POSITION, PREFIX};
use dm_eventstore::{Position, Receipt};
use serde::Serialize;

use crate::error::ACCEPTED;

/// What was read, as of a position.
pub(crate) fn read<T: Serialize>(position: Position, body: T) -> Response {
    let mut response = Json(body).into_response();
    note(&mut response, position);
    response
}

/// A command was carried out: 202 when a run was opened, 200 when all was already so.
pub(crate) fn accepted(receipt: &Receipt) -> Response {
    let body = Accepted {
        run: receipt.run.map(|run| run.0),
        version: receipt.to_version.0,
        position: receipt.position.0,
        quiet: receipt.quiet,
    };
    let mut response = Json(body).into_response();
    if !receipt.quiet {
        *response.status_mut() = ACCEPTED;
    }
    if let Some(run) = receipt.run
        && let Ok(location) = HeaderValue::from_str(&format!("{PREFIX}/runs/{run}"))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    note(&mut response, receipt.position);
    response
}

/// Notes the position of the log that an answer reflects.
pub(crate) fn note(response: &mut Response, position: Position) {
    response.headers_mut().insert(HeaderName::from_static(POSITION), HeaderValue::from(position.0));
}
