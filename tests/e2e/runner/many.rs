//! Many at once, and several `dms` on one database.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dm_api::{ActivityKind, StagingList, Status};
use dm_tests::dms::{Dms, Setup};
use dm_tests::eventually::eventually;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;

use super::world::{Record, SOON, World};

/// How many runs go on at each moment, by the wrappers' own records.
fn most_at_once(records: &[Record]) -> usize {
    let (mut going, mut most) = (0_usize, 0);
    for record in records {
        going = if record.is_start { going + 1 } else { going.saturating_sub(1) };
        most = most.max(going);
    }
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_updates_at_once_wait_for_eight_places_and_no_wait_counts_for_a_limit() {
    const COUNT: usize = 40;
    let world = World::start("[limits]\nupdate = 10\n", &[], |setup| setup.argument("--max-runs=8")).await;
    let names: Vec<String> = (0..COUNT).map(|number| format!("demo-{number:02}")).collect();
    for name in &names {
        world.create(name).await;
    }
    for name in &names {
        world.wait_status(name, Status::Running).await;
    }
    std::fs::remove_file(world.file("records")).expect("the creates are written down");
    // The first ones wait until all are asked for, and then take long enough that the last ones wait for longer than an
    // update may run.
    let until = |what: &str| format!("until {what}; do sleep 0.02; done");
    let script = [until("[ -e asked ]"), "SECONDS=0".to_owned(), until("[ -e go ] || [ $SECONDS -ge 3 ]")];
    world.script("update", &script.join("\n"));
    let asked = Instant::now();
    let mut runs = Vec::new();
    for name in &names {
        let request = world.dms.client().patch(world.url(&format!("/stagings/{name}"))).json(&json!({"tag": "v2"}));
        runs.push(world.write(request).await.run.expect("a run").to_string());
    }
    let list = world.dms.client().get(world.url("/stagings?limit=200")).send().await.expect("dms answers");
    let list: StagingList = list.json().await.expect("a list");
    let mut ahead: Vec<u32> = list.items.iter().filter_map(|staging| staging.live.queued_ahead).collect();
    ahead.sort_unstable();
    let queued = list.items.iter().filter_map(|staging| staging.activity.as_ref());
    let queued = queued.filter(|activity| activity.kind == ActivityKind::Queued).count();
    assert!(queued >= COUNT - 16 && ahead.len() == queued, "{queued} wait, {ahead:?} are ahead of them");
    assert!(ahead.iter().enumerate().all(|(place, ahead)| *ahead as usize == place), "each has its place: {ahead:?}");

    std::fs::write(world.file("asked"), "").expect("a file");
    eventually("it has waited for longer than its limit", SOON, async || {
        (asked.elapsed() > Duration::from_secs(11)).then_some(())
    })
    .await;
    std::fs::write(world.file("go"), "").expect("a file");
    for name in &names {
        let staging = world.wait_status(name, Status::Running).await;
        assert_eq!((staging.tag.as_str(), staging.reason), ("v2", None));
    }
    let records = world.records();
    assert_eq!(records.len(), 2 * COUNT, "each ran once");
    assert_eq!(most_at_once(&records), 8);
    let order: Vec<_> = records.iter().filter(|record| record.is_start).map(|record| record.run.clone()).collect();
    // Those that are claimed together start in any order among themselves.
    for (place, run) in runs.iter().enumerate() {
        let started = order.iter().position(|other| other == run).expect("it ran");
        assert!(started.abs_diff(place) < 8, "{run} was asked for as number {place} and ran as number {started}");
    }
}

/// Another `dms` on the same database.
async fn other(world: &World, change: impl Fn(Setup) -> Setup) -> Dms {
    let setup = change(world.setup());
    tokio::task::spawn_blocking(move || setup.start()).await.expect("dms starts")
}

fn living(records: &[Record]) -> Vec<i32> {
    records.iter().map(|record| record.pid).filter(|pid| kill(Pid::from_raw(*pid), None).is_ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_two_is_killed_the_other_ends_every_verb_that_was_accepted() {
    let short =
        |setup: Setup| setup.argument("--lease-ttl=3s").argument("--lease-renewal=300ms").argument("--grace=300ms");
    let mut world = World::start("", &["restore"], short).await;
    let verbs = ["create", "update", "delete", "restore", "cleanup"];
    for verb in &verbs[1..] {
        world.create(verb).await;
        world.wait_status(verb, Status::Running).await;
    }
    for verb in ["restore", "cleanup"] {
        world.post(&format!("/stagings/{verb}/delete"), json!({})).await;
        world.wait_status(verb, Status::Archived).await;
    }
    std::fs::remove_file(world.file("records")).expect("the preparations are written down");
    for verb in verbs {
        let first = "trap '' TERM; touch half.$8; setsid sleep 600 & while :; do sleep 0.1; done";
        world.script(verb, &format!("if [ $DM_ATTEMPT = 1 ]; then {first}; fi"));
    }
    let mut runs = BTreeMap::new();
    runs.insert("create", world.create("create").await);
    let update = world.dms.client().patch(world.url("/stagings/update")).json(&json!({"tag": "v2"}));
    runs.insert("update", world.write(update).await);
    for verb in &verbs[2..] {
        runs.insert(verb, world.post(&format!("/stagings/{verb}/{verb}"), json!({})).await);
    }
    for verb in verbs {
        world.wait_for_file(&format!("half.{verb}")).await;
    }
    let other = other(&world, short).await;
    world.dms.kill();
    let killed = Instant::now();
    eventually("no wrapper is left", SOON, async || living(&world.records()).is_empty().then_some(())).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_millis(1_300), "longer than the grace and a second: {took:?}");
    let url = |path: &str| other.url(&format!("/api/v1{path}"));
    for (verb, run) in &runs {
        let run = run.run.expect("a run");
        let ended = eventually(&format!("{verb} has ended"), SOON, async || {
            let run: dm_api::Run =
                other.client().get(url(&format!("/runs/{run}"))).send().await.ok()?.json().await.ok()?;
            run.state.is_over().then_some(run)
        })
        .await;
        assert_eq!((ended.state, ended.attempt), (dm_api::RunState::Succeeded, 2), "{verb}");
    }
    let records = world.records();
    assert_eq!(records.iter().filter(|record| record.is_start).count(), 2 * verbs.len(), "{records:?}");
    tokio::task::spawn_blocking(move || drop(other)).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_a_run_of_another_dms_and_a_stop_hands_its_runs_over() {
    let mut world = World::start("", &[], |setup| setup).await;
    world.script("create", "touch at.$8.$DM_ATTEMPT; case $8$DM_ATTEMPT in slow5) ;; *) sleep 600 ;; esac");
    let run = world.create("demo").await;
    world.create("slow").await;
    for name in ["demo", "slow"] {
        world.wait_for_file(&format!("at.{name}.1")).await;
    }
    let mut second = other(&world, |setup| setup).await;
    let cancel = second.client().post(second.url("/api/v1/stagings/demo/cancel"));
    assert_eq!(cancel.send().await.expect("dms answers").status(), 202);
    world.wait_status("demo", Status::Failure).await;
    assert_eq!(world.run(&run).await.outcome.as_deref(), Some("cancelled"));

    // Orderly stops do not count towards the three lost owners.
    for attempt in 2..=5 {
        let stopped = if attempt % 2 == 0 { &mut world.dms } else { &mut second };
        tokio::task::block_in_place(|| stopped.terminate());
        world.wait_for_file(&format!("at.slow.{attempt}")).await;
        let stopped = if attempt % 2 == 0 { &mut world.dms } else { &mut second };
        tokio::task::block_in_place(|| stopped.restart());
    }
    world.wait_status("slow", Status::Running).await;
    tokio::task::spawn_blocking(move || drop(second)).await.expect("it stops");
}
