//! What may be asked of a staging, from its status and what is under way alone.
//!
//! The one home of these rules: `decide` passes this gate, and who shows people what they can do asks the same gate from
//! a row of a read model, without the state.

use crate::ids::{Actor, Attempt, RunId};
use crate::staging::event::Timestamp;
use crate::staging::{Reason, Rejection, Status, Verb};

/// All that decides what may be asked of a staging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// What it is.
    pub status: Status,
    /// What kind of trouble it is in.
    pub reason: Option<Reason>,
    /// What is under way; its absence is what "not busy" means.
    pub activity: Option<Activity>,
    /// What the last run did, or does.
    pub last_verb: Verb,
    /// Of a last run that is a cleanup: it was forced.
    pub last_forced: bool,
}

/// What is going on: a run from its request to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// How far it has come.
    pub stage: Stage,
    /// What it does.
    pub verb: Verb,
    /// Which run.
    pub run: RunId,
    /// How often it was claimed; 0 before the first time.
    pub attempt: Attempt,
    /// Who asked for it.
    pub by: Actor,
    /// When it was asked for.
    pub since: Timestamp,
    /// Whether somebody wants it stopped.
    pub cancel_requested: bool,
}

/// The stages of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// To be claimed, for the first time or again.
    Queued,
    /// The wrapper runs.
    Running,
    /// The wrapper has ended well; a check has yet to agree.
    WaitingForCheck,
}

/// Something that people can ask of a name that has a staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A new staging.
    Create,
    /// Other settings.
    Update,
    /// Archive it.
    Delete,
    /// Bring it back.
    Restore {
        /// With other settings.
        with_changes: bool,
    },
    /// Remove everything of it.
    Cleanup {
        /// Also when it is in `Failure`.
        force: bool,
    },
    /// The last run again.
    Retry,
    /// Stop what is under way.
    Cancel {
        /// Only if it is this run.
        run: Option<RunId>,
    },
}

/// What becomes of an action that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// It may go on; its own values may still be refused.
    Go,
    /// It is already so, or on its way.
    Quiet,
}

/// Whether `action` is allowed, and whether anything is left to do for it.
pub fn permits(situation: &Situation, action: Action) -> Result<Permit, Rejection> {
    match (&situation.activity, action) {
        (Some(activity), Action::Cancel { run }) => cancel(activity, run),
        (Some(activity), _) => while_busy(activity, action),
        (None, _) => at_rest(situation, action),
    }
}

/// The refusal that names what is under way.
pub(super) fn busy(activity: &Activity) -> Rejection {
    Rejection::Busy { run: activity.run, verb: activity.verb, by: activity.by.clone(), since: activity.since }
}

fn cancel(activity: &Activity, named: Option<RunId>) -> Result<Permit, Rejection> {
    match named {
        Some(named) if named != activity.run => Err(Rejection::OtherRun { named, under_way: activity.run }),
        Some(_) | None if activity.cancel_requested => Ok(Permit::Quiet),
        Some(_) | None => Ok(Permit::Go),
    }
}

fn while_busy(activity: &Activity, action: Action) -> Result<Permit, Rejection> {
    let asked_again = match action {
        Action::Delete => activity.verb == Verb::Delete,
        Action::Cleanup { .. } => activity.verb == Verb::Cleanup,
        Action::Restore { with_changes } => activity.verb == Verb::Restore && !with_changes,
        Action::Create | Action::Update | Action::Retry | Action::Cancel { .. } => false,
    };
    // Who asks for what is being stopped would be told that it is on its way, and then it would not come.
    if asked_again && !activity.cancel_requested { Ok(Permit::Quiet) } else { Err(busy(activity)) }
}

/// The table of the lifecycle, column by column.
fn at_rest(situation: &Situation, action: Action) -> Result<Permit, Rejection> {
    match situation.status {
        Status::Running => running(action),
        Status::Failure => failure(action, situation),
        Status::Archived => archived(action, situation),
        // Something is always under way in a pending status, so only an answer that contradicts itself comes here.
        status @ (Status::CreatePending | Status::UpdatePending | Status::DeletePending) => {
            Err(wrong_status(action, status, None))
        }
    }
}

fn running(action: Action) -> Result<Permit, Rejection> {
    let wrong = |hint| Err(wrong_status(action, Status::Running, hint));
    match action {
        Action::Create => Err(Rejection::Exists { status: Status::Running }),
        Action::Update | Action::Delete => Ok(Permit::Go),
        Action::Cleanup { .. } => wrong(Some("delete it first")),
        Action::Restore { .. } | Action::Retry | Action::Cancel { .. } => wrong(None),
    }
}

fn failure(action: Action, situation: &Situation) -> Result<Permit, Rejection> {
    let wrong = |hint| Err(wrong_status(action, Status::Failure, hint));
    match action {
        Action::Create => Err(Rejection::Exists { status: Status::Failure }),
        // Retry would hide the force.
        Action::Retry if situation.last_verb == Verb::Cleanup && situation.last_forced => Err(Rejection::ForcedCleanup),
        Action::Update | Action::Delete | Action::Retry | Action::Cleanup { force: true } => Ok(Permit::Go),
        Action::Restore { .. } => wrong(Some("update it")),
        Action::Cleanup { force: false } => wrong(Some("delete it first, or ask with force")),
        Action::Cancel { .. } => wrong(None),
    }
}

fn archived(action: Action, situation: &Situation) -> Result<Permit, Rejection> {
    let wrong = |hint| Err(wrong_status(action, Status::Archived, hint));
    match action {
        Action::Create => Err(Rejection::Exists { status: Status::Archived }),
        Action::Delete => Ok(Permit::Quiet),
        Action::Restore { .. } | Action::Cleanup { .. } => Ok(Permit::Go),
        Action::Retry if situation.reason == Some(Reason::CleanupFailed) => Ok(Permit::Go),
        Action::Update => wrong(Some("restore it")),
        Action::Retry | Action::Cancel { .. } => wrong(None),
    }
}

fn wrong_status(action: Action, status: Status, hint: Option<&'static str>) -> Rejection {
    let verb = match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Delete => "delete",
        Action::Restore { .. } => "restore",
        Action::Cleanup { .. } => "cleanup",
        Action::Retry => "retry",
        Action::Cancel { .. } => "cancel",
    };
    Rejection::WrongStatus { verb, status, hint }
}
