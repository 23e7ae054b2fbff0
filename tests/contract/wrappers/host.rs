//! The life of the demo host, and what it makes of processes that end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dm_tests::eventually::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::Home;

#[tokio::test]
async fn a_killed_staging_stays_down_until_somebody_starts_it() {
    let mut home = Home::local().await;
    home.staging("killed").tag("v1").done("create").await;
    home.staging("other").tag("v1").done("create").await;
    kill(Pid::from_raw(fact(&home, "killed", "pid").await.parse().unwrap()), Signal::SIGKILL).unwrap();
    home.staging("killed").tag("v1").reaches("check", 1).await;
    let ended = home.staging("killed").tag("v1").run("check").await;
    assert!(ended.report.contains("SIGKILL"), "{ended:?}");
    assert_eq!(home.staging("killed").tag("v1").run("archive_check").await.code, Some(1), "it is not archived");

    home.end_host(Signal::SIGTERM).await;
    home.start_host().await;
    home.staging("other").tag("v1").reaches("check", 0).await;
    assert_eq!(fact(&home, "killed", "state").await, "dead");

    home.demo_host(&["start", "killed"]).await;
    home.staging("killed").tag("v1").done("check").await;
}

#[tokio::test]
async fn what_should_run_runs_again_after_the_host_however_that_ended() {
    let mut home = Home::local().await;
    let names = ["first", "second"];
    for name in names {
        home.staging(name).tag("v1").done("create").await;
    }
    home.staging("archived").tag("v1").done("create").await;
    home.staging("archived").tag("v1").done("delete").await;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let url = fact(&home, "first", "url").await;
        assert!(home.processes().len() >= 3, "the host and two stagings are found");
        home.end_host(signal).await;
        ends(&home).await;
        assert_eq!(home.staging("first").tag("v1").run("check").await.code, Some(4), "without a host nobody can tell");
        home.start_host().await;
        for name in names {
            home.staging(name).tag("v1").reaches("check", 0).await;
        }
        assert_eq!(fact(&home, "first", "url").await, url, "links stay");
        assert_eq!(fact(&home, "archived", "state").await, "stopped");
    }
}

#[tokio::test]
async fn the_host_ends_when_it_keeps_nothing_and_nobody_holds_the_home() {
    let mut home = Home::local().await;
    home.staging("last").tag("v1").done("create").await;
    home.release();
    home.staging("last").tag("v1").done("check").await;
    home.staging("last").tag("v1").done("delete").await;
    home.host_ends().await;
    assert!(home.processes().is_empty());
}

#[tokio::test]
async fn a_second_host_of_a_home_gives_way() {
    let home = Home::local().await;
    let second = home.dms(&["demo-host", "run"]).output().await.unwrap();
    assert!(second.status.success(), "{second:?}");
    home.demo_host(&["list"]).await;
}

#[tokio::test]
async fn a_home_with_a_long_path_works() {
    let mut home = Home::local_below(&["a-rather-long-folder"; 8].join("/")).await;
    assert!(home.path().as_os_str().len() > 107);
    home.staging("deep").tag("v1").done("create").await;
    home.staging("deep").tag("v1").done("check").await;
    home.end_host(Signal::SIGTERM).await;
    home.start_host().await;
    home.staging("deep").tag("v1").reaches("check", 0).await;
}

#[tokio::test]
async fn a_damaged_folder_is_started_and_removed_like_any_other() {
    let mut home = Home::local().await;
    let staging = home.path().join("stagings/damaged");
    home.end_host(Signal::SIGTERM).await;
    fs::create_dir_all(&staging).unwrap();
    fs::write(staging.join("spec.json"), "{").unwrap();
    home.start_host().await;
    home.staging("damaged").tag("v1").done("create").await;
    home.staging("damaged").tag("v1").done("check").await;
    home.staging("damaged").tag("v1").done("cleanup").await;
    assert!(!staging.exists());
}

#[tokio::test]
async fn more_than_200_stagings_are_refused() {
    let mut home = Home::local().await;
    home.staging("first").tag("v1").done("create").await;
    home.staging("first").tag("v1").done("delete").await;
    home.end_host(Signal::SIGTERM).await;
    let stagings = home.path().join("stagings");
    let spec = fs::read_to_string(stagings.join("first/spec.json")).unwrap();
    for at in 1..200 {
        let name = format!("copy-{at}");
        fs::create_dir(stagings.join(&name)).unwrap();
        fs::write(stagings.join(&name).join("spec.json"), spec.replace("\"first\"", &format!("\"{name}\""))).unwrap();
    }
    home.start_host().await;
    let refused = home.staging("one-more").tag("v1").run("create").await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("200"), "{refused:?}");
    assert!(!Path::new(&stagings.join("one-more")).exists());
    home.staging("first").tag("v1").done("restore").await;
    home.staging("copy-1").tag("v1").done("cleanup").await;
    home.staging("one-more").tag("v1").done("create").await;
}

#[tokio::test]
async fn a_stopped_staging_is_not_started_by_its_name_alone() {
    let home = Home::local().await;
    home.staging("stopped").tag("v1").done("create").await;
    home.staging("stopped").tag("v1").done("delete").await;
    for name in ["stopped", "unknown"] {
        let refused = home.dms(&["demo-host", "start", name]).output().await.unwrap();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(name), "{refused:?}");
    }
}

#[tokio::test]
async fn people_start_a_killed_staging_also_while_no_host_is_there() {
    let mut home = Home::local().await;
    home.staging("killed").tag("v1").done("create").await;
    kill(Pid::from_raw(fact(&home, "killed", "pid").await.parse().unwrap()), Signal::SIGKILL).unwrap();
    home.release();
    home.host_ends().await;
    let start = ["start", "killed"];
    let (first, second) = tokio::join!(home.demo_host(&start), home.demo_host(&start));
    assert_eq!(first, second, "both find the one host, and its one process");
    home.staging("killed").tag("v1").done("check").await;
    home.staging("killed").tag("v1").done("cleanup").await;
    ends(&home).await;
}

#[tokio::test]
async fn what_a_killed_wrapper_still_waited_for_is_not_done() {
    let home = Home::local().await;
    let staging = home.staging("stale").tag("v1");
    staging.done("create").await;
    // A process that is halted does not hear SIGTERM, so its end takes until SIGKILL.
    kill(Pid::from_raw(fact(&home, "stale", "pid").await.parse().unwrap()), Signal::SIGSTOP).unwrap();
    let spec = home.path().join("stagings/stale/spec.json");
    let killed_meanwhile = async {
        eventually("the delete is under way", Duration::from_secs(20), async || {
            fs::read_to_string(&spec).unwrap().contains("\"should_run\": false").then_some(())
        })
        .await;
        staging.killed("create", Duration::from_millis(500)).await;
    };
    tokio::join!(staging.done("delete"), killed_meanwhile);
    assert_eq!(fact(&home, "stale", "state").await, "stopped");
}

/// One fact of `dms demo-host status`.
async fn fact(home: &Home, name: &str, key: &str) -> String {
    let status = home.demo_host(&["status", name]).await;
    let key = format!("{key}: ");
    status.lines().find_map(|line| line.strip_prefix(&key)).unwrap_or_else(|| panic!("{status}")).to_owned()
}

/// Waits until no process of the home is left.
async fn ends(home: &Home) {
    eventually("every process of the home ends", Duration::from_secs(20), async || {
        home.processes().is_empty().then_some(())
    })
    .await;
}
