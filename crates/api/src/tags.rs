//! Tags on the wire: which versions of the product there are, as the wrapper `tags` says.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A version of the product that can be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagItem {
    /// What to deploy.
    pub tag: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was made, as the wrapper writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
}

/// Answer of `GET /tags`, in the order of the wrapper; empty when it has none to offer or there is no such wrapper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagList {
    /// At most 100.
    pub items: Vec<TagItem>,
}
