//! A staging's whole life, through `dmc`, on a real control plane.

use dm_tests::kubernetes::{Plane, Reclaim};

use crate::world::Start;

#[test]
fn a_staging_lives_its_whole_life() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    start.namespace().volume("data-demo-db-0", "1Gi", Reclaim::Delete);
    start.namespace().volume("demo-files", "2Gi", Reclaim::Retain);
    let world = start.start();
    world.done(&["create", "demo", "--tag", "1.0.0"]);
    assert_eq!(world.status("demo"), "Running");
    assert_eq!(world.info("demo")["links"][0]["url"], "https://demo.staging.test/");

    world.done(&["delete", "demo"]);
    assert_eq!(world.status("demo"), "Archived");
    world.done(&["restore", "demo", "--tag", "2.0.0"]);
    assert_eq!(world.status("demo"), "Running");
    world.done(&["delete", "demo"]);
    world.done(&["cleanup", "demo"]);
    assert_eq!(world.namespace.get("all,pvc,secrets,ingresses", "dm/staging=demo"), Vec::<serde_json::Value>::new());
}
