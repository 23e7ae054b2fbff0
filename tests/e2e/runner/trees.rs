//! Wrappers that hang, ignore signals or leave something behind: the outcome is as designed, and the tree is gone.

use std::time::Duration;

use dm_api::{Staging, Status};
use dm_tests::eventually::eventually;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::world::{SOON, World};

/// Process ids that a script has written, one a line.
fn pids(world: &World, file: &str) -> Vec<Pid> {
    let text = std::fs::read_to_string(world.file(file)).expect("the script has written it");
    text.lines().map(|line| Pid::from_raw(line.parse().expect("a process id"))).collect()
}

fn living(pids: &[Pid]) -> Vec<Pid> {
    pids.iter().copied().filter(|pid| kill(*pid, None).is_ok()).collect()
}

async fn failure(world: &World) -> Staging {
    world.wait_status("demo", Status::Failure).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_that_hangs_and_ignores_sigterm_ends_at_its_limit_and_the_grace() {
    let world = World::start("[limits]\ncreate = 1\n", &[], |setup| setup).await;
    world.script(
        "create",
        "trap '' TERM; echo $$ >> pids
         for _ in 1 2 3; do setsid bash -c 'trap \"\" TERM HUP INT; echo $$ >> pids; while :; do sleep 600; done' & done
         echo 'waiting for something'
         while :; do sleep 600; done",
    );
    let run = world.create("demo").await;
    let staging = failure(&world).await;
    assert_eq!(staging.reason.as_deref(), Some("run_failed"));
    assert_eq!(world.run(&run).await.outcome.as_deref(), Some("time limit"));
    let pids = pids(&world, "pids");
    assert_eq!(pids.len(), 4);
    assert_eq!(living(&pids), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wrapper_leaves_behind_ends_with_it_and_changes_no_outcome() {
    let world = World::start("", &[], |setup| setup).await;
    // The last one keeps standard output open.
    world.script(
        "create",
        "(setsid nohup sleep 600 > /dev/null 2>&1 & echo $! >> pids)
         (trap '' TERM HUP; setsid sleep 601 & echo $! >> pids)
         until [ \"$(wc -l < pids)\" = 2 ]; do :; done",
    );
    let run = world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    assert_eq!(world.run(&run).await.outcome.as_deref(), Some("exit 0"));
    assert_eq!(living(&pids(&world, "pids")), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_no_file_holds_nothing_up() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("create", "rm $DM_REPORT 2> /dev/null; mkfifo $DM_REPORT; echo 'said on standard output'; exit 6");
    // As many as dms has threads, and one more.
    for name in ["one", "two", "three"] {
        world.create(name).await;
    }
    for name in ["one", "two", "three"] {
        let staging = world.wait_status(name, Status::Failure).await;
        assert_eq!(staging.cause.as_deref(), Some("said on standard output"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_that_is_killed_by_a_signal_has_failed() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("create", "echo 'out of memory'; kill -KILL $$");
    let run = world.create("demo").await;
    let staging = failure(&world).await;
    assert_eq!(staging.reason.as_deref(), Some("run_failed"));
    assert!(staging.cause.is_some_and(|cause| cause.contains("out of memory")));
    assert_eq!(world.run(&run).await.outcome.as_deref(), Some("signal 9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_flood_head_and_tail_are_kept_and_it_is_said_how_much_was_dropped() {
    const BYTES: i64 = 100 * 1024 * 1024;
    let world = World::start("", &[], |setup| setup).await;
    world.script("create", &format!("yes 'a line of the flood' | head -c {BYTES}; printf 'the very end'"));
    let run = world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    let (mut from, mut kept, mut dropped) = (0, Vec::new(), 0);
    loop {
        let (bytes, headers) = world.output(&run, from).await;
        let number = |name: &str| headers[name].to_str().expect("text").parse::<i64>().expect("a number");
        dropped += number("dm-dropped");
        from = number("dm-next");
        if from <= 1024 * 1024 {
            assert_eq!(dropped, 0, "the first MiB is whole");
        }
        kept.extend(bytes);
        if headers["dm-complete"] == "true" {
            break;
        }
    }
    let length = i64::try_from(kept.len()).expect("it is bounded");
    assert_eq!(length + dropped, BYTES + 12);
    assert!((5 * 1024 * 1024..12 * 1024 * 1024).contains(&length), "{length} bytes are kept");
    assert!(kept.ends_with(b"the very end"));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_can_be_followed_while_the_run_runs() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("create", "printf 'first\\n\\xff\\x00'; until [ -e go ]; do sleep 0.01; done; echo second");
    let run = world.create("demo").await;
    let (bytes, headers) = eventually("the first bytes are there", SOON, async || {
        let (bytes, headers) = world.output(&run, 0).await;
        (bytes.len() == 8).then_some((bytes, headers))
    })
    .await;
    assert_eq!(bytes, b"first\n\xff\x00");
    assert_eq!((headers["dm-complete"].as_bytes(), headers["dm-attempt"].as_bytes()), (&b"false"[..], &b"1"[..]));
    let line = eventually("the last line shows", SOON, async || world.staging("demo").await.live.last_line).await;
    assert!(line.starts_with('\u{fffd}'), "{line:?}");
    std::fs::write(world.file("go"), "").expect("a file");
    world.wait_status("demo", Status::Running).await;
    let (bytes, headers) = world.output(&run, 8).await;
    assert_eq!((bytes.as_slice(), headers["dm-complete"].as_bytes()), (&b"second\n"[..], &b"true"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_of_more_than_90_days_ago_is_dropped_and_that_is_said() {
    let mut world = World::start("", &[], |setup| setup).await;
    world.script("create", "printf 'to be forgotten'");
    let run = world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    let pool = world.pool().await;
    sqlx::query!("UPDATE outputs SET at = at - interval '91 days'").execute(&pool).await.expect("it is there");
    pool.close().await;
    world = tokio::task::spawn_blocking(move || {
        world.dms.terminate();
        world.dms.restart();
        world
    })
    .await
    .expect("dms starts");
    let (bytes, headers) = eventually("it is dropped", SOON, async || {
        let (bytes, headers) = world.output(&run, 0).await;
        bytes.is_empty().then_some((bytes, headers))
    })
    .await;
    assert_eq!(
        (bytes.len(), headers["dm-dropped"].as_bytes(), headers["dm-complete"].as_bytes()),
        (0, &b"15"[..], &b"true"[..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_shim_leaves_is_killed_before_the_run_goes_on() {
    let world = World::start("", &[], |setup| setup).await;
    world.script(
        "create",
        "if [ $DM_ATTEMPT = 1 ]; then
           setsid bash -c 'trap \"\" TERM HUP; echo $$ >> pids; while :; do sleep 600; done' &
           # Without a trace of whose it is.
           (env -i setsid bash -c 'trap \"\" TERM HUP; echo $$ >> pids; while :; do sleep 600; done' &)
           until [ \"$(wc -l < pids)\" = 2 ]; do :; done
           echo $PPID > shim.new; mv shim.new shim; sleep 600
         fi
         if kill -0 $(cat pids) 2> /dev/null; then echo overlap >> overlaps; fi",
    );
    world.create("demo").await;
    world.wait_for_file("shim").await;
    let [shim] = pids(&world, "shim")[..] else { panic!("one shim") };
    kill(shim, nix::sys::signal::Signal::SIGKILL).expect("the shim runs");
    world.wait_status("demo", Status::Running).await;
    assert!(!world.file("overlaps").exists(), "the second attempt began before the first was gone");
    assert_eq!(living(&pids(&world, "pids")), []);
    let attempts: Vec<_> = world.records().iter().filter(|record| record.is_start).map(|one| one.attempt).collect();
    assert_eq!(attempts, [1, 2]);
    eventually("no zombie is left to dms", Duration::from_secs(10), async || zombies(&world).is_empty().then_some(()))
        .await;
}

/// Zombies whose parent is `dms`.
fn zombies(world: &World) -> Vec<String> {
    let parent = format!(") Z {} ", world.dms.pid());
    let stats = std::fs::read_dir("/proc").expect("tests run on Linux").flatten();
    stats
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| stat.contains(&parent))
        .collect()
}
