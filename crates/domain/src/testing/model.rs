//! What should come of commands, said a second time and in another way: the reference that any sequence is held against.
//!
//! A flat record of what people see, a copy of it from before the open request, and one rule after the other. It says
//! which types of events come, or with which code a command is refused; payloads are left to the tests of each rule.

#![expect(clippy::wildcard_enum_match_arm, reason = "the model says what it knows; anything else is refused alike")]

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Attempt, Key, RunId, Version};
use crate::overrides::{Edit, Value, Values};
use crate::staging::command::{Change, CheckResult, ReportCheck, StartRun};
use crate::staging::event::{Interruption, Outcome, Timestamp};
use crate::staging::{Command, Reason, Stage, Status, Verb, Wish};
use crate::testing::facts::STATUS_TIMEOUT;

/// Types of events, or the code of a refusal.
pub type Outcomes = Result<Vec<&'static str>, &'static str>;

/// Overrides (a value, or hidden), and what they make of the defaults.
type Settings = (BTreeMap<Key, Option<Value>>, BTreeMap<Key, Value>);

/// The reference: a staging as people see it. Knows keys of the app level only, and values that are text.
#[derive(Debug, Clone, Default)]
pub struct Model {
    version: i64,
    staging: Option<Seen>,
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "the reference is flat on purpose: the domain is not")]
struct Seen {
    status: Status,
    reason: Option<Reason>,
    /// What was seen before the open request; none of a first create.
    before: Option<Box<Seen>>,
    busy: Option<Busy>,
    run: RunId,
    verb: Verb,
    attempt: Attempt,
    forced: bool,
    incarnation: i64,
    archived_at: Timestamp,
    failed_once: bool,
    unreadable: bool,
    links_due: bool,
    tag: String,
    overrides: BTreeMap<Key, Option<Value>>,
    effective: BTreeMap<Key, Value>,
    /// The versions of configuration events, and what each changed; the tag as the empty text.
    changes: Vec<(i64, BTreeSet<String>)>,
}

#[derive(Debug, Clone)]
struct Busy {
    stage: Stage,
    stopping: bool,
    lost: u32,
    ask: bool,
    deadline: Timestamp,
}

impl Model {
    /// What comes of a command, which is then so.
    pub fn step(&mut self, command: &Command) -> Outcomes {
        let (version, next) = (self.version, self.version + 1);
        let outcome = match (&command.wish, &mut self.staging) {
            (Wish::Create(_) | Wish::Apply { .. }, None) => self.create(command, next),
            (Wish::StartRun(_) | Wish::FinishRun { .. } | Wish::InterruptRun { .. }, None) => Err("stale_run"),
            (Wish::ReportCheck(_) | Wish::ReportLinks { .. }, None) => Ok(vec![]),
            (_, None) => Err("staging_not_found"),
            (Wish::Cancel { run }, Some(seen)) => seen.cancel(*run),
            (Wish::StartRun(claim), Some(seen)) => seen.start(claim),
            (Wish::FinishRun { run, attempt, outcome, .. }, Some(seen)) => {
                seen.finish(*run, *attempt, outcome, command.now)
            }
            (Wish::InterruptRun { run, attempt, reason }, Some(seen)) => seen.interrupt(*run, *attempt, *reason),
            (Wish::ReportCheck(report), Some(seen)) => Ok(seen.check(report, command.now)),
            (Wish::ReportLinks { run, attempt, .. }, Some(seen)) => Ok(seen.links(*run, *attempt)),
            (_, Some(seen)) if seen.busy.is_some() => seen.ask_again(&command.wish),
            (_, Some(seen)) => seen.ask(command, next),
        };
        let events = outcome?;
        self.version = version + i64::try_from(events.len()).expect("invariant: a handful of events");
        match events.last() {
            Some(&"CleanedUp") => self.staging = None,
            Some(&"RequestWithdrawn") => {
                self.staging = self.staging.take().and_then(|seen| seen.before).map(|seen| *seen);
            }
            Some(_) | None => {}
        }
        Ok(events)
    }

    /// One of the six; none when the name is free.
    pub fn status(&self) -> Option<Status> {
        self.staging.as_ref().map(|seen| seen.status)
    }

    /// The kind of trouble.
    pub fn reason(&self) -> Option<Reason> {
        self.staging.as_ref().and_then(|seen| seen.reason)
    }

    /// How far the run under way is.
    pub fn stage(&self) -> Option<Stage> {
        self.staging.as_ref().and_then(|seen| seen.busy.as_ref()).map(|busy| busy.stage)
    }

    /// The tag and the effective configuration of the app level.
    pub fn configuration(&self) -> Option<(&str, &BTreeMap<Key, Value>)> {
        self.staging.as_ref().map(|seen| (seen.tag.as_str(), &seen.effective))
    }

    fn create(&mut self, command: &Command, version: i64) -> Outcomes {
        let (tag, edit, defaults) = match &command.wish {
            Wish::Create(create) => {
                let edit = Edit { set: create.set.clone(), unset: create.unset.clone(), ..Edit::default() };
                (create.tag.to_string(), edit, &create.defaults)
            }
            Wish::Apply { change, .. } => match &change.edit.tag {
                Some(tag) => (tag.to_string(), change.edit.clone(), &change.defaults),
                None => return Err("staging_not_found"),
            },
            other => panic!("{other:?} creates nothing"),
        };
        let mut seen = Seen {
            status: Status::CreatePending,
            reason: None,
            before: None,
            busy: None,
            run: command.run,
            verb: Verb::Create,
            attempt: 0,
            forced: false,
            incarnation: version,
            archived_at: command.now,
            failed_once: false,
            unreadable: false,
            links_due: false,
            tag: tag.clone(),
            overrides: BTreeMap::new(),
            effective: BTreeMap::new(),
            changes: vec![],
        };
        let (overrides, effective) = seen.edited(&edit, defaults)?;
        seen.keep(version, &tag, overrides, effective);
        seen.busy = Some(queued(command.now));
        self.staging = Some(seen);
        Ok(vec!["CreateRequested"])
    }
}

impl Seen {
    fn ask(&mut self, command: &Command, version: i64) -> Outcomes {
        let archived = self.status == Status::Archived;
        let running = self.status == Status::Running;
        let cleanup_failed = self.reason == Some(Reason::CleanupFailed);
        match &command.wish {
            Wish::Create(_) => Err("staging_exists"),
            Wish::Update(change) if !archived => self.reconfigure(command, change, Verb::Update, version),
            Wish::Restore(change) if archived => self.reconfigure(command, change, Verb::Restore, version),
            Wish::Apply { change, always } => {
                let (_, effective) = self.changed(change)?;
                let same =
                    change.edit.tag.as_ref().is_none_or(|tag| tag.as_str() == self.tag) && effective == self.effective;
                match (running && same && !always, archived) {
                    (true, _) => Ok(vec![]),
                    (false, true) => self.reconfigure(command, change, Verb::Restore, version),
                    (false, false) => self.reconfigure(command, change, Verb::Update, version),
                }
            }
            Wish::Delete { .. } if archived => Ok(vec![]),
            Wish::Delete { .. } => Ok(self.open(command, Verb::Delete, "DeleteRequested")),
            Wish::Cleanup { archived_for: Some(age), .. } if archived && command.now < self.archived_at + *age => {
                Err("too_young")
            }
            Wish::Cleanup { .. } if archived => Ok(self.open(command, Verb::Cleanup, "CleanupRequested")),
            Wish::Cleanup { force: true, archived_for: None } if !running => {
                let requested = self.open(command, Verb::Cleanup, "CleanupRequested");
                self.forced = true;
                Ok(requested)
            }
            Wish::Retry { .. } if cleanup_failed && self.forced => Err("forced_cleanup"),
            Wish::Retry { defaults, .. } if self.status == Status::Failure || cleanup_failed => {
                let effective = match self.verb {
                    Verb::Create | Verb::Update | Verb::Restore => self.edited(&Edit::default(), defaults)?.1,
                    Verb::Delete | Verb::Cleanup => self.effective.clone(),
                };
                let requested = self.open(command, self.verb, "RetryRequested");
                self.effective = effective;
                Ok(requested)
            }
            _ => Err("wrong_status"),
        }
    }

    fn ask_again(&self, wish: &Wish) -> Outcomes {
        let same = match wish {
            Wish::Delete { .. } => self.verb == Verb::Delete,
            Wish::Cleanup { .. } => self.verb == Verb::Cleanup,
            Wish::Restore(change) => self.verb == Verb::Restore && change.edit.is_empty(),
            Wish::Apply { change, always } => {
                let overrides = self.overridden(&change.edit)?;
                let tag = change.edit.tag.as_ref().is_none_or(|tag| tag.as_str() == self.tag);
                let settings = self.verb != Verb::Delete && self.verb != Verb::Cleanup;
                !always && settings && tag && overrides == self.overrides
            }
            _ => false,
        };
        let stopping = self.busy.as_ref().is_some_and(|busy| busy.stopping);
        if same && !stopping { Ok(vec![]) } else { Err("busy") }
    }

    fn open(&mut self, command: &Command, verb: Verb, event: &'static str) -> Vec<&'static str> {
        let before = Box::new(self.clone());
        let (status, reason) = match verb {
            Verb::Create | Verb::Restore => (Status::CreatePending, None),
            Verb::Update => (Status::UpdatePending, None),
            Verb::Delete => (Status::DeletePending, None),
            Verb::Cleanup => (self.status, self.reason),
        };
        (self.status, self.reason, self.verb, self.run) = (status, reason, verb, command.run);
        (self.attempt, self.forced, self.failed_once, self.unreadable) = (0, false, false, false);
        (self.before, self.busy) = (Some(before), Some(queued(command.now)));
        vec![event]
    }

    fn reconfigure(&mut self, command: &Command, change: &Change, verb: Verb, version: i64) -> Outcomes {
        let (overrides, effective) = self.changed(change)?;
        let event = if verb == Verb::Restore { "RestoreRequested" } else { "UpdateRequested" };
        let requested = self.open(command, verb, event);
        let tag = change.edit.tag.as_ref().map_or(self.tag.clone(), ToString::to_string);
        self.keep(version, &tag, overrides, effective);
        Ok(requested)
    }

    fn keep(
        &mut self,
        version: i64,
        tag: &str,
        overrides: BTreeMap<Key, Option<Value>>,
        effective: BTreeMap<Key, Value>,
    ) {
        let keys: BTreeSet<&Key> = self.overrides.keys().chain(overrides.keys()).collect();
        let other = keys.into_iter().filter(|key| self.overrides.get(key) != overrides.get(key));
        let mut changes: BTreeSet<String> = other.map(ToString::to_string).collect();
        if self.tag != tag {
            changes.insert(String::new());
        }
        self.changes.push((version, changes));
        (self.tag, self.overrides, self.effective) = (tag.to_owned(), overrides, effective);
    }

    fn overridden(&self, edit: &Edit) -> Result<BTreeMap<Key, Option<Value>>, &'static str> {
        let mut named = BTreeSet::new();
        let mut overrides = self.overrides.clone();
        for (key, value) in &edit.set.app {
            named.insert(key);
            overrides.insert(key.clone(), Some(value.clone()));
        }
        for key in &edit.unset.app {
            if !named.insert(key) {
                return Err("key_twice");
            }
            overrides.insert(key.clone(), None);
        }
        for key in &edit.reset.app {
            if !named.insert(key) {
                return Err("key_twice");
            }
            overrides.remove(key);
        }
        Ok(overrides)
    }

    fn edited(&self, edit: &Edit, defaults: &Values) -> Result<Settings, &'static str> {
        let overrides = self.overridden(edit)?;
        let keys: BTreeSet<&Key> = defaults.app.keys().chain(overrides.keys()).collect();
        let value = |key: &Key| match overrides.get(key) {
            Some(hidden_or_set) => hidden_or_set.clone(),
            None => defaults.app.get(key).cloned(),
        };
        let effective: BTreeMap<Key, Value> =
            keys.into_iter().filter_map(|key| Some((key.clone(), value(key)?))).collect();
        let clash = |key: &Key| effective.keys().any(|other| other.as_str().starts_with(&format!("{key}.")));
        if effective.keys().any(clash) { Err("key_conflict") } else { Ok((overrides, effective)) }
    }

    /// What a change comes to, unless somebody else has changed the same.
    fn changed(&self, change: &Change) -> Result<Settings, &'static str> {
        if let Some(Version(base)) = change.base {
            if !self.changes.iter().any(|(version, _)| *version == base) {
                return Err("unknown_base");
            }
            let mine: BTreeSet<String> = change
                .edit
                .keys()
                .map(|(_, key)| key.to_string())
                .chain(change.edit.tag.iter().map(|_| String::new()))
                .collect();
            if self.changes.iter().any(|(version, theirs)| *version > base && !mine.is_disjoint(theirs)) {
                return Err("edit_conflict");
            }
        }
        self.edited(&change.edit, &change.defaults)
    }

    fn fail(&mut self, reason: Reason) {
        (self.busy, self.before, self.links_due, self.failed_once) = (None, None, false, false);
        if self.verb == Verb::Cleanup {
            self.reason = Some(Reason::CleanupFailed);
        } else {
            (self.status, self.reason) = (Status::Failure, Some(reason));
        }
    }

    fn pass(&mut self, now: Timestamp) -> &'static str {
        (self.busy, self.before, self.reason, self.failed_once) = (None, None, None, false);
        if self.verb == Verb::Delete {
            (self.status, self.archived_at) = (Status::Archived, now);
            "BecameArchived"
        } else {
            (self.status, self.links_due) = (Status::Running, true);
            "BecameRunning"
        }
    }

    fn cancel(&mut self, named: Option<RunId>) -> Outcomes {
        let Some(busy) = &mut self.busy else { return Err("wrong_status") };
        if named.is_some_and(|run| run != self.run) {
            return Err("other_run");
        }
        match (busy.stage, self.attempt) {
            (Stage::Queued, 0) => return Ok(vec!["RequestWithdrawn"]),
            (Stage::Queued, _) => self.fail(Reason::Cancelled),
            (Stage::WaitingForCheck, _) => self.fail(Reason::Unconfirmed),
            (Stage::Running, _) if busy.stopping => return Ok(vec![]),
            (Stage::Running, _) => {
                busy.stopping = true;
                return Ok(vec!["CancelRequested"]);
            }
        }
        Ok(vec!["CancelRequested", "Failed"])
    }

    fn start(&mut self, claim: &StartRun) -> Outcomes {
        let here = (self.run, self.verb, self.attempt + 1) == (claim.run, claim.verb, claim.attempt);
        match &mut self.busy {
            Some(busy) if here && busy.stage == Stage::Queued => {
                (busy.stage, busy.ask, self.attempt) = (Stage::Running, claim.ask, claim.attempt);
                Ok(vec!["RunStarted"])
            }
            Some(_) | None => Err("stale_run"),
        }
    }

    fn going(&mut self, run: RunId, attempt: Attempt) -> Result<&mut Busy, &'static str> {
        let here = (self.run, self.attempt) == (run, attempt);
        self.busy.as_mut().filter(|busy| here && busy.stage == Stage::Running).ok_or("stale_run")
    }

    fn finish(&mut self, run: RunId, attempt: Attempt, outcome: &Outcome, now: Timestamp) -> Outcomes {
        let cleanup = self.verb == Verb::Cleanup;
        let busy = self.going(run, attempt)?;
        match outcome {
            Outcome::Exited(0) if cleanup => return Ok(vec!["RunFinished", "CleanedUp"]),
            Outcome::Exited(0) if busy.stopping => self.fail(Reason::Unconfirmed),
            Outcome::Exited(0) => {
                (busy.stage, busy.deadline) = (Stage::WaitingForCheck, now + STATUS_TIMEOUT);
                return Ok(vec!["RunFinished"]);
            }
            Outcome::Cancelled => self.fail(Reason::Cancelled),
            Outcome::Exited(_) | Outcome::Signalled(_) | Outcome::TimeLimit | Outcome::NotStarted(_) => {
                self.fail(Reason::RunFailed);
            }
        }
        Ok(vec!["RunFinished", "Failed"])
    }

    fn interrupt(&mut self, run: RunId, attempt: Attempt, reason: Interruption) -> Outcomes {
        let busy = self.going(run, attempt)?;
        busy.stage = Stage::Queued;
        busy.lost += u32::from(reason == Interruption::OwnerLost);
        let (stopping, given_up) = (busy.stopping, busy.ask || busy.lost == 3 && reason == Interruption::OwnerLost);
        if !stopping && !given_up {
            return Ok(vec!["RunInterrupted"]);
        }
        self.fail(if stopping { Reason::Cancelled } else { Reason::Interrupted });
        Ok(vec!["RunInterrupted", "Failed"])
    }

    fn check(&mut self, report: &ReportCheck, now: Timestamp) -> Vec<&'static str> {
        let waiting = self.busy.as_ref().map(|busy| (busy.stage == Stage::WaitingForCheck, busy.deadline));
        let matches = (self.incarnation, self.run, self.attempt) == (report.incarnation.0, report.run, report.attempt);
        let asked = match waiting {
            Some((waiting, _)) => waiting,
            None => self.status == Status::Running || self.reason.is_some_and(Reason::is_of_checks),
        };
        if !matches || !asked {
            return vec![];
        }
        let tells = report.result != CheckResult::CannotTell;
        let change = if tells { "BecameReadable" } else { "BecameUnreadable" };
        let events = if self.unreadable == tells { vec![change] } else { vec![] };
        self.unreadable = !tells;
        let trouble = match report.result {
            CheckResult::Pass | CheckResult::CannotTell => None,
            CheckResult::Failing => Some(Reason::CheckFailed),
            CheckResult::PartlyAvailable => Some(Reason::PartlyAvailable),
            CheckResult::TagMismatch => Some(Reason::TagMismatch),
        };
        let decided = match (report.result, waiting, self.status, trouble) {
            (CheckResult::Pass, None, Status::Running, _) => {
                std::mem::take(&mut self.failed_once).then_some("CheckPassed")
            }
            (CheckResult::Pass, ..) => Some(self.pass(now)),
            (_, Some((_, deadline)), ..) if now < deadline => None,
            (_, Some(_), ..) => Some(self.give_up(Reason::Unconfirmed)),
            (_, None, Status::Running, Some(reason)) if self.failed_once => Some(self.give_up(reason)),
            (_, None, Status::Running, Some(_)) => {
                self.failed_once = true;
                Some("CheckFailed")
            }
            (_, None, _, Some(reason)) => {
                let told_apart = self.reason != Some(reason) && self.reason != Some(Reason::Unconfirmed);
                (told_apart && report.before == Some(report.result)).then(|| self.give_up(reason))
            }
            (_, None, _, None) => None,
        };
        events.into_iter().chain(decided).collect()
    }

    fn give_up(&mut self, reason: Reason) -> &'static str {
        self.fail(reason);
        "Failed"
    }

    fn links(&mut self, run: RunId, attempt: Attempt) -> Vec<&'static str> {
        let here = (self.run, self.attempt) == (run, attempt) && self.status == Status::Running;
        if here && std::mem::take(&mut self.links_due) { vec!["LinksRead"] } else { vec![] }
    }
}

fn queued(now: Timestamp) -> Busy {
    Busy { stage: Stage::Queued, stopping: false, lost: 0, ask: false, deadline: now }
}
