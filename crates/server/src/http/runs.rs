//! Handlers that read one run and what it printed.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use dm_api::runs::output as headers;
use dm_domain::ids::{Attempt, RunId};
use dm_eventstore::Position;
use dm_projector::runs::{self, RunState};
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use crate::db::output::{self, Output};
use crate::error::{ApiError, codes};
use crate::http::openapi::{AtLeast, RawBytes, RunRefusals};
use crate::http::query::number;
use crate::http::reading::{Reading, caught_up};
use crate::http::{answer, row};

/// Most bytes of one answer.
const BYTES_MAX: i64 = 256 * 1024;

/// How long after the end of a run its output may be late; what has not come by then never comes.
const LATE_MAX: TimeDelta = TimeDelta::minutes(1);
/// How often the database is asked while nothing new is there; output is stored each 200 ms.
const POLL: Duration = Duration::from_millis(200);

/// Shows a run
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", operation_id = "get_run", tag = "runs",
    params(("id" = Uuid, Path, description = "Its id."), AtLeast),
    responses((status = 200, description = "The run.", body = dm_api::Run), RunRefusals)
)]
pub(crate) async fn get(State(app): State<App>, mut reading: Reading) -> Result<Response, ApiError> {
    let run = id(&mut reading);
    reading.ready(&app).await?;
    let (found, position) = one(&app, run).await?;
    Ok(answer::read(position, row::run(&found, position)))
}

/// The row of a run, or the refusal that there is none.
async fn one(app: &App, run: RunId) -> Result<(runs::Row, Position), ApiError> {
    let (found, position) = runs::get(&app.pool, run).await?;
    if let Some(found) = found {
        return Ok((found, position));
    }
    caught_up(app).await?;
    let (found, position) = runs::get(&app.pool, run).await?;
    let missing = || ApiError::new(codes::RUN_NOT_FOUND, format!("there is no run {run}"));
    Ok((found.ok_or_else(missing)?, position))
}

/// Reads what a run has printed, as raw bytes
///
/// An offset counts the raw bytes of one attempt, stdout and stderr as they came. To follow a run, ask again with `from`
/// as `DM-Next` and `attempt` as `DM-Attempt` says, until `DM-Complete` is `true`. When `DM-Attempt` is another one than
/// before, the run was started anew, and this is its output from the beginning.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/output", operation_id = "get_output", tag = "runs",
    params(
        ("id" = Uuid, Path, description = "Its id."),
        ("from" = Option<i64>, Query, description = "The offset of the first byte; 0 if not given.", minimum = 0),
        ("attempt" = Option<u32>, Query, description = "The attempt in which `from` counts; of another one everything is shown.", minimum = 0),
        ("wait" = Option<u64>, Query, description = "Seconds to wait for a first byte or the end of the run.", minimum = 0, maximum = 30),
        AtLeast,
    ),
    responses(
        (
            status = 200, description = "At most 256 KiB from there on.",
            body = inline(RawBytes), content_type = "application/octet-stream",
            headers(
                ("DM-Attempt" = u32, description = "The attempt that printed it, the newest; 0 while none has begun."),
                ("DM-From" = i64, description = "The offset of the first byte."),
                ("DM-Next" = i64, description = "The offset to ask from next."),
                ("DM-Dropped" = i64, description = "Bytes of this attempt before `DM-From` that were dropped: the first 1 MiB and the last 4 MiB are kept."),
                ("DM-Complete" = bool, description = "Whether the wrapper has ended and nothing comes after this."),
                ("DM-Position" = i64, description = "The position of the log."),
            )
        ),
        RunRefusals
    )
)]
pub(crate) async fn output(State(app): State<App>, mut reading: Reading) -> Result<Response, ApiError> {
    let run = id(&mut reading);
    let from = reading.query.optional("from", |text| number(text, 0, i64::MAX)).unwrap_or(0);
    let attempt = reading.query.optional("attempt", |text| number(text, 0, Attempt::MAX));
    let wait = reading.query.optional("wait", |text| number(text, 0, headers::WAIT_MAX)).unwrap_or(0);
    reading.ready(&app).await?;

    let deadline = Instant::now() + Duration::from_secs(wait);
    loop {
        // The row first: what a wrapper that has ended had printed is all there.
        let (found, position) = one(&app, run).await?;
        let ended = has_ended(found.state);
        let output = output::read(&app.pool, run, attempt, from, BYTES_MAX).await?;
        let late = may_be_late(&found, &output, app.clock.now());
        let news = !output.bytes.is_empty() || attempt.is_some_and(|attempt| attempt != output.attempt);
        let patient = Instant::now() < deadline && !app.stopping.is_cancelled();
        if (ended && !late) || news || !patient {
            return Ok(bytes(output, ended && !late, position));
        }
        tokio::time::sleep_until(deadline.min(Instant::now() + POLL)).await;
    }
}

/// Whether the end of a run's output may still be on its way into the database, which may have been away.
fn may_be_late(found: &runs::Row, output: &Output, now: DateTime<Utc>) -> bool {
    !output.complete && found.started_at.is_some() && found.finished_at.is_some_and(|at| now - at < LATE_MAX)
}

/// Whether a run prints nothing any more.
fn has_ended(state: RunState) -> bool {
    match state {
        RunState::Queued | RunState::Running => false,
        RunState::WaitingForCheck | RunState::Succeeded | RunState::Failed | RunState::Withdrawn => true,
    }
}

fn bytes(output: Output, ended: bool, position: Position) -> Response {
    let Output { attempt, from, bytes, dropped, complete } = output;
    let next = from + i64::try_from(bytes.len()).unwrap_or(0);
    let complete = ended && (complete || bytes.is_empty());
    let mut response = Body::from(bytes).into_response();
    answer::note(&mut response, position);
    let map = response.headers_mut();
    map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    map.insert(HeaderName::from_static(headers::ATTEMPT), HeaderValue::from(attempt));
    map.insert(HeaderName::from_static(headers::FROM), HeaderValue::from(from));
    map.insert(HeaderName::from_static(headers::NEXT), HeaderValue::from(next));
    map.insert(HeaderName::from_static(headers::DROPPED), HeaderValue::from(dropped));
    let complete = HeaderValue::from_static(if complete { "true" } else { "false" });
    map.insert(HeaderName::from_static(headers::COMPLETE), complete);
    response
}

/// The run in the path.
fn id(reading: &mut Reading) -> RunId {
    let parsed = Uuid::try_parse(reading.path());
    if parsed.is_err() {
        reading.violations().add("path:id", "uuid", "id must be a UUID");
    }
    RunId(parsed.unwrap_or_default())
}
