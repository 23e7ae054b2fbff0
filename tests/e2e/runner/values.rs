//! What wrappers are given and asked: byte for byte, or a clear refusal.

use dm_api::{Accepted, Status};
use serde_json::{Value, json};

use super::world::World;

/// Writes arguments and files of its call down.
const DUMP: &str = r#"printf '%s\0' "$@" > arguments
cp "$DM_APP_VALUES" app.json; cp "$DM_STAGING_VALUES" staging.json
stat -c '%a %n' "$DM_SECRETS" "$(dirname "$DM_SECRETS")" > modes; cp "$DM_SECRETS" secrets.json
dirname "$DM_SECRETS" > folder; env > environment"#;

fn json_file(world: &World, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(world.file(name)).expect("it was written")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn values_arrive_byte_for_byte_in_arguments_and_files() {
    let world = World::start("", &[], |setup| {
        setup.variable("SECRET_OF_DMS", "x").variable("TZ", "UTC").variable("DM_WRAPPER_CHART", "a 'chart' = $HOME")
    })
    .await;
    world.script("create", DUMP);
    let odd = " $HOME `id` \"'\\\n\ttwo lines\r\n\u{1f600} = \u{e9} ";
    let body = json!({"name": "demo", "tag": "58467965", "set": [
        {"level": "app", "key": "a.odd", "text": odd},
        {"level": "app", "key": "a.number", "text": "1e10"},
        {"level": "app", "key": "empty", "text": ""},
        {"level": "staging", "key": "json", "json": {"x": [1, null, "y"]}},
    ]});
    world.post("/stagings", body).await;
    world.wait_status("demo", Status::Running).await;

    let arguments = std::fs::read(world.file("arguments")).expect("it was written");
    let arguments: Vec<_> = arguments.split(|byte| *byte == 0).map(|one| String::from_utf8_lossy(one)).collect();
    let joined = |values: &[std::borrow::Cow<'_, str>]| values.join("|");
    assert_eq!(joined(&arguments[6..10]), "--name|demo|--tag|58467965");
    let overrides = [format!("a.odd={odd}"), "a.number=1e10".to_owned(), "empty=".to_owned()];
    for value in overrides {
        let at = arguments.iter().position(|one| *one == value).unwrap_or_else(|| panic!("{value:?}: {arguments:?}"));
        assert_eq!(arguments[at - 1], "--app-override");
    }
    assert!(joined(&arguments).contains("|--staging-override|json={\"x\":[1,null,\"y\"]}|"), "{arguments:?}");
    assert_eq!(json_file(&world, "app.json"), json!({"a": {"odd": odd, "number": "1e10"}, "empty": ""}));
    assert_eq!(json_file(&world, "staging.json"), json!({"json": {"x": [1, null, "y"]}}));

    assert_eq!(json_file(&world, "secrets.json"), json!({"app": {}, "staging": {}}));
    let modes = std::fs::read_to_string(world.file("modes")).expect("it was written");
    let modes: Vec<_> = modes.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(modes, ["600", "700"]);
    let folder = std::fs::read_to_string(world.file("folder")).expect("it was written");
    assert!(!std::path::Path::new(folder.trim()).exists(), "the files of a call go with it");
    let environment = std::fs::read_to_string(world.file("environment")).expect("it was written");
    for variable in ["TZ=UTC", "DM_WRAPPER_CHART=a 'chart' = $HOME"] {
        assert!(environment.lines().any(|line| line == variable), "{environment}");
    }
    assert!(!environment.contains("SECRET_OF_DMS") && !environment.contains("DM_DATABASE_URL"), "{environment}");
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_are_frozen_into_the_run_below_what_was_set() {
    let world = World::start("", &["defaults"], |setup| setup).await;
    world.script("defaults", "printf 'app,color,\"blue, or\\nnot\"\\r\\napp,size,1\\nstaging,replicas,2\\n'");
    world.script("create", DUMP);
    let body = json!({"name": "demo", "tag": "v1", "set": [{"level": "app", "key": "size", "text": "9"}],
        "unset": [{"level": "staging", "key": "replicas"}]});
    world.post("/stagings", body).await;
    world.wait_status("demo", Status::Running).await;
    assert_eq!(json_file(&world, "app.json"), json!({"color": "blue, or\nnot", "size": "9"}));
    assert_eq!(json_file(&world, "staging.json"), json!({}));
}

/// Asks for a staging in the expectation of a refusal: its status and its problem document.
async fn refused(world: &World, name: &str) -> (u16, Value) {
    let request = world.dms.client().post(world.url("/stagings")).json(&json!({"name": name, "tag": "v1"}));
    let answer = request.send().await.expect("dms answers");
    (answer.status().as_u16(), answer.json().await.expect("a problem document"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_the_product_refuses_is_refused_in_its_words() {
    let world = World::start("", &["config_check"], |setup| setup).await;
    world.script("config_check", "echo noise >&2; echo 'color must be a colour'; exit 1");
    let (status, problem) = refused(&world, "demo").await;
    assert!((400..500).contains(&status), "{status}: {problem}");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("color must be a colour")), "{problem}");
    assert!(!problem.to_string().contains("noise"), "{problem}");
    world.script("config_check", "echo 'the cluster is away' >&2; exit 4");
    let (status, problem) = refused(&world, "demo").await;
    assert_eq!(status, 503, "{problem}");
    world.script("config_check", "exit 0");
    world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_defaults_a_create_is_refused_with_their_cause_and_nothing_is_appended() {
    let world = World::start("[limits]\ndefaults = 1\n", &["defaults"], |setup| setup).await;
    for (script, cause) in [
        ("echo 'no such chart' >&2; exit 3", "no such chart"),
        ("echo '<html>'", "line 1: 1 fields"),
        ("sleep 600", "time limit"),
        ("head -c 2000000 /dev/zero", "more than"),
    ] {
        world.script("defaults", script);
        let (status, problem) = refused(&world, "demo").await;
        assert_eq!(status, 503, "{problem}");
        assert!(problem.to_string().contains(cause), "{cause}: {problem}");
    }
    let answer = world.dms.client().get(world.url("/stagings/demo")).send().await.expect("dms answers");
    assert_eq!(answer.status(), 404);
    world.script("defaults", "exit 0");
    let accepted: Accepted = world.create("demo").await;
    assert_eq!(accepted.version, 1, "nothing was appended before");
    world.wait_status("demo", Status::Running).await;
}
