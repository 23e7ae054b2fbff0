//! A staging's whole life by `dmc`, and what each verb prints.

use super::World;

#[test]
fn a_whole_life_goes_by_dmc_and_its_history_stays() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "v1", "--app", "greeting=hello", "--reason", "for the review", "--wait"]);
    assert_eq!(world.json(&["info", "demo"])["status"], "Running");
    world.ok(&["update", "demo", "--tag", "v2", "--reset-app", "greeting", "--wait"]);
    assert_eq!(world.json(&["info", "demo"])["tag"], "v2");
    let deleted = world.dmc(&["delete", "demo", "--wait"]);
    deleted.says(0, &["volumes kept; undo: dmc restore demo"]);
    assert_eq!(world.json(&["info", "demo"])["status"], "Archived");
    world.ok(&["restore", "demo", "--wait"]);
    assert_eq!(world.json(&["info", "demo"])["status"], "Running");
    world.ok(&["archive", "demo", "--wait"]);
    world.ok(&["cleanup", "demo", "-y", "--wait"]);

    world.dmc(&["info", "demo"]).says(7, &["error: ", "cleaned up at"]);
    let runs = world.json(&["runs", "demo"]);
    let verbs: Vec<_> = runs.as_array().unwrap().iter().map(|run| run["verb"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["cleanup", "delete", "restore", "delete", "update", "create"]);
    let history = world.ok(&["history", "demo"]);
    let first = history.lines().nth(1).unwrap_or_default();
    assert!(first.contains("admin/") && first.contains("for the review"), "{history}");
    let events = world.json(&["history", "demo"]);
    let types: Vec<_> = events.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((types.first(), types.last()), (Some(&"CreateRequested"), Some(&"CleanedUp")), "{types:?}");
}

#[test]
fn an_empty_list_is_a_document_and_no_failure() {
    let world = World::new();
    let ended = world.dmc(&["list", "-o", "json"]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "[]\n", ""));
    world.dmc(&["list"]).says(0, &["no staging is up"]);
}

#[test]
fn a_list_shows_what_is_up_and_the_archived_ones_when_asked() {
    let world = World::new();
    world.ok(&["create", "up", "--tag", "1", "--wait"]);
    world.ok(&["create", "down", "--tag", "2", "--wait"]);
    world.ok(&["delete", "down", "--wait"]);
    let names = |arguments: &[&str]| -> Vec<String> {
        let list = world.json(arguments);
        list.as_array().unwrap().iter().map(|staging| staging["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["ls"]), ["up"]);
    assert_eq!(names(&["list", "--archived"]), ["down", "up"]);
    assert_eq!(names(&["list", "--status", "Archived"]), ["down"]);
    assert_eq!(names(&["list", "--archived", "--limit", "1"]), ["down"]);
    assert_eq!(names(&["list", "--q", "nothing like it"]), Vec::<String>::new());
    let table = world.ok(&["list", "--archived"]);
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap_or_default(), ["NAME", "STATUS", "TAG", "CHANGED", "WHAT"]);
    assert_eq!(&lines.next().unwrap_or_default()[..3], ["down", "Archived", "2"]);
    assert!(!world.ok(&["list", "--no-headers"]).contains("NAME"));
}

#[test]
fn values_arrive_byte_for_byte() {
    let world = World::new();
    let values = ["two\nlines", " blanks ", "$HOME `x` \"y\" 'z' \\", "🚀", "58467965", "1e10", "", "a=b"];
    let mut arguments = vec!["create".to_owned(), "demo".to_owned(), "--tag".to_owned(), "1e10".to_owned()];
    for (index, value) in values.iter().enumerate() {
        arguments.extend(["--app".to_owned(), format!("k{index}={value}")]);
    }
    arguments.extend(["--app-json".to_owned(), "j=12345678901234567890.10".to_owned(), "--wait".to_owned()]);
    world.ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let text = world.ok(&["info", "demo", "-o", "json"]);
    assert!(text.contains("12345678901234567890.10"), "a digit was lost in {text}");
    let info: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(info["tag"], "1e10");
    let keys = info["configuration"]["keys"].as_array().unwrap();
    for (index, value) in values.iter().enumerate() {
        let key = keys.iter().find(|key| key["key"] == format!("k{index}")).unwrap();
        assert_eq!(key["text"], *value);
    }
}

#[test]
fn info_shows_defaults_and_marks_overrides() {
    let world = World::new();
    let file = world.dms.folder().join("overrides.json");
    std::fs::write(&file, r#"{"app": {"greeting": "hi", "flags": ["a"]}}"#).unwrap();
    world.ok(&["create", "demo", "--tag", "v1", "-f", file.to_str().unwrap(), "--unset-staging", "replicas", "--wait"]);
    world.ok(&["open", "demo", "--print"]);
    let text = world.ok(&["info", "demo"]);
    let line = |key: &str| -> Vec<&str> {
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(key));
        line.unwrap_or_else(|| panic!("{key} is not in\n{text}")).split_whitespace().collect()
    };
    assert_eq!(line("colour"), ["app", "colour", "blue", "default"]);
    assert_eq!(line("greeting"), ["app", "greeting", "hi", "override"]);
    assert_eq!(line("flags"), ["app", "flags", "[\"a\"]", "(JSON)", "override"]);
    assert_eq!(line("replicas"), ["staging", "replicas", "hidden", "override"]);
    assert!(text.contains("http://127.0.0.1:1/") && text.contains("dmc delete demo"), "{text}");
    assert!(!text.contains("dmc restore demo"), "it cannot be restored now:\n{text}");
}

#[test]
fn open_prints_the_link_that_is_asked_for() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "v1", "--wait"]);
    assert_eq!(world.ok(&["open", "demo", "--print"]), "http://127.0.0.1:1/\n");
    assert_eq!(world.ok(&["open", "demo", "admin"]), "http://127.0.0.1:2/\n");
    world.dmc(&["open", "demo", "nowhere"]).says(7, &["no link 'nowhere'", "hint: it has: web, admin"]);
}

#[test]
fn whoever_waited_finds_the_links() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "v1", "--wait"]);
    assert_eq!(world.json(&["info", "demo"])["links"][0]["url"], "http://127.0.0.1:1/");
    world.ok(&["delete", "demo", "--wait"]);
    world.ok(&["restore", "demo"]);
    assert_eq!(world.json(&["wait", "demo", "--for", "running"])["links"][0]["url"], "http://127.0.0.1:1/");
}

#[test]
fn one_key_is_one_command() {
    let world = World::new();
    let once = ["create", "demo", "--tag", "v1", "--idempotency-key", "a-key-of-the-pipeline-4711"];
    let first = world.json(&once);
    let again = world.json(&once);
    assert_eq!(first["run"], again["run"]);
    world.dmc(&[&once[..3], &["v2"], &once[4..]].concat()).says(3, &["error: "]);
    world.ok(&["wait", "demo", "--for", "running"]);
    assert_eq!(world.json(&["runs", "demo"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn several_names_are_asked_for_together_and_one_refusal_stops_none() {
    let world = World::new();
    for name in ["a", "b"] {
        world.ok(&["create", name, "--tag", "1", "--wait"]);
    }
    let ended = world.dmc(&["delete", "a", "nobody", "b", "--wait", "-o", "json"]);
    assert_eq!(ended.code, 7, "{ended:?}");
    let answers: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let ends: Vec<_> = answers.as_array().unwrap().iter().map(|answer| &answer["result"]["state"]).collect();
    assert_eq!(ends, ["succeeded", "succeeded"]);
}

#[test]
fn both_versions_are_told() {
    let world = World::new();
    let text = world.ok(&["version"]);
    assert!(text.starts_with("dmc 0.1.0\ndms 0.1.0 (api v1) at https://127.0.0.1:"), "{text}");
    assert_eq!(world.json(&["version"])["server"]["api"], "v1");
}

#[test]
fn links_that_cannot_be_read_are_told_with_the_cause() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "v1", "--wait"]);
    assert!(world.ok(&["info", "demo"]).contains("http://127.0.0.1:1/"));
    let broken = b"#!/bin/sh\necho 'the ingress is away' >&2\nexit 3\n";
    dm_tests::dms::executable_file(&world.wrappers.path().join("info"), broken);
    world.ok(&["update", "demo", "--tag", "v2", "--wait"]);
    let info = world.ok(&["info", "demo"]);
    assert!(info.contains("unknown  info: exited with 3: the ingress is away"), "{info}");
    let open = world.dmc(&["open", "demo", "--print"]);
    open.says(7, &["error: the links of demo are not known: info: exited with 3: the ingress is away"]);
}
