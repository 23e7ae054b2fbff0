//! Runs that are told to stop, by a person or by their time; and a helm that is not of DM at work on the same release.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Namespace, Plane, chart};
use dm_tests::processes;
use serde_json::{Value, json};

use super::{assert_one_release, is_pending, revisions, statuses};
use crate::hand::{Hand, PLAIN, plain};
use crate::world::{SEEN, Start, World, repository};

/// How long a create of the hurried wrappers may take.
const HURRY: u64 = 6;

/// The wrappers in another folder, with another limit.
fn hurried(folder: PathBuf) -> PathBuf {
    fs::create_dir(&folder).unwrap();
    let ours = repository().join("wrappers/kubernetes");
    for verb in ["create", "update", "delete", "cleanup", "check", "archive_check", "defaults", "config_check"] {
        symlink(ours.join("dm-kubernetes"), folder.join(verb)).unwrap();
    }
    fs::write(folder.join("wrappers.toml"), format!("contract = 1\n[limits]\ncreate = {HURRY}\n")).unwrap();
    folder
}

/// A create whose hook never ends, begun.
fn create(world: &World, name: &str) {
    let arguments = ["create", name, "--tag=1.0.0", "-y", "--staging=hook.stage=long"];
    world.ok(&[&arguments, &PLAIN[..]].concat());
}

/// Nothing of its wrapper runs, and helm has been asked to end: it has put its release in order.
fn assert_stopped(world: &World, name: &str) {
    let runs = || processes::of(world.dms.home()).into_iter().filter(|one| one.command.contains("upgrade")).count();
    eventually_blocking("helm has ended", SEEN, || (runs() == 0).then_some(()));
    assert_eq!(statuses(&world.namespace, name), ["failed"]);
}

/// The next update completes what was stopped.
fn assert_mended(world: &World, name: &str) {
    world.done(&["update", name, "--staging=hook.stage=done"]);
    world.becomes(name, "Running");
    assert_one_release(&world.namespace, name);
}

#[test]
fn a_create_that_is_stopped_leaves_a_release_that_the_next_update_completes() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    let folder = hurried(start.namespace().folder().join("hurried"));
    let world = start.argument(&format!("--wrappers={}", folder.display())).start();

    create(&world, "late");
    eventually_blocking("its time is over", SEEN, || (world.status("late") == "Failure").then_some(()));
    let run = world.last_run("late");
    assert_eq!(run["outcome"], "time limit", "{run}");
    assert_stopped(&world, "late");
    assert_mended(&world, "late");

    create(&world, "demo");
    eventually_blocking("helm is at work", SEEN, || is_pending(&world.namespace, "demo").then_some(()));
    world.ok(&["cancel", "demo", "--wait", "--timeout", "1m", "-y"]);
    assert_stopped(&world, "demo");
    assert_mended(&world, "demo");
}

/// Kills the helm that is at work for this `dms`, as soon as it is.
fn kill_helm(world: &World) {
    let helm = eventually_blocking("helm is at work", SEEN, || {
        processes::of(world.dms.home()).into_iter().find(|one| one.command.contains("/helm upgrade"))
    });
    helm.kill();
}

#[test]
fn a_run_whose_helm_is_killed_fails_with_that_cause_and_the_next_one_repairs_it() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    create(&world, "demo");
    eventually_blocking("helm is at work", SEEN, || is_pending(&world.namespace, "demo").then_some(()));
    kill_helm(&world);
    let fails = || eventually_blocking("the run fails", SEEN, || (world.status("demo") == "Failure").then_some(()));
    fails();
    let run = world.last_run("demo");
    assert!(run["cause"].as_str().unwrap().contains("helm upgrade was killed"), "{run}");
    assert!(is_pending(&world.namespace, "demo"));
    assert_mended(&world, "demo");
    let said = format!("repairing: helm was killed in run {} and left", run["id"].as_str().unwrap());
    assert!(world.output("demo").contains(&said), "{}", world.output("demo"));

    world.ok(&["update", "demo", "--tag=2.0.0", "-y"]);
    kill_helm(&world);
    fails();
    world.done(&["retry", "demo"]);
    world.becomes("demo", "Running");
    assert_eq!(world.info("demo")["tag"], "2.0.0");
    assert_one_release(&world.namespace, "demo");
}

/// A helm of somebody else that waits for its hook.
fn other_helm(namespace: &Namespace, name: &str, stage: &str) -> std::process::Child {
    let values = namespace.folder().join(format!("{name}.json"));
    let mut wanted = plain();
    wanted["hook"]["stage"] = stage.into();
    fs::write(&values, wanted.to_string()).unwrap();
    let mut helm = namespace.helm();
    helm.args(["upgrade", "--install", name]).arg(chart("product")).arg("--values").arg(values);
    helm.stdout(Stdio::null()).stderr(Stdio::null());
    let child = helm.spawn().unwrap();
    eventually_blocking("the other helm is at work", SEEN, || is_pending(namespace, name).then_some(()));
    child
}

#[test]
fn another_helm_at_work_is_waited_for_and_left_alone() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let hand = Hand::on(&plane, &namespace, "product", &plain(), "");
    let impatient = hand.clone().variable("DM_WRAPPER_LIMITS__OTHER_HELM", "2");

    hand.done("create", "busy", "1.0.0");
    let mut busy = other_helm(&namespace, "busy", "long");
    let before = revisions(&namespace, "busy");
    for verb in ["create", "delete", "cleanup"] {
        let called = impatient.call(verb, "busy", "1.0.0");
        assert_eq!(called.code, Some(1), "{called:?}");
        assert!(called.cause().starts_with("another helm, not of DM, is at work on this release"), "{called:?}");
        assert!(called.has_step("another helm is at work") && !called.has_step("repairing"), "{called:?}");
        assert!((Duration::from_secs(2)..Duration::from_secs(20)).contains(&called.took), "{:?}", called.took);
    }
    // Also when it was killed, because nobody knows that.
    busy.kill().unwrap();
    busy.wait().unwrap();
    assert_eq!(impatient.call("update", "busy", "1.0.0").code, Some(1));
    assert_eq!(revisions(&namespace, "busy"), before);

    // It ends while it is waited for.
    hand.done("create", "brief", "1.0.0");
    let mut brief = other_helm(&namespace, "brief", "done");
    let called = hand.done("update", "brief", "2.0.0");
    assert!(brief.wait().unwrap().success());
    assert!(called.has_step("another helm is at work"), "{called:?}");
    assert_one_release(&namespace, "brief");
}

#[test]
fn a_release_that_dm_did_not_make_is_left_alone_until_it_is_handed_over() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let hand = Hand::on(&plane, &namespace, "product", &plain(), "");
    // While its helm is at work, too: waiting would not make it DM's.
    let mut brief = other_helm(&namespace, "brief", "done");
    for verb in ["create", "delete", "cleanup"] {
        let called = hand.call(verb, "brief", "2.0.0");
        assert_eq!(called.code, Some(1), "{called:?}");
        assert!(called.cause().starts_with("there is a helm release brief that DM did not make"), "{called:?}");
    }
    assert!(brief.wait().unwrap().success());
    let before = revisions(&namespace, "brief");
    for verb in ["create", "delete", "cleanup"] {
        let called = hand.call(verb, "brief", "2.0.0");
        assert_eq!(called.code, Some(1), "{called:?}");
        assert!(called.cause().starts_with("there is a helm release brief that DM did not make"), "{called:?}");
    }
    assert_eq!(revisions(&namespace, "brief"), before);
    let deployed = namespace.find("deployment", "brief-web").unwrap_or(Value::Null);
    assert_eq!(deployed["spec"]["replicas"], 1);

    // Handed over as the sentence says, it is a staging like any other.
    let secret = "sh.helm.release.v1.brief.v1";
    namespace.by_hand(&["label", "secret", secret, "dm/staging=brief"]);
    hand.done("create", "brief", "2.0.0");
    hand.until("check", "brief", "2.0.0");
    assert_one_release(&namespace, "brief");
}

#[test]
fn a_release_that_somebody_uninstalls_is_not_touched_until_that_is_over() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let mut values = plain();
    for (key, value) in [("enabled", json!(true)), ("stage", json!("long")), ("when", json!("post-delete"))] {
        values["hook"][key] = value;
    }
    let hand = Hand::on(&plane, &namespace, "product", &values, "[limits]\nother_helm = 2\n");
    hand.done("create", "gone", "1.0.0");
    // It waits for its hook, which has no end.
    let mut helm = namespace.helm();
    let mut uninstall = helm.args(["uninstall", "gone"]).stdout(Stdio::null()).spawn().unwrap();
    eventually_blocking("helm uninstalls it", SEEN, || {
        assert_eq!(uninstall.try_wait().unwrap(), None, "helm has ended");
        statuses(&namespace, "gone").iter().any(|status| status == "uninstalling").then_some(())
    });
    for verb in ["create", "delete", "cleanup"] {
        let called = hand.call(verb, "gone", "1.0.0");
        assert!(called.code == Some(1) && called.has_step("another helm is at work"), "{called:?}");
        assert!(called.cause().contains("sh.helm.release.v1.gone.v1 is uninstalling"), "{called:?}");
    }
    uninstall.kill().unwrap();
    uninstall.wait().unwrap();
    // As the sentence says.
    namespace.by_hand(&["delete", "secret", "sh.helm.release.v1.gone.v1"]);
    hand.done("create", "gone", "1.0.0");
    hand.until("check", "gone", "1.0.0");
    assert_one_release(&namespace, "gone");
}
