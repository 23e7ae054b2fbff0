//! The facts of a staging's life. Names and payloads are a contract for ever: golden files hold their shape.
//!
//! A new need is a new event type or a new schema with an upcaster, never a changed payload.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{Actor, Attempt, Owner, RunId, StagingName, Tag, Version};
use crate::overrides::{Keys, Values};
use crate::staging::{Reason, Status, Verb};

/// A moment on the database's clock.
pub type Timestamp = DateTime<Utc>;

/// An event with what the log knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its number in the stream.
    pub version: Version,
    /// When it was appended; never before the event in front of it.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// The fact.
    pub event: Event,
}

/// A fact about one staging. Every event from a request to its end names the request's run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Event {
    /// A new life of the name begins; its incarnation is the version of this event.
    CreateRequested(ConfigurationRequested),
    /// Other settings are wanted, or the same ones again.
    UpdateRequested(ConfigurationRequested),
    /// An archived staging is wanted back.
    RestoreRequested(ConfigurationRequested),
    /// It shall be archived: pods go, volumes stay.
    DeleteRequested(DeleteRequested),
    /// Everything of it shall go.
    CleanupRequested(CleanupRequested),
    /// The verb of the last run is wanted again.
    RetryRequested(RetryRequested),
    /// A request was taken back before its first claim: all is as before it.
    RequestWithdrawn(RequestWithdrawn),
    /// A run shall stop.
    CancelRequested(OfRun),
    /// A `dms` has claimed the run.
    RunStarted(RunStarted),
    /// The run's wrapper has ended.
    RunFinished(RunFinished),
    /// The run has lost its owner; due again unless a `Failed` stands beside this.
    RunInterrupted(RunInterrupted),
    /// A check passed: the staging is up.
    BecameRunning(OfAttempt),
    /// An archive check passed: the staging is down.
    BecameArchived(OfAttempt),
    /// A cleanup has ended well: the name is free.
    CleanedUp(OfAttempt),
    /// Something went wrong; of a cleanup the status stays.
    Failed(Failed),
    /// The first failed check of a running staging; its status stays.
    CheckFailed(CheckFailed),
    /// A check passed after a first failed one.
    CheckPassed(OfAttempt),
    /// Checks can no longer tell.
    BecameUnreadable(BecameUnreadable),
    /// Checks can tell again.
    BecameReadable(OfAttempt),
    /// The links of the staging, or why there are none; one for each `BecameRunning`.
    LinksRead(LinksRead),
}

impl Event {
    /// The name of its type: what the log and its serialised form call it, for ever.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::CreateRequested(_) => "CreateRequested",
            Self::UpdateRequested(_) => "UpdateRequested",
            Self::RestoreRequested(_) => "RestoreRequested",
            Self::DeleteRequested(_) => "DeleteRequested",
            Self::CleanupRequested(_) => "CleanupRequested",
            Self::RetryRequested(_) => "RetryRequested",
            Self::RequestWithdrawn(_) => "RequestWithdrawn",
            Self::CancelRequested(_) => "CancelRequested",
            Self::RunStarted(_) => "RunStarted",
            Self::RunFinished(_) => "RunFinished",
            Self::RunInterrupted(_) => "RunInterrupted",
            Self::BecameRunning(_) => "BecameRunning",
            Self::BecameArchived(_) => "BecameArchived",
            Self::CleanedUp(_) => "CleanedUp",
            Self::Failed(_) => "Failed",
            Self::CheckFailed(_) => "CheckFailed",
            Self::CheckPassed(_) => "CheckPassed",
            Self::BecameUnreadable(_) => "BecameUnreadable",
            Self::BecameReadable(_) => "BecameReadable",
            Self::LinksRead(_) => "LinksRead",
        }
    }
}

/// Payload of the three requests that carry a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationRequested {
    /// The run that this request opens.
    pub run: RunId,
    /// The version to deploy from now on.
    pub tag: Tag,
    /// Overrides that were given a value.
    pub set: Values,
    /// Defaults that were hidden.
    pub unset: Keys,
    /// Overrides that were dropped.
    pub reset: Keys,
    /// Defaults with all overrides applied, as every attempt of this run receives it.
    pub effective: Values,
    /// How long a pass of the check is awaited after the wrapper's exit 0.
    #[serde(rename = "status_timeout_ms", with = "millis")]
    pub status_timeout: Duration,
    /// Where the configuration was copied from, or rolled back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Source>,
}

/// A configuration event of some staging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Whose.
    pub name: StagingName,
    /// Which of its events.
    pub version: Version,
}

/// Payload of [`Event::DeleteRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRequested {
    /// The run that this request opens.
    pub run: RunId,
    /// How long a pass of the archive check is awaited after the wrapper's exit 0.
    #[serde(rename = "status_timeout_ms", with = "millis")]
    pub status_timeout: Duration,
}

/// Payload of [`Event::CleanupRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupRequested {
    /// The run that this request opens.
    pub run: RunId,
    /// Whether a staging that is not archived was meant.
    pub force: bool,
}

/// Payload of [`Event::RetryRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRequested {
    /// The run that this request opens.
    pub run: RunId,
    /// The verb that runs again.
    pub verb: Verb,
    /// The tag of the latest configuration.
    pub tag: Tag,
    /// The latest configuration over the defaults of this moment; of delete and cleanup, as it was frozen last.
    pub effective: Values,
    /// How long a pass of the check is awaited after the wrapper's exit 0.
    #[serde(rename = "status_timeout_ms", with = "millis")]
    pub status_timeout: Duration,
}

/// Payload of [`Event::RequestWithdrawn`]: what the staging returns to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestWithdrawn {
    /// The run that will not be.
    pub run: RunId,
    /// The status before; none when the first create was withdrawn and the incarnation ends.
    pub status: Option<Status>,
    /// The reason before.
    pub reason: Option<Reason>,
    /// The configuration event before.
    pub configuration_version: Option<Version>,
    /// The run before.
    pub last_run: Option<RunId>,
}

/// Names a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfRun {
    /// Which run.
    pub run: RunId,
}

/// Names an attempt of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfAttempt {
    /// Which run.
    pub run: RunId,
    /// Which of its attempts.
    pub attempt: Attempt,
}

/// Payload of [`Event::RunStarted`]: what is fixed for this attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    /// Which run.
    pub run: RunId,
    /// Which of its attempts.
    pub attempt: Attempt,
    /// Who claimed it.
    pub owner: Owner,
    /// Absolute path of the wrapper.
    pub executable: String,
    /// SHA-256 of the wrapper in hex; absent when the file is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When the wrapper is stopped at the latest, counted from its start.
    #[serde(rename = "time_limit_ms", with = "millis")]
    pub time_limit: Duration,
    /// Whether the wrapper may not be repeated without asking a person.
    pub ask: bool,
}

/// Payload of [`Event::RunFinished`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFinished {
    /// Which run.
    pub run: RunId,
    /// Which of its attempts.
    pub attempt: Attempt,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a wrapper ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that `dms` did not send.
    Signalled(i32),
    /// Stopped because its time was over.
    TimeLimit,
    /// Stopped because somebody cancelled it.
    Cancelled,
    /// It never ran, for this cause.
    NotStarted(String),
}

/// Payload of [`Event::RunInterrupted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInterrupted {
    /// Which run.
    pub run: RunId,
    /// Which of its attempts.
    pub attempt: Attempt,
    /// Why.
    pub reason: Interruption,
}

/// Why a run lost its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// The owner died, froze or lost the database.
    OwnerLost,
    /// The owner stopped in good order.
    Stopping,
}

/// Payload of [`Event::Failed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Which run; of a failed check, the run whose result was checked.
    pub run: RunId,
    /// Which of its attempts; 0 when none was claimed.
    pub attempt: Attempt,
    /// What kind of failure.
    pub reason: Reason,
    /// In words.
    pub cause: String,
}

/// Payload of [`Event::CheckFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFailed {
    /// The run whose result was checked.
    pub run: RunId,
    /// Which of its attempts.
    pub attempt: Attempt,
    /// The check's exit code: 1 failing, 2 partly available, 3 another tag.
    pub code: i32,
    /// In words.
    pub cause: String,
}

/// Payload of [`Event::BecameUnreadable`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BecameUnreadable {
    /// The run whose result was checked.
    pub run: RunId,
    /// Which of its attempts.
    pub attempt: Attempt,
    /// In words.
    pub cause: String,
}

/// Payload of [`Event::LinksRead`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinksRead {
    /// The run that made the staging run.
    pub run: RunId,
    /// Which of its attempts.
    pub attempt: Attempt,
    /// What `info` printed, or why it could not.
    pub links: Links,
}

/// What `info` had to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Links {
    /// Names and addresses, in the wrapper's order; may be empty.
    Found(Vec<Link>),
    /// In words.
    Unknown(String),
}

/// An address of a staging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What people call it.
    pub name: String,
    /// Where it leads.
    pub url: String,
}

/// Durations stand in events as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
