//! The service about itself: its document, its page, its probes, and what is not there.

use std::net::SocketAddr;

use dm_tests::eventually::eventually;
use reqwest::Method;
use serde_json::json;

use super::{Answer, Api, RUN, refusal};

/// Where the document stands; `DM_WRITE_GOLDEN=1` writes it anew.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/http/openapi.json");

/// Asks a listener without TLS.
async fn plain(api: &Api, address: SocketAddr, path: &str) -> Answer {
    Answer::of(api.client.get(format!("http://{address}{path}"))).await
}

#[tokio::test]
async fn the_document_is_as_agreed_and_names_every_route() {
    let api = Api::start().await;
    let document = api.get("/api/v1/openapi.json").await.json();
    let page = plain(&api, api.dms.page(), "/openapi.json").await.json();
    assert_eq!(document, page);

    let mut text = serde_json::to_string_pretty(&document).expect("it can be written");
    text.push('\n');
    if std::env::var_os("DM_WRITE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(GOLDEN).expect("there is a golden file");
    let changed = golden.lines().zip(text.lines()).enumerate().find(|(_, (old, new))| old != new);
    assert!(golden == text, "{GOLDEN} is not what dms says: {changed:?}; DM_WRITE_GOLDEN=1 writes it anew");

    for (path, methods) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{name}", "web").replace("{id}", "00000000-0000-0000-0000-000000000000");
        for method in methods.as_object().expect("methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let answer = api.send(method.clone(), &path, None, "").await;
            assert_ne!(answer.status, 405, "{method} {path}");
            if answer.status == 404 {
                assert_ne!(answer.problem().code, "route_not_found", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_refused_like_anything_else() {
    let api = Api::start().await;
    for path in ["/", "/api", "/api/v2/stagings", "/api/v1/stagings/web/reboot", "/metrics", "/livez"] {
        assert_eq!(api.get(path).await.refusal(), refusal(404, "route_not_found"), "{path}");
    }
    for (method, path) in [
        (Method::DELETE, "/api/v1/stagings/web"),
        (Method::PUT, "/api/v1/stagings"),
        (Method::GET, "/api/v1/stagings/web/delete"),
    ] {
        let answer = api.send(method.clone(), path, None, "").await;
        assert_eq!(answer.refusal(), refusal(405, "method_not_allowed"), "{method} {path}");
        assert!(answer.header("allow").contains("POST") || path.ends_with("/web"), "{answer:?}");
    }
    assert_eq!(plain(&api, api.dms.page(), "/api/v1/stagings").await.refusal(), refusal(404, "route_not_found"));
}

#[tokio::test]
async fn the_service_says_who_you_are_and_what_it_is() {
    let api = Api::start().await;
    let you = api.get("/api/v1/whoami").await.json();
    assert_eq!(you["role"], "admin");
    assert!(you["actor"].as_str().is_some_and(|actor| actor.starts_with("admin/")), "{you}");
    assert_eq!(api.get("/api/v1/version").await.json()["api"], "v1");
    let page = plain(&api, api.dms.page(), "/").await;
    assert!(String::from_utf8_lossy(&page.bytes).contains("DM is running"), "{page:?}");
}

#[tokio::test]
async fn probes_and_metrics_tell_how_it_goes() {
    let api = Api::start().await;
    api.running("web").await;
    api.post("/api/v1/stagings", &json!({"name": "web", "tag": "v1"})).await;
    assert_eq!(plain(&api, api.dms.metrics(), "/livez").await.status, 200);
    let calm = json!({"ready": true, "stopping": false, "lag": 0, "queued": 0, "running": 0});
    eventually("it is ready and calm", RUN, || async {
        (plain(&api, api.dms.metrics(), "/readyz").await.json() == calm).then_some(())
    })
    .await;
    eventually("the metrics tell what was asked", RUN, || async {
        let answer = plain(&api, api.dms.metrics(), "/metrics").await;
        let text = String::from_utf8(answer.bytes).expect("metrics are text");
        [
            "dm_requests_total{route=\"/api/v1/stagings\",status=\"202\"} 1",
            "dm_commands_total{verb=\"create\",result=\"accepted\"} 1",
            "dm_commands_total{verb=\"create\",result=\"staging_exists\"} 1",
            "dm_append_duration_seconds_count",
            "dm_projection_lag_events 0",
            "dm_runs_total{verb=\"create\",outcome=\"done\"} 1",
            // There may be a second one by now.
            "dm_checks_total{wrapper=\"check\",result=\"pass\"} ",
            "dm_database_up 1",
            "dm_init_done 1",
        ]
        .iter()
        .all(|line| text.contains(line))
        .then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_command_has_one_line_in_the_log_and_none_has_its_body() {
    let api = Api::start().await;
    let body = json!({"name": "web", "tag": "v1", "set": [{"level": "app", "key": "k", "text": "the-value"}]});
    api.post("/api/v1/stagings", &body).await;
    api.post("/api/v1/stagings", &body).await;
    let log = api.dms.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("verb") && line.contains("create")).collect();
    let about = |outcome: &str| lines.iter().filter(|line| line.contains(outcome)).count();
    assert_eq!((about("accepted"), about("staging_exists") + about("busy")), (1, 1), "{log}");
    assert!(!log.contains("the-value"), "{log}");
    assert!(log.contains("web") && log.contains("admin/"), "the search finds what is there");
}
