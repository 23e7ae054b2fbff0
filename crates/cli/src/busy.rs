//! What to do when another run of the staging is under way: `--when-busy`. Decides by what the refusal says, and by how
//! long this `dmc` has been running; no clock of this machine is compared with one of another.

use std::time::{Duration, Instant};

use dm_api::{Accepted, Cancel, Previewed, Problem, UnderWay};
use dm_domain::ids::StagingName;
use uuid::Uuid;

use crate::args::WhenBusy;
use crate::client::{Client, Write};
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::overrides::Edits;
use crate::wait::{self, Waited};
use crate::write::{Wish, verb};

/// What to do about the run in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Busy {
    /// Give up; why, where the refusal of `dms` alone does not say it.
    Refuse(Option<&'static str>),
    /// Wait for its end.
    Wait(Uuid),
    /// Cancel it, and wait for its end.
    Cancel(Uuid),
}

/// A run that was accepted after this `dmc` began is not cancelled: whoever asked for it came later, so theirs is the
/// newer wish. A delete and a cleanup are never cancelled: a late push must not undo a closed pull request. Whoever
/// deletes or cleans up waits for such a run; everybody else gives up.
pub(crate) fn judge(policy: WhenBusy, command: Previewed, problem: &Problem, running: Duration) -> Busy {
    let (Some(run), Some(under_way)) = (problem.run, &problem.under_way) else { return Busy::Refuse(None) };
    match policy {
        WhenBusy::Fail => Busy::Refuse(None),
        WhenBusy::Wait => Busy::Wait(run),
        WhenBusy::Cancel => {
            let age = Duration::from_millis(under_way.age_ms.unsigned_abs());
            let untouchable = match under_way.verb.as_str() {
                "delete" | "cleanup" => Some("what removes it is not cancelled for it"),
                _ if age < running => Some("that was accepted later than this command began, so it is the newer wish"),
                _ => None,
            };
            match (untouchable, command) {
                (None, _) => Busy::Cancel(run),
                (Some(_), Previewed::Delete | Previewed::Cleanup) => Busy::Wait(run),
                (
                    Some(why),
                    Previewed::Create
                    | Previewed::Update
                    | Previewed::Apply
                    | Previewed::Restore
                    | Previewed::Retry
                    | Previewed::Cancel,
                ) => Busy::Refuse(Some(why)),
            }
        }
    }
}

/// Says what is in the way, to whoever does not just give up.
pub(crate) fn tell(out: &mut Output, name: &StagingName, problem: &Problem, policy: WhenBusy) {
    if let (Some(UnderWay { verb, by, .. }), WhenBusy::Wait | WhenBusy::Cancel) = (&problem.under_way, policy) {
        out.note(&format!("{name}: the {verb} that {by} has asked for is under way"));
    }
}

/// The refusal of `dms`, with our reason for not going on.
pub(crate) fn refused(mut problem: Box<Problem>, why: Option<&str>) -> Error {
    if let Some(why) = why {
        problem.detail = format!("{}; {why}", problem.detail);
        problem.hint = Some("`--when-busy wait` waits for its end and asks then".to_owned());
    }
    Error::Problem { problem, violations: Vec::new(), retry_after: None }
}

/// Waits for the end of a run that is in the way.
pub(crate) async fn wait(
    client: &Client,
    out: &mut Output,
    wish: &Wish<'_>,
    run: Uuid,
    deadline: Instant,
) -> Result<(), Error> {
    let name = wish.name;
    match wait::within(deadline, wait::run_to_its_end(client, out, name.as_str(), run, 0)).await? {
        Waited::Over(_) => Ok(()),
        Waited::TimedOut => {
            Err(Error::TimedOut { message: format!("{name}: still busy with run {run} when --timeout is up") })
        }
        Waited::Detached => Err(Error::Interrupted { message: format!("{name}: {} was not sent", verb(wish.command)) }),
    }
}

/// Asks for the end of a run that is in the way. That it has ended meanwhile, or that something else is under way, is
/// seen when the wish is sent again.
pub(crate) async fn cancel(
    client: &Client,
    out: &mut Output,
    wish: &Wish<'_>,
    run: Uuid,
    deadline: Instant,
) -> Result<(), Error> {
    let name = wish.name;
    let why = wish.args.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
    let reason = format!("in favour of {}{why}", verb(wish.command)).chars().take(2_000).collect();
    let body = Cancel { run: Some(run), reason: Some(reason), on_behalf: wish.args.on_behalf.clone() };
    let (edits, key) = (Edits::default(), Uuid::new_v4().to_string());
    let path = format!("/stagings/{name}/cancel");
    let write = Write { method: reqwest::Method::POST, path, body: &body, key, deadline, edits: &edits };
    match client.write::<Accepted, _>(&write, out).await {
        Ok(_) => out.note(&format!("{name}: run {run} is being cancelled")),
        Err(error) if matches!(error.exit(), Exit::Rejected | Exit::NotFound) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Uuid = Uuid::from_u128(7);

    fn busy_with(verb: &str, age_ms: i64) -> Problem {
        Problem {
            kind: "about:blank".to_owned(),
            status: 409,
            title: "Conflict".to_owned(),
            code: "busy".to_owned(),
            detail: "busy".to_owned(),
            hint: None,
            errors: Vec::new(),
            run: Some(RUN),
            under_way: Some(UnderWay {
                verb: verb.to_owned(),
                by: "user/ci".to_owned(),
                since: "2026-11-25T12:00:00Z".parse().unwrap(),
                age_ms,
            }),
            version: None,
            cleaned_up_at: None,
            request_id: Uuid::nil(),
        }
    }

    /// For a `dmc` that has been running for a second.
    fn judged(policy: WhenBusy, command: Previewed, verb: &str, age_ms: i64) -> Busy {
        judge(policy, command, &busy_with(verb, age_ms), Duration::from_secs(1))
    }

    #[test]
    fn who_says_nothing_is_refused_and_who_waits_waits_for_anything() {
        assert_eq!(judged(WhenBusy::Fail, Previewed::Apply, "create", 9_000), Busy::Refuse(None));
        for verb in ["create", "update", "restore", "delete", "cleanup"] {
            assert_eq!(judged(WhenBusy::Wait, Previewed::Apply, verb, 0), Busy::Wait(RUN));
        }
    }

    #[test]
    fn only_an_older_run_is_cancelled() {
        let cancel = |command, age| judged(WhenBusy::Cancel, command, "update", age);
        assert_eq!(cancel(Previewed::Apply, 1_000), Busy::Cancel(RUN));
        assert!(matches!(cancel(Previewed::Apply, 999), Busy::Refuse(Some(_))));
        assert_eq!(cancel(Previewed::Delete, 1_000), Busy::Cancel(RUN));
        assert_eq!(cancel(Previewed::Delete, 999), Busy::Wait(RUN));
    }

    #[test]
    fn what_removes_a_staging_is_never_cancelled() {
        for verb in ["delete", "cleanup"] {
            for command in [Previewed::Create, Previewed::Update, Previewed::Apply, Previewed::Restore] {
                assert!(matches!(judged(WhenBusy::Cancel, command, verb, 9_000), Busy::Refuse(Some(_))));
            }
            assert_eq!(judged(WhenBusy::Cancel, Previewed::Cleanup, verb, 9_000), Busy::Wait(RUN));
        }
    }
}
