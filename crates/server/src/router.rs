//! The whole route table, on one screen.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::app::App;
use crate::http::{commands, context, preview, probes, runs, service, stagings, tags};

/// What `dmc` asks, behind mutual TLS: whoever is not known is refused.
pub fn dmc(app: App) -> Router {
    let routes = Router::new()
        .route("/api/v1/stagings", get(stagings::list).post(commands::create))
        .route("/api/v1/stagings/{name}", get(stagings::get).patch(commands::update).put(commands::apply))
        .route("/api/v1/stagings/{name}/delete", post(commands::delete))
        .route("/api/v1/stagings/{name}/restore", post(commands::restore))
        .route("/api/v1/stagings/{name}/cleanup", post(commands::cleanup))
        .route("/api/v1/stagings/{name}/retry", post(commands::retry))
        .route("/api/v1/stagings/{name}/cancel", post(commands::cancel))
        .route("/api/v1/stagings/{name}/configuration", get(stagings::configuration))
        .route("/api/v1/stagings/{name}/runs", get(stagings::runs))
        .route("/api/v1/stagings/{name}/events", get(stagings::events))
        .route("/api/v1/tags", get(tags::list))
        .route("/api/v1/preview", post(preview::preview))
        .route("/api/v1/runs/{id}", get(runs::get))
        .route("/api/v1/runs/{id}/output", get(runs::output))
        .route("/api/v1/whoami", get(service::whoami))
        .route("/api/v1/version", get(service::version))
        .route("/api/v1/openapi.json", get(service::openapi));
    // In front of the routes and of the answer that there is none: who is not known learns nothing.
    let routes = context::refuse_the_rest(routes).layer(from_fn(context::signed_in));
    let routes = routes.layer(from_fn_with_state(app.clone(), context::until_the_end));
    context::surround(routes, &app.metrics).with_state(app)
}

/// What a browser asks.
pub fn page(app: App) -> Router {
    let routes = Router::new().route("/", get(service::page)).route("/openapi.json", get(service::openapi));
    let routes = context::refuse_the_rest(routes).layer(from_fn_with_state(app.clone(), context::until_the_end));
    context::surround(routes, &app.metrics).with_state(app)
}

/// What Prometheus and the kubelet ask; on a listener of its own, without sign-in, and nowhere else.
pub fn metrics(app: App) -> Router {
    let routes = Router::new()
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics));
    context::surround(context::refuse_the_rest(routes), &app.metrics).with_state(app)
}
