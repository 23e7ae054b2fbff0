//! An orderly stop of one of two `dms` in the middle of everything: nobody is left without an answer, no run without an
//! end.

use std::collections::BTreeMap;
use std::time::Duration;

use dm_api::{Accepted, Problem, Status};
use dm_tests::eventually::eventually;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use reqwest::{Client, RequestBuilder, StatusCode, header};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::world::{SOON, World};

/// How many runs the other one has going all the time, and so no place for more.
const HOGS: usize = 4;

/// What the one that stops has going: runs that end in time, that end when they are told to, and that do not care.
const KINDS: [(&str, usize); 3] = [("quick", 6), ("slow", 10), ("deaf", 4)];

/// What a wrapper of these does, by the name of its staging. Whoever is told to end writes that down.
const CREATE: &str = r#"told() { echo "$1 $DM_ATTEMPT" >> told; }
case $8$DM_ATTEMPT in
  hog-*) until [ -e free ]; do sleep 0.2; done ;;
  quick-*1) trap 'told $8' TERM; until [ -e go ]; do sleep 0.2; done ;;
  slow-*1) trap 'told $8; exit 1' TERM; sleep 600 ;;
  deaf-*1) trap 'told $8' TERM; while :; do sleep 600; done ;;
esac"#;

/// Answers for `asks` and for `stuck` only when it is allowed to.
const DEFAULTS: &str = "case $8 in asks | stuck) touch asked.$8; until [ -e answer.$8 ]; do sleep 0.2; done ;; esac";

/// An answer, as far as a client that comes again looks at it.
#[derive(Debug, Clone)]
struct Told {
    status: StatusCode,
    code: String,
    retry_after: Option<String>,
    closes: bool,
}

impl Told {
    async fn of(request: RequestBuilder) -> reqwest::Result<Self> {
        let answer = request.timeout(Duration::from_mins(1)).send().await?;
        let has = |name| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
        let (status, retry_after) = (answer.status(), has(header::RETRY_AFTER));
        let closes = has(header::CONNECTION).is_some_and(|value| value == "close");
        let code = if status.is_success() { String::new() } else { answer.json::<Problem>().await?.code };
        Ok(Self { status, code, retry_after, closes })
    }

    /// A refusal that asks to come again, on another connection.
    fn is_later(&self, code: &str) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
            && self.code == code
            && self.retry_after.as_ref().is_some_and(|seconds| seconds.parse::<u32>().is_ok())
            && self.closes
    }
}

/// Sends commands that change nothing, many a second and over the same connections, until it is told to end or nobody
/// listens any more; tells the answers, and the error.
fn keep_asking(
    client: Client,
    url: String,
    mut end: watch::Receiver<bool>,
) -> JoinHandle<(Vec<Told>, Option<reqwest::Error>)> {
    tokio::spawn(async move {
        let (mut answers, mut pace) = (Vec::new(), interval(Duration::from_millis(20)));
        while !*end.borrow_and_update() {
            pace.tick().await;
            match Told::of(client.post(&url)).await {
                Ok(told) => answers.push(told),
                Err(error) => return (answers, Some(error)),
            }
        }
        (answers, None)
    })
}

fn names() -> Vec<String> {
    KINDS.iter().flat_map(|(kind, count)| (0..*count).map(move |number| format!("{kind}-{number}"))).collect()
}

/// The `dms` that goes on, without a place for another run, and a staging that a delete changes nothing about.
async fn the_other() -> World {
    let world = World::start("", &["defaults"], |setup| setup.argument(format!("--max-runs={HOGS}"))).await;
    world.script("create", CREATE);
    world.script("defaults", DEFAULTS);
    world.create("calm").await;
    world.wait_status("calm", Status::Running).await;
    world.post("/stagings/calm/delete", json!({})).await;
    world.wait_status("calm", Status::Archived).await;
    std::fs::remove_file(world.file("records")).expect("the preparations are written down");
    for number in 0..HOGS {
        world.create(&format!("hog-{number}")).await;
    }
    started(&world, HOGS).await;
    world
}

/// Waits until so many wrappers have started; tells who they are.
async fn started(world: &World, count: usize) -> Vec<Pid> {
    eventually("the wrappers run", SOON, async || {
        let pids = world.records().into_iter().filter(|record| record.is_start).map(|record| Pid::from_raw(record.pid));
        Some(pids.collect()).filter(|pids: &Vec<Pid>| pids.len() == count)
    })
    .await
}

/// How each run went, by the log: for each staging its starts and interruptions, with the owner of a start.
async fn courses(world: &World) -> BTreeMap<String, Vec<String>> {
    let sql = "SELECT stream_id, CASE type WHEN 'RunStarted' THEN 'by ' || (data -> 'owner' ->> 'id')
                                          WHEN 'RunInterrupted' THEN data ->> 'reason' ELSE 'ended' END
                 FROM events WHERE type IN ('RunStarted', 'RunInterrupted', 'RunFinished') ORDER BY position";
    let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&world.pool().await).await.expect("the log");
    let mut courses = BTreeMap::<_, Vec<_>>::new();
    for (staging, what) in rows {
        courses.entry(staging).or_default().push(what);
    }
    courses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_20_runs_claims_nothing_more_and_everybody_is_answered() {
    let world = the_other().await;
    let setup = world.setup().argument("--max-runs=20").argument("--stop-grace=5s");
    let mut stops = tokio::task::spawn_blocking(move || setup.start()).await.expect("dms starts");
    for name in names() {
        world.create(&name).await;
    }
    let wrappers = started(&world, HOGS + 20).await.split_off(HOGS);

    let (client, url) = (stops.client(), stops.url("/api/v1"));
    let (ended, end) = watch::channel(false);
    let here = keep_asking(client.clone(), format!("{url}/stagings/calm/delete"), end.clone());
    let there = keep_asking(world.dms.client(), world.url("/stagings/calm/delete"), end);
    // Under way when the stop begins: a look that waits, a command that can be carried out in time, one that cannot.
    let slow = world.staging("slow-0").await.last_run;
    let look = tokio::spawn(Told::of(client.get(format!("{url}/runs/{slow}/output?wait=30"))));
    let create = |client: &Client, url: &str, name: &str| {
        let request = client.post(format!("{url}/stagings")).header(dm_api::IDEMPOTENCY_KEY, format!("key-of-{name}"));
        request.json(&json!({"name": name, "tag": "v1"}))
    };
    let [asks, stuck] = ["asks", "stuck"].map(|name| tokio::spawn(Told::of(create(&client, &url, name))));
    for name in ["asked.asks", "asked.stuck"] {
        world.wait_for_file(name).await;
    }

    let stopping = tokio::task::spawn_blocking(move || {
        let status = stops.terminate();
        (stops, status)
    });
    eventually("it refuses", SOON, async || {
        let told = Told::of(client.post(format!("{url}/stagings/calm/delete"))).await.expect("it still listens");
        told.is_later("stopping").then_some(())
    })
    .await;
    let refused = Told::of(create(&client, &url, "refused")).await.expect("it still listens");
    assert!(refused.is_later("stopping"), "{refused:?}");
    assert_eq!(Told::of(client.get(format!("{url}/stagings"))).await.expect("it reads").status, 200);
    let late: Vec<String> = (0..3).map(|number| format!("late-{number}")).collect();
    for name in &late {
        world.create(name).await;
    }
    std::fs::write(world.file("answer.asks"), "").expect("a file");
    assert_eq!(asks.await.expect("it ends").expect("it is answered").status, 202, "it was there before the stop");
    // Now it has places, and there is something to do.
    std::fs::write(world.file("go"), "").expect("a file");

    let (stopped, status) = stopping.await.expect("it stops");
    assert!(status.success(), "{}", stopped.log());
    ended.send_replace(true);
    assert_eq!(look.await.expect("it ends").expect("it is answered").status, 200);
    let stuck = stuck.await.expect("it ends").expect("it is answered");
    assert!(stuck.is_later("outcome_unknown"), "{stuck:?}");
    let (answers, error) = here.await.expect("it ends");
    let error = error.expect("in the end nobody listens");
    assert!(error.is_connect(), "what was sent is answered: {error:?}");
    assert!(answers.iter().all(|told| told.status == 200 || told.is_later("stopping")), "{answers:?}");
    let (answers, error) = there.await.expect("it ends");
    assert!(error.is_none() && answers.iter().all(|told| told.status == 200), "{error:?} {answers:?}");
    assert!(wrappers.iter().all(|pid| kill(*pid, None).is_err()), "none of its wrappers is left");

    std::fs::write(world.file("free"), "").expect("a file");
    std::fs::write(world.file("answer.stuck"), "").expect("a file");
    // The same request tells what became of the one that nothing is known of.
    let again = create(&world.dms.client(), &world.url(""), "stuck");
    let _: Accepted = world.write(again).await;
    let late = late.into_iter().chain(["asks".to_owned(), "stuck".to_owned()]);
    for name in names().into_iter().chain(late.clone()) {
        world.wait_status(&name, Status::Running).await;
    }
    assert_courses(&world, &late.collect::<Vec<_>>()).await;
    tokio::task::spawn_blocking(move || drop(stopped)).await.expect("nothing of it is left");
}

/// Runs that had ended in time ran once, the others were interrupted and went on elsewhere; nothing else was claimed by
/// the one that stopped, and nobody was told twice to end.
async fn assert_courses(world: &World, late: &[String]) {
    let courses = courses(world).await;
    let (other, stopped) = (&courses["hog-0"][0], &courses["quick-0"][0]);
    assert_ne!(other, stopped);
    let [once, taken_up, elsewhere] = [
        vec![stopped.as_str(), "ended"],
        vec![stopped.as_str(), "stopping", other.as_str(), "ended"],
        vec![other.as_str(), "ended"],
    ];
    for (kind, count) in KINDS {
        for number in 0..count {
            let name = format!("{kind}-{number}");
            assert_eq!(courses[&name], if kind == "quick" { &once[..] } else { &taken_up[..] }, "{name}");
        }
    }
    for name in late {
        assert_eq!(courses[name], elsewhere, "{name}");
    }
    let told = std::fs::read_to_string(world.file("told")).expect("some were told to end");
    let mut told: Vec<_> = told.lines().collect();
    told.sort_unstable();
    let mut expected: Vec<_> =
        names().into_iter().filter(|name| !name.starts_with("quick")).map(|name| format!("{name} 1")).collect();
    expected.sort_unstable();
    assert_eq!(told, expected, "each once");
}
