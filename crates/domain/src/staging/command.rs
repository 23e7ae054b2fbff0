//! The wishes that a staging's stream may be asked to fulfil, with everything that is needed to judge them.

use std::time::Duration;

use crate::ids::{Actor, Attempt, Owner, RunId, Tag, Version};
use crate::overrides::{Edit, Keys, Values};
use crate::staging::Verb;
use crate::staging::event::{Interruption, Links, Outcome, Source, Timestamp};

/// A wish, together with the time, the caller and the fresh id that judging it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The database's time.
    pub now: Timestamp,
    /// Who asks.
    pub actor: Actor,
    /// The id of the run that this command opens, if it opens one.
    pub run: RunId,
    /// The wish itself.
    pub wish: Wish,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// A new staging.
    Create(Create),
    /// Other settings.
    Update(Change),
    /// An archived staging back, perhaps with other settings.
    Restore(Change),
    /// Whatever of create, update and restore makes it so, or nothing.
    Apply {
        /// The settings it shall have.
        change: Change,
        /// Start a run even if all is already so.
        always: bool,
    },
    /// Archive it.
    Delete {
        /// Frozen into the request.
        status_timeout: Duration,
    },
    /// Remove everything of it.
    Cleanup {
        /// Also when it is in `Failure`; policy has already allowed it.
        force: bool,
        /// Only if it has been archived for at least this long.
        archived_for: Option<Duration>,
    },
    /// The verb of the last run again.
    Retry {
        /// What the wrapper reports now; unused for delete and cleanup.
        defaults: Values,
        /// Frozen into the request.
        status_timeout: Duration,
    },
    /// Stop or withdraw what is under way.
    Cancel {
        /// The run that is meant; another one under way is refused.
        run: Option<RunId>,
    },
    /// The runner claims the run that is due.
    StartRun(StartRun),
    /// The runner reports the end of an attempt.
    FinishRun {
        /// Which run.
        run: RunId,
        /// Which of its attempts.
        attempt: Attempt,
        /// How it ended.
        outcome: Outcome,
        /// What the wrapper or its last output said, used when it failed.
        cause: Option<String>,
    },
    /// The runner reports that an attempt has lost its owner and leaves nothing running.
    InterruptRun {
        /// Which run.
        run: RunId,
        /// Which of its attempts.
        attempt: Attempt,
        /// Why.
        reason: Interruption,
    },
    /// The runner reports a check.
    ReportCheck(ReportCheck),
    /// The runner reports what `info` printed.
    ReportLinks {
        /// The run that made the staging run.
        run: RunId,
        /// Which of its attempts.
        attempt: Attempt,
        /// What it had to say.
        links: Links,
    },
}

/// A new staging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// The version to deploy.
    pub tag: Tag,
    /// Overrides with a value.
    pub set: Values,
    /// Defaults to hide.
    pub unset: Keys,
    /// What the wrapper reports now.
    pub defaults: Values,
    /// Frozen into the request.
    pub status_timeout: Duration,
    /// Where the configuration was copied from.
    pub from: Option<Source>,
}

/// Changed settings for a staging that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What to change.
    pub edit: Edit,
    /// The version of the last configuration event that the author saw; none means that the last writer wins.
    pub base: Option<Version>,
    /// What the wrapper reports now.
    pub defaults: Values,
    /// Frozen into the request.
    pub status_timeout: Duration,
    /// Where the configuration was rolled back to.
    pub from: Option<Source>,
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRun {
    /// Which run.
    pub run: RunId,
    /// Which of its attempts this will be.
    pub attempt: Attempt,
    /// Who claims.
    pub owner: Owner,
    /// The verb, so that a claim for an older state is refused.
    pub verb: Verb,
    /// Absolute path of the wrapper.
    pub executable: String,
    /// Its SHA-256; none when the file is missing.
    pub digest: Option<String>,
    /// When it is stopped at the latest.
    pub time_limit: Duration,
    /// Whether it may not be repeated.
    pub ask: bool,
}

/// The result of a check, with the state for which it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportCheck {
    /// The incarnation that was checked.
    pub incarnation: Version,
    /// The last run at the time.
    pub run: RunId,
    /// Its last attempt at the time.
    pub attempt: Attempt,
    /// What the check said.
    pub result: CheckResult,
    /// What the check before this one said, of the same attempt and by the same `dms`; "cannot tell" is left out.
    /// It tells two in a row apart from one, where a single one is not worth an event.
    pub before: Option<CheckResult>,
    /// In words; may be empty for a pass.
    pub cause: String,
}

/// What a check said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckResult {
    /// Exit 0.
    Pass,
    /// Exit 1; of an archive check: not gone yet.
    Failing,
    /// Exit 2.
    PartlyAvailable,
    /// Exit 3.
    TagMismatch,
    /// Exit 4, any other code, a signal, a time-out, or a wrapper that could not start.
    CannotTell,
}
