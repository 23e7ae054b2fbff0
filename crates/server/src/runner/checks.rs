//! When each staging is checked, and one check from its lease to its report; `info` as well, which needs the same lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use dm_domain::Decider;
use dm_domain::ids::{Attempt, RunId, StagingName, Version};
use dm_domain::staging::event::Links;
use dm_domain::staging::{CheckResult, Command, ReportCheck, Staging, Wish};
use dm_projector::stagings::Checked;

use super::Inner;
use super::answer::Answer;
use super::boottime::Moment;
use super::call::{About, Subject};
use super::commands::{self, Report};
use super::held::Holding;
use super::manifest::Program;
use super::supervise::{Control, Ended};
use super::wrapper::WrapperError;
use crate::config::Times;
use crate::db::leases;

/// When a pass is awaited, the first checks are this long after the wrapper's end; then one each interval.
const FIRST: [Duration; 4] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];
/// How long one statement about a lease may take.
const LEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a check is tried again whose lease somebody else holds, or whose state could not be read.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long the report of a check, or of `info`, is tried; the next one reports anew.
const REPORT_TIMEOUT: Duration = Duration::from_secs(20);

/// What is known of a staging's checks.
#[derive(Debug, Clone)]
struct Plan {
    /// Of the hint that it was made for: each wait for a pass has its own.
    deadline: Option<DateTime<Utc>>,
    next: Instant,
    before: Option<Before>,
}

/// What the last check of an attempt said that could tell.
#[derive(Debug, Clone, Copy)]
struct Before {
    run: RunId,
    attempt: Attempt,
    result: CheckResult,
}

/// All plans.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    plans: BTreeMap<StagingName, Plan>,
}

impl Plans {
    /// Takes the hints over: what wants no checks any more is forgotten, what is new gets its time. The first check of a
    /// wait for a pass comes at once; no other event hurries one, so that a check whose answers are events each time keeps
    /// its pace. Checks of stagings at rest that are all new, as at a start, are spread over an interval.
    pub(crate) fn update(&mut self, hints: &[Checked], times: &Times, now: Instant) {
        let interval = times.check_interval;
        let step = interval / u32::try_from(hints.len()).unwrap_or(u32::MAX).max(1);
        let mut plans = BTreeMap::new();
        for (number, hint) in (0..).zip(hints) {
            let known = self.plans.remove(&hint.staging);
            let next = match &known {
                Some(plan) if hint.deadline.is_none() || plan.deadline == hint.deadline => {
                    plan.next.min(now + interval)
                }
                None if hint.deadline.is_none() => now + step * number,
                Some(_) | None => now,
            };
            let before = known.and_then(|plan| plan.before);
            plans.insert(hint.staging.clone(), Plan { deadline: hint.deadline, next, before });
        }
        self.plans = plans;
    }

    /// Whose time has come, the longest due first.
    pub(crate) fn due(&self, now: Instant) -> Vec<StagingName> {
        let mut due: Vec<_> = self.plans.iter().filter(|(_, plan)| plan.next <= now).collect();
        due.sort_by_key(|(_, plan)| plan.next);
        due.into_iter().map(|(staging, _)| staging.clone()).collect()
    }

    /// When the next one's time comes. One whose time has come goes on, or waits for a place: then it is told by whoever
    /// gives a place back.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        self.plans.values().map(|plan| plan.next).filter(|next| *next > now).min()
    }

    /// The next check of a staging comes then.
    pub(crate) fn set_next(&mut self, staging: &StagingName, next: Instant) {
        if let Some(plan) = self.plans.get_mut(staging) {
            plan.next = next;
        }
    }

    fn before(&self, staging: &StagingName, run: RunId, attempt: Attempt) -> Option<CheckResult> {
        let before = self.plans.get(staging)?.before?;
        (before.run == run && before.attempt == attempt).then_some(before.result)
    }

    /// Keeps what a check said. "Cannot tell" neither counts nor resets.
    fn keep(&mut self, staging: &StagingName, run: RunId, attempt: Attempt, result: CheckResult) {
        if let (Some(plan), true) = (self.plans.get_mut(staging), result != CheckResult::CannotTell) {
            plan.before = Some(Before { run, attempt, result });
        }
    }
}

/// A check that is to be made.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) staging: StagingName,
    pub(crate) incarnation: Version,
    pub(crate) run: RunId,
    pub(crate) attempt: Attempt,
    pub(crate) archived: bool,
    /// Since when a pass is awaited, and until when.
    pub(crate) awaited: Option<(DateTime<Utc>, Option<DateTime<Utc>>)>,
    pub(crate) holding: Holding,
    pub(crate) control: Control,
}

impl Task {
    /// Checks and reports.
    pub(crate) async fn go(self, inner: Arc<Inner>, subject: Subject) {
        let program = if self.archived { Program::ArchiveCheck } else { Program::Check };
        let (run, attempt) = (self.run, self.attempt);
        let under = Lease { staging: &self.staging, run, attempt, holding: &self.holding };
        let begun = Instant::now();
        let Some(asked) = under.ask(&inner, program, subject, self.control.clone()).await else {
            inner.plans().set_next(&self.staging, Instant::now() + TRY_AGAIN);
            return;
        };
        let (result, cause) = judge(program, asked);
        inner.metrics.check(program.name(), name(result), begun.elapsed());
        let next = Instant::now() + self.pause(&inner);
        let before = {
            let mut plans = inner.plans();
            let before = plans.before(&self.staging, run, attempt);
            plans.keep(&self.staging, run, attempt, result);
            plans.set_next(&self.staging, next);
            before
        };
        inner.checked(&self.staging);
        let wish =
            Wish::ReportCheck(ReportCheck { incarnation: self.incarnation, run, attempt, result, before, cause });
        let report = Report { staging: self.staging.clone(), wish, id: commands::check_id(), run };
        if inner.would_change(&report).await {
            let _ = tokio::time::timeout(REPORT_TIMEOUT, inner.report(&report, None)).await;
        }
    }

    /// How long until the next check: never across the end of the wait for a pass, where a check decides.
    fn pause(&self, inner: &Inner) -> Duration {
        let Some((since, until)) = self.awaited else { return inner.times.check_interval };
        let now = inner.clock.now();
        let waited = (now - since).to_std().unwrap_or_default();
        let pause = awaiting_pause(waited, inner.times.awaiting_interval);
        match until.and_then(|until| (until - now).to_std().ok()) {
            Some(left) if left > Duration::ZERO => pause.min(left + Duration::from_millis(1)),
            Some(_) | None => pause,
        }
    }
}

fn awaiting_pause(waited: Duration, interval: Duration) -> Duration {
    let first = FIRST.iter().take_while(|at| **at <= interval).find(|at| **at > waited);
    first.map_or(interval, |at| at.saturating_sub(waited))
}

/// A result, for the metrics.
fn name(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Pass => "pass",
        CheckResult::Failing => "failing",
        CheckResult::PartlyAvailable => "partly_available",
        CheckResult::TagMismatch => "tag_mismatch",
        CheckResult::CannotTell => "cannot_tell",
    }
}

/// By exit code, as the contract has it; and the cause in words.
fn judge(program: Program, asked: Result<Answer, WrapperError>) -> (CheckResult, String) {
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => return (CheckResult::CannotTell, error.to_string()),
    };
    let result = match (program, &answer.ended) {
        (_, Ended::Exited(0)) => CheckResult::Pass,
        (_, Ended::Exited(1)) => CheckResult::Failing,
        (Program::Check, Ended::Exited(2)) => CheckResult::PartlyAvailable,
        (Program::Check, Ended::Exited(3)) => CheckResult::TagMismatch,
        (_, _) => CheckResult::CannotTell,
    };
    let cause = match result {
        CheckResult::Pass => String::new(),
        CheckResult::Failing | CheckResult::PartlyAvailable | CheckResult::TagMismatch => {
            answer.said().unwrap_or_else(|| answer.cause())
        }
        CheckResult::CannotTell => format!("{}: {}", program.name(), answer.cause()),
    };
    (result, cause)
}

/// A call under a staging's lease.
struct Lease<'a> {
    staging: &'a StagingName,
    run: RunId,
    attempt: Attempt,
    holding: &'a Holding,
}

impl Lease<'_> {
    /// Calls a program while the lease is held; none when it could not be had, or a run wanted it back.
    async fn ask(
        &self,
        inner: &Inner,
        program: Program,
        subject: Subject,
        control: Control,
    ) -> Option<Result<Answer, WrapperError>> {
        let asked = Moment::now();
        let of = (self.run, self.attempt);
        let take = leases::take_check(&inner.pool, self.staging, inner.owner, of, inner.times.lease_ttl);
        if !matches!(tokio::time::timeout(LEASE_TIMEOUT, take).await, Ok(Ok(true))) {
            // Perhaps it was taken, and the answer was lost; or the one before could not be given back. Whoever has the only
            // place of a staging here knows that no lease of a check is in use.
            release(inner, self.staging).await;
            return None;
        }
        self.holding.move_deadline(asked.after(inner.lease_life()));
        let answer = inner.wrappers.ask(program, About::Staging(subject), control).await;
        release(inner, self.staging).await;
        let cut_short = matches!(&answer, Ok(Answer { ended: Ended::Stopped | Ended::Lost, .. }));
        (!cut_short).then_some(answer)
    }
}

/// Gives the lease of a check of this `dms` back. What cannot be given back is so by the next one who finds it in the way,
/// or expires.
pub(crate) async fn release(inner: &Inner, staging: &StagingName) {
    let release = leases::release_check(&inner.pool, staging, inner.owner);
    match tokio::time::timeout(LEASE_TIMEOUT, release).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(staging.name = %staging, %error, "a lease is not given back yet"),
        Err(_) => tracing::debug!(staging.name = %staging, "a lease is not given back yet"),
    }
}

/// `info` that is to be asked.
#[derive(Debug)]
pub(crate) struct LinksTask {
    pub(crate) staging: StagingName,
    pub(crate) run: RunId,
    pub(crate) attempt: Attempt,
    /// Of the state that calls for it.
    pub(crate) version: Version,
    pub(crate) holding: Holding,
    pub(crate) control: Control,
}

impl LinksTask {
    /// Asks and reports.
    pub(crate) async fn go(self, inner: Arc<Inner>, subject: Subject) {
        let (run, attempt) = (self.run, self.attempt);
        let links = if inner.wrappers.has(Program::Info) {
            let under = Lease { staging: &self.staging, run, attempt, holding: &self.holding };
            let Some(answer) = under.ask(&inner, Program::Info, subject, self.control.clone()).await else {
                tokio::time::sleep(TRY_AGAIN).await;
                return;
            };
            let failed = |cause| WrapperError { wrapper: Program::Info, cause };
            let links = answer.and_then(|answer| answer.links().map_err(failed));
            links.map_or_else(|error| Links::Unknown(error.to_string()), Links::Found)
        } else {
            Links::Found(Vec::new())
        };
        let wish = Wish::ReportLinks { run, attempt, links };
        let id = commands::links_id(run, attempt, self.version);
        let report = Report { staging: self.staging.clone(), wish, id, run };
        let _ = tokio::time::timeout(REPORT_TIMEOUT, inner.report(&report, None)).await;
    }
}

impl Inner {
    /// Whether a report would change anything, as far as this replica knows: most checks say what is known, and not even
    /// a quiet command is worth writing down for that.
    async fn would_change(&self, report: &Report) -> bool {
        let Ok(loaded) = self.store.load(&report.staging).await else { return true };
        let command = Command {
            now: self.clock.now(),
            actor: dm_domain::ids::Actor::system(),
            run: report.run,
            wish: report.wish.clone(),
        };
        Staging::decide(&loaded.state, &command).is_ok_and(|events| !events.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn times() -> Times {
        Times {
            lease_ttl: Duration::from_secs(90),
            lease_renewal: INTERVAL,
            grace: Duration::from_secs(1),
            stop_grace: Duration::from_secs(10),
            check_interval: Duration::from_secs(30),
            awaiting_interval: INTERVAL,
            keep_output: Duration::from_hours(1),
        }
    }

    fn hint(name: &str, deadline: Option<DateTime<Utc>>) -> Checked {
        Checked { staging: StagingName::parse(name).expect("a name"), deadline }
    }

    #[test]
    fn awaiting_checks_come_at_0_1_2_5_seconds_and_then_each_interval() {
        let mut waited = Duration::ZERO;
        let mut at = vec![0];
        for _ in 0..6 {
            waited += awaiting_pause(waited, INTERVAL);
            at.push(waited.as_secs());
        }
        assert_eq!(at, [0, 1, 2, 5, 10, 15, 20]);
        assert_eq!(awaiting_pause(Duration::ZERO, Duration::from_millis(100)), Duration::from_millis(100));
    }

    #[test]
    fn a_pass_that_is_awaited_is_asked_for_at_once_and_checks_at_rest_are_spread() {
        let (mut plans, now) = (Plans::default(), Instant::now());
        let deadline = Some(DateTime::UNIX_EPOCH);
        plans.update(&[hint("a", None), hint("b", None), hint("c", deadline)], &times(), now);
        let names = |at| plans.due(at).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(now), ["a", "c"]);
        assert_eq!(names(now + Duration::from_secs(10)), ["a", "c", "b"]);
    }

    #[test]
    fn a_new_wait_for_a_pass_hurries_and_nothing_else_does() {
        let (mut plans, now) = (Plans::default(), Instant::now());
        let name = StagingName::parse("a").expect("a name");
        let (first, second) = (Some(DateTime::UNIX_EPOCH), Some(DateTime::UNIX_EPOCH + INTERVAL));
        plans.update(&[hint("a", None)], &times(), now);
        for (deadline, hurries) in [(None, false), (first, true), (first, false), (second, true), (None, false)] {
            plans.set_next(&name, now + Duration::from_secs(4));
            plans.update(&[hint("a", deadline)], &times(), now);
            assert_eq!(plans.due(now) == std::slice::from_ref(&name), hurries, "{deadline:?}");
        }
    }

    #[test]
    fn what_is_due_already_wakes_nobody() {
        let (mut plans, now) = (Plans::default(), Instant::now());
        plans.update(&[hint("a", None), hint("b", None)], &times(), now);
        let step = times().check_interval / 2;
        assert_eq!((plans.due(now).len(), plans.next(now)), (1, Some(now + step)));
        assert_eq!((plans.due(now + step).len(), plans.next(now + step)), (2, None));
        plans.update(&[], &times(), now);
        assert!(plans.due(now + step).is_empty());
    }

    #[test]
    fn only_a_check_of_the_same_attempt_that_could_tell_counts_as_the_one_before() {
        let (mut plans, now) = (Plans::default(), Instant::now());
        let (name, run) = (StagingName::parse("a").expect("a name"), RunId(uuid::Uuid::nil()));
        plans.update(&[hint("a", None)], &times(), now);
        assert_eq!(plans.before(&name, run, 1), None);
        plans.keep(&name, run, 1, CheckResult::Failing);
        plans.keep(&name, run, 1, CheckResult::CannotTell);
        assert_eq!(plans.before(&name, run, 1), Some(CheckResult::Failing));
        assert_eq!(plans.before(&name, run, 2), None);
    }
}
