//! A look ahead on the wire: what a command would do, with nothing done.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::commands::Level;
use crate::stagings::{ConfigurationKey, Status};

/// The commands that can be looked ahead at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Previewed {
    /// `POST /stagings`
    Create,
    /// `PATCH /stagings/{name}`
    Update,
    /// `PUT /stagings/{name}`
    Apply,
    /// `POST /stagings/{name}/restore`
    Restore,
    /// `POST /stagings/{name}/delete`
    Delete,
    /// `POST /stagings/{name}/cleanup`
    Cleanup,
    /// `POST /stagings/{name}/retry`
    Retry,
    /// `POST /stagings/{name}/cancel`
    Cancel,
}

/// Body of `POST /preview`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// Which command.
    pub command: Previewed,
    /// Of which staging; of a create, `request` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 40, pattern = "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", example = "web")]
    pub name: Option<String>,
    /// The body that the command itself would have.
    #[schema(value_type = Object)]
    pub request: Box<RawValue>,
}

/// What would follow from a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A run would be opened.
    Run,
    /// The run under way would be taken back before it begins, or stopped.
    Cancel,
    /// All is already so, or on its way.
    Nothing,
}

/// Answer of `POST /preview`: what the command would do now. Nothing was done. A command that would be refused is
/// refused here with the same problem.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// Of which staging.
    pub staging: String,
    /// What would follow.
    pub effect: Effect,
    /// What the run would do: `create`, `update`, `restore`, `delete` or `cleanup`; of a cancel, what the run under way
    /// does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    /// The run under way, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
    /// The status now; none if there is no such staging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The status right after; none if there is no such staging then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_after: Option<Status>,
    /// The tag now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The tag after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_after: Option<String>,
    /// What would change in the effective configuration, by level and key.
    pub changes: Vec<ConfigurationChange>,
    /// The wrapper that would be run, and its arguments; absent when none would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute: Option<Execute>,
    /// The whole effective configuration after, every key of both levels in order; empty if there is no such staging
    /// then.
    pub configuration: Vec<ConfigurationKey>,
    /// The version of the staging's stream on which this was judged; 0 when the name is new.
    pub version: i64,
    /// The `base` for an edit that is to fail if somebody else changes the same meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_version: Option<i64>,
    /// The position of the log that this answer reflects.
    pub position: i64,
}

/// One key whose value would change. A side without a value means that the key is absent there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConfigurationChange {
    /// Whom it is for.
    pub level: Level,
    /// Dotted key.
    pub key: String,
    /// As it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<ConfigurationKey>,
    /// As it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ConfigurationKey>,
}

/// One call of a wrapper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Execute {
    /// Its path on the server.
    pub executable: String,
    /// Its arguments; overrides that are secret are never among them.
    pub arguments: Vec<String>,
    /// When it would be stopped at the latest, in milliseconds.
    pub time_limit_ms: u64,
}
