//! Defaults, what the product says of a configuration, and edits of several people.

use std::fs;

use dm_api::{Configuration, Status};
use serde_json::{Value, json};

use super::{events, patch, refused, set, touch, types, update};
use crate::world::World;

/// What a staging is configured with: each key of the product with its text.
async fn configured(world: &World, name: &str) -> Vec<(String, String)> {
    let url = world.url(&format!("/stagings/{name}/configuration"));
    let answer = world.dms.client().get(url).send().await.expect("dms answers");
    let configuration: Configuration = answer.json().await.expect("a configuration");
    configuration.keys.into_iter().map(|key| (key.key, key.text.expect("a text"))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_06_defaults_that_do_not_parse_refuse_their_command_and_nothing_else() {
    let world = World::start("", &["defaults"], |setup| setup).await;
    world.script("defaults", "if [ $8 = odd ] && [ -e broken ]; then echo '<html>'; else echo app,color,blue; fi");
    world.script("check", "case $8 in odd | ill) [ ! -e ill ] ;; esac || exit 1");
    for name in ["odd", "ill", "well"] {
        world.create(name).await;
        world.wait_status(name, Status::Running).await;
    }
    touch(&world, "broken");
    let history = types(&world, "odd").await;
    let problem = refused(patch(&world, "odd", &json!({"tag": "v2"}))).await;
    assert_eq!((problem.status, problem.code.as_str()), (503, "defaults_unavailable"));
    assert!(problem.detail.contains("line 1"), "{problem:?}");
    assert_eq!(types(&world, "odd").await, history);

    // Its own checks go on, and so does everything of the others.
    touch(&world, "ill");
    for name in ["odd", "ill"] {
        let failed = world.wait_status(name, Status::Failure).await;
        assert_eq!(failed.reason.as_deref(), Some("check_failed"));
    }
    update(&world, "well", json!({"tag": "v2"})).await;
    assert_eq!(world.wait_status("well", Status::Running).await.tag, "v2");
    for file in ["ill", "broken"] {
        fs::remove_file(world.file(file)).expect("the file is ours");
    }
    update(&world, "odd", json!({"tag": "v2"})).await;
    assert_eq!(world.wait_status("odd", Status::Running).await.tag, "v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_08_failing_defaults_are_no_empty_defaults() {
    let world = World::start("", &["defaults"], |setup| setup).await;
    world.script("defaults", "echo app,color,blue; [ ! -e away ] || { echo 'the registry is away' >&2; exit 3; }");
    world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    touch(&world, "away");
    let create = world.dms.client().post(world.url("/stagings")).json(&json!({"name": "other", "tag": "v1"}));
    for request in [create, patch(&world, "demo", &json!({"tag": "v2"}))] {
        let problem = refused(request).await;
        assert_eq!((problem.status, problem.code.as_str()), (503, "defaults_unavailable"));
        assert!(problem.detail.contains("the registry is away"), "{problem:?}");
    }
    let answer = world.dms.client().get(world.url("/stagings/other")).send().await.expect("dms answers");
    assert_eq!(answer.status(), 404);
    assert_eq!(configured(&world, "demo").await, pairs(&[("color", "blue")]));

    // Nothing of the failure is remembered.
    fs::remove_file(world.file("away")).expect("the file is ours");
    update(&world, "demo", json!({"tag": "v2", "set": set("size", "2")})).await;
    world.wait_status("demo", Status::Running).await;
    assert_eq!(configured(&world, "demo").await, pairs(&[("color", "blue"), ("size", "2")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_17_history_holds_the_configuration_that_each_run_had() {
    let world = World::start("", &["defaults"], |setup| setup).await;
    world.script("defaults", "echo app,color,$(cat color)");
    for verb in ["create", "update"] {
        world.script(verb, "cp $DM_APP_VALUES had.$DM_RUN_ID");
    }
    let default = |color: &str| fs::write(world.file("color"), color).expect("the folder is ours");
    default("blue");
    let created = world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    default("green");
    let updated = update(&world, "demo", json!({"set": set("size", "2")})).await;
    world.wait_status("demo", Status::Running).await;
    default("red");

    let history = events(&world, "demo").await;
    for (run, expected) in [(created, json!({"color": "blue"})), (updated, json!({"color": "green", "size": "2"}))] {
        let run = run.run.expect("a run");
        let request = history.iter().find(|event| event.run == Some(run)).expect("it was requested");
        let data: Value = serde_json::from_str(request.data.get()).expect("JSON");
        let keys = data["effective"]["app"].as_object().expect("keys").iter();
        let told: Value = keys.map(|(key, value)| (key.clone(), value["text"].clone())).collect();
        let had = fs::read(world.file(&format!("had.{run}"))).expect("the wrapper has written it");
        assert_eq!(told, expected, "what the history holds");
        assert_eq!(serde_json::from_slice::<Value>(&had).expect("JSON"), expected, "what the wrapper was handed");
    }
    assert_eq!(configured(&world, "demo").await, pairs(&[("color", "green"), ("size", "2")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_18_what_is_checked_is_the_new_configuration() {
    let world = World::start("", &["config_check"], |setup| setup).await;
    world.create("demo").await;
    world.wait_status("demo", Status::Running).await;

    // The old tag is fine, the new one is not.
    world.script("config_check", "[ ${10} = v1 ] || { echo \"there is no image ${10}\"; exit 1; }");
    let problem = refused(patch(&world, "demo", &json!({"tag": "v2"}))).await;
    assert_eq!((problem.status, problem.code.as_str()), (400, "configuration_refused"));
    assert!(problem.detail.contains("there is no image v2"), "{problem:?}");

    // The other way round; and with a value in place of the tag.
    world.script("config_check", "[ ${10} = v2 ] && ! grep -q pink $DM_APP_VALUES || { echo 'never pink'; exit 1; }");
    update(&world, "demo", json!({"tag": "v2", "set": set("color", "red")})).await;
    world.wait_status("demo", Status::Running).await;
    let problem = refused(patch(&world, "demo", &json!({"set": set("color", "pink")}))).await;
    assert!(problem.detail.contains("never pink"), "{problem:?}");
    assert_eq!(configured(&world, "demo").await, pairs(&[("color", "red")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_edits_of_different_keys_both_land_and_of_the_same_key_conflict() {
    let world = World::start("", &[], |setup| setup).await;
    world.create("demo").await;
    let base = world.wait_status("demo", Status::Running).await.configuration_version;
    // Three people have seen the same.
    let edit = |key: &str, text: &str| json!({"base": base, "set": set(key, text)});
    let theirs = update(&world, "demo", edit("color", "red")).await.version;
    world.wait_status("demo", Status::Running).await;
    update(&world, "demo", edit("size", "2")).await;
    world.wait_status("demo", Status::Running).await;
    let problem = refused(patch(&world, "demo", &edit("color", "blue"))).await;
    assert_eq!((problem.status, problem.code.as_str()), (409, "edit_conflict"));
    assert_eq!(problem.version, Some(theirs), "it names the edit of the other");
    assert_eq!(configured(&world, "demo").await, pairs(&[("color", "red"), ("size", "2")]));
}
