//! From one version to the next: only the newest revision's pods speak.

use dm_tests::kubernetes::{Plane, Reclaim};
use serde_json::Value;

use super::{LEAN, holds, is_done, is_failure, pods, types};
use crate::world::{Start, World, local};

/// Types of events since the last request.
fn since_asked(world: &World, name: &str) -> Vec<String> {
    let types = types(world, name);
    let asked = types.iter().rposition(|one| one.ends_with("Requested")).expect("something was asked for");
    types[asked..].to_vec()
}

#[track_caller]
fn became_running_at_once(world: &World, name: &str, asked: &str) {
    let types: Vec<String> = since_asked(world, name).into_iter().filter(|one| one != "LinksRead").collect();
    assert_eq!(types, [asked, "RunStarted", "RunFinished", "BecameRunning"]);
}

#[test]
fn a_crash_loop_of_before_is_not_held_against_a_good_version() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    let cause = is_failure(&world, "create", "web", "1", &[&LEAN[..], &["web.stage=crash"]].concat(), "run_failed");
    holds(&cause, &["CrashLoopBackOff"]);
    is_done(&world, "update", "web", "2", &["web.stage=ready"]);
    became_running_at_once(&world, "web", "UpdateRequested");

    // The pods of before that still run are no reason to pass a version that does not.
    let cause = is_failure(&world, "update", "web", "3", &["web.stage=crash", "web.replicas=2"], "run_failed");
    holds(&cause, &["deployment web-web: pod web-web-", "CrashLoopBackOff"]);
    let ready = |pod: &Value| pod["status"]["containerStatuses"][0]["ready"] == true;
    assert!(pods(&world, "web", "web").iter().any(ready), "a pod of the version before is left");
    is_done(&world, "update", "web", "4", &["web.stage=ready"]);
    became_running_at_once(&world, "web", "UpdateRequested");
}

#[test]
fn a_broken_pod_of_a_stateful_set_is_replaced_by_that_of_a_good_version() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    start.namespace().volume("data-set-db-0", "1Gi", Reclaim::Delete);
    let world = start.start();
    let overrides = [&LEAN[..], &["web.enabled=false", "db.enabled=true", "db.stage=crash"]].concat();
    let cause = is_failure(&world, "create", "set", "1", &overrides, "run_failed");
    holds(&cause, &["stateful set set-db: pod set-db-0, container db: CrashLoopBackOff", "cannot open database"]);
    let broken = pods(&world, "set", "db")[0]["metadata"]["uid"].clone();
    is_done(&world, "update", "set", "2", &["db.stage=ready"]);
    became_running_at_once(&world, "set", "UpdateRequested");
    holds(&world.output("set"), &["replacing a pod of an earlier revision that never became ready: pod set-db-0"]);
    let pod = &pods(&world, "set", "db")[0];
    assert_ne!(pod["metadata"]["uid"], broken);
    assert_eq!(pod["spec"]["containers"][0]["image"], "dm.test/ready:2");
}

#[test]
fn an_old_crash_loop_does_not_pass_a_version_that_is_never_ready() {
    let plane = Plane::shared();
    let short = ["--allow-short-times", "--status-timeout=3s", "--awaiting-interval=1s"];
    let world = short.into_iter().fold(Start::on(&plane), Start::argument).start();
    is_failure(&world, "create", "web", "1", &[&LEAN[..], &["web.stage=crash"]].concat(), "run_failed");
    world.set("limits.follow = 3", &local("product"));
    let cause = is_failure(&world, "update", "web", "2", &["web.stage=never"], "unconfirmed");
    assert!(!cause.contains("CrashLoopBackOff"), "the old pod has no say: {cause}");
}

#[test]
fn the_first_cause_names_the_container_that_is_broken() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    let beside = ["web.sidecar=crash", "web.init=ready"];
    let cause = is_failure(&world, "create", "two", "1", &[&LEAN[..], &beside].concat(), "run_failed");
    holds(&cause, &["pod two-web-", ", container sidecar: CrashLoopBackOff: ", "cannot open database"]);
    assert!(!cause.contains("container web") && !cause.contains("container init"), "{cause}");
}

#[test]
fn the_first_cause_names_an_init_container_that_does_not_end_well() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    let overrides = [&LEAN[..], &["web.stage=unreachable", "web.init=ready", "web.sidecar=ready"]].concat();
    std::thread::scope(|scope| {
        let cause = scope.spawn(|| is_failure(&world, "create", "first", "1", &overrides, "run_failed"));
        let pod = dm_tests::eventually::eventually_blocking("a pod has a status", crate::world::SEEN, || {
            pods(&world, "first", "web").into_iter().find(|pod| pod["status"]["containerStatuses"].is_array())
        });
        // What a node would say of it.
        let waiting = |name: &str, reason: &str, restarts: u32| {
            serde_json::json!({
                "name": name, "image": "dm.test/ready:1", "imageID": "", "ready": false, "restartCount": restarts,
                "state": {"waiting": {"reason": reason}}, "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
            })
        };
        let status = serde_json::json!({"status": {
            "phase": "Pending",
            "initContainerStatuses": [waiting("init", "CrashLoopBackOff", 5)],
            "containerStatuses": [waiting("web", "PodInitializing", 0), waiting("sidecar", "PodInitializing", 0)],
        }});
        let mut patch = world.namespace.kubectl();
        patch.args(["patch", "pod", pod["metadata"]["name"].as_str().unwrap(), "--subresource=status"]);
        dm_tests::kubernetes::run(patch.args(["--type=merge", "--patch", &status.to_string()]));
        holds(&cause.join().unwrap(), &[", container init: CrashLoopBackOff: restarted 5 times, exit code 3"]);
    });
}
