//! What may still become well: the run ends well, checks are asked, and only their time decides.

use dm_tests::kubernetes::Plane;

use super::{LEAN, holds, is_done, is_failure, pods, types};
use crate::world::Start;

#[test]
fn what_may_still_become_ready_is_unconfirmed_when_its_time_is_over() {
    let plane = Plane::shared();
    let short = ["--allow-short-times", "--status-timeout=4s", "--awaiting-interval=1s"];
    let world = short.into_iter().fold(Start::on(&plane).settings("limits.follow = 3"), Start::argument).start();
    let cases = [
        ("never", &["deployment never-web: 0 of 1 ready"][..]),
        (
            "unreachable",
            &["deployment unreachable-web: 0 of 1 ready; pod unreachable-web-", "container web: ", "i/o timeout"],
        ),
    ];
    std::thread::scope(|scope| {
        for (stage, says) in cases {
            let world = &world;
            scope.spawn(move || {
                let stage_of_web = format!("web.stage={stage}");
                let overrides = [&LEAN[..], &[&stage_of_web]].concat();
                let cause = is_failure(world, "create", stage, "1", &overrides, "unconfirmed");
                holds(&cause, says);
                let ended = world.events(stage).into_iter().find(|event| event["type"] == "RunFinished").unwrap();
                assert_eq!(ended["data"]["outcome"]["exited"], 0, "the run itself went well");
                holds(
                    &world.output(stage),
                    &["waiting for deployment ", " (0 of 1)", "not ready yet, left to the checks"],
                );
            });
        }
    });
    // What becomes ready after all is found by the checks.
    is_done(&world, "update", "never", "2", &["web.stage=slow"]);
}

#[test]
fn dying_pods_of_an_earlier_version_are_no_trouble() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    is_done(&world, "create", "old", "1", &[&LEAN[..], &["web.stage=lingers"]].concat());
    is_done(&world, "update", "old", "2", &["web.stage=ready"]);
    let lingering = pods(&world, "old", "web");
    let dying = lingering.iter().filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null()).count();
    assert_eq!((dying, lingering.len()), (1, 2), "the old pod takes its time");
    assert!(!types(&world, "old").contains(&"Failed".to_owned()));
    assert_eq!(world.verb("check", "old", "2").code, 0);
}
