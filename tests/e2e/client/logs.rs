//! `dmc logs`: the bytes of the wrapper, while it runs and afterwards.

use super::{World, dmc};

#[test]
fn into_a_pipe_the_bytes_go_as_they_came() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "noise", "--wait"]);
    let output = dmc(world.dms.home(), &["logs", "demo"]).output().unwrap();
    assert_eq!(output.stdout, b"a\x1b[31mb\x07\xffc\r\none\ntwo\nthree\n");
    assert_eq!(output.stderr, b"");
}

#[test]
fn a_tail_is_the_last_lines() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "1", "--wait"]);
    assert_eq!(world.ok(&["logs", "demo", "--tail", "2"]), "two\nthree\n");
    assert_eq!(world.ok(&["logs", "demo", "--tail", "2", "-f"]), "two\nthree\n");
}

#[test]
fn a_run_of_the_past_is_shown_by_its_id() {
    let world = World::new();
    world.dmc(&["create", "demo", "--tag", "fails", "--wait"]).says(1, &[]);
    world.ok(&["update", "demo", "--tag", "1", "--wait"]);
    let runs = world.json(&["runs", "demo"]);
    let first = runs[1]["id"].as_str().unwrap();
    assert!(world.ok(&["logs", "demo", "--run", first]).contains("no such chart"));
    world.ok(&["create", "other", "--tag", "1", "--wait"]);
    world.dmc(&["logs", "other", "--run", first]).says(7, &["is not of other but of demo"]);
}

#[test]
fn following_shows_output_while_the_run_runs_and_ends_with_it() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "waits"]);
    let following = world.start(&["logs", "demo", "-f"]);
    following.has_printed("stdout", "begun\n");
    assert!(!following.text("stdout").contains("ended"));
    world.go();
    let ended = following.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "begun\nended\none\ntwo\nthree\n"), "{ended:?}");
}

#[test]
fn following_goes_on_with_the_next_attempt() {
    let mut world = World::new();
    world.ok(&["create", "demo", "--tag", "waits"]);
    let following = world.start(&["logs", "demo", "-f"]);
    following.has_printed("stdout", "begun\n");
    world.dms.kill();
    world.dms.restart();
    following.has_printed("stderr", "attempt 2 begins");
    world.go();
    let ended = following.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "begun\nbegun\nended\none\ntwo\nthree\n"), "{ended:?}");
}

#[test]
fn json_logs_are_a_document_per_line() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "1", "--wait"]);
    let text = world.ok(&["logs", "demo", "-o", "json"]);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts: Vec<_> = lines.iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(lines[0]["attempt"], 1);
}

#[test]
fn output_stays_after_a_cleanup() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "1", "--wait"]);
    world.ok(&["delete", "demo", "--wait"]);
    world.ok(&["cleanup", "demo", "-y", "--wait"]);
    assert_eq!(world.ok(&["logs", "demo"]), "one\ntwo\nthree\n");
}
