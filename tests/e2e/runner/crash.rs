//! The end of `dms` in the middle of runs, and what its next start makes of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dm_api::{Accepted, Status};
use dm_tests::dms::Setup;
use dm_tests::eventually::eventually;
use dm_tests::processes::{self, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::world::{Record, SOON, World, restart};

/// By the wrappers' own records: no attempt starts after one has ended well. That none starts beside another is held by
/// the wrappers themselves, and looked at whenever their records are.
fn assert_none_after_the_end(records: &[Record]) {
    let mut ended: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for record in records {
        let key = (record.run.as_str(), record.verb.as_str());
        if record.is_start {
            assert!(!ended.get(&key).copied().unwrap_or(false), "it started after its end: {records:?}");
        } else {
            ended.insert(key, true);
        }
    }
}

/// What the scripts of this file have left asleep, in whatever session.
fn sleepers(world: &World) -> Vec<Process> {
    processes::of(world.dms.folder()).into_iter().filter(|process| process.command == "sleep 600").collect()
}

/// Kills `dms` once a wrapper has come half way, sees its whole tree end, and starts `dms` again.
async fn killed_in(mut world: World, verb: &str) -> World {
    world.wait_for_file(&format!("half.{verb}")).await;
    // The wrapper, and what it has put into a session of its own.
    eventually("the tree is there", SOON, async || (sleepers(&world).len() == 2).then_some(())).await;
    world.dms.kill();
    eventually("the tree is gone", Duration::from_secs(2), async || {
        (sleepers(&world).is_empty() && living(&world.records()).is_empty()).then_some(())
    })
    .await;
    restart(world).await
}

fn living(records: &[Record]) -> Vec<i32> {
    records.iter().map(|record| record.pid).filter(|pid| kill(Pid::from_raw(*pid), None).is_ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_nothing_is_left_and_every_verb_ends_when_dms_starts_again() {
    let mut world = World::start("", &["restore"], |setup| setup).await;
    let once = "if [ $DM_ATTEMPT = 1 ]; then trap '' TERM; setsid sleep 600 & touch half.$(basename $0); sleep 600; fi";
    let steps: [(&str, &str, Status); 4] = [
        ("create", "/stagings", Status::Running),
        ("update", "/stagings/demo", Status::Running),
        ("delete", "/stagings/demo/delete", Status::Archived),
        ("restore", "/stagings/demo/restore", Status::Running),
    ];
    for (verb, path, status) in steps {
        world.script(verb, once);
        let run = match verb {
            "create" => world.create("demo").await,
            "update" => world.write(world.dms.client().patch(world.url(path)).json(&json!({"tag": "v2"}))).await,
            _ => world.post(path, json!({})).await,
        };
        world = killed_in(world, verb).await;
        world.wait_status("demo", status).await;
        assert_eq!(world.run(&run).await.attempt, 2, "{verb}");
    }
    world.script("delete", "true");
    world.post("/stagings/demo/delete", json!({})).await;
    world.wait_status("demo", Status::Archived).await;
    world.script("cleanup", once);
    let run = world.post("/stagings/demo/cleanup", json!({})).await;
    world = killed_in(world, "cleanup").await;
    eventually("it is cleaned up", SOON, async || {
        let answer = world.dms.client().get(world.url("/stagings/demo")).send().await.ok()?;
        (answer.status() == 404).then_some(())
    })
    .await;
    assert_eq!(world.run(&run).await.attempt, 2, "cleanup");
    assert_none_after_the_end(&world.records());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_take_over_after_a_restart_takes_less_than_five_seconds() {
    let mut world = World::start("", &[], |setup| setup).await;
    world.script("create", "if [ $DM_ATTEMPT = 1 ]; then touch half; sleep 600; fi; touch second");
    world.create("demo").await;
    world.wait_for_file("half").await;
    world.dms.kill();
    let world = restart(world).await;
    let ready = Instant::now();
    world.wait_for_file("second").await;
    assert!(ready.elapsed() < Duration::from_secs(5), "{:?}", ready.elapsed());
    world.wait_status("demo", Status::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_loses_its_owner_three_times_is_given_up() {
    let mut world = World::start("", &[], |setup| setup).await;
    world.script("create", "touch half.$DM_ATTEMPT; sleep 600");
    let run = world.create("demo").await;
    for attempt in 1..=3 {
        world.wait_for_file(&format!("half.{attempt}")).await;
        world.dms.kill();
        world = restart(world).await;
    }
    let staging = world.wait_status("demo", Status::Failure).await;
    assert_eq!(staging.reason.as_deref(), Some("interrupted"));
    assert_eq!(world.run(&run).await.attempt, 3);
    assert_eq!(living(&world.records()), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_that_may_not_be_repeated_is_for_a_person_to_decide() {
    let mut world = World::start("ask = [\"create\"]\n", &[], |setup| setup).await;
    world.script("create", "touch half; sleep 600");
    world.create("demo").await;
    world.wait_for_file("half").await;
    world.dms.kill();
    let world = restart(world).await;
    let staging = world.wait_status("demo", Status::Failure).await;
    assert_eq!(staging.reason.as_deref(), Some("interrupted"));
    assert_eq!(world.records().iter().filter(|record| record.is_start).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_waits_for_runs_that_end_and_interrupts_the_others() {
    let mut world = World::start("", &[], |setup| setup.argument("--stop-grace=2s")).await;
    world.script(
        "create",
        "case $5$6$7$8 in
           *quick*) touch quick; sleep 1; touch quick.done ;;
           *) [ $DM_ATTEMPT = 2 ] || { touch slow; sleep 600; } ;;
         esac",
    );
    world.create("quick").await;
    world.create("slow").await;
    for file in ["quick", "slow"] {
        world.wait_for_file(file).await;
    }
    let stopped = Instant::now();
    let mut world = tokio::task::spawn_blocking(move || {
        assert!(world.dms.terminate().success());
        world
    })
    .await
    .expect("dms stops");
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    assert!(world.file("quick.done").exists(), "the one that ended in time was waited for");
    assert_eq!(living(&world.records()), Vec::<i32>::new());
    assert!(world.dms.log().contains("stopping"), "{}", world.dms.log());
    world = restart(world).await;
    world.wait_status("quick", Status::Running).await;
    world.wait_status("slow", Status::Running).await;
    let starts: Vec<_> = world.records().into_iter().filter(|record| record.is_start).map(|one| one.attempt).collect();
    assert_eq!(starts.iter().filter(|attempt| **attempt == 2).count(), 1, "only the slow one ran twice: {starts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_of_a_frozen_dms_ends_before_its_lease_and_the_run_goes_on_later() {
    let world = World::start("", &[], |setup| {
        setup.argument("--lease-ttl=4s").argument("--lease-renewal=500ms").argument("--grace=300ms")
    })
    .await;
    world.script("create", "if [ $DM_ATTEMPT = 1 ]; then trap '' TERM; touch half; setsid sleep 600 & sleep 600; fi");
    world.create("demo").await;
    world.wait_for_file("half").await;
    kill(world.dms.pid(), Signal::SIGSTOP).expect("dms runs");
    let frozen = Instant::now();
    eventually("the tree is gone", SOON, async || living(&world.records()).is_empty().then_some(())).await;
    let took = frozen.elapsed();
    kill(world.dms.pid(), Signal::SIGCONT).expect("dms is there");
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
    world.wait_status("demo", Status::Running).await;
    assert_none_after_the_end(&world.records());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_dms_takes_over_once_the_lease_has_expired_and_a_frozen_one_is_refused() {
    let short =
        |setup: Setup| setup.argument("--lease-ttl=3s").argument("--lease-renewal=300ms").argument("--grace=200ms");
    let mut world = World::start("", &[], short).await;
    world.script("create", "if [ $DM_ATTEMPT = 1 ]; then trap '' TERM; touch half; sleep 600; fi; touch second");
    let run = world.create("demo").await;
    world.wait_for_file("half").await;
    let setup = short(world.setup());
    let other = tokio::task::spawn_blocking(move || setup.start()).await.expect("dms starts");
    kill(world.dms.pid(), Signal::SIGSTOP).expect("dms runs");
    world.wait_for_file("second").await;
    kill(world.dms.pid(), Signal::SIGCONT).expect("dms is there");
    world.wait_status("demo", Status::Running).await;
    assert_eq!(world.run(&run).await.attempt, 2);
    assert_none_after_the_end(&world.records());
    let stopped = tokio::task::spawn_blocking(move || {
        let mut other = other;
        other.terminate();
        world.dms.terminate()
    });
    assert!(stopped.await.expect("both stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_run_whose_history_cannot_be_read_keeps_no_other_from_its_end() {
    let mut world = World::start("", &[], |setup| setup).await;
    world.script("create", "touch half.$DM_RUN_ID; if [ $DM_ATTEMPT = 1 ]; then sleep 600; fi");
    for name in ["first", "second"] {
        let run = world.create(name).await.run.expect("a run");
        world.wait_for_file(&format!("half.{run}")).await;
    }
    world.dms.kill();
    let pool = world.pool().await;
    sqlx::raw_sql(
        "INSERT INTO events SELECT h.position + 1, 'first', 3, 'OfALaterBuild', 1, '{}', e.meta, h.at
           FROM log_head h JOIN events e ON e.stream_id = 'first' AND e.version = 1;
         UPDATE log_head SET position = position + 1",
    )
    .execute(&pool)
    .await
    .expect("an event of a later build");
    world = restart(world).await;
    world.wait_status("second", Status::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn never_more_runs_than_allowed_and_the_oldest_first() {
    let world = World::start("", &[], |setup| setup.argument("--max-runs=2")).await;
    world.script("create", "until [ -e go ]; do sleep 0.01; done");
    let mut runs: Vec<Accepted> = Vec::new();
    for number in 0..6 {
        runs.push(world.create(&format!("demo-{number}")).await);
    }
    let starts = || world.records().into_iter().filter(|record| record.is_start).collect::<Vec<_>>();
    eventually("two run", SOON, async || (starts().len() == 2).then_some(())).await;
    std::fs::write(world.file("go"), "").expect("a file");
    for number in 0..6 {
        world.wait_status(&format!("demo-{number}"), Status::Running).await;
    }
    let (mut going, mut most) = (0_i32, 0);
    for record in world.records() {
        going += if record.is_start { 1 } else { -1 };
        most = most.max(going);
    }
    assert_eq!(most, 2);
    let order: Vec<_> = starts().into_iter().map(|record| record.run).collect();
    let asked: Vec<_> = runs.iter().map(|run| run.run.expect("a run").to_string()).collect();
    // Two are claimed at once, so neighbours may change places.
    for (at, run) in asked.iter().enumerate() {
        let place = order.iter().position(|other| other == run).expect("it ran");
        assert!(place.abs_diff(at) <= 1, "{order:?}, asked in the order {asked:?}");
    }
}
