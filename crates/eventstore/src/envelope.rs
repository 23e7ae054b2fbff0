//! What surrounds an event: where it stands, who caused it, and what an append asks for and gets.

use std::fmt;

use chrono::{DateTime, Utc};
use dm_domain::ids::{Actor, Attempt, CommandId, Comment, Owner, RunId, StagingName, Version};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// An event's number in the whole log: 1, 2, 3 and so on, without gaps, in the order of commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub i64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a stream: a staging's name, or a system stream (`@access`, `@users`, `@keys`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(String);

impl StreamId {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The staging of this stream; none for a system stream.
    pub fn staging(&self) -> Option<StagingName> {
        StagingName::parse(&self.0).ok()
    }

    /// As read from the log.
    pub(crate) fn from_log(text: String) -> Self {
        Self(text)
    }
}

impl From<&StagingName> for StreamId {
    fn from(name: &StagingName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By which door a command came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The console client, by its certificate.
    Dmc,
    /// The page.
    Ui,
    /// `dms` itself.
    System,
}

/// Who, by which door, why: what the log keeps of the circumstances of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Who did it.
    pub actor: Actor,
    /// By which door.
    pub channel: Channel,
    /// Why, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Comment>,
    /// The command that this event belongs to.
    pub command_id: CommandId,
    /// Joins everything that one wish set off.
    pub correlation_id: Uuid,
    /// For whom the actor says to act; a claim, shown as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf: Option<String>,
}

/// An event on its way into the log.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its type's name, for ever.
    pub event_type: &'static str,
    /// The number of its payload's shape.
    pub schema: i16,
    /// Its payload.
    pub data: Box<RawValue>,
}

/// An event as the log holds it: payload and circumstances are unread, so that one that cannot be read hinders no other.
#[derive(Debug, Clone)]
pub struct RecordedEvent {
    /// Its number in the whole log.
    pub position: Position,
    /// Whose it is.
    pub stream: StreamId,
    /// Its number in the stream.
    pub version: Version,
    /// Its type's name; perhaps one that this build does not know.
    pub event_type: String,
    /// The number of its payload's shape.
    pub schema: i16,
    /// Its payload.
    pub data: Box<RawValue>,
    /// Its circumstances, for [`crate::codec::meta`].
    pub meta: Box<RawValue>,
    /// When it was appended, on the database's clock.
    pub at: DateTime<Utc>,
}

/// A stretch of events, oldest first: bounded in number and in bytes.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events; none at the end.
    pub events: Vec<RecordedEvent>,
    /// A bound was reached, so there may be more. Without, there was none more when it was read.
    pub more: bool,
}

/// A keyed hash over method, path and body of a request: tells the same request from another one with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyMac(pub [u8; 32]);

/// By what a repeated command is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandKey {
    /// The caller and their key.
    pub id: CommandId,
    /// What they asked for.
    pub mac: BodyMac,
}

/// A change of the staging's lease that belongs to an append: both happen or neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseOp {
    /// Take it for a run. Fails while another holder's lease lives; a lease that has expired is replaced.
    Claim {
        /// Who takes it.
        owner: Owner,
        /// For which run.
        run: RunId,
        /// For which attempt.
        attempt: Attempt,
    },
    /// Give it back at the end of a run. Fails unless it is held by exactly this owner, run and attempt and has not
    /// expired.
    Release {
        /// Who holds it.
        owner: Owner,
        /// For which run.
        run: RunId,
        /// For which attempt.
        attempt: Attempt,
    },
    /// Take it away from a lost owner. Fails while a lease lives, unless that is the lease of this run and attempt and
    /// belongs to an earlier start of `by`. An expired lease is removed, whoever held it; where there is none, none is
    /// needed.
    Break {
        /// Who takes it away.
        by: Owner,
        /// For which run.
        run: RunId,
        /// For which attempt.
        attempt: Attempt,
    },
}

/// Events to append to one stream, all or none.
#[derive(Debug, Clone)]
pub struct Append {
    /// To which stream.
    pub stream: StreamId,
    /// The version of its newest event.
    pub expected: Version,
    /// What happened; empty for a quiet command, which is remembered all the same.
    pub events: Vec<NewEvent>,
    /// The circumstances.
    pub meta: Metadata,
    /// By what a repetition is recognised.
    pub command: CommandKey,
    /// The run that the answer names.
    pub run: Option<RunId>,
    /// What happens to the lease together with it.
    pub lease: Option<LeaseOp>,
}

/// What was appended: the first answer, also for every repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The run that the command opened or found under way.
    pub run: Option<RunId>,
    /// The version of the stream before.
    pub from_version: Version,
    /// The version of the stream after.
    pub to_version: Version,
    /// The position of the last event appended; of a quiet command, of the log's head at the time.
    pub position: Position,
    /// Nothing had to happen.
    pub quiet: bool,
    /// This answer was given before.
    pub repeated: bool,
}

/// The end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The newest event.
    pub position: Position,
    /// Changes when the log is restored or adopted: positions of another epoch mean nothing.
    pub epoch: Uuid,
    /// The database's time.
    pub now: DateTime<Utc>,
}
