//! What is refused before anything is changed.

use std::fs;
use std::path::Path;

use dm_tests::kubernetes::{Plane, chart};
use serde_json::Value;

use super::{copied, types};
use crate::world::{Start, World};

/// Everything of a staging with its UID and its version: whatever is changed has another one.
fn objects(world: &World, name: &str) -> Vec<String> {
    let selector = format!("dm/staging={name}");
    let objects = world.namespace.get("deployments,replicasets,pods,configmaps,secrets", &selector);
    let told = |object: &Value| {
        let meta = &object["metadata"];
        format!("{} {} {} {}", object["kind"], meta["name"], meta["uid"], meta["resourceVersion"])
    };
    objects.iter().map(told).collect()
}

#[test]
fn fault_12_a_cleanup_of_what_is_not_archived_touches_no_object() {
    let plane = Plane::shared();
    let world = Start::on(&plane).chart("small").start();
    world.done(&["create", "runs", "--tag", "1.0.0"]);
    let failed = world.dmc(&["create", "fails", "--tag", "1.0.0", "--staging", "stage=missing", "--wait", "-y"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    for (name, status) in [("runs", "Running"), ("fails", "Failure")] {
        assert_eq!(world.status(name), status);
        let (before, history) = (objects(&world, name), types(&world, name));
        assert!(before.iter().any(|object| object.contains("Deployment")), "{before:?}");
        let refused = world.dmc(&["cleanup", name, "-y", "--wait"]);
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.stderr.contains("delete"), "it says what has to come before: {refused:?}");
        assert_eq!((types(&world, name), world.status(name).as_str()), (history, status));
        if status == "Running" {
            // Pods of the other one are being tried all the time.
            assert_eq!(objects(&world, name), before);
        }
        let runs = world.json(&["runs", name]);
        assert_eq!(runs.as_array().map(Vec::len), Some(1), "nothing else has run: {runs}");
    }
}

#[test]
fn fault_18_the_chart_is_asked_with_the_new_configuration() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    let own = copied(&chart("small"), start.namespace().folder());
    withdraw(&own, "2.0.0");
    let world = start.chart_at(&own).start();
    world.done(&["create", "demo", "--tag", "1.0.0"]);

    // The old tag is fine, the new one is not.
    let refused = world.dmc(&["update", "demo", "--tag", "2.0.0", "-y"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("tag 2.0.0 is withdrawn"), "{refused:?}");
    // The other way round; and with a value in place of the tag.
    withdraw(&own, "1.0.0");
    world.done(&["update", "demo", "--tag", "2.0.0"]);
    let refused = world.dmc(&["update", "demo", "--staging", "replicas=-1", "-y"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("spec.replicas"), "{refused:?}");
    assert_eq!((world.info("demo")["tag"].as_str(), world.status("demo").as_str()), (Some("2.0.0"), "Running"));
}

/// The chart refuses this tag from now on, and only this.
fn withdraw(chart: &Path, tag: &str) {
    let rule =
        format!("{{{{ if eq .Values.image.tag {tag:?} }}}}{{{{ fail \"tag {tag} is withdrawn\" }}}}{{{{ end }}}}\n");
    fs::write(chart.join("templates/withdrawn.yaml"), rule).expect("the copy is ours");
}
