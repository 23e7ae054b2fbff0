//! The reasoned "no": what is refused, why, and what to do instead.
//!
//! A rejection is an answer, not a failure. Its [`Rejection::code`] is stable for ever, its text is for people.

use std::fmt;
use std::time::Duration;

use crate::ids::{Actor, Invalid, Key, RunId, Version};
use crate::overrides::Level;
use crate::staging::event::Timestamp;
use crate::staging::{Status, Verb};

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The name has no staging now.
    #[error("there is no such staging{}", match .cleaned_up_at { Some(at) => format!("; it was cleaned up at {}", moment(*at)), None => String::new() })]
    NotFound {
        /// When the last life of the name ended in a cleanup.
        cleaned_up_at: Option<Timestamp>,
    },
    /// The name is taken.
    #[error("the staging exists already and is {status}")]
    Exists {
        /// What it is now.
        status: Status,
    },
    /// The status does not allow the verb.
    #[error("{verb} is not possible while the staging is {status}")]
    WrongStatus {
        /// What was asked for.
        verb: &'static str,
        /// What it is now.
        status: Status,
        /// What to do instead.
        hint: Option<&'static str>,
    },
    /// Another run is under way.
    #[error("busy: {verb} was requested by {by} at {} and is under way", moment(*.since))]
    Busy {
        /// Which run.
        run: RunId,
        /// What it does.
        verb: Verb,
        /// Who asked for it.
        by: Actor,
        /// When.
        since: Timestamp,
    },
    /// Cancel named a run, but another one is under way.
    #[error("run {named} is not under way; {under_way} is")]
    OtherRun {
        /// The run that was named.
        named: RunId,
        /// The run that is under way.
        under_way: RunId,
    },
    /// A forced cleanup failed; retry would hide the force.
    #[error("the last run was a forced cleanup, which retry does not repeat")]
    ForcedCleanup,
    /// It has not been archived for long enough.
    #[error("archived since {}, which is less than {} s ago", moment(*.archived_at), .wanted.as_secs())]
    TooYoung {
        /// Since when it is archived.
        archived_at: Timestamp,
        /// The age that was asked for.
        wanted: Duration,
    },
    /// The `base` of an edit is no configuration event of this incarnation.
    #[error("base {base} is not a version of this staging's configuration")]
    UnknownBase {
        /// What was given.
        base: Version,
    },
    /// Somebody else changed the same thing since `base`.
    #[error("{what} was changed meanwhile, by the event of version {theirs}")]
    EditConflict {
        /// `tag`, or a level and a key.
        what: String,
        /// Their event.
        theirs: Version,
    },
    /// A key is both a value and a branch.
    #[error("{level} key {parent} cannot have a value while {child} has one")]
    KeyConflict {
        /// On which level.
        level: Level,
        /// The shorter key.
        parent: Key,
        /// The longer key.
        child: Key,
    },
    /// One edit says two things about one key.
    #[error("{level} key {key} is named more than once among set, unset and reset")]
    KeyTwice {
        /// On which level.
        level: Level,
        /// Which key.
        key: Key,
    },
    /// More overrides than a staging may have.
    #[error("{count} overrides, the most is {max}")]
    TooManyOverrides {
        /// How many it would be.
        count: usize,
        /// How many it may be.
        max: usize,
    },
    /// The effective configuration would be too large.
    #[error("the configuration would have {size} bytes, the most is {max}")]
    ConfigurationTooLarge {
        /// Bytes of all keys and values.
        size: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// A value breaks its rule.
    #[error("{level} key {key}: {invalid}")]
    InvalidValue {
        /// On which level.
        level: Level,
        /// Which key.
        key: Key,
        /// Which rule.
        invalid: Invalid,
    },
    /// A report of an attempt that is not the current one any more.
    #[error("run {run} has moved on since")]
    Stale {
        /// Which run.
        run: RunId,
    },
}

/// A moment as a sentence for people has it. Readers may be in any time zone, so it names its own.
pub fn moment(at: Timestamp) -> impl fmt::Display {
    at.format("%Y-%m-%d %H:%M:%S UTC")
}

impl Rejection {
    /// The stable name of this kind of refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "staging_not_found",
            Self::Exists { .. } => "staging_exists",
            Self::WrongStatus { .. } => "wrong_status",
            Self::Busy { .. } => "busy",
            Self::OtherRun { .. } => "other_run",
            Self::ForcedCleanup => "forced_cleanup",
            Self::TooYoung { .. } => "too_young",
            Self::UnknownBase { .. } => "unknown_base",
            Self::EditConflict { .. } => "edit_conflict",
            Self::KeyConflict { .. } => "key_conflict",
            Self::KeyTwice { .. } => "key_twice",
            Self::TooManyOverrides { .. } => "too_many_overrides",
            Self::ConfigurationTooLarge { .. } => "configuration_too_large",
            Self::InvalidValue { .. } => "invalid_value",
            Self::Stale { .. } => "stale_run",
        }
    }

    /// What to do instead, as the end of a sentence that starts with "hint: ".
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::WrongStatus { hint, .. } => *hint,
            Self::Exists { status: Status::Archived } => Some("restore it"),
            Self::Exists { .. } => Some("update it, or choose another name"),
            Self::ForcedCleanup => Some("ask for the cleanup again, with force"),
            Self::Busy { .. } => Some("wait for the run, or cancel it"),
            Self::EditConflict { .. } => Some("look at the other change and edit again on top of it"),
            Self::NotFound { .. }
            | Self::OtherRun { .. }
            | Self::TooYoung { .. }
            | Self::UnknownBase { .. }
            | Self::KeyConflict { .. }
            | Self::KeyTwice { .. }
            | Self::TooManyOverrides { .. }
            | Self::ConfigurationTooLarge { .. }
            | Self::InvalidValue { .. }
            | Self::Stale { .. } => None,
        }
    }

    /// Whether the request itself is at fault, in any state of the staging.
    pub fn is_invalid_input(&self) -> bool {
        match self {
            Self::KeyConflict { .. }
            | Self::KeyTwice { .. }
            | Self::TooManyOverrides { .. }
            | Self::ConfigurationTooLarge { .. }
            | Self::InvalidValue { .. } => true,
            Self::NotFound { .. }
            | Self::Exists { .. }
            | Self::WrongStatus { .. }
            | Self::Busy { .. }
            | Self::OtherRun { .. }
            | Self::ForcedCleanup
            | Self::TooYoung { .. }
            | Self::UnknownBase { .. }
            | Self::EditConflict { .. }
            | Self::Stale { .. } => false,
        }
    }
}
