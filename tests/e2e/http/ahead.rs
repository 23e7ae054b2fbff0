//! What is asked before anything is done: previews and tags.

use dm_tests::dms::Setup;
use serde_json::{Value, json};

use super::commands::wrappers;
use super::{Api, refusal};

const PREVIEW: &str = "/api/v1/preview";
const ONE: &str = "/api/v1/stagings/web";

async fn preview(api: &Api, command: &str, name: Option<&str>, request: Value) -> Value {
    let mut body = json!({"command": command, "request": request});
    if let Some(name) = name {
        body["name"] = json!(name);
    }
    let answer = api.post(PREVIEW, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_preview_says_what_would_be_changed_and_run_and_does_nothing() {
    let folder = wrappers(&[("defaults", "echo app,colour,blue; echo app,debug,off")]);
    let api = Api::of(Setup::new().wrappers(folder.path())).await;
    let set = json!([{"level": "app", "key": "colour", "text": "red"}, {"level": "staging", "key": "size", "json": 2}]);
    let create = preview(&api, "create", None, json!({"name": "web", "tag": "v1", "set": set})).await;
    assert_eq!((&create["effect"], &create["verb"], &create["version"]), (&json!("run"), &json!("create"), &json!(0)));
    assert_eq!((create["status"].is_null(), &create["status_after"]), (true, &json!("CreatePending")));
    let changed: Vec<_> = create["changes"].as_array().expect("a list").iter().map(|change| &change["key"]).collect();
    assert_eq!(changed, ["colour", "debug", "size"]);
    let execute = &create["execute"];
    assert_eq!(execute["executable"], folder.path().join("create").display().to_string());
    let arguments: Vec<&str> =
        execute["arguments"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(arguments.ends_with(&["--app-override", "colour=red", "--staging-override", "size=2"]), "{arguments:?}");
    assert_eq!(execute["time_limit_ms"], 30 * 60 * 1000);
    assert_eq!(api.get(ONE).await.refusal(), refusal(404, "staging_not_found"));
    assert_eq!(api.asked("web").await, Vec::<String>::new());

    api.running("web").await;
    let edit = json!({"tag": "v2", "unset": [{"level": "app", "key": "debug"}]});
    let update = preview(&api, "update", Some("web"), edit.clone()).await;
    assert_eq!((&update["tag"], &update["tag_after"]), (&json!("v1"), &json!("v2")));
    let change = &update["changes"][0];
    assert_eq!(
        (&change["key"], &change["before"]["text"], &change["after"]),
        (&json!("debug"), &json!("off"), &Value::Null)
    );
    let apply = preview(&api, "apply", Some("web"), json!({"tag": "v1"})).await;
    assert_eq!((&apply["effect"], apply["execute"].is_null()), (&json!("nothing"), true));
    let delete = preview(&api, "delete", Some("web"), json!({})).await;
    assert_eq!((&delete["status_after"], &delete["changes"]), (&json!("DeletePending"), &json!([])));
    assert_eq!(api.asked("web").await, ["CreateRequested"]);
}

#[tokio::test]
async fn a_preview_is_refused_for_what_the_command_would_be_refused_for() {
    let folder = wrappers(&[("config_check", "echo 'no such tag'; exit 1")]);
    let api = Api::of(Setup::new().wrappers(folder.path())).await;
    let refused = async |body: Value| {
        let problem = api.post(PREVIEW, &body).await.problem();
        let pointers: Vec<String> = problem.errors.iter().map(|error| error.pointer.clone()).collect();
        (problem.status, problem.code, pointers.join(" "))
    };
    let told = |status, code: &str, pointers: &str| (status, code.to_owned(), pointers.to_owned());
    let invalid = |pointers| told(400, "invalid_request", pointers);
    let request = json!({"tag": "v1"});
    assert_eq!(refused(json!({"command": "update", "request": request})).await, invalid("/name"));
    assert_eq!(refused(json!({"command": "create", "name": "web", "request": request})).await, invalid("/name"));
    assert_eq!(refused(json!({"command": "update", "name": "No", "request": request})).await, invalid("/name"));
    assert_eq!(refused(json!({"command": "dance", "request": {}})).await, invalid("/command"));
    let wrong = json!({"name": "web", "tag": "a b", "set": [{"level": "app", "key": "", "text": ""}]});
    assert_eq!(
        refused(json!({"command": "create", "request": wrong})).await,
        invalid("/request/tag /request/set/0/key")
    );
    let unknown = json!({"command": "delete", "name": "web", "request": {"force": true}});
    assert_eq!(refused(unknown).await, invalid("/request/force"));
    let missing = json!({"command": "retry", "name": "web", "request": {}});
    assert_eq!(refused(missing).await, told(404, "staging_not_found", ""));
    let create = json!({"command": "create", "request": {"name": "web", "tag": "v1"}});
    assert_eq!(refused(create).await, told(400, "configuration_refused", ""));
}

#[tokio::test]
async fn tags_are_those_of_the_wrapper() {
    let script = "case $1 in bad) echo oops >&2; exit 3;; esac; echo 'v2,the new one,'; echo \"$1,,2026-11-20\"";
    let folder = wrappers(&[("tags", script)]);
    let api = Api::of(Setup::new().wrappers(folder.path())).await;
    let tags = api.get("/api/v1/tags?q=v1").await.json();
    assert_eq!(tags["items"], json!([{"tag": "v2", "label": "the new one"}, {"tag": "v1", "created": "2026-11-20"}]));
    let failed = api.get("/api/v1/tags?q=bad").await;
    assert_eq!(failed.refusal(), refusal(503, "tags_unavailable"));
    assert!(failed.problem().detail.contains("oops"), "{failed:?}");
    let none = Api::start().await;
    assert_eq!(none.get("/api/v1/tags").await.json(), json!({"items": []}));
}
