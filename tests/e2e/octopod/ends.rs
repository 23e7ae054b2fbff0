//! The end of a run, of a name and of a process tree.

use dm_api::{RunList, RunState, Status};
use dm_tests::eventually::eventually;
use dm_tests::processes;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{dmc, events, touch};
use crate::world::{SOON, World};

/// A name that is archived, by way of `create`.
async fn archived(world: &World, name: &str) -> dm_api::Accepted {
    let created = world.create(name).await;
    world.wait_status(name, Status::Running).await;
    world.post(&format!("/stagings/{name}/delete"), json!({})).await;
    world.wait_status(name, Status::Archived).await;
    created
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_11_a_cleanup_keeps_events_runs_and_output() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("create", "echo 'made for you'");
    world.script("cleanup", "echo 'volumes removed'");
    let created = archived(&world, "demo").await;
    let before = events(&world, "demo").await.len();
    let cleanup = world.post("/stagings/demo/cleanup", json!({"reason": "the review is over"})).await;
    let url = world.url("/stagings/demo");
    let gone = eventually("it is gone", SOON, async || {
        let answer = world.dms.client().get(&url).send().await.expect("dms answers");
        if answer.status() == 404 { Some(answer.json::<dm_api::Problem>().await.expect("a problem")) } else { None }
    })
    .await;
    assert!(gone.cleaned_up_at.is_some(), "{gone:?}");

    let history = events(&world, "demo").await;
    let types: Vec<_> = history[before..].iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["CleanupRequested", "RunStarted", "RunFinished", "CleanedUp"]);
    assert_eq!(history[before].reason.as_deref(), Some("the review is over"));
    let runs = world.dms.client().get(world.url("/stagings/demo/runs")).send().await.expect("dms answers");
    let runs: RunList = runs.json().await.expect("runs");
    let verbs: Vec<_> = runs.items.iter().map(|run| (run.verb.as_str(), run.state)).collect();
    assert_eq!(verbs, ["cleanup", "delete", "create"].map(|verb| (verb, RunState::Succeeded)));
    for (run, printed) in [(created, "made for you\n"), (cleanup, "volumes removed\n")] {
        assert_eq!(String::from_utf8_lossy(&world.output(&run, 0).await.0), printed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_21_a_failed_cleanup_can_be_shown() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("cleanup", "echo 'a volume is in use'; exit 5");
    archived(&world, "demo").await;
    world.post("/stagings/demo/cleanup", json!({})).await;
    let failed = world.wait_status("demo", Status::Archived).await;
    assert_eq!(failed.reason.as_deref(), Some("cleanup_failed"));

    tokio::task::block_in_place(|| {
        let info: Value = serde_json::from_str(&dmc(&world, &["info", "demo", "-o", "json"])).expect("JSON");
        assert_eq!(
            (&info["status"], &info["reason"], &info["cause"]),
            (&json!("Archived"), &json!("cleanup_failed"), &json!("a volume is in use"))
        );
        let (info, history) = (dmc(&world, &["info", "demo"]), dmc(&world, &["history", "demo"]));
        for shown in [&info, &history] {
            assert!(shown.contains("a volume is in use") && shown.contains("cleanup"), "{shown}");
        }
        let runs = dmc(&world, &["runs", "demo"]);
        assert!(runs.lines().any(|line| line.contains("cleanup") && line.contains("failed")), "{runs}");
        assert!(dmc(&world, &["list", "--archived"]).contains("demo"));
        assert_eq!(dmc(&world, &["logs", "demo"]), "a volume is in use\n");
    });
    world.script("cleanup", "");
    tokio::task::block_in_place(|| dmc(&world, &["retry", "demo", "--wait"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_23_output_streams_and_any_byte_is_kept() {
    const FIRST: &[u8] = b"one\xff\xfe\x00\xc3(\n";
    const WHOLE: &[u8] = b"one\xff\xfe\x00\xc3(\nlast\n";
    let world = World::start("", &[], |setup| setup).await;
    world.script(
        "create",
        "printf 'one\\xff\\xfe\\0\\xc3(\\n'; until [ -e go ]; do sleep 0.02; done; echo last; exit 3",
    );
    let run = world.create("demo").await;
    eventually("what was printed shows", SOON, async || (world.output(&run, 0).await.0 == FIRST).then_some(())).await;
    assert_eq!(world.run(&run).await.state, RunState::Running, "while it runs");
    touch(&world, "go");
    let staging = world.wait_status("demo", Status::Failure).await;
    assert_eq!(world.output(&run, 0).await.0, WHOLE, "of a failed run as well");
    assert!(staging.cause.is_some_and(|cause| cause.ends_with("last")));
    let shown = tokio::task::block_in_place(|| {
        crate::client::dmc(world.dms.home(), &["logs", "demo"]).output().expect("dmc was built")
    });
    assert_eq!(shown.stdout, WHOLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_24_a_time_limit_ends_the_whole_tree() {
    let world = World::start("[limits]\ncreate = 3\n", &[], |setup| setup).await;
    // Each in a session of its own, deaf to what asks it to end; the last one has lost its parent.
    let deaf = "trap '' TERM HUP INT; echo $$ >> pids; while :; do sleep 600; done";
    std::fs::write(world.file("deaf"), deaf).expect("the folder is ours");
    world.script(
        "create",
        "setsid bash deaf & setsid bash -c 'setsid bash deaf & . ./deaf' & (setsid bash deaf &); . ./deaf",
    );
    let run = world.create("demo").await;
    let failed = world.wait_status("demo", Status::Failure).await;
    assert_eq!(failed.reason.as_deref(), Some("run_failed"));
    assert_eq!(world.run(&run).await.outcome.as_deref(), Some("time limit"));
    let pids = std::fs::read_to_string(world.file("pids")).expect("the script has written it");
    let pids: Vec<i32> = pids.lines().map(|line| line.parse().expect("a process id")).collect();
    assert_eq!(pids.len(), 5, "the whole tree was there");
    let living: Vec<_> = pids.into_iter().filter(|pid| kill(Pid::from_raw(*pid), None).is_ok()).collect();
    assert_eq!(living, Vec::<i32>::new());
    eventually("nothing waits for it any more", SOON, async || {
        let of_home = processes::of(world.dms.home());
        of_home.iter().all(|process| process.command.contains(" serve ")).then_some(())
    })
    .await;
}
