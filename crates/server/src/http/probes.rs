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
use crate::metrics::Shared;

/// How long a probe waits for the database; the kubelet gives up after as much.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process answers.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Requests should be sent here, or not, and why.
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let stopping = app.stopping.is_cancelled();
    let (database, known) = match asked(&app).await {
        Ok(known) => (None, Some(known)),
        Err(cause) => (Some(cause), None),
    };
    let ready = !stopping && database.is_none();
    let (shared, quarantined) = known.unzip();
    let readiness = Readiness {
        ready,
        stopping,
        database,
        writes: app.store.hindrance(),
        init: app.runner.init().missing(),
        lag: shared.map(|shared| shared.lag),
        queued: shared.map(|shared| shared.queued),
        running: shared.map(|shared| shared.running),
        quarantined: quarantined.unwrap_or_default(),
    };
    let mut response = Json(readiness).into_response();
    if !ready {
        *response.status_mut() = NOT_READY;
    }
    response
}

/// Everything that Prometheus is told. While the database is away its gauges keep their last values.
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let shared = asked(&app).await.inspect_err(|cause| tracing::debug!(cause, "gauges were not taken"));
    app.metrics.shared(shared.ok().map(|(shared, _)| shared));
    let (runs, checks) = app.runner.held();
    app.metrics.here(runs, checks, app.runner.init().missing().is_none());
    app.metrics.process();
    let text = app.metrics.encode().map_err(ApiError::internal)?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

/// What the database says within the patience of a probe, or why it says nothing.
async fn asked(app: &App) -> Result<(Shared, Vec<Quarantined>), String> {
    match tokio::time::timeout(PATIENCE, take(app)).await {
        Ok(taken) => taken.map_err(|error| error.cause().unwrap_or(error.code().name).to_owned()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn take(app: &App) -> Result<(Shared, Vec<Quarantined>), ApiError> {
    let Position(projected) = app.projector.position().await?;
    let Position(head) = app.store.head().await?.position;
    let due = stagings::due(&app.pool, u32::MAX).await?;
    let waiting = due.iter().filter(|due| due.work == DueWork::Run);
    let oldest = waiting.clone().map(|due| due.since).min();
    let waited = oldest.and_then(|since| (app.clock.now() - since).to_std().ok()).unwrap_or_default();
    let stopped = app.projector.quarantined().await?;
    let shared = Shared {
        position: head,
        lag: (head - projected).max(0),
        queued: waiting.count() as u64,
        queued_for: waited,
        running: stagings::running(&app.pool).await?,
        quarantined: stopped.len() as u64,
    };
    let named = stopped.into_iter().map(|one| Quarantined {
        projection: one.projection,
        key: one.key,
        position: one.position.0,
        cause: one.cause,
    });
    Ok((shared, named.collect()))
}
