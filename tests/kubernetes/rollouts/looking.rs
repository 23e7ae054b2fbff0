//! `check`, on what others have done to a staging.

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::Plane;

use super::{LEAN, holds, is_done, pods, types};
use crate::world::{SEEN, Start, World};

/// What it answers: its code and its words.
fn look(world: &World, name: &str, tag: &str) -> (i32, String) {
    let ended = world.verb("check", name, tag);
    (ended.code, format!("{}{}", ended.stdout, ended.stderr))
}

#[track_caller]
fn finds(world: &World, name: &str, tag: &str, code: i32, words: &[&str]) {
    let (found, said) = look(world, name, tag);
    assert_eq!(found, code, "{said}");
    holds(&said, words);
}

/// Until it answers so.
fn comes_to(world: &World, name: &str, tag: &str, code: i32, words: &str) {
    let mut last = (0, String::new());
    eventually_blocking(&format!("check says {code}: {words}"), SEEN, || {
        last = look(world, name, tag);
        (last.0 == code && last.1.contains(words)).then_some(())
    });
}

#[test]
fn a_check_tells_what_has_become_of_a_staging_by_hand() {
    let plane = Plane::shared();
    let world = Start::on(&plane).argument("--check-interval=1h").start();
    is_done(&world, "create", "web", "1", &[&LEAN[..], &["web.replicas=3"]].concat());
    finds(&world, "web", "1", 0, &["web runs with tag 1"]);
    finds(&world, "web", "2", 3, &["tag 1 is running instead of 2"]);
    finds(&world, "other", "1", 1, &["nothing of other was applied in namespace "]);

    // Another number by hand is somebody's wish, 0 is not.
    world.namespace.by_hand(&["scale", "deployment/web-web", "--replicas=2"]);
    comes_to(&world, "web", "1", 0, "web runs");
    world.namespace.by_hand(&["scale", "deployment/web-web", "--replicas=0"]);
    finds(&world, "web", "1", 1, &["deployment web-web was scaled to 0"]);
    eventually_blocking("no pod is left", SEEN, || pods(&world, "web", "web").is_empty().then_some(()));
    finds(&world, "web", "1", 1, &["deployment web-web was scaled to 0"]);
    world.namespace.by_hand(&["scale", "deployment/web-web", "--replicas=3"]);
    comes_to(&world, "web", "1", 0, "web runs");

    // A rolling update by hand: to an image that does not come up some old pods serve, and then it is another image.
    world.namespace.by_hand(&["set", "image", "deployment/web-web", "web=dm.test/ready:9"]);
    comes_to(&world, "web", "1", 3, "container web: dm.test/ready:9 is running instead of dm.test/ready:1");
    world.namespace.by_hand(&["set", "image", "deployment/web-web", "web=dm.test/ready:1"]);
    comes_to(&world, "web", "1", 0, "web runs");
    world.namespace.by_hand(&["set", "env", "deployment/web-web", "BY=hand"]);
    world.namespace.by_hand(&[
            "patch",
            "deployment/web-web",
            "--type=json",
            "--patch",
            r#"[{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "more", "image": "dm.test/never:1"}}]"#,
        ],
    );
    comes_to(&world, "web", "1", 2, "deployment web-web");
    finds(&world, "web", "1", 2, &["deployment web-web"]);

    world.namespace.by_hand(&["delete", "deployment/web-web"]);
    finds(&world, "web", "1", 1, &["deployment web-web is not there"]);
    is_done(&world, "update", "web", "2", &[]);
    finds(&world, "web", "2", 0, &["web runs with tag 2"]);
    assert!(!types(&world, "web").contains(&"Failed".to_owned()));
}

#[test]
fn a_staging_without_pods_is_never_green_while_a_number_is_remembered() {
    let plane = Plane::shared();
    let world = Start::on(&plane).argument("--check-interval=1h").start();
    let with_hpa = [&LEAN[..6], &["hpa.enabled=true", "hpa.min=1", "hpa.max=2"]].concat();
    is_done(&world, "create", "plain", "1", &LEAN);
    is_done(&world, "create", "scaled", "1", &with_hpa);
    for name in ["plain", "scaled"] {
        world.done(&["delete", name]);
        assert_eq!(world.status(name), "Archived");
        finds(&world, name, "1", 1, &[" is archived (it had "]);
        assert_eq!(world.verb("archive_check", name, "1").code, 0);
        // helm by hand brings back what it knows of, and nothing of what runs.
        let deployment = format!("deployment/{name}-web");
        world.namespace.by_hand(&["scale", &deployment, "--replicas=0"]);
        finds(&world, name, "1", 1, &[" is archived (it had "]);
    }
}

#[test]
fn dms_sees_what_was_scaled_down_by_hand_and_sees_it_come_back() {
    let plane = Plane::shared();
    let world = Start::on(&plane).argument("--allow-short-times").argument("--check-interval=1s").start();
    is_done(&world, "create", "web", "1", &LEAN);
    world.namespace.by_hand(&["scale", "deployment/web-web", "--replicas=0"]);
    let info = eventually_blocking("it is a failure", SEEN, || {
        let info = world.info("web");
        (info["status"] == "Failure").then_some(info)
    });
    assert_eq!(
        (info["reason"].as_str(), info["cause"].as_str()),
        (Some("check_failed"), Some("deployment web-web was scaled to 0"))
    );
    world.namespace.by_hand(&["scale", "deployment/web-web", "--replicas=1"]);
    eventually_blocking("it runs", SEEN, || (world.status("web") == "Running").then_some(()));
}
