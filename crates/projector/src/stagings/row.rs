//! What a row of `stagings` says.
//!
//! As in the domain's state, what is asked for lies on top of what the staging is at rest, so that taking a request back is
//! dropping it. Serialized: this is the content of the column `row`.

use chrono::{DateTime, Utc};
use dm_domain::ids::{Actor, Attempt, Owner, RunId, StagingName, Tag, Version};
use dm_domain::overrides::Keys;
use dm_domain::staging::allowed::{Activity, Situation, Stage};
use dm_domain::staging::event::Link;
use dm_domain::staging::{Reason, Status, Verb};
use serde::{Deserialize, Serialize};

use crate::stagings::Gone;

/// A staging as people read it, but for what is true only at the moment of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: StagingName,
    /// The version of its newest event.
    pub version: Version,
    /// The version of the event that began this life of the name.
    pub incarnation: Version,
    /// Who created it.
    pub created_by: Actor,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// What it is, and what is asked of it.
    pub life: Life,
}

/// How far a life of a name has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "all but the youngest stagings are settled, so a box would save nothing")]
pub enum Life {
    /// The first create is under way.
    First {
        /// The create.
        request: Request,
        /// What the name was before, to which it returns if the create is withdrawn.
        before: Gone,
    },
    /// At rest, or with a request on top of that.
    Settled {
        /// What it is beneath the request.
        rest: Rest,
        /// The run that has been asked for and has not come to its end.
        request: Option<Request>,
    },
}

/// What a staging is while nothing is asked of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rest {
    /// Its status with what belongs to it.
    pub condition: Condition,
    /// When its status last changed.
    pub changed_at: DateTime<Utc>,
    /// What it was asked to be.
    pub configuration: Configuration,
    /// The run that brought it here.
    pub last: LastRun,
    /// Addresses, as `info` reported them last.
    pub links: Vec<Link>,
    /// Why they could not be read the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links_cause: Option<String>,
    /// `info` has not been read since it became running.
    pub links_due: bool,
    /// The last check failed, and none before it.
    pub check_failure: Option<CheckFailure>,
    /// Since when checks cannot tell.
    pub unreadable_since: Option<DateTime<Utc>>,
}

/// The status at rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Up.
    Running,
    /// In trouble.
    Failure {
        /// The kind of trouble.
        reason: Reason,
        /// In words.
        cause: String,
    },
    /// Pods gone, volumes kept.
    Archived {
        /// Since when.
        since: DateTime<Utc>,
        /// Why its last cleanup failed.
        cleanup_failed: Option<String>,
    },
}

/// What a staging was asked to be. Keys and values are in the events that the versions name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The version of the product.
    pub tag: Tag,
    /// The event that set tag and overrides; the `base` of an edit.
    pub version: Version,
    /// The event that holds the newest effective configuration: the same one, or a retry that froze it anew.
    pub frozen_version: Version,
    /// The keys that have an override.
    pub overridden: Keys,
}

/// A run that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Which.
    pub run: RunId,
    /// What it did.
    pub verb: Verb,
    /// How often it was claimed.
    pub attempt: Attempt,
    /// Of a cleanup: it was forced.
    pub forced: bool,
}

/// A first failed check of a running staging, which is not a failure yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFailure {
    /// The check's exit code.
    pub code: i32,
    /// In words.
    pub cause: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A run from its request to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Which run.
    pub run: RunId,
    /// What it does.
    pub verb: Verb,
    /// Of a cleanup: it was forced.
    pub forced: bool,
    /// Who asked for it.
    pub by: Actor,
    /// When it was asked for.
    pub since: DateTime<Utc>,
    /// What it is to bring about.
    pub configuration: Configuration,
    /// How long a pass of a check is awaited, in milliseconds; a cleanup awaits none.
    pub status_timeout_ms: Option<u64>,
    /// How far it has come.
    pub phase: Phase,
}

/// How far a request has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// To be claimed, for the first time or again.
    Queued {
        /// How often it was claimed.
        attempts: Attempt,
    },
    /// The wrapper runs.
    Started {
        /// Which attempt.
        attempt: Attempt,
        /// Who claimed it.
        owner: Owner,
        /// When.
        at: DateTime<Utc>,
        /// When somebody asked to stop it.
        cancelled_at: Option<DateTime<Utc>>,
    },
    /// The wrapper has ended well; a pass is awaited.
    Awaiting {
        /// Which attempt.
        attempt: Attempt,
        /// When the wrapper ended.
        since: DateTime<Utc>,
        /// From when on the first check that ends decides.
        until: DateTime<Utc>,
        /// Since when checks cannot tell.
        unreadable_since: Option<DateTime<Utc>>,
    },
}

impl Row {
    /// What it is. There are exactly six.
    pub fn status(&self) -> Status {
        match (&self.life, self.pending()) {
            (Life::First { .. } | Life::Settled { .. }, Some((pending, _))) => pending,
            (Life::First { .. }, None) => Status::CreatePending,
            (Life::Settled { rest, .. }, None) => rest.condition.status(),
        }
    }

    /// When its status last changed.
    pub fn changed_at(&self) -> DateTime<Utc> {
        match (&self.life, self.pending()) {
            (Life::First { .. } | Life::Settled { .. }, Some((_, since))) => since,
            (Life::First { .. }, None) => self.created_at,
            (Life::Settled { rest, .. }, None) => rest.changed_at,
        }
    }

    /// The kind of trouble and the trouble in words; none while a pending status says that something else is wanted.
    pub fn trouble(&self) -> Option<(Reason, &str)> {
        if self.pending().is_some() { None } else { self.rest()?.condition.trouble() }
    }

    /// Since when it is archived; none while it is not, or is wanted back.
    pub fn archived_at(&self) -> Option<DateTime<Utc>> {
        match self.rest()?.condition {
            Condition::Archived { since, .. } if self.pending().is_none() => Some(since),
            Condition::Archived { .. } | Condition::Running | Condition::Failure { .. } => None,
        }
    }

    /// All that decides what may be asked of it, what is going on included.
    pub fn situation(&self) -> Situation {
        let last = self.last_run();
        Situation {
            status: self.status(),
            reason: self.trouble().map(|(reason, _)| reason),
            activity: self.request().map(Request::activity),
            last_verb: last.verb,
            last_forced: last.forced,
        }
    }

    /// What it has or is to have.
    pub fn configuration(&self) -> &Configuration {
        match &self.life {
            Life::First { request, .. } | Life::Settled { request: Some(request), .. } => &request.configuration,
            Life::Settled { rest, request: None } => &rest.configuration,
        }
    }

    /// The run under way, else the one that brought it here.
    pub fn last_run(&self) -> LastRun {
        match &self.life {
            Life::First { request, .. } | Life::Settled { request: Some(request), .. } => request.as_last_run(),
            Life::Settled { rest, request: None } => rest.last,
        }
    }

    /// Addresses, as `info` reported them last; none while it is archived.
    pub fn links(&self) -> &[Link] {
        self.rest().map_or(&[], |rest| &rest.links)
    }

    /// Why its links are not known; none when they are, or are yet to be read.
    pub fn links_cause(&self) -> Option<&str> {
        self.rest()?.links_cause.as_deref()
    }

    /// Whether `info` is to be asked: it runs, is at rest, and its links have not been read since it became running.
    pub fn links_due(&self) -> bool {
        self.request().is_none() && self.rest().is_some_and(|rest| rest.links_due)
    }

    /// Since when checks cannot tell.
    pub fn unreadable_since(&self) -> Option<DateTime<Utc>> {
        match &self.life {
            Life::First { request, .. } | Life::Settled { request: Some(request), .. } => match request.phase {
                Phase::Awaiting { unreadable_since, .. } => unreadable_since,
                Phase::Queued { .. } | Phase::Started { .. } => None,
            },
            Life::Settled { rest, request: None } => rest.unreadable_since,
        }
    }

    /// A first failed check that no other has followed; none while something is under way.
    pub fn check_failure(&self) -> Option<&CheckFailure> {
        if self.request().is_some() { None } else { self.rest()?.check_failure.as_ref() }
    }

    /// What it is beneath a request; none during the first create.
    pub fn rest(&self) -> Option<&Rest> {
        match &self.life {
            Life::First { .. } => None,
            Life::Settled { rest, .. } => Some(rest),
        }
    }

    /// The run under way.
    pub fn request(&self) -> Option<&Request> {
        match &self.life {
            Life::First { request, .. } => Some(request),
            Life::Settled { request, .. } => request.as_ref(),
        }
    }

    /// The status that a request stands for, and since when.
    fn pending(&self) -> Option<(Status, DateTime<Utc>)> {
        let request = self.request()?;
        Some((request.verb.pending_status()?, request.since))
    }
}

impl Configuration {
    /// The number of overrides on both levels.
    pub fn overrides(&self) -> usize {
        self.overridden.app.len() + self.overridden.staging.len()
    }
}

impl Condition {
    /// The status that it stands for.
    pub fn status(&self) -> Status {
        match self {
            Self::Running => Status::Running,
            Self::Failure { .. } => Status::Failure,
            Self::Archived { .. } => Status::Archived,
        }
    }

    /// The kind of trouble, and the trouble in words.
    pub fn trouble(&self) -> Option<(Reason, &str)> {
        match self {
            Self::Running | Self::Archived { cleanup_failed: None, .. } => None,
            Self::Failure { reason, cause } => Some((*reason, cause)),
            Self::Archived { cleanup_failed: Some(cause), .. } => Some((Reason::CleanupFailed, cause)),
        }
    }
}

impl Request {
    /// How often it was claimed; 0 before the first time.
    pub fn attempt(&self) -> Attempt {
        match self.phase {
            Phase::Queued { attempts } => attempts,
            Phase::Started { attempt, .. } | Phase::Awaiting { attempt, .. } => attempt,
        }
    }

    /// When the wrapper of this attempt started; none unless it runs.
    pub fn started_at(&self) -> Option<DateTime<Utc>> {
        match self.phase {
            Phase::Started { at, .. } => Some(at),
            Phase::Queued { .. } | Phase::Awaiting { .. } => None,
        }
    }

    /// As the domain's rules want it.
    pub fn activity(&self) -> Activity {
        let (stage, cancel_requested) = match &self.phase {
            Phase::Queued { .. } => (Stage::Queued, false),
            Phase::Started { cancelled_at, .. } => (Stage::Running, cancelled_at.is_some()),
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

    pub(crate) fn as_last_run(&self) -> LastRun {
        LastRun { run: self.run, verb: self.verb, attempt: self.attempt(), forced: self.forced }
    }
}
