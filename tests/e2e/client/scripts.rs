//! `dmc` in scripts and shells: forms of output, contexts, completion, man pages, and CI through restarts of `dms`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dm_tests::eventually::eventually_blocking;

use super::{DEADLINE, Ended, World, dmc, dmc_executable};

/// A shell that finds `dmc` and the `dms` of this world.
fn shell(world: &World, script: &str) -> Command {
    let folder = dmc_executable().parent().expect("it is in a folder").display().to_string();
    let mut command = Command::new("bash");
    command.args(["-c", script]).env_clear().env("DM_HOME", world.dms.home()).stdin(Stdio::null());
    command.env("PATH", format!("{folder}:/usr/bin:/bin"));
    command
}

#[test]
fn a_ci_script_goes_on_through_two_restarts() {
    let mut world = World::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ci.sh");
    let lines = fs::read_to_string(&script).expect("it is there").lines().count();
    assert!(lines <= 25, "a page of a CI system has no room for {lines} lines");
    let out = world.dms.folder().join("ci.out");
    let file = || fs::File::options().create(true).append(true).open(&out).expect("the folder is ours");
    let text = || fs::read_to_string(&out).unwrap_or_default();
    let up_and_down = format!("{0} up && {0} down", script.display());
    let mut child = shell(&world, &up_and_down)
        .env("BRANCH", "feature/LOGIN-42")
        .env("TAG", "waits")
        .env("AUTHOR", "anna")
        .stdout(file())
        .stderr(file())
        .spawn()
        .expect("bash is there");
    let seen = |words: &str| {
        eventually_blocking(words, DEADLINE, || text().contains(words).then_some(()));
    };
    seen("running create\n");
    world.dms.kill();
    world.dms.restart();
    seen("running create, attempt 2");
    world.dms.terminate();
    world.go();
    world.dms.restart();
    let status = eventually_blocking("the script ends", DEADLINE, || child.try_wait().expect("it is ours"));
    assert!(status.success(), "{}", text());
    assert!(text().contains("feature/LOGIN-42 is at http://127.0.0.1:1/\n"), "{}", text());
    let info = world.json(&["info", "feature-login-42"]);
    assert_eq!(info["status"], "Archived");
    let events = world.json(&["history", "feature-login-42"]);
    let of = |kind: &str| events.as_array().unwrap().iter().filter(|event| event["type"] == kind).count();
    assert_eq!((of("CreateRequested"), of("UpdateRequested"), of("DeleteRequested")), (1, 0, 1), "nothing is doubled");
    assert_eq!(events[0]["on_behalf"], "anna");
}

#[test]
fn a_document_comes_in_the_form_that_is_asked_for() {
    let world = World::new();
    world.ok(&["create", "b", "--tag", "v2", "--wait"]);
    world.ok(&["create", "a", "--tag", "v1", "--wait"]);
    assert_eq!(world.ok(&["list", "-o", "name"]), "a\nb\n");
    assert_eq!(world.ok(&["list", "-o", "name", "--sort", "-created"]), "a\nb\n");
    assert_eq!(world.ok(&["list", "-o", "name", "--sort", "created"]), "b\na\n");
    world.dmc(&["list", "--sort", "size"]).says(3, &["--sort: sort must be one of name, status, created"]);
    let yaml = world.ok(&["info", "a", "-o", "yaml"]);
    assert!(yaml.contains("\nname: a\n") && yaml.contains("\ntag: v1\n"), "{yaml}");
    let runs = world.ok(&["runs", "a", "-o", "name"]);
    assert_eq!(runs.trim_end(), world.json(&["runs", "a"])[0]["id"].as_str().unwrap());
    assert_eq!(world.ok(&["delete", "a", "b", "--wait", "-o", "name"]), "a\nb\n");
    assert_eq!(world.ok(&["name-from", "feature/LOGIN-42"]), "feature-login-42\n");
    world.dmc(&["name-from", "///"]).says(2, &["no letter or digit"]);
}

#[test]
fn contexts_name_several_dms_and_each_setting_says_where_it_comes_from() {
    let world = World::new();
    let settings: toml::Table =
        fs::read_to_string(world.dms.home().join("dmc.toml")).unwrap().parse().expect("it is TOML");
    let value = |key: &str| settings[key].as_str().unwrap().to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], context: Option<&str>| {
        let mut command = dmc(elsewhere.path(), arguments);
        command.env("XDG_CONFIG_HOME", elsewhere.path()).envs(context.map(|name| ("DM_CONTEXT", name)));
        Ended::of(&command.output().expect("dmc was built"))
    };
    let (url, cert, key, ca) = (value("url"), value("cert"), value("key"), value("ca"));
    run(&["context", "add", "here", "--url", &url], None).says(2, &["a context needs --cert"]);
    let add =
        |name, url| run(&["context", "add", name, "--url", url, "--cert", &cert, "--key", &key, "--ca", &ca], None);
    add("here", &url).says(0, &["here was added"]);
    add("away", "https://127.0.0.1:1").says(0, &[]);
    run(&["list"], None).says(5, &["no dms is known here"]);
    run(&["list"], Some("here")).says(0, &["no staging is up"]);
    run(&["list", "--retry-for", "1s"], Some("away")).says(5, &["https://127.0.0.1:1"]);
    run(&["context", "use", "nowhere"], None).says(2, &["there is no context nowhere"]);
    run(&["context", "use", "here"], None).says(0, &["in use from now on"]);
    run(&["list"], None).says(0, &["no staging is up"]);
    let listed = run(&["context", "list", "-o", "json"], None);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!((&listed[0]["name"], &listed[1]["current"]), (&"away".into(), &true.into()));

    let config = run(&["config", "-o", "json", "--ca", "/other.pem"], None);
    let config: serde_json::Value = serde_json::from_str(&config.stdout).unwrap();
    let of = |setting: &str| {
        let found = config.as_array().unwrap().iter().find(|of| of["setting"] == setting).expect("it is there");
        (found["value"].as_str().unwrap_or_default().to_owned(), found["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("url"), (url, "context here".to_owned()));
    assert_eq!(of("ca"), ("/other.pem".to_owned(), "--ca".to_owned()));
    run(&["context", "remove", "here"], None).says(0, &["now none is"]);
    run(&["list"], None).says(5, &["no dms is known here"]);
}

#[test]
fn tab_completes_verbs_names_and_tags() {
    let world = World::new();
    dm_tests::dms::executable_file(
        &world.wrappers.path().join("tags"),
        b"#!/bin/sh\necho 'v1.0,first,'; echo 'v1.1,second,'\n",
    );
    let mut world = world;
    world.dms.terminate();
    world.dms.restart();
    world.ok(&["create", "demo-one", "--tag", "v1", "--wait"]);
    world.ok(&["create", "other", "--tag", "v1", "--wait"]);
    let complete = |world: &World, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let script = format!(
            "eval \"$(dmc completions bash)\"; COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9; \
             _clap_complete_dmc dmc '{}' x; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1,
            words[words.len() - 1],
        );
        let output = shell(world, &script).output().expect("bash is there");
        String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&world, "dmc up"), ["update"]);
    assert_eq!(complete(&world, "dmc info demo"), ["demo-one"]);
    assert_eq!(complete(&world, "dmc delete other de"), ["demo-one"]);
    assert_eq!(complete(&world, "dmc update demo-one --tag v1."), ["v1.0", "v1.1"]);
    for shell in ["zsh", "fish"] {
        assert!(world.ok(&["completions", shell]).contains("DMC_COMPLETE"), "{shell}");
    }
    world.dms.terminate();
    assert_eq!(complete(&world, "dmc info demo"), [""; 0], "without a dms there is silence");
}

#[test]
fn there_is_a_man_page_for_each_verb() {
    let folder = tempfile::tempdir().unwrap();
    let output = dmc(folder.path(), &["man", folder.path().to_str().unwrap()]).output().expect("dmc was built");
    assert!(output.status.success(), "{output:?}");
    let page = |name: &str| -> PathBuf { folder.path().join(name) };
    let create = fs::read_to_string(page("dmc-create.1")).expect("it is there");
    assert!(create.contains("idempotency") && create.contains(".TH"), "{create}");
    assert!(page("dmc.1").exists() && page("dmc-context-add.1").exists());
}
