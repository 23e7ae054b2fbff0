//! Reads: positions, pages, filters, and the output of a run as it grows.

use std::fs;

use dm_tests::dms::{Setup, executable_file};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, refusal, run_of, text};

fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().expect("a list").iter().map(|item| text(&item["name"])).collect()
}

#[tokio::test]
async fn a_read_waits_for_the_position_that_it_asks_for() {
    let api = Api::start().await;
    for number in 0..20 {
        let name = format!("web-{number}");
        let accepted = api.created(&name).await;
        let answer = api.get(&format!("/api/v1/stagings/{name}?at_least={}", accepted["position"])).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.json()["position"].as_i64() >= accepted["position"].as_i64());
    }
    let answer = api.get("/api/v1/stagings?at_least=1000000").await;
    assert_eq!(answer.refusal(), refusal(503, "behind"));
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn lists_come_in_pages_and_through_filters() {
    let api = Api::start().await;
    for name in ["a1", "b1", "c1", "d1", "e2"] {
        api.running(name).await;
    }
    assert_eq!(api.send(Method::POST, "/api/v1/stagings/b1/delete", None, "").await.status, 202);
    api.has_status("b1", "Archived").await;

    let mut seen = Vec::new();
    let mut path = "/api/v1/stagings?archived=true&limit=2".to_owned();
    for _ in 0..4 {
        let page = api.get(&path).await.json();
        assert!(page["items"].as_array().is_some_and(|items| items.len() <= 2));
        seen.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/stagings?archived=true&limit=2&after={next}");
    }
    assert_eq!(seen, ["a1", "b1", "c1", "d1", "e2"]);

    for (query, expected) in [
        ("", vec!["a1", "c1", "d1", "e2"]),
        ("?status=Archived", vec!["b1"]),
        ("?status=Archived&status=Running&limit=200", vec!["a1", "b1", "c1", "d1", "e2"]),
        ("?status=Failure", vec![]),
        ("?q=2", vec!["e2"]),
        ("?q=V1&limit=200", vec!["a1", "c1", "d1", "e2"]),
        ("?q=b1&archived=true", vec!["b1"]),
        ("?q=%25", vec![]),
    ] {
        assert_eq!(names(&api.get(&format!("/api/v1/stagings{query}")).await.json()), expected, "{query}");
    }
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let api = Api::start().await;
    api.created("web").await;
    for (path, pointer, rule) in [
        ("/api/v1/stagings?limit=201", "?limit", "range"),
        ("/api/v1/stagings?limit=0", "?limit", "range"),
        ("/api/v1/stagings?status=Happy", "?status", "status"),
        ("/api/v1/stagings?archived=1", "?archived", "boolean"),
        ("/api/v1/stagings?q=%00", "?q", "nul"),
        ("/api/v1/stagings?after=A", "?after", "cursor"),
        ("/api/v1/stagings?archived_for=-1", "?archived_for", "range"),
        ("/api/v1/stagings?sort=tag", "?sort", "sort"),
        ("/api/v1/stagings?order=tag", "?order", "unknown_parameter"),
        ("/api/v1/stagings?at_least=-1", "?at_least", "range"),
        ("/api/v1/stagings?q=a&q=b", "?q", "repeated"),
        ("/api/v1/tags?q=", "?q", "length"),
        ("/api/v1/stagings/No", "path:name", "name_format"),
        ("/api/v1/stagings/web/runs?after=x", "?after", "range"),
        ("/api/v1/stagings/web/events?limit=x", "?limit", "range"),
        ("/api/v1/runs/7", "path:id", "uuid"),
        ("/api/v1/runs/00000000-0000-0000-0000-000000000000/output?wait=31", "?wait", "range"),
        ("/api/v1/stagings/%ff", "path:", "utf8"),
    ] {
        let problem = api.get(path).await.problem();
        assert_eq!((problem.status, problem.code.as_str()), (400, "invalid_request"), "{path}");
        let error = &problem.errors[0];
        assert_eq!((error.pointer.as_str(), error.rule.as_str()), (pointer, rule), "{path}");
    }
    for (path, code) in [
        ("/api/v1/stagings/no", "staging_not_found"),
        ("/api/v1/stagings/no/configuration", "staging_not_found"),
        ("/api/v1/stagings/no/runs", "staging_not_found"),
        ("/api/v1/stagings/no/events", "staging_not_found"),
        ("/api/v1/runs/00000000-0000-0000-0000-000000000000", "run_not_found"),
        ("/api/v1/runs/00000000-0000-0000-0000-000000000000/output", "run_not_found"),
    ] {
        assert_eq!(api.get(path).await.refusal(), refusal(404, code), "{path}");
    }
}

#[tokio::test]
async fn runs_come_newest_first_and_events_oldest_first() {
    let api = Api::start().await;
    api.running("web").await;
    for tag in ["v2", "v3"] {
        assert_eq!(api.patch("/api/v1/stagings/web", &json!({"tag": tag})).await.status, 202);
        api.has_status("web", "Running").await;
    }
    let first = api.get("/api/v1/stagings/web/runs?limit=2").await.json();
    let next = text(&first["next"]);
    let second = api.get(&format!("/api/v1/stagings/web/runs?limit=2&after={next}")).await.json();
    let tags: Vec<String> = [&first, &second]
        .iter()
        .flat_map(|page| page["items"].as_array().expect("a list"))
        .map(|run| text(&run["tag"]))
        .collect();
    assert_eq!(tags, ["v3", "v2", "v1"]);
    assert!(second["next"].is_null());

    let mut versions = Vec::new();
    let mut after = "0".to_owned();
    loop {
        let page = api.get(&format!("/api/v1/stagings/web/events?limit=3&after={after}")).await.json();
        versions.extend(page["items"].as_array().expect("a list").iter().filter_map(|event| event["version"].as_i64()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let newest = i64::try_from(versions.len()).expect("it is small");
    assert!(newest >= 12, "{versions:?}");
    assert_eq!(versions, (1..=newest).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_output_of_a_run_can_be_followed_to_its_end() {
    let folder = tempfile::Builder::new().prefix("dm-wrappers-").tempdir_in("/var/tmp").expect("a folder");
    let open = folder.path().join("open");
    for verb in ["create", "update", "delete", "cleanup", "check", "archive_check"] {
        executable_file(&folder.path().join(verb), b"#!/bin/sh\nexit 0\n");
    }
    let script = format!(
        "#!/bin/sh\nprintf 'one\\n\\033[31mtwo\\n'\nwhile [ ! -e '{}' ]; do sleep 0.05; done\nprintf '\\377end'\n",
        open.display()
    );
    executable_file(&folder.path().join("create"), script.as_bytes());
    fs::write(folder.path().join("wrappers.toml"), "contract = 1\n").expect("the folder is ours");
    let api = Api::of(Setup::new().wrappers(folder.path())).await;
    let accepted = api.created("web").await;
    let (run, position) = (run_of(&accepted), &accepted["position"]);

    let mut bytes = Vec::new();
    let mut complete = false;
    while !complete {
        let path = format!("/api/v1/runs/{run}/output?from={}&wait=30&at_least={position}", bytes.len());
        let answer = api.get(&path).await;
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert!(
            answer.header(dm_api::POSITION).parse::<i64>().expect("a number") >= position.as_i64().expect("a number")
        );
        assert_eq!(answer.header(dm_api::runs::output::FROM), bytes.len().to_string());
        assert_eq!(answer.header(dm_api::runs::output::DROPPED), "0");
        bytes.extend(&answer.bytes);
        assert_eq!(answer.header(dm_api::runs::output::NEXT), bytes.len().to_string());
        complete = answer.header(dm_api::runs::output::COMPLETE) == "true";
        if bytes.ends_with(b"two\n") {
            assert!(!complete);
            assert_eq!(answer.header(dm_api::runs::output::ATTEMPT), "1");
            fs::write(&open, "").expect("the folder is ours");
        }
    }
    assert_eq!(bytes, b"one\n\x1b[31mtwo\n\xffend");
    // An offset of another attempt means nothing here.
    let other = api.get(&format!("/api/v1/runs/{run}/output?from=9&attempt=7&wait=30")).await;
    assert_eq!((other.header(dm_api::runs::output::FROM), &other.bytes), ("0", &bytes));
}
