//! Handlers of the writes: each says how its body becomes a wish; `http::flow` does the rest.

use axum::extract::{Request, State};
use axum::response::Response;
use dm_domain::staging::Wish;

use crate::app::App;
use crate::error::ApiError;
use crate::http::flow::carry_out;
use crate::http::input;
use crate::http::openapi::{ChangeRefusals, CreateRefusals, PlainRefusals, WriteHeaders};

/// Creates a staging
#[utoipa::path(
    post, path = "/api/v1/stagings", operation_id = "create_staging", tag = "stagings",
    params(WriteHeaders),
    request_body = dm_api::Create,
    responses(
        (
            status = 202, description = "Accepted; a run was opened.", body = dm_api::Accepted,
            headers(("Location" = String, description = "The run."), ("DM-Position" = i64, description = "The position of the log."))
        ),
        (status = 200, description = "All was already so, or is on its way: nothing had to happen.", body = dm_api::Accepted),
        CreateRefusals
    )
)]
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "create", request, |app, asked, violations| {
        Ok(input::create(asked.body()?, app.settings.status_timeout, violations))
    })
    .await
}

/// Changes the settings of a staging
///
/// Starts a run also when nothing changes. Everything that is not named stays.
#[utoipa::path(
    patch, path = "/api/v1/stagings/{name}", operation_id = "update_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Update,
    responses(
        (
            status = 202, description = "Accepted; a run was opened.", body = dm_api::Accepted,
            headers(("Location" = String, description = "The run."), ("DM-Position" = i64, description = "The position of the log."))
        ),
        (status = 200, description = "All was already so, or is on its way: nothing had to happen.", body = dm_api::Accepted),
        ChangeRefusals
    )
)]
pub(crate) async fn update(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "update", request, |app, asked, violations| {
        let name = asked.name(violations);
        Ok(input::change(name, asked.body()?, app.settings.status_timeout, Wish::Update, violations))
    })
    .await
}

/// Brings an archived staging back, perhaps with other settings
#[utoipa::path(
    post, path = "/api/v1/stagings/{name}/restore", operation_id = "restore_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Restore,
    responses(
        (
            status = 202, description = "Accepted; a run was opened.", body = dm_api::Accepted,
            headers(("Location" = String, description = "The run."), ("DM-Position" = i64, description = "The position of the log."))
        ),
        (status = 200, description = "All was already so, or is on its way: nothing had to happen.", body = dm_api::Accepted),
        ChangeRefusals
    )
)]
pub(crate) async fn restore(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "restore", request, |app, asked, violations| {
        let name = asked.name(violations);
        Ok(input::change(name, asked.body()?, app.settings.status_timeout, Wish::Restore, violations))
    })
    .await
}

/// Archives a staging
///
/// Pods go, volumes stay; a restore brings it back.
#[utoipa::path(
    post, path = "/api/v1/stagings/{name}/delete", operation_id = "delete_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Delete,
    responses(
        (
            status = 202, description = "Accepted; a run was opened.", body = dm_api::Accepted,
            headers(("Location" = String, description = "The run."), ("DM-Position" = i64, description = "The position of the log."))
        ),
        (status = 200, description = "All was already so, or is on its way: nothing had to happen.", body = dm_api::Accepted),
        PlainRefusals
    )
)]
pub(crate) async fn delete(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "delete", request, |app, asked, violations| {
        let name = asked.name(violations);
        let body: dm_api::Delete = asked.body()?;
        let wish = Wish::Delete { status_timeout: app.settings.status_timeout };
        Ok(input::plain(name, wish, body.reason, violations))
    })
    .await
}

/// Removes everything of an archived staging
///
/// Its name is free again, its history stays readable.
#[utoipa::path(
    post, path = "/api/v1/stagings/{name}/cleanup", operation_id = "cleanup_staging", tag = "stagings",
    params(("name" = String, Path, description = "Its name."), WriteHeaders),
    request_body = dm_api::Cleanup,
    responses(
        (
            status = 202, description = "Accepted; a run was opened.", body = dm_api::Accepted,
            headers(("Location" = String, description = "The run."), ("DM-Position" = i64, description = "The position of the log."))
        ),
        (status = 200, description = "All was already so, or is on its way: nothing had to happen.", body = dm_api::Accepted),
        PlainRefusals
    )
)]
pub(crate) async fn cleanup(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    carry_out(app, "cleanup", request, |_, asked, violations| {
        let name = asked.name(violations);
        let body: dm_api::Cleanup = asked.body()?;
        let wish = Wish::Cleanup { force: false, archived_for: None };
        Ok(input::plain(name, wish, body.reason, violations))
    })
    .await
}
