//! What a row of `runs` says. Serialized: this is the content of the column `row`.

use chrono::{DateTime, Utc};
use dm_domain::ids::{Actor, Attempt, Comment, RunId, StagingName, Tag, Version};
use dm_domain::staging::event::Outcome;
use dm_domain::staging::{Reason, Verb};
use serde::{Deserialize, Serialize};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// It has not reached its goal.
    Failed,
    /// It was taken back before it began.
    Withdrawn,
}

impl RunState {
    /// Whether nothing more will happen to it.
    pub fn is_over(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Withdrawn => true,
            Self::Queued | Self::Running | Self::WaitingForCheck => false,
        }
    }
}

/// One execution of a lifecycle wrapper for one staging.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its id.
    pub id: RunId,
    /// Whose it is.
    pub staging: StagingName,
    /// The version of the event that opened it.
    pub version: Version,
    /// What it does.
    pub verb: Verb,
    /// Of a cleanup: it was forced.
    pub forced: bool,
    /// Where it is.
    pub state: RunState,
    /// How often it was claimed.
    pub attempt: Attempt,
    /// Which tag it deploys; of a delete or cleanup, the tag that was there.
    pub tag: Tag,
    /// The tag that the staging returns to if the run is withdrawn; none for a first create.
    pub tag_before: Option<Tag>,
    /// Who asked for it.
    pub by: Actor,
    /// For whom they said to ask.
    pub on_behalf: Option<String>,
    /// Why they did, in their own words.
    pub comment: Option<Comment>,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When its last attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last attempt ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How its last attempt ended; none also when it was interrupted.
    pub outcome: Option<Outcome>,
    /// The kind of failure.
    pub reason: Option<Reason>,
    /// The failure in words.
    pub cause: Option<String>,
}

impl Row {
    /// The tag that the staging has when this run is over.
    pub(super) fn tag_after(&self) -> Option<&Tag> {
        match self.state {
            RunState::Withdrawn => self.tag_before.as_ref(),
            RunState::Queued
            | RunState::Running
            | RunState::WaitingForCheck
            | RunState::Succeeded
            | RunState::Failed => Some(&self.tag),
        }
    }
}
