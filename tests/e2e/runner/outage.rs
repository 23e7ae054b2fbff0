//! PostgreSQL goes away and comes back, under a serving `dms`.

use std::time::{Duration, Instant};

use dm_api::{Status, runs::output};
use dm_tests::cluster::Cluster;
use dm_tests::eventually::eventually;
use reqwest::Method;
use serde_json::json;

use super::world::{SOON, World};

/// How long the database is away.
const AWAY: Duration = Duration::from_secs(20);

/// By when a request is answered, whatever the database does.
const ANSWER: Duration = Duration::from_secs(12);

impl World {
    /// The status and the seconds of `Retry-After` of an answer that comes in time.
    async fn refused(&self, method: Method, path: &str, key: &str) -> (u16, String) {
        let request = self.dms.client().request(method, self.url(path)).header(dm_api::IDEMPOTENCY_KEY, key);
        let request = if path.ends_with("stagings") { request } else { request.json(&json!({})) };
        let sent = Instant::now();
        let answer = request.send().await.expect("dms answers");
        assert!(sent.elapsed() < ANSWER, "an answer after {:?}", sent.elapsed());
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
        let problem: dm_api::Problem = answer.json().await.expect("a problem");
        assert!(["unavailable", "outcome_unknown", "behind"].contains(&problem.code.as_str()), "{problem:?}");
        (status, retry_after.expect("it says when to try again"))
    }

    pub(super) async fn probe(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.dms.metrics());
        let answer = self.dms.client().get(url).send().await.expect("dms answers");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_20_s_is_told_meanwhile_and_missed_by_nobody_afterwards() {
    let cluster = Cluster::start();
    let world = World::on(&cluster.url(), "", &[], |setup| setup).await;
    world.create("calm").await;
    world.wait_status("calm", Status::Running).await;
    // The wrapper ends while the database is away; what it prints then is kept as well.
    world.script("create", "echo before; until [ -e away ]; do read -t 0.1 < <(:) || :; done; echo during; exit 0");
    let run = world.create("busy").await;
    world.wait_for_file("records").await;
    eventually("the wrapper runs", SOON, async || {
        let staging = world.staging("busy").await;
        staging.activity.filter(|activity| activity.attempt == 1)
    })
    .await;
    // Output is committed without waiting for the disk, and a crash may take the last of it.
    eventually("what it printed is stored", SOON, async || {
        (world.output(&run, 0).await.0 == b"before\n"[..]).then_some(())
    })
    .await;
    let pool = sqlx::PgPool::connect(&cluster.url()).await.expect("it runs");
    sqlx::query("CHECKPOINT").execute(&pool).await.expect("it is on the disk");
    pool.close().await;

    cluster.crash();
    let away = Instant::now();
    std::fs::write(world.file("away"), "").expect("a file");
    let mut rounds = 0;
    while away.elapsed() < AWAY {
        let (status, seconds) = world.refused(Method::GET, "/stagings", "a-read-of-the-test").await;
        assert_eq!((status, seconds.as_str() >= "1"), (503, true));
        let (status, _) = world.refused(Method::POST, "/stagings/calm/delete", "the-delete-of-the-test").await;
        assert_eq!(status, 503);
        assert_eq!(world.probe("/livez").await.0, 200);
        let (status, text) = world.probe("/readyz").await;
        assert!(status == 503 && text.contains("\"database\":\""), "{status} {text}");
        assert_eq!(world.probe("/metrics").await.0, 200);
        rounds += 1;
        let next = Duration::from_secs(rounds);
        eventually("the next second", SOON, async || (away.elapsed() >= next).then_some(())).await;
    }
    cluster.again();
    let back = Instant::now();

    eventually("dms is ready again", SOON, async || (world.probe("/readyz").await.0 == 200).then_some(())).await;
    assert!(back.elapsed() < Duration::from_secs(10), "it took {:?} to be ready again", back.elapsed());
    let staging = world.wait_status("busy", Status::Running).await;
    assert_eq!(staging.cause, None);
    assert_eq!(world.run(&run).await.attempt, 1, "it was not interrupted");
    let (bytes, headers) = world.output(&run, 0).await;
    assert_eq!(
        (bytes.as_slice(), &headers[output::COMPLETE]),
        (&b"before\nduring\n"[..], &"true".parse().expect("text"))
    );

    // The same key tells what became of the delete; asked once more it is one command all the same.
    for _ in 0..2 {
        let request = world.dms.client().post(world.url("/stagings/calm/delete")).json(&json!({}));
        world.write(request.header(dm_api::IDEMPOTENCY_KEY, "the-delete-of-the-test")).await;
    }
    world.wait_status("calm", Status::Archived).await;
    let records = world.records();
    let deletes = records.iter().filter(|record| record.verb == "delete" && record.is_start).count();
    assert_eq!((deletes, records.len()), (1, 6), "{records:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_of_a_check_that_ended_while_the_database_was_away_keeps_nobody_waiting() {
    let cluster = Cluster::start();
    let world = World::on(&cluster.url(), "", &[], |setup| setup).await;
    world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    world.script("check", "touch begun; until [ -e go ]; do sleep 0.02; done; touch ended");
    world.wait_for_file("begun").await;
    cluster.crash();
    let away = Instant::now();
    std::fs::write(world.file("go"), "").expect("a file");
    world.wait_for_file("ended").await;
    // By then it has been tried in vain to give the lease back.
    eventually("a while", SOON, async || (away.elapsed() > Duration::from_secs(8)).then_some(())).await;
    cluster.again();
    eventually("dms is ready again", SOON, async || (world.probe("/readyz").await.0 == 200).then_some(())).await;
    world.post("/stagings/demo/delete", json!({})).await;
    // Much sooner than the lease would expire.
    world.wait_status("demo", Status::Archived).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_down_for_longer_than_the_wait_for_a_pass_asks_before_it_gives_up() {
    let mut world = World::start("", &[], |setup| setup.argument("--status-timeout=2s")).await;
    world.script("check", "[ -e passes ] || exit 1");
    world.create("demo").await;
    eventually("it waits for a check", SOON, async || {
        let activity = world.staging("demo").await.activity?;
        (activity.kind == dm_api::ActivityKind::WaitingForCheck).then_some(())
    })
    .await;
    world.dms.kill();
    let down = Instant::now();
    std::fs::write(world.file("passes"), "").expect("a file");
    eventually("the wait is over", SOON, async || (down.elapsed() > Duration::from_secs(3)).then_some(())).await;
    let world = super::world::restart(world).await;
    world.wait_status("demo", Status::Running).await;
    let events = world.dms.client().get(world.url("/stagings/demo/events")).send().await.expect("dms answers");
    let events: dm_api::EventList = events.json().await.expect("events");
    let types: Vec<_> = events.items.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types[..4], ["CreateRequested", "RunStarted", "RunFinished", "BecameRunning"], "never a failure");
}
