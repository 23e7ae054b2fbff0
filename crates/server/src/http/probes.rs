//! Handlers of probes and metrics, for the listener that has nothing else.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use dm_api::{Quarantined, Readiness};
use dm_eventstore::Position;
use dm_projector::stagings::{self, DueWork};

use crate::app::App;
use crate::error::{ApiError, NOT_READY};

/// How long a probe waits for the database; the kubelet gives up after as much.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process answers.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Requests should be sent here, or not, and why.
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let stopping = app.stopping.is_cancelled();
    let asked = tokio::time::timeout(PATIENCE, async {
        app.store.head().await?;
        Ok::<_, ApiError>(app.projector.quarantined().await?)
    });
    let (database, quarantined) = match asked.await {
        Ok(Ok(quarantined)) => (None, quarantined),
        Ok(Err(error)) => (Some(error.cause().unwrap_or(error.code().name).to_owned()), Vec::new()),
        Err(_) => (Some(format!("no answer within {} s", PATIENCE.as_secs())), Vec::new()),
    };
    let ready = !stopping && database.is_none();
    let quarantined = quarantined
        .into_iter()
        .map(|one| Quarantined { projection: one.projection, key: one.key, position: one.position.0, cause: one.cause })
        .collect();
    let mut response = Json(Readiness { ready, stopping, database, quarantined }).into_response();
    if !ready {
        *response.status_mut() = NOT_READY;
    }
    response
}

/// Everything that Prometheus is told. While the database is away the gauges keep their last values.
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    match tokio::time::timeout(PATIENCE, gauges(&app)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(code = error.code().name, cause = error.cause(), "gauges were not taken"),
        Err(_) => tracing::warn!("gauges were not taken in time"),
    }
    let text = app.metrics.encode().map_err(ApiError::internal)?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

async fn gauges(app: &App) -> Result<(), ApiError> {
    let Position(projected) = app.projector.position().await?;
    let Position(head) = app.store.head().await?.position;
    app.metrics.log(head, head - projected);
    let due = stagings::due(&app.pool, u32::MAX).await?;
    let queued = due.iter().filter(|due| due.work == DueWork::Run).count();
    let running = stagings::running(&app.pool).await?;
    app.metrics.runs(queued as u64, running);
    Ok(())
}
