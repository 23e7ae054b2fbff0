//! History on the wire: the log as people and scripts read it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

/// One event of the log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number in the whole log.
    pub position: i64,
    /// Whose it is.
    pub staging: String,
    /// Its number in the staging's stream.
    pub version: i64,
    /// Its type, as stored.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What happened, as a sentence.
    pub sentence: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: String,
    /// By which door: `dmc`, `ui` or `system`.
    pub channel: String,
    /// Why, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For whom the actor says to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf: Option<String>,
    /// Which run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
    /// The payload as stored; secrets stay sealed.
    #[schema(value_type = serde_json::Value)]
    pub data: Box<RawValue>,
}

/// Answer of `GET /stagings/{name}/events`, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// One page.
    pub items: Vec<Event>,
    /// Give it as `after` for the next page, which may turn out empty; absent when this is surely the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The position of the log that this answer reflects.
    pub position: i64,
}
