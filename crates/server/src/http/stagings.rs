//! Handlers that read stagings and what belongs to one.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use dm_domain::ids::{StagingName, Version};
use dm_domain::overrides::Values;
use dm_domain::staging::{Event, Status};
use dm_eventstore::{Position, StreamId, codec};
use dm_projector::stagings::{self, Cursor, Filter, Gone, Page, Row, Sort, SortBy};
use dm_projector::{audit, runs};

use crate::app::App;
use crate::error::ApiError;
use crate::http::openapi::{AtLeast, ListRefusals, StagingRefusals};
use crate::http::query::{Fault, flag, number};
use crate::http::reading::{Reading, caught_up, next};
use crate::http::{answer, row};

/// The longest age that can be asked for, in seconds: a hundred years.
const AGE_MAX: i64 = 3_153_600_000;

/// Most characters of the text that a listing is limited to.
const TEXT_MAX: usize = 200;

/// Lists stagings
///
/// Without `status` all but archived ones.
#[utoipa::path(
    get, path = "/api/v1/stagings", operation_id = "list_stagings", tag = "stagings",
    params(
        ("status" = Option<Vec<dm_api::Status>>, Query, description = "Only these; may be given again and again."),
        ("archived" = Option<bool>, Query, description = "Archived ones as well."),
        ("q" = Option<String>, Query, description = "Only names or tags that contain this.", min_length = 1, max_length = 200),
        (
            "archived_for" = Option<u64>, Query, minimum = 0, maximum = 3_153_600_000_u64,
            description = "Only those that have been archived for at least this many seconds."
        ),
        (
            "sort" = Option<String>, Query, pattern = "^-?(name|status|created|changed|archived)$",
            description = "By which field, and with a `-` in front the other way round; among equals by name. What has \
                           no such moment comes last. By name if not given."
        ),
        ("after" = Option<String>, Query, description = "The `next` of the page before, of the same `sort`."),
        ("limit" = Option<u32>, Query, description = "Items of a page; 100 if not given.", minimum = 1, maximum = 200),
        AtLeast,
    ),
    responses((status = 200, description = "A page.", body = dm_api::StagingList), ListRefusals)
)]
pub(crate) async fn list(State(app): State<App>, mut reading: Reading) -> Result<Response, ApiError> {
    let limit = reading.limit();
    let query = &mut reading.query;
    let mut statuses = query.list("status", status);
    let archived_for = query.optional("archived_for", |text| number(text, 0, AGE_MAX));
    if archived_for.is_some() && statuses.is_empty() {
        statuses.push(Status::Archived);
    }
    let filter = Filter {
        statuses,
        archived: query.optional("archived", flag).unwrap_or(false),
        text: query.optional("q", text),
        archived_before: archived_for.map(|seconds| app.clock.now() - TimeDelta::seconds(seconds)),
        sort: query.optional("sort", sort).unwrap_or_default(),
        after: query.optional("after", place),
        limit,
    };
    reading.ready(&app).await?;

    let Page { rows, next, position } = stagings::list(&app.pool, &filter).await?;
    let next = next.map(|Cursor { value, name }| format!("{value}~{name}"));
    let names: Vec<StagingName> =
        rows.iter().filter(|row| row.request().is_some()).map(|row| row.name.clone()).collect();
    let ahead = stagings::queued_ahead(&app.pool, &names).await?;
    let items =
        rows.iter().map(|row| row::staging(row, live(&app, row, ahead.get(&row.name).copied()), position)).collect();
    Ok(answer::read(position, dm_api::StagingList { items, next, position: position.0 }))
}

/// Shows a staging
#[utoipa::path(
    get, path = "/api/v1/stagings/{name}", operation_id = "get_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), AtLeast),
    responses((status = 200, description = "The staging.", body = dm_api::Staging), StagingRefusals)
)]
pub(crate) async fn get(State(app): State<App>, mut reading: Reading) -> Result<Response, ApiError> {
    let name = reading.name();
    reading.ready(&app).await?;
    let (row, position) = one(&app, name).await?;
    let ahead = match row.request() {
        Some(_) => stagings::queued_ahead(&app.pool, std::slice::from_ref(&row.name)).await?.get(&row.name).copied(),
        None => None,
    };
    Ok(answer::read(position, row::staging(&row, live(&app, &row, ahead), position)))
}

/// Shows the effective configuration of a staging: defaults with overrides applied
///
/// It is what the last create, update or restore froze. The value of a secret is never shown.
#[utoipa::path(
    get, path = "/api/v1/stagings/{name}/configuration", operation_id = "get_configuration", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), AtLeast),
    responses((status = 200, description = "The configuration.", body = dm_api::Configuration), StagingRefusals)
)]
pub(crate) async fn configuration(State(app): State<App>, mut reading: Reading) -> Result<Response, ApiError> {
    let name = reading.name();
    reading.ready(&app).await?;
    let (row, position) = one(&app, name).await?;
    let configuration = row.configuration();
    let effective = frozen(&app, &row.name, configuration.frozen_version).await?;
    let body = dm_api::Configuration {
        version: configuration.version.0,
        tag: configuration.tag.to_string(),
        keys: row::keys(&configuration.overridden, &effective)?,
        position: position.0,
    };
    Ok(answer::read(position, body))
}

/// Lists the runs of a name, newest first
///
/// Those of earlier lives of the name are among them.
#[utoipa::path(
    get, path = "/api/v1/stagings/{name}/runs", operation_id = "list_runs", tag = "stagings",
    params(
        ("name" = String, Path, description = "Its name."),
        ("after" = Option<String>, Query, description = "The `next` of the page before."),
        ("limit" = Option<u32>, Query, description = "Items of a page; 100 if not given.", minimum = 1, maximum = 200),
        AtLeast,
    ),
    responses((status = 200, description = "A page.", body = dm_api::RunList), StagingRefusals)
)]
pub(crate) async fn runs(State(app): State<App>, mut reading: Reading) -> Result<Response, ApiError> {
    let name = reading.name();
    let limit = reading.limit();
    let before = reading.query.optional("after", cursor);
    reading.ready(&app).await?;
    let name = name.ok_or_else(lost)?;
    let (rows, position) = runs::list(&app.pool, &name, before, limit).await?;
    if rows.is_empty() && before.is_none() {
        one(&app, Some(name)).await?;
    }
    let next = next(&rows, limit, |run| run.version.to_string());
    let items = rows.iter().map(|run| row::run(run, position)).collect();
    Ok(answer::read(position, dm_api::RunList { items, next, position: position.0 }))
}

/// Lists the events of a name, oldest first
///
/// Those of earlier lives of the name are among them.
#[utoipa::path(
    get, path = "/api/v1/stagings/{name}/events", operation_id = "list_events", tag = "stagings",
    params(
        ("name" = String, Path, description = "Its name."),
        ("after" = Option<String>, Query, description = "The `next` of the page before, or the version of an event."),
        ("limit" = Option<u32>, Query, description = "Items of a page; 100 if not given.", minimum = 1, maximum = 200),
        AtLeast,
    ),
    responses((status = 200, description = "A page.", body = dm_api::EventList), StagingRefusals)
)]
pub(crate) async fn events(State(app): State<App>, mut reading: Reading) -> Result<Response, ApiError> {
    let name = reading.name();
    let limit = reading.limit();
    let after = reading.query.optional("after", cursor);
    reading.ready(&app).await?;
    let name = name.ok_or_else(lost)?;
    let (rows, position) = audit::history(&app.pool, &name, after.unwrap_or(Version::NONE), limit).await?;
    if rows.is_empty() && after.is_none() {
        one(&app, Some(name)).await?;
    }
    let next = next(&rows, limit, |event| event.version.to_string());
    let items = rows.into_iter().map(row::event).collect();
    Ok(answer::read(position, dm_api::EventList { items, next, position: position.0 }))
}

/// The row of a staging, or the refusal that says when there was one.
async fn one(app: &App, name: Option<StagingName>) -> Result<(Row, Position), ApiError> {
    let name = name.ok_or_else(lost)?;
    let (mut found, mut position) = stagings::get(&app.pool, &name).await?;
    if found.is_err() {
        caught_up(app).await?;
        (found, position) = stagings::get(&app.pool, &name).await?;
    }
    match found {
        Ok(row) => Ok((row, position)),
        Err(Gone { cleaned_up_at }) => Err(ApiError::no_staging(&name, cleaned_up_at)),
    }
}

/// The effective configuration that an event holds.
async fn frozen(app: &App, name: &StagingName, version: Version) -> Result<Values, ApiError> {
    let page = app.store.read_stream(&StreamId::from(name), Version(version.0 - 1), 1).await?;
    let event = page.events.first().map(codec::decode).transpose()?.map(|recorded| recorded.event);
    if let Some(Event::CreateRequested(request) | Event::UpdateRequested(request) | Event::RestoreRequested(request)) =
        event
    {
        Ok(request.effective)
    } else if let Some(Event::RetryRequested(request)) = event {
        Ok(request.effective)
    } else {
        Err(ApiError::internal(format!("event {version} of {name} holds no configuration, though a row says so")))
    }
}

/// What is true of a staging only now.
fn live(app: &App, row: &Row, queued_ahead: Option<u32>) -> dm_api::Live {
    let known = app.runner.live(&row.name);
    let busy = row.request().is_some();
    dm_api::Live {
        checked_at: known.checked_at,
        queued_ahead,
        elapsed_ms: row.request().map(|request| elapsed(app, request.started_at().unwrap_or(request.since))),
        last_line: known.last_line.filter(|_| busy),
    }
}

fn elapsed(app: &App, since: DateTime<Utc>) -> i64 {
    (app.clock.now() - since).num_milliseconds().max(0)
}

fn status(text: &str) -> Result<Status, Fault> {
    Status::ALL.into_iter().find(|status| status.to_string() == text).ok_or_else(|| {
        let known: Vec<String> = Status::ALL.iter().map(ToString::to_string).collect();
        ("status", format!("must be one of {}", known.join(", ")))
    })
}

fn sort(text: &str) -> Result<Sort, Fault> {
    let (descending, field) = text.strip_prefix('-').map_or((false, text), |field| (true, field));
    let by = SortBy::ALL.into_iter().find(|by| by.as_str() == field).ok_or_else(|| {
        let known = SortBy::ALL.map(SortBy::as_str).join(", ");
        ("sort", format!("must be one of {known}, perhaps with a - in front"))
    })?;
    Ok(Sort { by, descending })
}

/// The place at which the page before ended.
fn place(text: &str) -> Result<Cursor, Fault> {
    let parsed = text
        .split_once('~')
        .and_then(|(value, name)| Some(Cursor { value: value.parse().ok()?, name: StagingName::parse(name).ok()? }));
    parsed.ok_or_else(|| ("cursor", "must be the next of a page".to_owned()))
}

pub(crate) fn text(text: &str) -> Result<String, Fault> {
    if text.contains('\0') {
        return Err(("nul", "must not contain U+0000".to_owned()));
    }
    if (1..=TEXT_MAX).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err(("length", format!("must have 1 to {TEXT_MAX} characters")))
    }
}

fn cursor(text: &str) -> Result<Version, Fault> {
    number(text, 0, i64::MAX).map(Version)
}

/// A request without faults has what its faults were looked for in.
fn lost() -> ApiError {
    ApiError::internal("a parameter is missing though nothing is wrong with the request")
}
