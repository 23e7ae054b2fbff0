//! Hook jobs, for which helm waits: one that cannot begin ends the run, not helm's time.

use std::time::Duration;

use dm_tests::kubernetes::Plane;

use super::{AT_ONCE, LEAN, finished, holds, is_done, is_failure, pods, since, types};
use crate::world::{Start, World};

/// The status of each revision that helm keeps, the oldest first.
fn revisions(world: &World, name: &str) -> Vec<String> {
    let mut secrets = world.namespace.get("secrets", &format!("owner=helm,name={name}"));
    secrets.sort_by_key(|secret| secret["metadata"]["labels"]["version"].as_str().unwrap().parse::<u32>().unwrap());
    secrets.iter().map(|secret| secret["metadata"]["labels"]["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_hook_whose_image_is_not_there_ends_the_run_and_helm_with_it() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    let cases = [("post", "post-install,post-upgrade"), ("pre", "pre-install,pre-upgrade")];
    std::thread::scope(|scope| {
        for (name, when) in cases {
            let world = &world;
            scope.spawn(move || ends_with_its_hook(world, name, &format!("hook.when={when}")));
        }
    });
}

fn ends_with_its_hook(world: &World, name: &str, when: &str) {
    let overrides = [&LEAN[..], &["hook.enabled=true", "hook.stage=missing", when]].concat();
    let cause = is_failure(world, "create", name, "1", &overrides, "run_failed");
    holds(&cause, &["hook job: pod ", "-migrate-", ", container migrate: ", "ImagePull", "not found"]);
    let took = finished(world, name) - since(&pods(world, name, "migrate")[0], "Ready");
    // helm is looked after each 2 s, and asked to stop.
    assert!(took.to_std().is_ok_and(|took| took < AT_ONCE + Duration::from_secs(2)), "{name}: {took}");
    assert_eq!(revisions(world, name), ["failed"], "helm was asked to stop, and said so");

    is_done(world, "update", name, "2", &["hook.stage=done"]);
    assert_eq!(revisions(world, name).last().map(String::as_str), Some("deployed"));
    let cause = is_failure(world, "update", name, "3", &["hook.stage=missing"], "run_failed");
    holds(&cause, &["hook job: pod "]);
    is_done(world, "update", name, "4", &["hook.stage=done"]);
    let failed = types(world, name).iter().filter(|one| *one == "Failed").count();
    assert_eq!(failed, 2);
}

#[test]
fn a_hook_that_waits_for_pods_that_never_run_does_not_hide_their_cause() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    is_done(&world, "create", "web", "1", &[&LEAN[..], &["hook.enabled=true"]].concat());
    let cause = is_failure(&world, "update", "web", "2", &["web.stage=missing", "hook.stage=long"], "run_failed");
    holds(&cause, &["deployment web-web: pod web-web-", ", container web: ", "ImagePull", "not found"]);
    let broken =
        pods(&world, "web", "web").into_iter().find(|pod| pod["spec"]["containers"][0]["image"] == "dm.test/missing:2");
    let took = finished(&world, "web") - since(&broken.expect("it is there"), "Ready");
    assert!(took.to_std().is_ok_and(|took| took < AT_ONCE + Duration::from_secs(2)), "{took}");
    assert_eq!(revisions(&world, "web").last().map(String::as_str), Some("failed"));

    // What was broken before has no say while a hook comes first.
    let next = ["web.stage=ready", "hook.stage=done", "hook.when=pre-install,pre-upgrade"];
    is_done(&world, "update", "web", "3", &next);
}
