//! Handlers about the service itself: who asks, which version, which document, and a first page.

use axum::Json;
use axum::extract::Extension;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use dm_api::{Version, WhoAmI};

use crate::access::identity::Identity;
use crate::http::openapi::{self, ServiceRefusals};

/// Who the server takes you for
#[utoipa::path(
    get, path = "/api/v1/whoami", operation_id = "whoami", tag = "service",
    responses((status = 200, description = "You.", body = WhoAmI), ServiceRefusals)
)]
pub(crate) async fn whoami(Extension(identity): Extension<Identity>) -> Json<WhoAmI> {
    Json(WhoAmI { actor: identity.actor().0, role: identity.role.to_string() })
}

/// Which server this is
#[utoipa::path(
    get, path = "/api/v1/version", operation_id = "version", tag = "service",
    responses((status = 200, description = "Versions.", body = Version), ServiceRefusals)
)]
pub(crate) async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION").to_owned(), api: "v1".to_owned() })
}

/// This document
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "openapi", tag = "service",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json"), ServiceRefusals)
)]
pub(crate) async fn openapi() -> impl IntoResponse {
    openapi::answer()
}

/// The page, for as long as there is no other.
pub(crate) async fn page() -> impl IntoResponse {
    let policy = [(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'")];
    (policy, Html(include_str!("page.html")))
}
