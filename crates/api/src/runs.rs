//! Runs on the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waiting for its first claim, or due again after an interruption.
    Queued,
    /// Its wrapper runs.
    Running,
    /// Its wrapper has ended well; a check has yet to agree.
    WaitingForCheck,
    /// It has reached its goal.
    Succeeded,
    /// It has not reached its goal; see `reason` and `cause`.
    Failed,
    /// It was taken back before it began.
    Withdrawn,
}

impl RunState {
    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Withdrawn => true,
            Self::Queued | Self::Running | Self::WaitingForCheck => false,
        }
    }
}

/// One execution of a lifecycle wrapper for one staging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub staging: String,
    /// `create`, `update`, `restore`, `delete` or `cleanup`.
    pub verb: String,
    /// Where it is.
    pub state: RunState,
    /// How often it was claimed.
    pub attempt: u32,
    /// Which tag it deploys; of a delete or cleanup, the tag that was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// Why they did, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When its last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When its last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// How its last attempt ended, in words: `exit 0`, `signal 9`, `time limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The kind of failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The failure in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The version of the event that opened it.
    pub version: i64,
    /// The position of the log that this answer reflects.
    pub position: i64,
}

/// Answer of `GET /stagings/{name}/runs`, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunList {
    /// One page.
    pub items: Vec<Run>,
    /// Give it as `after` for the next page, which may turn out empty; absent when this is surely the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The position of the log that this answer reflects.
    pub position: i64,
}

/// What `GET /runs/{id}/output` says of the raw bytes in its body, as headers.
///
/// An offset counts the raw bytes of one attempt. To follow a run, ask again with `from` as [`NEXT`](output::NEXT) and
/// `attempt` as [`ATTEMPT`](output::ATTEMPT) says until [`COMPLETE`](output::COMPLETE) is `true`; another attempt than
/// before means that the run was started anew and that this is its output from the beginning.
pub mod output {
    /// The attempt whose output this is, which is the newest one; 0 while none has begun.
    pub const ATTEMPT: &str = "dm-attempt";
    /// The offset of the first byte in the body; larger than the `from` that was asked for when bytes were dropped.
    pub const FROM: &str = "dm-from";
    /// The offset to ask from next.
    pub const NEXT: &str = "dm-next";
    /// How many bytes before the first one were dropped, because the run printed more than is kept.
    pub const DROPPED: &str = "dm-dropped";
    /// `true` when the run's wrapper has ended, not to be started again, and nothing comes after this body; else `false`.
    pub const COMPLETE: &str = "dm-complete";
    /// The longest `wait`, in seconds.
    pub const WAIT_MAX: u64 = 30;
}
