//! Handlers of the writes: each says how its body becomes a wish; `http::flow` does the rest.

use axum::extract::{Request, State};
use axum::response::Response;
use dm_domain::overrides::Values;
use dm_domain::staging::Wish;

use crate::app::App;
use crate::error::ApiError;
use crate::http::asked::Asked;
use crate::http::flow::{Understand, carry_out};
use crate::http::input::{self, Draft};
use crate::http::openapi::{
    ApplyRefusals, CancelRefusals, ChangeRefusals, CleanupRefusals, CreateRefusals, PlainRefusals, RetryRefusals,
    WriteAnswers, WriteHeaders,
};
use crate::http::violations::Violations;

/// Creates a staging
#[utoipa::path(
    post, path = "/api/v1/stagings", operation_id = "create_staging", tag = "stagings",
    params(WriteHeaders),
    request_body = dm_api::Create,
    responses(WriteAnswers, CreateRefusals)
)]
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "create", request, understand_create).await
}

/// Changes the settings of a staging
///
/// Starts a run also when nothing changes. Everything that is not named stays.
#[utoipa::path(
    patch, path = "/api/v1/stagings/{name}", operation_id = "update_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Update,
    responses(WriteAnswers, ChangeRefusals)
)]
pub(crate) async fn update(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "update", request, understand_update).await
}

/// Brings an archived staging back, perhaps with other settings
#[utoipa::path(
    post, path = "/api/v1/stagings/{name}/restore", operation_id = "restore_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Restore,
    responses(WriteAnswers, ChangeRefusals)
)]
pub(crate) async fn restore(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "restore", request, understand_restore).await
}

/// Archives a staging
///
/// Pods go, volumes stay; a restore brings it back.
#[utoipa::path(
    post, path = "/api/v1/stagings/{name}/delete", operation_id = "delete_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Delete,
    responses(WriteAnswers, PlainRefusals)
)]
pub(crate) async fn delete(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "delete", request, understand_delete).await
}

/// Removes everything of an archived staging
///
/// Its name is free again, its history stays readable.
#[utoipa::path(
    post, path = "/api/v1/stagings/{name}/cleanup", operation_id = "cleanup_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Cleanup,
    responses(WriteAnswers, CleanupRefusals)
)]
pub(crate) async fn cleanup(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "cleanup", request, understand_cleanup).await
}

/// Makes a staging what it shall be, whatever it is now
///
/// Creates it, restores it, updates it, or does nothing when all is already so. Everything that is not named stays.
#[utoipa::path(
    put, path = "/api/v1/stagings/{name}", operation_id = "apply_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Apply,
    responses(WriteAnswers, ApplyRefusals)
)]
pub(crate) async fn apply(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "apply", request, understand_apply).await
}

/// Runs the verb of the last run again
///
/// With the latest configuration, on top of the defaults of now.
#[utoipa::path(
    post, path = "/api/v1/stagings/{name}/retry", operation_id = "retry_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Retry,
    responses(WriteAnswers, RetryRefusals)
)]
pub(crate) async fn retry(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "retry", request, understand_retry).await
}

/// Stops what is under way
///
/// Before it has begun, everything becomes as it was before the request.
#[utoipa::path(
    post, path = "/api/v1/stagings/{name}/cancel", operation_id = "cancel_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Cancel,
    responses(WriteAnswers, CancelRefusals)
)]
pub(crate) async fn cancel(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "cancel", request, understand_cancel).await
}

/// How the body of each command becomes a wish.
pub(crate) fn understanding(command: dm_api::Previewed) -> Understand {
    match command {
        dm_api::Previewed::Create => understand_create,
        dm_api::Previewed::Update => understand_update,
        dm_api::Previewed::Restore => understand_restore,
        dm_api::Previewed::Delete => understand_delete,
        dm_api::Previewed::Cleanup => understand_cleanup,
        dm_api::Previewed::Apply => understand_apply,
        dm_api::Previewed::Retry => understand_retry,
        dm_api::Previewed::Cancel => understand_cancel,
    }
}

fn understand_create(app: &App, asked: &Asked, violations: &mut Violations) -> Result<Option<Draft>, ApiError> {
    Ok(input::create(asked.body()?, app.settings.status_timeout, violations))
}

fn understand_update(app: &App, asked: &Asked, violations: &mut Violations) -> Result<Option<Draft>, ApiError> {
    let name = asked.name(violations);
    Ok(input::change(name, asked.body()?, app.settings.status_timeout, Wish::Update, violations))
}

fn understand_restore(app: &App, asked: &Asked, violations: &mut Violations) -> Result<Option<Draft>, ApiError> {
    let name = asked.name(violations);
    Ok(input::change(name, asked.body()?, app.settings.status_timeout, Wish::Restore, violations))
}

fn understand_delete(app: &App, asked: &Asked, violations: &mut Violations) -> Result<Option<Draft>, ApiError> {
    let name = asked.name(violations);
    let body: dm_api::Delete = asked.body()?;
    let wish = Wish::Delete { status_timeout: app.settings.status_timeout };
    Ok(input::plain(name, wish, body.reason, body.on_behalf, violations))
}

fn understand_cleanup(_: &App, asked: &Asked, violations: &mut Violations) -> Result<Option<Draft>, ApiError> {
    let name = asked.name(violations);
    Ok(input::cleanup(name, asked.body()?, violations))
}

fn understand_apply(app: &App, asked: &Asked, violations: &mut Violations) -> Result<Option<Draft>, ApiError> {
    let name = asked.name(violations);
    Ok(input::apply(name, asked.body()?, app.settings.status_timeout, violations))
}

fn understand_retry(app: &App, asked: &Asked, violations: &mut Violations) -> Result<Option<Draft>, ApiError> {
    let name = asked.name(violations);
    let body: dm_api::Retry = asked.body()?;
    let wish = Wish::Retry { defaults: Values::default(), status_timeout: app.settings.status_timeout };
    Ok(input::plain(name, wish, body.reason, body.on_behalf, violations))
}

fn understand_cancel(_: &App, asked: &Asked, violations: &mut Violations) -> Result<Option<Draft>, ApiError> {
    let name = asked.name(violations);
    Ok(input::cancel(name, asked.body()?, violations))
}
