//! Stagings on the wire: what people are told of one.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::commands::{Level, given};

/// What a staging is. There are exactly six.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Status {
    /// Up.
    Running,
    /// In trouble; see `reason`.
    Failure,
    /// A create or a restore is under way.
    CreatePending,
    /// An update is under way.
    UpdatePending,
    /// A delete is under way.
    DeletePending,
    /// Pods gone, volumes kept.
    Archived,
}

/// What is going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Activity {
    /// Which stage the run under way is in.
    pub kind: ActivityKind,
    /// What the run does: `create`, `update`, `restore`, `delete` or `cleanup`.
    pub verb: String,
    /// Which run.
    pub run: Uuid,
    /// Which of its attempts; 0 before the first.
    pub attempt: u32,
    /// Who asked for it.
    pub by: String,
    /// When it was asked for.
    pub since: DateTime<Utc>,
}

/// The stages of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActivityKind {
    /// Waiting for a free slot, or to be taken up again.
    Queued,
    /// The wrapper runs.
    Running,
    /// The wrapper has ended well; a check has yet to agree.
    WaitingForCheck,
}

/// A named address of a staging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// What people call it.
    pub name: String,
    /// Where it leads.
    pub url: String,
}

/// What people can ask of a staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Other settings.
    Update,
    /// Archive it.
    Delete,
    /// Bring it back.
    Restore,
    /// Remove everything of it.
    Cleanup,
    /// The last run again.
    Retry,
    /// Stop what is under way.
    Cancel,
}

/// An action, and why it is refused now if it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AllowedAction {
    /// Which action.
    pub action: Action,
    /// Whether it would be accepted now.
    pub allowed: bool,
    /// Whether nothing would have to happen, because it is already so, or on its way.
    #[serde(default)]
    pub quiet: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// What is true only at the moment of the answer and is not part of history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Live {
    /// When a check last ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<DateTime<Utc>>,
    /// How many runs are in front of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_ahead: Option<u32>,
    /// How long what is going on has been going on, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<i64>,
    /// The last line that the run under way has printed, control sequences made harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_line: Option<String>,
}

/// A staging as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Staging {
    /// Its name.
    pub name: String,
    /// What it is.
    pub status: Status,
    /// The kind of trouble: `run_failed`, `interrupted`, `cancelled`, `unconfirmed`, `check_failed`,
    /// `partly_available`, `tag_mismatch` or `cleanup_failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The trouble in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What is going on, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Activity>,
    /// The version that it has or is to have.
    pub tag: String,
    /// The number of overrides on both levels.
    pub overrides: u32,
    /// Addresses, as the wrapper reported them.
    pub links: Vec<Link>,
    /// Why its links are not known: the wrapper `info` did not say them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links_cause: Option<String>,
    /// Whether links are yet to be read, which happens each time it has become `Running`; until then they are those of
    /// before.
    #[serde(default)]
    pub links_due: bool,
    /// Since when checks cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable_since: Option<DateTime<Utc>>,
    /// The last run.
    pub last_run: Uuid,
    /// The version of the event that began this life of the name.
    pub incarnation: i64,
    /// The version of the event that holds the configuration; the `base` of an edit.
    pub configuration_version: i64,
    /// The version of its newest event.
    pub version: i64,
    /// Who created it.
    pub created_by: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When its status last changed.
    pub changed_at: DateTime<Utc>,
    /// Since when it is archived, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<DateTime<Utc>>,
    /// What may be asked of it now.
    pub allowed_actions: Vec<AllowedAction>,
    /// What is true only now.
    pub live: Live,
    /// The position of the log that this answer reflects.
    pub position: i64,
}

/// Answer of `GET /stagings`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StagingList {
    /// One page.
    pub items: Vec<Staging>,
    /// Give it as `after` for the next page, which may turn out empty; absent when this is surely the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The position of the log that this answer reflects.
    pub position: i64,
}

/// Answer of `GET /stagings/{name}/configuration`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Configuration {
    /// The version of the event that holds it.
    pub version: i64,
    /// The version to deploy.
    pub tag: String,
    /// Every key of both levels, in order.
    pub keys: Vec<ConfigurationKey>,
    /// The position of the log that this answer reflects.
    pub position: i64,
}

/// One key of a configuration. A key without a value is a default that an override hides.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConfigurationKey {
    /// Whom it is for.
    pub level: Level,
    /// Dotted key.
    pub key: String,
    /// A text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A JSON value.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub json: Option<Box<RawValue>>,
    /// Whether it is a secret, whose value is never shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// Whether an override made it so, rather than a default.
    pub overridden: bool,
}
