//! Pushes in a row, runs that are stopped, what is old and removed: the days of developers and of CI.

use std::collections::BTreeMap;

use dm_tests::eventually::eventually_blocking;

use super::{DEADLINE, World};

impl World {
    /// The types of the events of a name.
    fn events(&self, name: &str) -> Vec<String> {
        let events = self.json(&["history", name]);
        events.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// How often each type of event is among those of a name.
    fn counted(&self, name: &str) -> BTreeMap<String, usize> {
        let mut counted = BTreeMap::new();
        for of in self.events(name) {
            *counted.entry(of).or_default() += 1;
        }
        counted
    }

    fn is_running(&self, name: &str, verb: &str, tag: &str) {
        eventually_blocking(&format!("{verb} of {tag} runs"), DEADLINE, || {
            let info = self.dmc(&["info", name, "-o", "json"]);
            let info: serde_json::Value = serde_json::from_str(&info.stdout).ok()?;
            let activity = &info["activity"];
            (activity["kind"] == "running" && activity["verb"] == verb && info["tag"] == tag).then_some(())
        });
    }
}

#[test]
fn a_newer_push_takes_the_place_of_an_older_one_and_a_late_one_undoes_no_delete() {
    let world = World::new();
    let push = |tag: &str| world.start(&["apply", "demo", "--tag", tag, "--when-busy", "cancel", "--wait"]);
    let first = push("waits-1");
    world.is_running("demo", "create", "waits-1");
    let second = push("waits-2");
    world.is_running("demo", "update", "waits-2");
    first.end().says(1, &["demo: create failed: cancelled"]);
    let third = push("waits-3");
    world.is_running("demo", "update", "waits-3");
    second.end().says(1, &["is being cancelled", "demo: update failed: cancelled"]);
    let delete = world.start(&["delete", "demo", "--when-busy", "cancel", "--wait"]);
    world.is_running("demo", "delete", "waits-3");
    third.end().says(1, &["demo: update failed: cancelled"]);

    let late = world.dmc(&["apply", "demo", "--tag", "waits-4", "--when-busy", "cancel", "--wait"]);
    late.says(3, &["error: busy: delete was requested by admin/", "is not cancelled", "--when-busy wait"]);
    world.go();
    delete.end().says(0, &["volumes kept", "demo: delete succeeded"]);
    assert_eq!(world.json(&["info", "demo"])["status"], "Archived");
    let counted = world.counted("demo");
    let times = |of: &str| counted.get(of).copied().unwrap_or_default();
    assert_eq!(
        (times("CreateRequested"), times("UpdateRequested"), times("DeleteRequested")),
        (1, 2, 1),
        "{counted:?}"
    );
    assert_eq!((times("CancelRequested"), times("RunStarted"), times("RunFinished")), (3, 4, 4), "{counted:?}");
    let why = world.json(&["history", "demo"]);
    let reasons: Vec<_> = why.as_array().unwrap().iter().filter_map(|event| event["reason"].as_str()).collect();
    assert_eq!(reasons, ["in favour of apply", "in favour of apply", "in favour of delete"]);
}

#[test]
fn who_waits_for_a_busy_staging_comes_after_it() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "waits"]);
    world.dmc(&["update", "demo", "--app", "a=1"]).says(3, &["error: busy: create", "hint: wait for the run"]);
    let waits = world.start(&["update", "demo", "--tag", "v2", "--when-busy", "wait", "--wait"]);
    waits.has_printed("stderr", "the create that admin/");
    waits.has_printed("stderr", "running create");
    let gives_up = world.dmc(&["update", "demo", "--tag", "v3", "--when-busy", "wait", "--timeout", "1s"]);
    gives_up.says(6, &["error: demo: still busy with run"]);
    world.go();
    waits.end().says(0, &["demo: update accepted", "demo: update succeeded"]);
    assert_eq!(world.json(&["info", "demo"])["tag"], "v2");
}

#[test]
fn a_write_to_a_dms_that_is_away_is_sent_until_it_is_back_and_done_once() {
    let mut world = World::new();
    world.ok(&["create", "demo", "--tag", "v1", "--wait"]);
    world.dms.terminate();
    let update = world.start(&["update", "demo", "--tag", "v2", "--wait"]);
    let read = world.start(&["info", "demo", "-o", "json"]);
    update.has_printed("stderr", "trying again (Ctrl-C gives up)");
    read.has_printed("stderr", "trying again (Ctrl-C gives up)");
    let late = world.dmc(&["update", "demo", "--tag", "v3", "--wait", "--timeout", "1s"]);
    late.says(6, &["error: cannot reach dms", "--timeout is up"]);
    world.dms.restart();
    update.end().says(0, &["demo: update succeeded"]);
    assert_eq!(read.end().code, 0);
    assert_eq!(world.counted("demo").get("UpdateRequested"), Some(&1));
    assert_eq!(world.json(&["info", "demo"])["tag"], "v2");
}

#[test]
fn the_list_shows_who_waits_for_a_place_and_for_how_many() {
    let world = World::of(dm_tests::dms::Setup::new().argument("--max-runs=1"));
    for name in ["first", "second", "third"] {
        world.ok(&["create", name, "--tag", "waits"]);
    }
    world.is_running("first", "create", "waits");
    let list = world.ok(&["list"]);
    let what = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(what("first").ends_with("running create"), "{list}");
    assert!(what("second").ends_with("create queued, 0 ahead"), "{list}");
    assert!(what("third").ends_with("create queued, 1 ahead"), "{list}");
    world.ok(&["cancel", "second", "--wait"]);
    assert!(world.ok(&["list"]).contains("create queued, 0 ahead"));
    world.go();
    world.ok(&["wait", "third", "--for", "running"]);
}

#[test]
fn two_people_edit_at_once_and_only_the_same_key_is_a_conflict() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "v1", "--wait"]);
    let base = world.json(&["info", "demo"])["configuration_version"].to_string();
    let edit =
        |key: &str| world.start(&["update", "demo", "--base", &base, "--app", key, "--when-busy", "wait", "--wait"]);
    let (anna, ben) = (edit("a=anna"), edit("b=ben"));
    anna.end().says(0, &["demo: update succeeded"]);
    ben.end().says(0, &["demo: update succeeded"]);
    let info = world.json(&["info", "demo"]);
    assert_eq!(info["overrides"], 2, "both have landed");
    let conflict = world.dmc(&["update", "demo", "--base", &base, "--app", "a=other"]);
    conflict.says(3, &["error: app key a was changed meanwhile, by the event of version", "hint: `dmc history demo`"]);
}

#[test]
fn a_run_is_stopped_and_run_again() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "waits"]);
    world.is_running("demo", "create", "waits");
    let cancelled = world.dmc(&["cancel", "demo", "--wait", "--reason", "the wrong branch", "--on-behalf", "ben"]);
    cancelled.says(0, &["demo: cancel accepted", "demo: create stopped"]);
    assert!(!cancelled.stderr.contains("dmc open"), "there is nothing to open: {cancelled:?}");
    let info = world.json(&["info", "demo"]);
    assert_eq!((&info["status"], &info["reason"]), (&"Failure".into(), &"cancelled".into()));
    world.dmc(&["cancel", "demo"]).says(3, &["error: cancel is not possible while the staging is Failure"]);
    let history = world.ok(&["history", "demo"]);
    assert!(history.contains("the wrong branch") && history.contains("ben"), "{history}");
    world.go();
    world.dmc(&["retry", "demo", "--wait"]).says(0, &["demo: create succeeded"]);
    world.dmc(&["cleanup", "demo", "--force", "-y"]).says(2, &["--reason"]);
    world.dmc(&["cleanup", "demo", "--force", "--reason", "x", "-y"]).says(3, &["while the staging is Running"]);
}

#[test]
fn a_dry_run_shows_everything_and_does_nothing() {
    let world = World::new();
    let shown = world.ok(&["create", "demo", "--tag", "v1", "--app", "colour=red", "--dry-run"]);
    for word in ["would start a run", "(none)  ->  CreatePending", "app colour", "red", "--app-override colour=red"] {
        assert!(shown.contains(word), "{word:?} is not in\n{shown}");
    }
    world.dmc(&["info", "demo"]).says(7, &[]);
    world.ok(&["apply", "demo", "--tag", "v1", "--wait"]);
    let quiet = world.ok(&["apply", "demo", "--tag", "v1", "--dry-run"]);
    assert!(quiet.contains("would do nothing"), "{quiet}");
    world.ok(&["delete", "demo", "--dry-run"]);
    world.dmc(&["restore", "demo", "--dry-run"]).says(3, &["restore is not possible while the staging is Running"]);
    let preview = world.json(&["update", "demo", "--tag", "v2", "--dry-run"]);
    assert_eq!((&preview["tag"], &preview["tag_after"]), (&"v1".into(), &"v2".into()));
    assert_eq!(world.counted("demo").get("DeleteRequested"), None);
}

#[test]
fn ten_sweeps_at_once_remove_what_is_old_once_and_nothing_else() {
    let world = World::new();
    let old = ["a", "b", "c"];
    let all = [&old[..], &["back", "young"]].concat();
    for name in &all {
        world.ok(&["create", name, "--tag", "v1"]);
    }
    for name in &all {
        world.ok(&["delete", name, "--when-busy", "wait", "--wait"]);
    }
    eventually_blocking("all are old", DEADLINE, || {
        let listed = world.ok(&["list", "--archived-for", "4s", "-o", "name"]);
        (listed.lines().count() == all.len()).then_some(())
    });
    world.dmc(&["cleanup", "--archived-for", "4s"]).says(2, &["give -y"]);
    let listed = world.ok(&["cleanup", "--archived-for", "4s", "--limit", "2", "--dry-run"]);
    assert_eq!(listed, "a: would be cleaned up\nb: would be cleaned up\n", "oldest first");

    world.ok(&["restore", "back", "--wait"]);
    world.ok(&["restore", "young", "--wait"]);
    world.ok(&["delete", "young", "--wait"]);
    let sweeps: Vec<_> =
        (0..10).map(|_| world.start(&["cleanup", "--archived-for", "4s", "-y", "--wait", "-o", "name"])).collect();
    for sweep in sweeps {
        let ended = sweep.end();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stdout.lines().all(|name| old.contains(&name)), "{ended:?}");
    }
    for name in old {
        world.dmc(&["wait", name, "--for", "gone"]).says(0, &["gone"]);
        let counted = world.counted(name);
        let times = |of: &str| counted.get(of).copied().unwrap_or_default();
        assert_eq!((times("CleanupRequested"), times("CleanedUp")), (1, 1), "{name}: {counted:?}");
    }
    assert_eq!(world.json(&["info", "back"])["status"], "Running");
    assert_eq!(world.json(&["info", "young"])["status"], "Archived");
    for name in ["back", "young"] {
        assert_eq!(world.counted(name).get("CleanupRequested"), None, "{name}");
    }
}
