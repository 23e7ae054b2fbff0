//! The clock of a `dms` is two hours wrong, and no other one is.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dm_api::{Problem, Run, Staging, StagingList, Status};
use dm_tests::dms::{Dms, Setup};
use dm_tests::eventually::eventually;
use serde_json::json;

use super::world::{SOON, World};

/// An age of something that this test has made is never more.
const AGE_MAX: i64 = 100_000;

/// Where the library is that lies about the time.
fn library() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib").expect("there is /usr/lib").filter_map(Result::ok);
    let library = |folder: PathBuf| folder.join("faketime/libfaketime.so.1");
    let found = found.map(|entry| library(entry.path())).find(|path| path.exists());
    found.expect("libfaketime is installed: script/bootstrap test")
}

/// Wrong by `by`; what measures how long something takes stays right.
fn wrong(setup: Setup, by: &str) -> Setup {
    let library = library();
    setup
        .variable("LD_PRELOAD", library.to_str().expect("a path is text"))
        .variable("FAKETIME", by)
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

async fn staging(dms: &Dms, name: &str) -> Staging {
    let answer = dms.client().get(dms.url(&format!("/api/v1/stagings/{name}"))).send().await.expect("dms answers");
    answer.json().await.expect("a staging")
}

async fn archived_for(dms: &Dms, seconds: u32) -> Vec<String> {
    let url = dms.url(&format!("/api/v1/stagings?archived=true&archived_for={seconds}"));
    let answer = dms.client().get(url).send().await.expect("dms answers");
    let status = answer.status();
    let text = answer.text().await.expect("text");
    assert!(status.is_success(), "{status} {text}");
    let list: StagingList = serde_json::from_str(&text).expect("a list");
    list.items.into_iter().map(|one| one.name).collect()
}

/// Ages, waits and deadlines of one staging, through a `dms` with a wrong clock and one with a right one.
async fn lives(world: &World, right: &Dms) {
    // Checks and the wait for a pass.
    world.script("check", "[ -e passes ] || exit 1");
    let begun = Instant::now();
    world.create("demo").await;
    eventually("it waits for a check", SOON, async || {
        let activity = world.staging("demo").await.activity?;
        (activity.kind == dm_api::ActivityKind::WaitingForCheck).then_some(())
    })
    .await;
    for dms in [&world.dms, right] {
        let shown = staging(dms, "demo").await;
        let text = serde_json::to_value(&shown).expect("it is plain data").to_string();
        let apart = (chrono::Utc::now() - shown.created_at).abs();
        assert!(apart < chrono::TimeDelta::milliseconds(AGE_MAX), "{text}");
        assert!(ages(&text).iter().all(|age| (0..AGE_MAX).contains(age)), "{text}");
    }
    let failed = world.wait_status("demo", Status::Failure).await;
    assert!(begun.elapsed() > Duration::from_secs(8), "it gave up after {:?}", begun.elapsed());
    assert!(failed.cause.is_some());
    std::fs::write(world.file("passes"), "").expect("a file");
    world.wait_status("demo", Status::Running).await;

    // What is archived has an age.
    world.post("/stagings/demo/delete", json!({})).await;
    world.wait_status("demo", Status::Archived).await;
    let archived = Instant::now();
    for dms in [&world.dms, right] {
        assert_eq!(archived_for(dms, 3_600).await, [""; 0]);
        let early = dms.client().post(dms.url("/api/v1/stagings/demo/cleanup")).json(&json!({"archived_for": 3_600}));
        let refused: Problem = early.send().await.expect("dms answers").json().await.expect("a problem");
        assert_eq!(refused.code, "too_young");
    }
    for dms in [&world.dms, right] {
        eventually("it is old enough", SOON, async || (archived_for(dms, 2).await == ["demo"]).then_some(())).await;
    }
    assert!(archived.elapsed() > Duration::from_secs(1), "it was old enough after {:?}", archived.elapsed());
    world.post("/stagings/demo/cleanup", json!({"archived_for": 2})).await;
    eventually("it is gone", SOON, async || {
        let answer = world.dms.client().get(world.url("/stagings/demo")).send().await.expect("dms answers");
        (answer.status() == 404).then_some(())
    })
    .await;
}

/// Numbers of all fields whose name says that they are an age.
fn ages(text: &str) -> Vec<i64> {
    let parts = text.split("_ms\":").skip(1);
    parts.filter_map(|part| part.split([',', '}']).next()?.parse().ok()).collect()
}

/// A run that goes on for longer than a lease: nobody takes it over while its owner lives, and the other one does when it
/// does not.
async fn keeps_its_lease(mut world: World, mut right: Dms) {
    world.script("create", "until [ -e go ]; do read -t 0.1 <> <(:) || :; done; exit 0");
    let run = world.create("long").await.run.expect("a run");
    let attempt = async |dms: &Dms| {
        let answer = dms.client().get(dms.url(&format!("/api/v1/runs/{run}"))).send().await.expect("dms answers");
        answer.json::<Run>().await.expect("a run").attempt
    };
    eventually("it runs", SOON, async || (attempt(&right).await == 1).then_some(())).await;
    let since = Instant::now();
    eventually("a lease would be over", SOON, async || (since.elapsed() > Duration::from_secs(12)).then_some(())).await;
    assert_eq!(attempt(&right).await, 1, "it was not taken over");
    let id = run.to_string();
    let has_begun = |dms: &Dms| dms.log().lines().any(|line| line.contains("run started") && line.contains(&id));
    let left = if has_begun(&right) {
        right.kill();
        &world.dms
    } else {
        world.dms.kill();
        &right
    };
    eventually("it is taken over", SOON, async || (attempt(left).await == 2).then_some(())).await;
    std::fs::write(world.file("go"), "").expect("a file");
    eventually("it is done", SOON, async || (staging(left, "long").await.status == Status::Running).then_some(()))
        .await;
    world.records();
}

async fn wrong_by(by: &str) {
    let times = |setup: Setup| {
        let setup = setup.argument("--status-timeout=8s").argument("--lease-ttl=10s").argument("--lease-renewal=500ms");
        setup.argument("--check-interval=500ms")
    };
    let world = World::start("", &[], |setup| wrong(times(setup), by)).await;
    let setup = times(world.setup());
    let right = tokio::task::spawn_blocking(move || setup.start()).await.expect("dms starts");
    // This client's clock is right, and it has a certificate of a `dms` whose clock is not.
    lives(&world, &right).await;
    keeps_its_lease(world, right).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_clock_two_hours_fast_no_age_deadline_or_lease_goes_wrong() {
    wrong_by("+2h").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_clock_two_hours_slow_no_age_deadline_or_lease_goes_wrong() {
    wrong_by("-2h").await;
}
