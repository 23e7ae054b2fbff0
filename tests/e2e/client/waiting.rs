//! `--wait` and `dmc wait`: to the end, through restarts, and no longer than asked.

use nix::sys::signal::{Signal, kill};

use super::World;

#[test]
fn a_run_that_fails_is_told_with_its_cause_and_its_last_lines() {
    let world = World::new();
    let ended = world.dmc(&["create", "demo", "--tag", "fails", "--wait"]);
    ended.says(1, &["error: demo: create failed: exit 7 (run_failed)", "no such chart", "hint: `dmc logs demo`"]);
    let document = world.dmc(&["update", "demo", "--tag", "fails", "--wait", "-o", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&document.stdout).unwrap();
    assert_eq!((document.code, &answer["result"]["reason"]), (1, &"run_failed".into()));
    let info = world.ok(&["info", "demo"]);
    assert!(info.contains("Why\n") && info.contains("run_failed"), "{info}");
}

#[test]
fn a_line_per_change_is_told_without_a_terminal() {
    let world = World::new();
    let waiting = world.start(&["create", "demo", "--tag", "waits", "--wait"]);
    waiting.has_printed("stderr", "demo: running create\n");
    world.go();
    let ended = waiting.end();
    ended.says(0, &["demo: create accepted\n", "demo: create succeeded after "]);
    assert!(!ended.stderr.contains('\x1b') && !ended.stderr.contains('\r'), "{:?}", ended.stderr);
    assert_eq!(ended.stderr.matches("demo: running create\n").count(), 1, "{}", ended.stderr);
}

#[test]
fn ctrl_c_stops_the_waiting_and_not_the_run() {
    let world = World::new();
    let waiting = world.start(&["create", "demo", "--tag", "waits", "--wait"]);
    waiting.has_printed("stderr", "running create");
    kill(waiting.pid(), Signal::SIGINT).unwrap();
    waiting.end().says(130, &["still running", "dmc wait demo --for running"]);
    world.go();
    world.dmc(&["wait", "demo", "--for", "running"]).says(0, &["demo: running"]);
}

#[test]
fn when_the_time_is_up_the_run_goes_on() {
    let world = World::new();
    let ended = world.dmc(&["create", "demo", "--tag", "waits", "--wait", "--timeout", "1s"]);
    ended.says(6, &["still under way", "dmc wait demo --for running"]);
    world.dmc(&["wait", "demo", "--for", "running", "--timeout", "1s"]).says(6, &["not running"]);
    world.go();
    world.ok(&["wait", "demo", "--for", "running"]);
}

#[test]
fn a_wait_ends_as_soon_as_nothing_leads_there() {
    let world = World::new();
    world.dmc(&["create", "bad", "--tag", "fails", "--wait"]).says(1, &[]);
    world.dmc(&["wait", "bad", "--for", "running"]).says(1, &["error: bad: Failure", "hint: "]);
    world.ok(&["create", "demo", "--tag", "1", "--wait"]);
    world.dmc(&["wait", "demo", "--for", "archived"]).says(1, &["nothing is under way"]);
    world.ok(&["delete", "demo", "--wait"]);
    world.ok(&["wait", "demo", "--for", "archived"]);
    world.ok(&["cleanup", "demo", "-y"]);
    world.ok(&["wait", "demo", "--for", "gone"]);
}

#[test]
fn waiting_survives_a_crash_of_dms() {
    let mut world = World::new();
    let waiting = world.start(&["create", "demo", "--tag", "waits", "--wait"]);
    waiting.has_printed("stderr", "running create");
    world.dms.kill();
    waiting.has_printed("stderr", "dms does not answer; waiting for it");
    world.dms.restart();
    waiting.has_printed("stderr", "attempt 2");
    world.go();
    waiting.end().says(0, &["create succeeded"]);
}

#[test]
fn a_write_is_sent_until_dms_is_there() {
    let mut world = World::new();
    world.dms.terminate();
    let writing = world.start(&["create", "demo", "--tag", "1", "--wait"]);
    writing.has_printed("stderr", "trying again");
    world.dms.restart();
    writing.end().says(0, &["create succeeded"]);
    assert_eq!(world.json(&["runs", "demo"]).as_array().map(Vec::len), Some(1));
}
