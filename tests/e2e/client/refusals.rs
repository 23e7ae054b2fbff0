//! What `dmc` says when the answer is no: a sentence, the flag at fault, a hint, and a code that scripts can act on.

use super::World;

#[test]
fn a_wrong_state_is_a_rejection_with_a_hint() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "v1", "--wait"]);
    world.dmc(&["create", "demo", "--tag", "v1"]).says(3, &["error: "]);
    world.dmc(&["restore", "demo"]).says(3, &["error: "]);
    world.dmc(&["cleanup", "demo", "-y"]).says(3, &["error: ", "hint: ", "delete"]);
    world.ok(&["delete", "demo", "--wait"]);
    world.dmc(&["update", "demo", "--tag", "v2"]).says(3, &["error: ", "hint: ", "restore"]);
    world.dmc(&["delete", "demo"]).says(0, &["nothing to do"]);
}

#[test]
fn bad_input_is_named_by_its_flag() {
    let world = World::new();
    world.dmc(&["create", "demo", "--tag", "a b"]).says(3, &["error: ", "--tag: "]);
    world.dmc(&["create", "demo", "--tag", "1", "--app", "a=1", "--app-json", "b c=1"]).says(3, &["--app-json b c: "]);
    world.dmc(&["create", "demo", "--tag", "1", "--app", "a=1", "--app", "a.b=1"]).says(3, &["error: "]);
    world.dmc(&["create", "demo", "--tag", "1", "--idempotency-key", ""]).says(3, &["--idempotency-key: "]);
    world.dmc(&["history", "demo"]).says(7, &["there is no staging demo"]);
}

#[test]
fn what_is_not_there_is_not_found() {
    let world = World::new();
    for verb in
        [&["info", "no"][..], &["update", "no", "--tag", "1"], &["delete", "no"], &["logs", "no"], &["runs", "no"]]
    {
        world.dmc(verb).says(7, &["error: there is no "]);
    }
    world.dmc(&["wait", "no", "--for", "running"]).says(7, &["error: "]);
    let id = "00000000-0000-4000-8000-000000000000";
    world.dmc(&["logs", "no", "--run", id]).says(7, &["error: there is no run"]);
}

#[test]
fn wrong_usage_is_told_without_asking_anybody() {
    let world = World::new();
    for line in [
        &["create", "demo"][..],
        &["create", "Demo", "--tag", "1"],
        &["create", "demo", "--tag", "1", "--app", "nothing"],
        &["create", "demo", "--tag", "1", "--app-secret", "token"],
        &["create", "demo", "--tag", "1", "--timeout", "1h"],
        &["delete", "a", "b", "--idempotency-key", "the-key-of-both"],
        &["list", "-o", "xml"],
        &["frobnicate"],
    ] {
        world.dmc(line).says(2, &["error: "]);
    }
}

#[test]
fn without_a_terminal_a_prompt_is_wrong_usage_and_names_the_way_out() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "1", "--wait"]);
    world.ok(&["delete", "demo", "--wait"]);
    world.dmc(&["cleanup", "demo"]).says(2, &["error: ", "hint: give -y"]);
    assert_eq!(world.json(&["info", "demo"])["status"], "Archived");
}
