//! The fold of a staging's stream, and the questions one may ask of it.
//!
//! Shaped so that what cannot be is hard to write: a life that has begun is at rest, or has one open request on top of
//! what it was at rest, so that taking the request back is dropping it. Decides nothing.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::ids::{Actor, Attempt, Owner, RunId, Version};
use crate::staging::allowed::{Activity, Situation, Stage};
use crate::staging::configuration::Configuration;
use crate::staging::event::Timestamp;
use crate::staging::{Reason, Status, Verb};

/// The fold of a staging's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub(super) version: Version,
    pub(super) life: Life,
}

/// Whether the name has a staging, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Life {
    /// The name is free.
    Absent { cleaned_up_at: Option<Timestamp> },
    /// The first create is under way. Remembers what the name was before, for its withdrawal.
    First { cleaned_up_at: Option<Timestamp>, incarnation: Version, request: Box<Request> },
    /// At rest, or with a request on top.
    Settled { incarnation: Version, rest: Box<Rest>, request: Option<Box<Request>> },
}

/// What a staging is while nothing is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) condition: Condition,
    pub(super) configuration: Configuration,
    pub(super) last_run: LastRun,
    /// The last check failed, and none before it; only while it runs.
    pub(super) failed_once: bool,
    /// Checks cannot tell.
    pub(super) unreadable: bool,
    /// `info` has been read since it became running; says nothing while it does not run.
    pub(super) links_read: bool,
}

/// The status at rest, with what belongs to it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Running,
    Failure { reason: Reason, cause: String },
    Archived { since: Timestamp, cleanup_failed: Option<String> },
}

impl Condition {
    fn weight(&self) -> usize {
        match self {
            Self::Running => 0,
            Self::Failure { cause, .. } => cause.len(),
            Self::Archived { cleanup_failed, .. } => cleanup_failed.as_ref().map_or(0, String::len),
        }
    }
}

/// A run that has been asked for and has not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) run: RunId,
    pub(super) verb: Verb,
    /// Of a cleanup: it was forced.
    pub(super) forced: bool,
    pub(super) by: Actor,
    pub(super) since: Timestamp,
    /// What the wrapper is given; stays when the run fails.
    pub(super) configuration: Configuration,
    /// How long a pass is awaited; a cleanup awaits none.
    pub(super) status_timeout: Option<Duration>,
    pub(super) owners_lost: u32,
    pub(super) phase: Phase,
}

/// How far a request has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// To be claimed, for the first time or again.
    Queued { attempts: Attempt },
    /// The wrapper runs.
    Started { started: Started, cancelled_by: Option<Actor> },
    /// The wrapper has ended well; a pass is awaited.
    Awaiting { attempt: Attempt, since: Timestamp, until: Timestamp, unreadable: bool },
}

/// An attempt whose wrapper runs, as far as the log knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Which of the run's attempts.
    pub attempt: Attempt,
    /// Who claimed it.
    pub owner: Owner,
    /// When.
    pub at: Timestamp,
    /// When the wrapper is stopped at the latest, counted from its start.
    pub time_limit: Duration,
    /// Whether it may not be repeated without asking a person.
    pub ask: bool,
}

/// The run that a staging's condition goes back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRun {
    /// Which run.
    pub run: RunId,
    /// What it does.
    pub verb: Verb,
    /// How often it was claimed.
    pub attempt: Attempt,
    /// Of a cleanup: it was forced.
    pub forced: bool,
}

impl State {
    /// The state of a stream without events.
    pub(super) fn initial() -> Self {
        Self { version: Version::NONE, life: Life::Absent { cleaned_up_at: None } }
    }

    /// The version of the newest event.
    pub fn version(&self) -> Version {
        self.version
    }

    /// About how many bytes of memory it takes: for whoever keeps many of them.
    pub fn weight(&self) -> usize {
        let (rest, request) = match &self.life {
            Life::Absent { .. } => (None, None),
            Life::First { request, .. } => (None, Some(request)),
            Life::Settled { rest, request, .. } => (Some(rest), request.as_ref()),
        };
        size_of::<Self>()
            + rest.map_or(0, |rest| size_of::<Rest>() + rest.condition.weight() + rest.configuration.weight())
            + request.map_or(0, |request| size_of::<Request>() + request.configuration.weight())
    }

    /// The version of the create that began this life of the name; none when the name is free.
    pub fn incarnation(&self) -> Option<Version> {
        match self.life {
            Life::Absent { .. } => None,
            Life::First { incarnation, .. } | Life::Settled { incarnation, .. } => Some(incarnation),
        }
    }

    /// When the last life of a free name ended in a cleanup; none while there is a staging.
    pub fn cleaned_up_at(&self) -> Option<Timestamp> {
        match self.life {
            Life::Absent { cleaned_up_at } => cleaned_up_at,
            Life::First { .. } | Life::Settled { .. } => None,
        }
    }

    /// One of the six; none when the name is free.
    pub fn status(&self) -> Option<Status> {
        self.situation().map(|situation| situation.status)
    }

    /// What kind of trouble it is in; none while a pending status says that something else is wanted.
    pub fn reason(&self) -> Option<Reason> {
        self.situation().and_then(|situation| situation.reason)
    }

    /// The trouble in words; there whenever [`State::reason`] is.
    pub fn cause(&self) -> Option<&str> {
        self.reason()?;
        self.rest()?.condition.trouble().map(|(_, cause)| cause)
    }

    /// What is going on.
    pub fn activity(&self) -> Option<Activity> {
        self.request().map(Request::activity)
    }

    /// All that decides what may be asked of it; none when the name is free.
    pub fn situation(&self) -> Option<Situation> {
        let last = self.last_run()?;
        let (status, reason) = match (&self.life, self.request().and_then(|request| request.verb.pending_status())) {
            (Life::Absent { .. }, _) => return None,
            (Life::First { .. } | Life::Settled { .. }, Some(pending)) => (pending, None),
            (Life::First { .. }, None) => (Status::CreatePending, None),
            (Life::Settled { rest, .. }, None) => {
                (rest.condition.status(), rest.condition.trouble().map(|(reason, _)| reason))
            }
        };
        Some(Situation { status, reason, activity: self.activity(), last_verb: last.verb, last_forced: last.forced })
    }

    /// What it has or is to have: of an open request what was asked for, which stays unless it is withdrawn.
    pub fn configuration(&self) -> Option<&Configuration> {
        match (self.request(), self.rest()) {
            (Some(request), _) => Some(&request.configuration),
            (None, rest) => rest.map(|rest| &rest.configuration),
        }
    }

    /// The run under way, else the one that brought it to where it is.
    pub fn last_run(&self) -> Option<LastRun> {
        match (self.request(), self.rest()) {
            (Some(request), _) => Some(request.as_last_run()),
            (None, rest) => rest.map(|rest| rest.last_run),
        }
    }

    /// The run under way, from its request to its end; a quiet answer names it.
    pub fn run_under_way(&self) -> Option<RunId> {
        self.request().map(|request| request.run)
    }

    /// The attempt whose wrapper runs: what its owner has to finish, and others may interrupt once that owner is lost.
    pub fn started(&self) -> Option<&Started> {
        match &self.request()?.phase {
            Phase::Started { started, .. } => Some(started),
            Phase::Queued { .. } | Phase::Awaiting { .. } => None,
        }
    }

    /// Since when it is archived; none while it is not, or is wanted back.
    pub fn archived_at(&self) -> Option<Timestamp> {
        if self.status() != Some(Status::Archived) {
            return None;
        }
        match self.rest()?.condition {
            Condition::Archived { since, .. } => Some(since),
            Condition::Running | Condition::Failure { .. } => None,
        }
    }

    /// Whether checks cannot tell.
    pub fn is_unreadable(&self) -> bool {
        match (self.request(), self.rest()) {
            (Some(request), _) => match request.phase {
                Phase::Awaiting { unreadable, .. } => unreadable,
                Phase::Queued { .. } | Phase::Started { .. } => false,
            },
            (None, rest) => rest.is_some_and(|rest| rest.unreadable),
        }
    }

    /// Whether `info` is to be asked: it runs, is at rest, and nobody has read its links since it became running.
    pub fn links_due(&self) -> bool {
        self.request().is_none() && self.rest().is_some_and(Rest::links_due)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn is_same_life(&self, other: &Self) -> bool {
        self.life == other.life
    }

    pub(super) fn rest(&self) -> Option<&Rest> {
        match &self.life {
            Life::Absent { .. } | Life::First { .. } => None,
            Life::Settled { rest, .. } => Some(rest),
        }
    }

    pub(super) fn request(&self) -> Option<&Request> {
        match &self.life {
            Life::Absent { .. } => None,
            Life::First { request, .. } => Some(request),
            Life::Settled { request, .. } => request.as_deref(),
        }
    }
}

impl Rest {
    pub(super) fn links_due(&self) -> bool {
        !self.links_read && self.condition == Condition::Running
    }

    /// Which check still has a say, as whether it asks that the staging be gone; none when no check can change it.
    pub(super) fn asks_archive_check(&self) -> Option<bool> {
        match &self.condition {
            Condition::Running => Some(false),
            Condition::Failure { reason, .. } => reason.is_of_checks().then_some(self.last_run.verb == Verb::Delete),
            Condition::Archived { .. } => None,
        }
    }
}

impl Condition {
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Running => Status::Running,
            Self::Failure { .. } => Status::Failure,
            Self::Archived { .. } => Status::Archived,
        }
    }

    pub(super) fn trouble(&self) -> Option<(Reason, &str)> {
        match self {
            Self::Running | Self::Archived { cleanup_failed: None, .. } => None,
            Self::Failure { reason, cause } => Some((*reason, cause)),
            Self::Archived { cleanup_failed: Some(cause), .. } => Some((Reason::CleanupFailed, cause)),
        }
    }
}

impl Request {
    /// How often it was claimed.
    pub(super) fn attempt(&self) -> Attempt {
        match &self.phase {
            Phase::Queued { attempts } => *attempts,
            Phase::Started { started, .. } => started.attempt,
            Phase::Awaiting { attempt, .. } => *attempt,
        }
    }

    pub(super) fn as_last_run(&self) -> LastRun {
        LastRun { run: self.run, verb: self.verb, attempt: self.attempt(), forced: self.forced }
    }

    pub(super) fn activity(&self) -> Activity {
        let (stage, cancel_requested) = match &self.phase {
            Phase::Queued { .. } => (Stage::Queued, false),
            Phase::Started { cancelled_by, .. } => (Stage::Running, cancelled_by.is_some()),
            Phase::Awaiting { .. } => (Stage::WaitingForCheck, false),
        };
        Activity {
            stage,
            verb: self.verb,
            run: self.run,
            attempt: self.attempt(),
            by: self.by.clone(),
            since: self.since,
            cancel_requested,
        }
    }
}

/// `since + span`; a sum beyond the calendar is its end.
pub(super) fn later(since: Timestamp, span: Duration) -> Timestamp {
    let span = TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
    since.checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
