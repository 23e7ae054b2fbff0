//! The link to PostgreSQL fails in other ways than by ending: it is half open, loses an answer, or no notification comes.

use std::time::{Duration, Instant};

use dm_api::{Accepted, Problem, Status, runs::output};
use dm_tests::eventually::eventually;
use dm_tests::postgres::Database;
use dm_tests::proxy::Proxy;
use reqwest::Method;
use serde_json::{Value, json};

use super::world::{SOON, World};

/// By when a dead link is noticed, and by when all goes on once it is whole again.
const NOTICED: Duration = Duration::from_secs(10);

/// By when a request is answered, whatever the link does.
const ANSWER: Duration = Duration::from_secs(12);

/// What is said once by each that uses the link, when it is noticed.
const SAID: [&str; 5] = [
    "the database does not answer",
    "the log is not listened to",
    "the read models are not listened to",
    "a step failed",
    "leases cannot be renewed",
];

/// A `dms` behind a proxy.
struct Linked {
    world: World,
    proxy: Proxy,
    // After `dms`, which uses it.
    database: Database,
}

impl Linked {
    async fn start() -> Self {
        let database = Database::empty().await;
        let (proxy, _) = database.proxied();
        let world = World::on(&database.url_through(&proxy), "", &[], |setup| setup).await;
        Self { world, proxy, database }
    }

    /// An answer, and how long it took.
    async fn ask(&self, method: Method, path: &str, key: &str, body: Option<Value>) -> (u16, Value, Duration) {
        let request =
            self.world.dms.client().request(method, self.world.url(path)).header(dm_api::IDEMPOTENCY_KEY, key);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let sent = Instant::now();
        let answer = request.send().await.expect("dms answers");
        let status = answer.status().as_u16();
        (status, answer.json().await.expect("JSON"), sent.elapsed())
    }

    /// Events in the log of one staging.
    async fn events(&self, pool: &sqlx::PgPool, of: &str) -> Vec<String> {
        let types = "SELECT type FROM events WHERE stream_id = $1 ORDER BY version";
        sqlx::query_scalar(types).bind(of).fetch_all(pool).await.expect("the database answers")
    }

    /// The link is half open for a while. `forgotten`: what was open then is never heard of again.
    async fn freeze(&self, forgotten: bool) {
        let (world, proxy) = (&self.world, &self.proxy);
        let said = |what: &str| world.dms.log().matches(what).count();
        let before = SAID.map(said);
        proxy.freeze();
        let frozen = Instant::now();
        let read = self.ask(Method::GET, "/stagings", "-", None);
        let one = self.ask(Method::GET, "/stagings/calm", "-", None);
        let write = self.ask(Method::POST, "/stagings/calm/delete", "the-delete-of-the-test", Some(json!({})));
        let create = self.ask(Method::POST, "/stagings", "another", Some(json!({"name": "other", "tag": "v1"})));
        let ready = async {
            eventually("it is not ready", NOTICED, async || (world.probe("/readyz").await.0 == 503).then_some(()))
                .await;
        };
        let noticed = async {
            eventually("everybody has noticed", SOON, async || {
                SAID.iter().zip(before).all(|(what, before)| said(what) > before).then_some(())
            })
            .await;
            frozen.elapsed()
        };
        let (read, one, write, create, (), noticed) = tokio::join!(read, one, write, create, ready, noticed);
        for (status, body, took) in [read, one, write, create] {
            let problem: Problem = serde_json::from_value(body).expect("a problem");
            assert_eq!((status, problem.code.as_str()), (503, "unavailable"), "{problem:?}");
            assert!(took < ANSWER, "an answer after {took:?}");
        }
        assert!(noticed < NOTICED, "the last one noticed after {noticed:?}");
        if forgotten {
            proxy.forget();
        }
        proxy.heal();
    }

    /// Everything goes on by itself.
    async fn goes_on(&self) {
        let healed = Instant::now();
        let world = &self.world;
        eventually("it is ready", NOTICED, async || (world.probe("/readyz").await.0 == 200).then_some(())).await;
        eventually("reads go on", NOTICED, async || {
            (self.ask(Method::GET, "/stagings/calm", "-", None).await.0 == 200).then_some(())
        })
        .await;
        let now = healed.elapsed().as_nanos().to_string();
        let change = json!({"set": [{"level": "app", "key": "now", "text": now}]});
        let changed = world.dms.client().patch(world.url("/stagings/calm")).json(&change);
        // It waits for readers to see it, which is what the steps of the projector do.
        world.write(changed).await;
        assert!(healed.elapsed() < NOTICED, "it took {:?} to go on", healed.elapsed());
        world.wait_status("calm", Status::Running).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_link_is_noticed_and_left_behind_by_everybody_who_uses_it() {
    let linked = Linked::start().await;
    let world = &linked.world;
    world.create("calm").await;
    world.wait_status("calm", Status::Running).await;
    world.script("create", "until [ -e go ]; do echo line; read -t 0.2 <> <(:) || :; done; exit 0");
    let run = world.create("busy").await;
    eventually("it prints", SOON, async || (!world.output(&run, 0).await.0.is_empty()).then_some(())).await;

    for forgotten in [true, false] {
        linked.freeze(forgotten).await;
        linked.goes_on().await;
    }
    std::fs::write(world.file("go"), "").expect("a file");
    world.wait_status("busy", Status::Running).await;
    assert_eq!(world.run(&run).await.attempt, 1, "it was not interrupted");
    let (mut bytes, mut from) = (Vec::new(), 0);
    loop {
        let (more, headers) = world.output(&run, from).await;
        from += i64::try_from(more.len()).expect("it is short");
        bytes.extend_from_slice(&more);
        if headers[output::COMPLETE] == "true" {
            break;
        }
    }
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.lines().all(|line| line == "line"), "what it printed is whole: {text:?}");
    let pool = linked.database.pool().await;
    assert_eq!(linked.events(&pool, "other").await, [""; 0], "what was refused has not happened");
    world.records();
}

/// Loses the answer of the database to the append of a command, and heals the link at once or when the client was answered:
/// what the client was told, and what the same key says afterwards.
async fn with_a_lost_answer(heals_at_once: bool) -> (u16, Value, Accepted) {
    let linked = Linked::start().await;
    let (world, proxy) = (&linked.world, &linked.proxy);
    let direct = linked.database.pool().await;
    let body = json!({"name": "demo", "tag": "v1"});
    // The append waits for the log's lock while the test gets ready for its answer.
    let mut holding = direct.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(4918)").execute(&mut *holding).await.unwrap();
    let asked = linked.ask(Method::POST, "/stagings", "the-key-of-the-test", Some(body.clone()));
    let losing = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database =
            (SELECT oid FROM pg_database WHERE datname = current_database())";
        eventually("the append waits", SOON, async || {
            (sqlx::query_scalar::<_, i64>(waiting).fetch_one(&direct).await.unwrap() > 0).then_some(())
        })
        .await;
        proxy.swallow_answers();
        holding.commit().await.unwrap();
        eventually("it is in the log", SOON, async || (!linked.events(&direct, "demo").await.is_empty()).then_some(()))
            .await;
        if heals_at_once {
            proxy.heal();
        }
    };
    let ((status, told, took), ()) = tokio::join!(asked, losing);
    assert!(took < ANSWER, "an answer after {took:?}");
    proxy.heal();

    let again = eventually("the same key tells the truth", SOON, async || {
        let (status, told, _) = linked.ask(Method::POST, "/stagings", "the-key-of-the-test", Some(body.clone())).await;
        (status == 202).then_some(told)
    })
    .await;
    eventually("it can be read", SOON, async || {
        (linked.ask(Method::GET, "/stagings/demo", "-", None).await.0 == 200).then_some(())
    })
    .await;
    world.wait_status("demo", Status::Running).await;
    let events = linked.events(&direct, "demo").await;
    assert_eq!(events.iter().filter(|one| *one == "CreateRequested").count(), 1, "one set of events: {events:?}");
    let records = world.records();
    assert_eq!(records.iter().filter(|one| one.is_start).count(), 1, "one run: {records:?}");
    let again: Accepted = serde_json::from_value(again).expect("an answer to a write");
    assert_eq!(again.run.map(|run| run.to_string()), records.first().map(|one| one.run.clone()));
    (status, told, again)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_answer_from_the_database_is_lost_is_accepted_when_the_link_heals() {
    let (status, told, again) = with_a_lost_answer(true).await;
    assert_eq!(status, 202, "{told}");
    let told: Accepted = serde_json::from_value(told).expect("an answer to a write");
    assert_eq!((told.run, told.position), (again.run, again.position));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_link_does_not_heal_the_outcome_of_a_command_is_unknown_and_not_failed() {
    let (status, told, _) = with_a_lost_answer(false).await;
    assert_eq!((status, told["code"].as_str()), (503, Some("outcome_unknown")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_notification_what_another_dms_has_taken_is_seen_within_a_second() {
    let linked = Linked::start().await;
    let direct = linked.database.pool().await;
    let setup = linked.world.setup().database_url(&linked.database.url());
    let other = tokio::task::spawn_blocking(move || setup.start()).await.expect("dms starts");
    // Those who listen are cut off, and hear nothing when they listen again.
    let listening = "FROM pg_stat_activity WHERE application_name = 'dms listener' AND query LIKE 'LISTEN%'
        AND datname = current_database()";
    let count = async |what: &str| {
        let query = sqlx::AssertSqlSafe(format!("SELECT count({what}) {listening}"));
        sqlx::query_scalar::<_, i64>(query).fetch_one(&direct).await.unwrap()
    };
    eventually("each listens to the log and to the read models", SOON, async || (count("*").await == 4).then_some(()))
        .await;
    linked.proxy.lose_notifications();
    assert_eq!(count("pg_terminate_backend(pid)").await, 4);
    let mut delays = Vec::new();
    for number in 0..5 {
        let body = json!({"name": format!("s{number}"), "tag": "v1"});
        let sent = other.client().post(other.url("/api/v1/stagings")).json(&body);
        let answer = sent.send().await.expect("dms answers");
        let accepted: Accepted = answer.json().await.expect("an answer to a write");
        let told = Instant::now();
        let seen = format!("/stagings/s{number}?at_least={}", accepted.position);
        assert_eq!(linked.ask(Method::GET, &seen, "-", None).await.0, 200);
        delays.push(told.elapsed());
    }
    delays.sort();
    assert!(delays[2] <= Duration::from_secs(1), "{delays:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_once_however_many_requests_it_refuses() {
    let linked = Linked::start().await;
    linked.proxy.cut();
    for number in 0..30 {
        let (status, ..) = linked.ask(Method::GET, "/stagings", "-", None).await;
        assert_eq!(status, 503);
        let body = json!({"name": "demo", "tag": "v1"});
        let (status, ..) = linked.ask(Method::POST, "/stagings", &format!("key-{number}-of-it"), Some(body)).await;
        assert_eq!(status, 503);
    }
    let log = linked.world.dms.log();
    let lines = log.lines().filter(|line| line.contains("could not be served") || line.contains("\"command\"")).count();
    assert_eq!(lines, 1, "{log}");
    let warnings = log.lines().filter(|line| line.contains("WARN")).count();
    assert!((1..=10).contains(&warnings), "{warnings} warnings:\n{log}");
    linked.proxy.heal();
    eventually("it is over", NOTICED, async || {
        linked.world.dms.log().contains("the database answers again").then_some(())
    })
    .await;
}
