//! The wrapper that runs before all others.

use dm_api::{ActivityKind, Status};
use dm_tests::eventually::eventually;
use serde_json::json;

use super::world::{SOON, World, restart};

#[tokio::test(flavor = "multi_thread")]
async fn until_init_has_ended_well_nothing_is_run_and_then_everything_goes_on() {
    let world = World::start("", &["init", "defaults"], |setup| setup).await;
    eventually("without a script it ends well", SOON, async || {
        world.dms.log().contains("init ended well").then_some(())
    })
    .await;
    world.create("old").await;
    world.wait_status("old", Status::Running).await;

    world.script("init", "echo \"$# $*\" > seen; [ -e ready ] || { echo 'no cluster yet' >&2; exit 3; }");
    let mut world = world;
    world.dms.terminate();
    let world = restart(world).await;
    world.wait_for_file("seen").await;
    let create = world.dms.client().post(world.url("/stagings")).json(&json!({"name": "new", "tag": "v1"}));
    let problem = eventually("it says why", SOON, async || {
        let request = create.try_clone().expect("a body in memory");
        let answer = request.send().await.expect("dms answers");
        assert_eq!(answer.status(), 503, "a create needs defaults");
        assert!(answer.headers().contains_key("retry-after"));
        let problem: dm_api::Problem = answer.json().await.expect("a problem");
        assert_eq!(problem.code, "init_unfinished");
        problem.detail.contains("no cluster yet").then_some(problem)
    })
    .await;
    assert!(problem.detail.starts_with("init: has failed"), "{problem:?}");
    assert_eq!(world.staging("old").await.status, Status::Running, "reads go on");
    world.post("/stagings/old/delete", json!({})).await;
    let waits = world.staging("old").await;
    assert_eq!(
        waits.activity.map(|activity| activity.kind),
        Some(ActivityKind::Queued),
        "a delete is accepted and waits"
    );
    let before = world.records().len();

    std::fs::write(world.file("ready"), "").expect("a file");
    world.wait_status("old", Status::Archived).await;
    assert_eq!(world.records().len(), before + 2, "one delete, begun and ended");
    let seen = std::fs::read_to_string(world.file("seen")).expect("it was called");
    assert!(seen.starts_with("6 --project-name dm --base-domain"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_init_delays_no_stop() {
    let mut world = World::start("", &["init"], |setup| setup).await;
    world.script("init", "touch hangs; trap '' TERM; while true; do read -t 1 < /dev/zero || :; done");
    world.dms.terminate();
    let mut world = restart(world).await;
    world.wait_for_file("hangs").await;
    assert!(world.dms.terminate().success(), "the harness bounds the time, and sees that nothing is left");
}
