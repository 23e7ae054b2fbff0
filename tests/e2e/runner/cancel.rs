//! A cancel in each phase of each verb ends as the table of the lifecycle says, and what waits behind it goes on.

use std::fs;

use dm_api::{Accepted, ActivityKind, Run, RunState, Staging, Status};
use dm_tests::eventually::eventually;
use serde_json::json;

use super::world::{SOON, World};

/// What stagings do is said by their names: `stop-VERB` never ends that verb by itself and ignores SIGTERM, `hog` runs
/// until the file `free` is there, `race-N` ends its create within a tenth of a second.
const WRAPPERS: &str = "case $8 in
  stop-$verb) trap '' TERM; touch at.$8; while :; do sleep 0.1; done ;;
  hog) until [ -e free ]; do sleep 0.02; done ;;
  race-*) sleep 0.0$((RANDOM % 10)) ;;
esac";

/// Checks of `wait-...` and `race-...` pass while their file is there, all others always.
const CHECKS: &str = "case $8 in wait-*) [ -e pass.$8 ] ;; esac";

const VERBS: [&str; 5] = ["create", "update", "restore", "delete", "cleanup"];

async fn world(max_runs: u32) -> World {
    let world = World::start("", &["restore"], |setup| setup.argument(format!("--max-runs={max_runs}"))).await;
    for verb in VERBS {
        world.script(verb, WRAPPERS);
    }
    for check in ["check", "archive_check"] {
        world.script(check, CHECKS);
    }
    world
}

impl World {
    /// Asks for a verb, of a staging that is as the verb needs it.
    async fn ask(&self, verb: &str, name: &str) -> Accepted {
        match verb {
            "create" => self.create(name).await,
            "update" => {
                let request = self.dms.client().patch(self.url(&format!("/stagings/{name}")));
                self.write(request.json(&json!({"tag": "v2"}))).await
            }
            verb => self.post(&format!("/stagings/{name}/{verb}"), json!({})).await,
        }
    }

    /// Brings a staging to where a verb can be asked for.
    async fn prepared(&self, verb: &str, name: &str) {
        if verb != "create" {
            self.create(name).await;
            self.wait_status(name, Status::Running).await;
        }
        if ["restore", "cleanup"].contains(&verb) {
            self.post(&format!("/stagings/{name}/delete"), json!({})).await;
            self.wait_status(name, Status::Archived).await;
        }
    }

    async fn cancel(&self, name: &str) -> Accepted {
        self.post(&format!("/stagings/{name}/cancel"), json!({})).await
    }

    async fn has_activity(&self, name: &str, kind: ActivityKind) {
        eventually(&format!("{name} is {kind:?}"), SOON, async || {
            let activity = self.staging(name).await.activity?;
            (activity.kind == kind).then_some(())
        })
        .await;
    }

    async fn is_over(&self, run: &Accepted) -> Run {
        eventually("the run is over", SOON, async || Some(self.run(run).await).filter(|run| run.state.is_over())).await
    }
}

/// What a withdrawal must not change.
fn kept(staging: &Staging) -> (Status, Option<String>, Option<String>, String, i64, uuid::Uuid) {
    let Staging { status, reason, cause, tag, configuration_version, last_run, .. } = staging.clone();
    (status, reason, cause, tag, configuration_version, last_run)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_begun_is_taken_back_and_everything_is_as_before() {
    let world = world(1).await;
    for verb in &VERBS[1..] {
        world.prepared(verb, &format!("q-{verb}")).await;
    }
    fs::write(world.file("do.create"), format!("case $8 in q-retry) exit 3 ;; esac; {WRAPPERS}")).expect("a file");
    let failed = world.create("q-retry").await;
    world.is_over(&failed).await;
    world.wait_status("q-retry", Status::Failure).await;
    world.create("hog").await;
    world.has_activity("hog", ActivityKind::Running).await;

    for verb in ["update", "restore", "delete", "cleanup", "retry"] {
        let name = format!("q-{verb}");
        let before = world.staging(&name).await;
        let run = world.ask(verb, &name).await;
        world.has_activity(&name, ActivityKind::Queued).await;
        let cancelled = world.cancel(&name).await;
        assert_eq!(cancelled.run, run.run, "{verb}: it names the run");
        let after = world.staging(&name).await;
        assert_eq!((kept(&after), after.activity.is_none()), (kept(&before), true), "{verb}");
        assert_eq!(world.run(&run).await.state, RunState::Withdrawn, "{verb}");
    }
    let run = world.create("q-create").await;
    let behind = world.create("behind").await;
    world.cancel("q-create").await;
    let gone = world.dms.client().get(world.url("/stagings/q-create")).send().await.expect("dms answers");
    assert_eq!(gone.status(), 404, "a first create is gone");
    assert_eq!(world.run(&run).await.state, RunState::Withdrawn);
    let incarnation = world.create("q-create").await.version;
    assert!(incarnation > 1, "the name lives again, on the same stream");

    fs::write(world.file("free"), "").expect("a file");
    assert_eq!(world.is_over(&behind).await.state, RunState::Succeeded, "what waits behind goes on");
    world.wait_status("q-create", Status::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_stopped_also_when_it_ignores_that() {
    let world = world(8).await;
    for verb in VERBS {
        let name = format!("stop-{verb}");
        world.prepared(verb, &name).await;
        let run = world.ask(verb, &name).await;
        world.wait_for_file(&format!("at.{name}")).await;
        world.cancel(&name).await;
        let again = world.dms.client().post(world.url(&format!("/stagings/{name}/cancel"))).send().await;
        let again = again.expect("dms answers").status();
        assert!(again == 200 || again == 409, "quiet, or over already: {again}");
        let ended = world.is_over(&run).await;
        assert_eq!((ended.state, ended.outcome.as_deref()), (RunState::Failed, Some("cancelled")), "{verb}");
        let (status, reason) =
            if verb == "cleanup" { (Status::Archived, "cleanup_failed") } else { (Status::Failure, "cancelled") };
        let staging = world.wait_status(&name, status).await;
        assert_eq!(staging.reason.as_deref(), Some(reason), "{verb}");
        assert!(staging.cause.as_deref().is_some_and(|cause| cause.starts_with("cancelled by admin/")), "{staging:?}");
        assert_eq!(staging.tag, if verb == "update" { "v2" } else { "v1" }, "what was asked for stays");
    }
    world.create("behind").await;
    world.wait_status("behind", Status::Running).await;
    world.records();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_check_is_a_failure_that_a_later_check_mends() {
    let world = world(8).await;
    for verb in ["create", "update", "restore", "delete"] {
        let name = format!("wait-{verb}");
        let pass = world.file(&format!("pass.{name}"));
        if verb != "create" {
            fs::write(&pass, "").expect("a file");
            world.prepared(verb, &name).await;
            fs::remove_file(&pass).expect("the file is ours");
        }
        let run = world.ask(verb, &name).await;
        world.has_activity(&name, ActivityKind::WaitingForCheck).await;
        world.cancel(&name).await;
        let staging = world.wait_status(&name, Status::Failure).await;
        assert_eq!(staging.reason.as_deref(), Some("unconfirmed"), "{verb}");
        let cause = staging.cause.expect("a cause");
        let words = ("cancelled by admin/", " before a check passed");
        assert!(cause.starts_with(words.0) && cause.ends_with(words.1), "{cause}");
        assert_eq!(world.run(&run).await.state, RunState::Failed, "{verb}");
        fs::write(&pass, "").expect("a file");
        let mended = if verb == "delete" { Status::Archived } else { Status::Running };
        world.wait_status(&name, mended).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_just_as_the_run_ends_has_one_of_the_ends_of_the_table() {
    let world = world(8).await;
    let mut ends = Vec::new();
    for number in 0..24 {
        let name = format!("race-{number}");
        let run = world.create(&name).await;
        if number % 3 > 0 {
            // Not always before its claim.
            eventually("it has begun", SOON, async || (world.run(&run).await.attempt > 0).then_some(())).await;
        }
        let request = world.dms.client().post(world.url(&format!("/stagings/{name}/cancel")));
        let cancelled = request.send().await.expect("dms answers").status().as_u16();
        let ended = world.is_over(&run).await;
        let answer = world.read(&format!("/stagings/{name}")).await;
        let status = if answer.status() == 404 {
            None
        } else {
            let staging: Staging = answer.json().await.expect("a staging");
            Some(staging.status)
        };
        ends.push((cancelled, ended.state, ended.reason, status));
    }
    let allowed = |(cancelled, state, reason, status): &(u16, RunState, Option<String>, Option<Status>)| {
        match (cancelled, state, reason.as_deref(), status) {
            (202, RunState::Withdrawn, None, None)
            | (202, RunState::Failed, Some("cancelled"), Some(Status::Failure))
            // A check that passes later makes it run.
            | (202, RunState::Failed, Some("unconfirmed"), Some(Status::Failure | Status::Running))
            | (409, RunState::Succeeded, None, Some(Status::Running)) => true,
            _ => false,
        }
    };
    assert!(ends.iter().all(allowed), "{ends:?}");
    let records = world.records();
    let starts = records.iter().filter(|record| record.is_start).count();
    assert!(starts <= 24, "nothing ran twice: {starts}");
}
