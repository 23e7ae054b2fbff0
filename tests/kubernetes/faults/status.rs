//! What a status says of the pods, and when.

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::Plane;
use serde_json::Value;

use super::{becomes, types};
use crate::world::{SEEN, Start};

#[test]
fn fault_03_a_failed_run_is_a_failure_that_old_pods_do_not_hide() {
    let plane = Plane::shared();
    let start = Start::on(&plane).chart("small").argument("--allow-short-times").argument("--check-interval=500ms");
    let world = start.start();
    for name in ["old", "other"] {
        world.done(&["create", name, "--tag", "1.0.0"]);
    }
    for arguments in [
        &["create", "fails", "--tag", "1.0.0", "--staging", "stage=missing"][..],
        &["update", "old", "--tag", "2.0.0", "--staging", "stage=missing"],
    ] {
        let name = arguments[1];
        let ended = world.dmc(&[arguments, &["--wait", "-y"]].concat());
        assert_eq!(ended.code, 1, "{ended:?}");
        let info = world.info(name);
        assert_eq!((&info["status"], &info["reason"]), (&"Failure".into(), &"run_failed".into()), "{info}");
        let cause = info["cause"].as_str().expect("it says why");
        assert!(cause.contains("not found") && cause.contains("container web"), "{cause}");
    }
    assert_eq!(world.ready("old"), 1, "its pod of before is well");
    let history = types(&world, "old");

    // Others are checked meanwhile, several times.
    world.namespace.scale("other-web", 0);
    becomes(&world, "other", "Failure");
    world.namespace.scale("other-web", 1);
    becomes(&world, "other", "Running");
    for name in ["fails", "old"] {
        assert_eq!(world.status(name), "Failure", "{name}");
    }
    assert_eq!(types(&world, "old"), history);
}

#[test]
fn fault_04_an_update_shows_and_pods_on_their_way_fail_nothing() {
    let plane = Plane::shared();
    let start = Start::on(&plane).chart("small").argument("--allow-short-times").argument("--check-interval=200ms");
    let world = start.start();
    world.done(&["create", "demo", "--tag", "1.0.0"]);
    let before = types(&world, "demo").len();
    // Its new pod is ready after 5 s.
    world.ok(&["update", "demo", "--tag", "2.0.0", "--staging", "stage=slow", "-y"]);
    let info = world.info("demo");
    assert_eq!(
        (&info["status"], &info["activity"]["verb"]),
        (&"UpdatePending".into(), &"update".into()),
        "from its first moment on: {info}"
    );
    eventually_blocking("the pods are being replaced", SEEN, || {
        let pods = world.namespace.get("pods", "app.kubernetes.io/instance=demo");
        (pods.len() == 2).then_some(())
    });
    let seen = world.verb("check", "demo", "2.0.0");
    assert!(matches!(seen.code, 1..=3), "a check would have failed: {seen:?}");
    assert_eq!(world.status("demo"), "UpdatePending");
    becomes(&world, "demo", "Running");
    let since = types(&world, "demo").split_off(before);
    assert_eq!(since, ["UpdateRequested", "RunStarted", "RunFinished", "BecameRunning"]);
}

#[test]
fn fault_09_pods_that_are_away_for_one_check_are_no_failure() {
    let plane = Plane::shared();
    // Long enough for a pod to come back between two checks, on a busy machine.
    let start = Start::on(&plane).chart("small").argument("--allow-short-times").argument("--check-interval=6s");
    let world = start.start();
    world.done(&["create", "demo", "--tag", "1.0.0"]);
    let before: Value = world.info("demo")["changed_at"].clone();
    let history = types(&world, "demo").len();
    let since = |expected: &[&str]| {
        let what = format!("{expected:?} are told");
        eventually_blocking(&what, SEEN, || (types(&world, "demo")[history..] == *expected).then_some(()));
    };
    world.namespace.scale("demo-web", 0);
    since(&["CheckFailed"]);
    world.namespace.scale("demo-web", 1);
    since(&["CheckFailed", "CheckPassed"]);
    let after = world.info("demo");
    assert_eq!((&after["status"], &after["changed_at"]), (&"Running".into(), &before), "{after}");

    world.namespace.scale("demo-web", 0);
    let down = becomes(&world, "demo", "Failure");
    assert_eq!(down["reason"], "check_failed");
    assert!(down["cause"].as_str().is_some_and(|cause| cause.contains("scaled to 0")), "{down}");
    assert_ne!(down["changed_at"], before);
    since(&["CheckFailed", "CheckPassed", "CheckFailed", "Failed"]);
}
