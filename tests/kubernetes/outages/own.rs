//! The API server stopped and frozen, on planes of the tests' own.

use std::fs;
use std::time::{Duration, Instant};

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::Plane;

use super::{Scene, assert_cannot_tell, deployment, last};
use crate::hand::{Called, Hand, PLAIN, plain, run_id};
use crate::kills::{assert_one_release, is_pending};
use crate::world::{SEEN, Start};

/// How an API server is taken away, and brought back.
struct Outage {
    take: fn(&Plane),
    give: fn(&Plane),
}

/// What is said of an API server that does not answer.
const AWAY: &[&str] = &["the API server cannot be reached", "the API server does not answer in time"];

/// Seconds that helm gives a hook, and when the wrapper kills it.
const HELM: u64 = 15;
const CALL: Duration = Duration::from_secs(HELM + 20);

/// Until a run that had all it needs is over, after the outage.
const RIGHT_AFTERWARDS: Duration = Duration::from_secs(30);

#[test]
fn while_the_api_server_is_stopped_nothing_flips_and_runs_end_with_that_cause_or_afterwards() {
    lived_through(&Outage { take: Plane::stop_api, give: Plane::start_api });
}

#[test]
fn while_the_api_server_is_frozen_nothing_flips_and_runs_end_with_that_cause_or_afterwards() {
    lived_through(&Outage { take: Plane::freeze_api, give: Plane::thaw_api });
}

fn lived_through(outage: &Outage) {
    let plane = Plane::own();
    let scene = Scene::begin(&plane, Start::on(&plane));
    let world = &scene.world;
    // One has applied everything and follows it, of the other helm waits for a hook.
    let follows =
        ["create", "follows", "--tag=1.0.0", "-y", "--staging=hook.enabled=false", "--staging=web.stage=slow"];
    world.ok(&[&follows, &PLAIN[..]].concat());
    eventually_blocking("one is applied", SEEN, || deployment(world, "follows"));
    let waiting = waiting(&scene).begin("create", "hooked", "1.0.0", &run_id());
    eventually_blocking("of the other the hook runs", SEEN, || is_pending(&world.namespace, "hooked").then_some(()));

    (outage.take)(&plane);
    let began = Instant::now();
    assert_cannot_tell(&scene.hand, AWAY);
    scene.until_unreadable();
    // A run that begins now ends with that cause.
    let called = scene.hand.call("create", "new", "1.0.0");
    assert!(called.code == Some(1) && is_away(&called), "{called:?}");
    last(began);
    (outage.give)(&plane);
    let began = Instant::now();

    eventually_blocking("the run that follows is over", SEEN, || {
        (world.last_run("follows")["state"] == "succeeded").then_some(())
    });
    assert!(began.elapsed() < RIGHT_AFTERWARDS, "{:?}", began.elapsed());
    world.becomes("follows", "Running");
    scene.assert_only_unreadable(1);

    // helm may well go on until it is killed.
    let called = waiting.end();
    assert!(called.code == Some(1) && is_away(&called), "{called:?}");
    assert!(called.took < CALL + Duration::from_mins(1), "{called:?}");
    assert_eq!(scene.hand.processes("hooked"), []);
    let was_pending = is_pending(&world.namespace, "hooked");
    eprintln!("after {:?}: {}; left pending: {was_pending}", called.took, called.cause());
    let called = scene.hand.done("create", "hooked", "1.0.0");
    assert_eq!(called.has_step("repairing: helm was killed in run "), was_pending, "{called:?}");
    assert_one_release(&world.namespace, "hooked");
}

/// A caller whose hooks never end, and whose helm has little time.
fn waiting(scene: &Scene) -> Hand {
    let mut values = plain();
    values["hook"]["stage"] = "long".into();
    let file = scene.world.namespace.folder().join("waiting.json");
    fs::write(&file, values.to_string()).unwrap();
    scene.hand.clone().variable("DM_STAGING_VALUES", file).variable("DM_WRAPPER_LIMITS__HELM", HELM.to_string())
}

/// Whether it names the API server as the cause.
fn is_away(called: &Called) -> bool {
    AWAY.iter().any(|why| called.cause().contains(why))
}
