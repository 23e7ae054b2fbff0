//! The state machine of a staging: its state, and the decider over it.
//!
//! The words of the lifecycle live here; commands, events and the rules that join them are in the modules below.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod allowed;
pub mod command;
pub mod configuration;
mod decide;
pub mod event;
pub(crate) mod evolve;
pub mod process;
pub mod rejection;
mod state;

pub use allowed::{Action, Activity, Permit, Situation, Stage, permits};
pub use command::{Change, CheckResult, Command, Create, ReportCheck, StartRun, Wish};
pub use configuration::Configuration;
pub use event::{Event, Recorded, Timestamp};
pub use process::{Work, next_deadline, pending_work};
pub use rejection::{Rejection, moment};
pub use state::{LastRun, Started, State};

use crate::decider::Decider;

/// What a staging is, as people read it. There are exactly six.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// A check passed, and two in a row have not failed since.
    Running,
    /// Something went wrong; the reason says what.
    Failure,
    /// A create or a restore is under way.
    CreatePending,
    /// An update is under way.
    UpdatePending,
    /// A delete is under way.
    DeletePending,
    /// Pods are gone, volumes are kept.
    Archived,
}

impl Status {
    /// All of them, in the order in which people read them.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Failure, Self::CreatePending, Self::UpdatePending, Self::DeletePending, Self::Archived];
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "Running",
            Self::Failure => "Failure",
            Self::CreatePending => "CreatePending",
            Self::UpdatePending => "UpdatePending",
            Self::DeletePending => "DeletePending",
            Self::Archived => "Archived",
        })
    }
}

/// What kind of trouble a staging is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A wrapper failed, was killed or ran out of time.
    RunFailed,
    /// A run lost its owner too often, or may not be repeated.
    Interrupted,
    /// Somebody cancelled the run.
    Cancelled,
    /// No check passed in time after the wrapper had ended well.
    Unconfirmed,
    /// Checks fail.
    CheckFailed,
    /// Checks find only a part.
    PartlyAvailable,
    /// Checks find another tag.
    TagMismatch,
    /// A cleanup failed; the status is what it was before it.
    CleanupFailed,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::RunFailed,
        Self::Interrupted,
        Self::Cancelled,
        Self::Unconfirmed,
        Self::CheckFailed,
        Self::PartlyAvailable,
        Self::TagMismatch,
        Self::CleanupFailed,
    ];

    /// Whether a later pass of a check takes the failure back.
    pub fn is_of_checks(self) -> bool {
        match self {
            Self::Unconfirmed | Self::CheckFailed | Self::PartlyAvailable | Self::TagMismatch => true,
            Self::RunFailed | Self::Interrupted | Self::Cancelled | Self::CleanupFailed => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RunFailed => "run_failed",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
            Self::Unconfirmed => "unconfirmed",
            Self::CheckFailed => "check_failed",
            Self::PartlyAvailable => "partly_available",
            Self::TagMismatch => "tag_mismatch",
            Self::CleanupFailed => "cleanup_failed",
        })
    }
}

/// What a run does: the lifecycle wrapper that it executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Bring it up for the first time.
    Create,
    /// Bring it to other settings.
    Update,
    /// Bring it back from the archive.
    Restore,
    /// Archive it.
    Delete,
    /// Remove everything of it.
    Cleanup,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Create, Self::Update, Self::Restore, Self::Delete, Self::Cleanup];

    /// The status while this is under way; none for a cleanup, under which the status stays.
    pub fn pending_status(self) -> Option<Status> {
        match self {
            Self::Create | Self::Restore => Some(Status::CreatePending),
            Self::Update => Some(Status::UpdatePending),
            Self::Delete => Some(Status::DeletePending),
            Self::Cleanup => None,
        }
    }

    /// Its name, which is also that of its wrapper.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::Cleanup => "cleanup",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The decider of a staging.
#[derive(Debug, Clone, Copy)]
pub struct Staging;

impl Decider for Staging {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Recorded = Recorded;
    type Rejection = Rejection;

    fn initial() -> State {
        State::initial()
    }

    fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
        decide::decide(state, command)
    }

    fn evolve(state: State, recorded: &Recorded) -> State {
        evolve::evolve(state, recorded)
    }
}
