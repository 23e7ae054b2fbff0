//! Fault 25: what the scripts that came with Octopod did wrong in a cluster, each half by itself.

use std::fs;

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Plane, Reclaim, Rules};
use serde_json::{Value, json};

use super::becomes;
use crate::world::{SEEN, Start, World};

/// Replicas that a workload has, and those of them that are ready.
fn replicas(world: &World, kind: &str, name: &str) -> (Option<i64>, Option<i64>) {
    let found = world.namespace.find(kind, name).expect("it is there");
    (found["spec"]["replicas"].as_i64(), found["status"]["readyReplicas"].as_i64())
}

#[test]
fn fault_25_a_restore_brings_back_as_many_as_there_were() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    for ordinal in 0..2 {
        start.namespace().volume(&format!("data-demo-db-{ordinal}"), "1Gi", Reclaim::Delete);
    }
    let world = start.start();
    let numbers = ["--staging", "web.replicas=3", "--staging", "db.replicas=2", "--staging", "files.enabled=false"];
    world.done(&[&["create", "demo", "--tag", "1.0.0"][..], &numbers].concat());
    // Somebody has needed one more.
    world.namespace.scale("demo-web", 4);
    world.done(&["delete", "demo"]);
    let archived = [replicas(&world, "deployments", "demo-web"), replicas(&world, "statefulsets", "demo-db")];
    assert_eq!(archived, [(Some(0), None), (Some(0), None)]);
    world.done(&["restore", "demo"]);
    let restored = [replicas(&world, "deployments", "demo-web"), replicas(&world, "statefulsets", "demo-db")];
    assert_eq!(restored, [(Some(4), Some(4)), (Some(2), Some(2))]);
}

#[test]
fn fault_25_an_archive_is_gone_when_the_cluster_says_so_and_at_no_error() {
    let plane = Plane::shared();
    let world = Start::on(&plane).chart("small").start();
    world.done(&["create", "demo", "--tag", "1.0.0", "--staging", "stage=lingers"]);
    let ask = |kubeconfig| world.verb_by(kubeconfig, "archive_check", "demo", "1.0.0");
    assert_eq!(ask(plane.kubeconfig()).code, 1, "it runs");
    world.ok(&["delete", "demo", "-y"]);

    let nobody = world.namespace.user("nobody", &Rules::default());
    let away = world.namespace.folder().join("away");
    // Nobody listens on the port that is for nothing.
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "away",
        "clusters": [{"name": "away", "cluster": {"server": "https://127.0.0.1:9"}}],
        "contexts": [{"name": "away", "context": {"cluster": "away", "user": "away"}}],
        "users": [{"name": "away", "user": {"token": "none"}}],
    });
    fs::write(&away, config.to_string()).expect("the folder is ours");
    for (who, says) in [(&nobody, "forbidden"), (&away, "reached"), (&away.with_extension("not"), "KUBECONFIG")] {
        for verb in ["archive_check", "check"] {
            let ended = world.verb_by(who, verb, "demo", "1.0.0");
            assert_eq!(ended.code, 4, "{verb}: {ended:?}");
            assert!(ended.stderr.contains(says) || ended.stdout.contains(says), "{verb}: {ended:?}");
        }
    }
    becomes(&world, "demo", "Archived");
    assert_eq!(ask(plane.kubeconfig()).code, 0);
}

#[test]
fn fault_25_a_part_that_is_available_is_called_that() {
    let plane = Plane::shared();
    let start = Start::on(&plane).chart("small").argument("--allow-short-times").argument("--check-interval=500ms");
    let world = start.start();
    world.done(&["create", "demo", "--tag", "1.0.0"]);
    // No more pods than there are: the second one cannot be made.
    world.namespace.apply(
        &json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"}, "spec": {"hard": {"pods": "1"}},
        })
        .to_string(),
    );
    world.namespace.scale("demo-web", 2);
    let info = becomes(&world, "demo", "Failure");
    assert_eq!(info["reason"], "partly_available", "{info}");
    assert!(info["cause"].as_str().is_some_and(|cause| cause.contains("1 of 2 ready")), "{info}");
    assert_eq!(world.verb("check", "demo", "1.0.0").code, 2);
    world.namespace.scale("demo-web", 1);
    becomes(&world, "demo", "Running");
}

#[test]
fn fault_25_a_stateful_set_is_ready_when_its_pods_are() {
    let plane = Plane::shared();
    let start = Start::on(&plane).settings("limits.follow = 2").argument("--allow-short-times");
    let world = start.argument("--status-timeout=2s").argument("--awaiting-interval=500ms").start();
    world.namespace.volume("data-demo-db-0", "1Gi", Reclaim::Delete);
    let only =
        ["web", "files", "hook", "cron", "agent", "ingress"].map(|part| format!("--staging={part}.enabled=false"));
    let only: Vec<&str> = only.iter().map(String::as_str).collect();
    let create = ["create", "demo", "--tag", "1.0.0", "--staging", "db.stage=never", "--wait", "-y"];
    let ended = world.dmc(&[&create[..], &only].concat());
    assert_eq!(ended.code, 1, "{ended:?}");
    let set = world.namespace.find("statefulsets", "demo-db").expect("it is there");
    assert_eq!((&set["status"]["currentReplicas"], &set["status"]["replicas"]), (&json!(1), &json!(1)), "{set}");
    let info = world.info("demo");
    assert_eq!((&info["status"], &info["reason"]), (&"Failure".into(), &"unconfirmed".into()), "{info}");
    assert!(info["cause"].as_str().is_some_and(|cause| cause.contains("0 of 1 ready")), "{info}");
}

#[test]
fn fault_25_values_with_equals_signs_and_commas_arrive_as_they_are() {
    const GREETING: &str = r#"a=b=c, "d", {e}, [f]=1, \,=, env.color=red,web.port=1"#;
    const URL: &str = "https://logs.test/?q=a,b&x=%22demo%22";
    let plane = Plane::shared();
    let start = Start::on(&plane).settings(&format!("links = {{ \"logs, all\" = \"{URL}\" }}"));
    let world = start.start();
    let greeting = format!("greeting={GREETING}");
    let without = ["db", "files", "hook", "cron", "agent"].map(|part| format!("--staging={part}.enabled=false"));
    let without: Vec<&str> = without.iter().map(String::as_str).collect();
    let create = ["create", "demo", "--tag", "1.0.0", "--app", &greeting, "--app", "motto=x=,y"];
    world.done(&[&create[..], &without].concat());

    let web = world.namespace.find("deployments", "demo-web").expect("it is there");
    let variables = web["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("variables");
    let value = |name: &str| variables.iter().find(|variable| variable["name"] == name).map(|found| &found["value"]);
    let expected =
        [("greeting", GREETING), ("motto", "x=,y"), ("color", "teal"), ("features", r#"["search","export"]"#)];
    for (name, expected) in expected {
        assert_eq!(value(name), Some(&Value::from(expected)), "{name}");
    }
    // What wrappers print as CSV has commas and quotes too: links, and defaults.
    let link = eventually_blocking("links are read", SEEN, || {
        world.info("demo")["links"].as_array()?.iter().find(|link| link["name"] == "logs, all").cloned()
    });
    assert_eq!(link["url"], URL);
    let defaults = world.verb("defaults", "demo", "1.0.0");
    assert!(defaults.stdout.contains("staging,hook.when,\"post-install,post-upgrade\"\n"), "{defaults:?}");
    let info = world.info("demo");
    let keys = info["configuration"]["keys"].as_array().expect("keys");
    let when = keys.iter().find(|key| key["key"] == "hook.when").expect("it has a default");
    assert_eq!(when["text"], "post-install,post-upgrade", "{when}");
}
