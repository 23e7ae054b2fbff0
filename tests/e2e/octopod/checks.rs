//! Checks say how things are, of their own staging and in time.

use std::fs;
use std::time::Duration;

use dm_api::{Action, ActivityKind, Status};
use dm_tests::eventually::eventually;
use serde_json::json;

use super::{lines, refused, touch, types};
use crate::world::{SOON, World};

/// How much later others may be checked because of checks that hang.
const LATE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn fault_05_checks_that_hang_delay_nobody_elses() {
    let world = World::start("[limits]\ncheck = 600\n", &[], |setup| setup).await;
    world.script("check", "echo $8 >> begun; case $8 in hangs-*) sleep 600 ;; ill) [ ! -e ill ] ;; esac || exit 1");
    let hanging: Vec<String> = (0..5).map(|number| format!("hangs-{number}")).collect();
    for name in &hanging {
        world.create(name).await;
    }
    for name in &hanging {
        eventually("its check hangs", SOON, async || (lines(&world, "begun", name) == 1).then_some(())).await;
    }
    let has = async |name: &str, status: Status| {
        let what = format!("{name} is {status:?}");
        eventually(&what, LATE, async || (world.staging(name).await.status == status).then_some(())).await;
    };
    for name in ["well", "ill"] {
        world.create(name).await;
        has(name, Status::Running).await;
    }
    touch(&world, "ill");
    has("ill", Status::Failure).await;
    fs::remove_file(world.file("ill")).expect("the file is ours");
    has("ill", Status::Running).await;
    assert_eq!(world.staging("well").await.status, Status::Running);
    for name in &hanging {
        assert_eq!(lines(&world, "begun", name), 1);
        let activity = world.staging(name).await.activity.expect("it waits");
        assert_eq!(activity.kind, ActivityKind::WaitingForCheck);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_09_one_failed_check_is_no_failure_and_moves_no_time() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("check", "if [ -e once ]; then rm once; exit 1; fi; [ ! -e down ]");
    world.create("demo").await;
    let before = world.wait_status("demo", Status::Running).await;
    let history = types(&world, "demo").await.len();
    let since = async || types(&world, "demo").await.split_off(history);
    for flaps in 1..=2 {
        touch(&world, "once");
        let told = ["CheckFailed", "CheckPassed"].repeat(flaps);
        eventually("it has flapped", SOON, async || (since().await == told).then_some(())).await;
    }
    let after = world.staging("demo").await;
    assert_eq!((after.status, after.reason, after.changed_at), (Status::Running, None, before.changed_at));

    touch(&world, "down");
    let down = world.wait_status("demo", Status::Failure).await;
    assert_eq!(down.reason.as_deref(), Some("check_failed"));
    assert!(down.changed_at > before.changed_at);
    assert_eq!(since().await[4..], ["CheckFailed", "Failed"], "two in a row are one");
    fs::remove_file(world.file("down")).expect("the file is ours");
    world.wait_status("demo", Status::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_10_a_delete_that_does_not_end_is_a_failure_to_go_on_from() {
    let world = World::start("", &[], |setup| setup.argument("--status-timeout=1s")).await;
    world.script("archive_check", "[ -e gone ]");
    for name in ["demo", "broken"] {
        world.create(name).await;
        world.wait_status(name, Status::Running).await;
    }
    world.post("/stagings/demo/delete", json!({})).await;
    let failed = world.wait_status("demo", Status::Failure).await;
    assert_eq!(failed.reason.as_deref(), Some("unconfirmed"));
    let allowed = |action: Action| failed.allowed_actions.iter().any(|one| one.action == action && one.allowed);
    assert!(allowed(Action::Retry) && allowed(Action::Delete) && allowed(Action::Update), "{failed:?}");

    world.script("delete", "case $8 in broken) echo 'the cluster says no'; exit 1 ;; esac");
    world.post("/stagings/broken/delete", json!({})).await;
    let broken = world.wait_status("broken", Status::Failure).await;
    assert_eq!(broken.reason.as_deref(), Some("run_failed"));
    assert_eq!(broken.cause.as_deref(), Some("the cluster says no"));

    touch(&world, "gone");
    world.wait_status("demo", Status::Archived).await;
    world.script("delete", "");
    world.post("/stagings/broken/retry", json!({})).await;
    world.wait_status("broken", Status::Archived).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_12_a_cleanup_of_what_is_not_archived_is_refused() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("create", "case $8 in fails) exit 1 ;; esac");
    for (name, status) in [("runs", Status::Running), ("fails", Status::Failure)] {
        world.create(name).await;
        world.wait_status(name, status).await;
        let before = types(&world, name).await;
        let problem = refused(world.dms.client().post(world.url(&format!("/stagings/{name}/cleanup")))).await;
        assert_eq!((problem.status, problem.code.as_str()), (409, "wrong_status"));
        assert!(problem.hint.is_some_and(|hint| hint.contains("delete")), "it says what has to come before");
        assert_eq!(types(&world, name).await, before);
        assert_eq!(world.staging(name).await.status, status);
    }
    assert!(world.records().iter().all(|record| record.verb != "cleanup"), "nothing has run");
}
