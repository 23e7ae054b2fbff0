//! `dms` killed while each verb runs, and started again.

use std::time::Duration;

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::Plane;
use dm_tests::processes::{self, Process};
use serde_json::Value;

use super::{assert_one_release, objects, revisions};
use crate::hand::PLAIN;
use crate::world::{SEEN, SOON, Start, World};

/// By when a wrapper, and what it has started, has ended with its `dms`.
const TREE: Duration = Duration::from_secs(20);

/// What belongs to a `dms`, but for clients of it.
fn living(world: &World) -> Vec<Process> {
    let of = processes::of(world.dms.home());
    of.into_iter().filter(|process| !process.command.contains("/dmc ")).collect()
}

/// Kills `dms` as soon as something with these words runs, sees all of it end, and starts it again.
fn killed_in(world: &mut World, words: &str) {
    eventually_blocking(words, SEEN, || living(world).iter().any(|one| one.command.contains(words)).then_some(()));
    world.dms.kill();
    eventually_blocking("its tree is gone", TREE, || living(world).is_empty().then_some(()));
    world.dms.restart();
}

/// Waits until a staging is where it should be.
fn becomes(world: &World, status: &str) {
    world.ok(&["wait", "demo", "--for", status, "--timeout", SOON]);
}

/// How often the last run was begun.
fn attempts(world: &World) -> u64 {
    let is_over = |run: &Value| run["state"] == "succeeded";
    let run = eventually_blocking("its run is over", SEEN, || Some(world.last_run("demo")).filter(is_over));
    run["attempt"].as_u64().expect("a run has attempts")
}

#[test]
fn dms_is_killed_during_each_verb_and_the_next_one_does_it_again() {
    let plane = Plane::shared();
    let start = Start::on(&plane).argument("--allow-short-times").argument("--check-interval=1s");
    let mut world = start.start();

    world.ok(&[&["create", "demo", "--tag=1.0.0", "-y"], &PLAIN[..]].concat());
    killed_in(&mut world, "/helm upgrade");
    becomes(&world, "running");
    assert_eq!(attempts(&world), 2);
    assert_one_release(&world.namespace, "demo");

    killed_in(&mut world, "/kubernetes/check ");
    asked_for(&mut world);
    world.ok(&["update", "demo", "--tag=2.0.0", "-y"]);
    killed_in(&mut world, "/helm upgrade");
    becomes(&world, "running");
    assert_eq!((attempts(&world), world.info("demo")["tag"].as_str()), (2, Some("2.0.0")));
    assert_one_release(&world.namespace, "demo");

    world.ok(&["delete", "demo", "-y"]);
    killed_in(&mut world, "/kubernetes/delete ");
    killed_in(&mut world, "/kubernetes/archive_check ");
    becomes(&world, "archived");
    assert_eq!(attempts(&world), 2);

    world.ok(&["restore", "demo", "-y"]);
    killed_in(&mut world, "/helm upgrade");
    becomes(&world, "running");
    assert_eq!(attempts(&world), 2);
    assert_one_release(&world.namespace, "demo");

    world.done(&["delete", "demo"]);
    world.ok(&["cleanup", "demo", "-y"]);
    killed_in(&mut world, "/kubernetes/cleanup ");
    world.ok(&["wait", "demo", "--for", "gone", "--timeout", SOON]);
    assert_eq!(objects(&world.namespace).len(), 0, "{:?}", objects(&world.namespace));
    assert_eq!(revisions(&world.namespace, "demo"), Vec::<Value>::new());
    let is_failure = |event: &Value| matches!(event["type"].as_str(), Some("Failed" | "CheckFailed"));
    let failures: Vec<Value> = world.events("demo").into_iter().filter(is_failure).collect();
    assert_eq!(failures, Vec::<Value>::new());
}

/// `dms` is killed while it asks whether a configuration may be: what was asked for is then accepted, or can be asked again.
fn asked_for(world: &mut World) {
    let wanted = ["update", "demo", "--tag=1.5.0", "-y"];
    let mut asking = world.command(&wanted).spawn().expect("dmc was built");
    killed_in(world, "/kubernetes/config_check ");
    let status = eventually_blocking("dmc ends", SEEN, || asking.try_wait().expect("it is a child of this process"));
    if !status.success() {
        world.ok(&wanted);
    }
    becomes(world, "running");
    assert_eq!(world.info("demo")["tag"], "1.5.0");
}
