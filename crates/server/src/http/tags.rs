//! Which versions of the product there are, for completion and forms.

use axum::Json;
use axum::extract::State;
use dm_api::{TagItem, TagList};

use crate::app::App;
use crate::error::{ApiError, codes};
use crate::http::openapi::TagRefusals;
use crate::http::reading::Reading;
use crate::http::stagings::text;

/// Lists tags that can be deployed
///
/// As the wrapper `tags` prints them, at most 100; none when there is no such wrapper.
#[utoipa::path(
    get, path = "/api/v1/tags", operation_id = "list_tags", tag = "stagings",
    params(("q" = Option<String>, Query, description = "Only tags that contain this.", min_length = 1, max_length = 200)),
    responses((status = 200, description = "The tags.", body = TagList), TagRefusals)
)]
pub(crate) async fn list(State(app): State<App>, mut reading: Reading) -> Result<Json<TagList>, ApiError> {
    let query = reading.query.optional("q", text).unwrap_or_default();
    reading.query.done()?;
    let known = app.runner.wrappers().tags(query).await;
    let known = known.map_err(|error| ApiError::wrapper(codes::TAGS_UNAVAILABLE, &error))?;
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let item = |of: crate::runner::KnownTag| TagItem {
        tag: of.tag.to_string(),
        label: given(of.label),
        created: given(of.created),
    };
    Ok(Json(TagList { items: known.into_iter().map(item).collect() }))
}
