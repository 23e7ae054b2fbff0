//! Bad input gets an answer that names the field and the rule, and leaves no trace in the log.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use super::{Answer, Api, refusal};

/// A request with one fault: where it goes, what it says, and the code, field and rule that the answer names.
type Case = (Method, &'static str, String, u16, &'static str, &'static str, &'static str);

fn case(
    method: Method,
    path: &'static str,
    body: impl Into<String>,
    status: u16,
    [code, pointer, rule]: [&'static str; 3],
) -> Case {
    (method, path, body.into(), status, code, pointer, rule)
}

const ALL: &str = "/api/v1/stagings";
const CLEANUP: &str = "/api/v1/stagings/web/cleanup";
const ONE: &str = "/api/v1/stagings/web";
const INVALID: &str = "invalid_request";

fn create(fields: &str) -> String {
    format!(r#"{{"name":"fresh","tag":"v1",{fields}}}"#)
}

fn set(item: &str) -> String {
    format!(r#"{{"set":[{{"level":"app","key":"k",{item}}}]}}"#)
}

fn shapes() -> Vec<Case> {
    let post = || Method::POST;
    vec![
        case(post(), ALL, "{", 400, ["malformed_json", "", "json"]),
        case(post(), ALL, "\u{feff}{}", 400, ["malformed_json", "", "json"]),
        case(post(), ALL, "[]", 400, [INVALID, "", "wrong_type"]),
        case(post(), ALL, "", 400, [INVALID, "/name", "missing_field"]),
        case(post(), ALL, r#"{"name":"fresh"}"#, 400, [INVALID, "/tag", "missing_field"]),
        case(post(), ALL, r#"{"name":"fresh","tag":1}"#, 400, [INVALID, "/tag", "wrong_type"]),
        case(post(), ALL, create(r#""tag":"v2""#), 400, [INVALID, "/tag", "duplicate_field"]),
        case(post(), ALL, create(r#""Set":[]"#), 400, [INVALID, "/Set", "unknown_field"]),
        case(post(), ALL, create(r#""base":1"#), 400, [INVALID, "/base", "unknown_field"]),
        case(post(), ALL, create(r#""set":{}"#), 400, [INVALID, "/set", "wrong_type"]),
        case(
            post(),
            ALL,
            create(r#""unset":[{"level":"all","key":"k"}]"#),
            400,
            [INVALID, "/unset/0/level", "unknown_value"],
        ),
        case(Method::PATCH, ONE, r#"{"force":true}"#, 400, [INVALID, "/force", "unknown_field"]),
        case(Method::PATCH, ONE, r#"{"base":"1"}"#, 400, [INVALID, "/base", "wrong_type"]),
        case(post(), "/api/v1/stagings/web/delete", r#"{"tag":"v1"}"#, 400, [INVALID, "/tag", "unknown_field"]),
        case(post(), CLEANUP, r#"{"forced":true}"#, 400, [INVALID, "/forced", "unknown_field"]),
        case(post(), CLEANUP, r#"{"force":true}"#, 400, [INVALID, "/reason", "reason_required"]),
        case(
            post(),
            CLEANUP,
            r#"{"force":true,"archived_for":1,"reason":"x"}"#,
            400,
            [INVALID, "/archived_for", "not_with_force"],
        ),
        case(post(), CLEANUP, r#"{"archived_for":3153600001}"#, 400, [INVALID, "/archived_for", "archived_for_range"]),
        case(post(), CLEANUP, r#"{"on_behalf":"a\nb"}"#, 400, [INVALID, "/on_behalf", "on_behalf_format"]),
        case(Method::PUT, ONE, "{}", 400, [INVALID, "/tag", "missing_field"]),
    ]
}

fn values() -> Vec<Case> {
    let post = || Method::POST;
    let patch = |body: String, code, pointer, rule| case(Method::PATCH, ONE, body, 400, [code, pointer, rule]);
    vec![
        case(post(), ALL, r#"{"name":"Fresh","tag":"v1"}"#, 400, [INVALID, "/name", "name_format"]),
        case(post(), ALL, r#"{"name":"","tag":"v1"}"#, 400, [INVALID, "/name", "name_empty"]),
        case(
            post(),
            ALL,
            json!({"name": "a".repeat(41), "tag": "v1"}).to_string(),
            400,
            [INVALID, "/name", "name_length"],
        ),
        case(Method::PATCH, "/api/v1/stagings/No_Name", "{}", 400, [INVALID, "path:name", "name_format"]),
        patch(r#"{"tag":"a b"}"#.to_owned(), INVALID, "/tag", "tag_format"),
        patch(r#"{"tag":"\u0000"}"#.to_owned(), INVALID, "/tag", "tag_format"),
        patch(json!({"tag": "a".repeat(129)}).to_string(), INVALID, "/tag", "tag_length"),
        patch(json!({"reason": "x".repeat(2_001)}).to_string(), INVALID, "/reason", "reason_length"),
        patch(r#"{"reason":"\u0000"}"#.to_owned(), INVALID, "/reason", "nul"),
        patch(set(r#""text":"a","json":1"#), INVALID, "/set/0", "text_or_json"),
        patch(set(r#""text":"a\u0000b""#), INVALID, "/set/0/text", "nul"),
        patch(set(r#""json":{"a":["\u0000"]}"#), INVALID, "/set/0/json", "nul"),
        patch(set(r#""json":"\ud800""#), INVALID, "/set/0/json", "json_surrogate"),
        patch(set(r#""text":"a","secret":true"#), "secrets_unavailable", "/set/0/secret", "secrets_unavailable"),
        patch(json!({"unset": [{"level": "app", "key": "a..b"}]}).to_string(), INVALID, "/unset/0/key", "key_segment"),
        patch(json!({"reset": [{"level": "app", "key": "a=b"}]}).to_string(), INVALID, "/reset/0/key", "key_format"),
        patch(
            json!({"reset": [{"level": "app", "key": "k".repeat(254)}]}).to_string(),
            INVALID,
            "/reset/0/key",
            "key_length",
        ),
        patch(
            json!({"unset": [{"level": "app", "key": "k"}], "reset": [{"level": "app", "key": "k"}]}).to_string(),
            INVALID,
            "/reset/0/key",
            "key_twice",
        ),
        patch(
            json!({"set": [{"level": "app", "key": "a", "text": ""}, {"level": "app", "key": "a.b", "text": ""}]})
                .to_string(),
            "key_conflict",
            "/set/0/key",
            "key_conflict",
        ),
        patch(set(&format!(r#""text":"{}""#, "x".repeat(64 * 1024 + 1))), INVALID, "/set/0/text", "value_length"),
        patch(many(501, 1), "too_many_overrides", "/set", "too_many_overrides"),
        patch(many(9, 60_000), "configuration_too_large", "/set", "configuration_too_large"),
    ]
}

fn many(count: usize, length: usize) -> String {
    let item = |number: usize| json!({"level": "app", "key": format!("k{number}"), "text": "x".repeat(length)});
    json!({"set": (0..count).map(item).collect::<Vec<_>>()}).to_string()
}

#[tokio::test]
async fn bad_input_names_its_field_and_rule_and_nothing_is_appended() {
    let api = Api::start().await;
    api.running("web").await;
    let before = api.asked("web").await;
    for (method, path, body, status, code, pointer, rule) in shapes().into_iter().chain(values()) {
        let answer = api.send(method, path, None, &body).await;
        let shown: String = body.chars().take(120).collect();
        let problem = answer.problem();
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{shown}: {problem:?}");
        let named = problem.errors.iter().any(|error| error.pointer == pointer && error.rule == rule);
        assert!(named, "{shown}: not {pointer} {rule} but {:?}", problem.errors);
    }
    assert_eq!(api.asked("web").await, before);
    assert_eq!(api.asked("fresh").await, Vec::<String>::new());
}

#[tokio::test]
async fn all_faults_of_a_request_are_told_at_once() {
    let api = Api::start().await;
    let body = json!({
        "name": "Web", "tag": "", "reason": "",
        "set": [{"level": "app", "key": "=", "text": ""}, {"level": "app", "key": "k"}]
    });
    let answer = api.send(Method::POST, ALL, Some("not visible"), &body.to_string()).await;
    let named: Vec<String> = answer.problem().errors.into_iter().map(|error| error.pointer).collect();
    assert_eq!(named, ["header:idempotency-key", "/name", "/tag", "/reason", "/set/0/key", "/set/1"]);
}

#[tokio::test]
async fn a_body_has_a_limit_and_a_media_type() {
    let api = Api::start().await;
    let body = r#"{"name":"web","tag":"v1"}"#;
    let fits = format!("{body}{}", " ".repeat(dm_api::BODY_MAX - body.len()));
    assert_eq!(api.send(Method::POST, ALL, None, &fits).await.status, 202);
    let answer = api.send(Method::POST, ALL, None, &format!("{fits} ")).await;
    assert_eq!(answer.refusal(), refusal(413, "body_too_large"));

    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let request = api.client.post(api.dms.url(ALL)).header(CONTENT_TYPE, media_type).body("{}");
        let problem = Answer::of(request).await.problem();
        assert_eq!((problem.status, problem.code.as_str()), (415, "unsupported_media_type"));
        assert_eq!(problem.errors[0].pointer, "header:content-type");
    }
}

#[tokio::test]
async fn values_arrive_byte_for_byte() {
    let api = Api::start().await;
    let long = "x".repeat(64 * 1024);
    let texts = [
        "",
        "  blanks  ",
        "a\nb\r\n\tc",
        "$HOME `id` $(id)",
        "\"double\" 'single' \\",
        "\u{1F600}",
        "58467965",
        "1e10",
        "null",
        &long,
    ];
    let texts: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| json!({"level": "app", "key": format!("text.k{number}"), "text": text}))
        .collect();
    let jsons = [r#"{"b":[1,2.50],"a":null}"#, "123456789012345678901234567890.10", "null", r#""é\u00e9 \"""#];
    let items: Vec<String> = jsons
        .iter()
        .enumerate()
        .map(|(number, json)| format!(r#"{{"level":"staging","key":"json.k{number}","json":  {json} }}"#))
        .chain(texts.iter().map(ToString::to_string))
        .collect();
    let body = format!(r#"{{"name":"web","tag":"58467965","set":[{}]}}"#, items.join(","));
    let answer = api.send(Method::POST, ALL, None, &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");

    let path = format!("{ONE}/configuration?at_least={}", answer.header(dm_api::POSITION));
    let answer = api.get(&path).await;
    let configuration: dm_api::Configuration = serde_json::from_slice(&answer.bytes).expect("a configuration");
    assert_eq!(configuration.tag, "58467965");
    assert_eq!(configuration.keys.len(), items.len());
    for key in &configuration.keys {
        assert!(key.overridden && !key.secret);
        let number: usize = key.key.rsplit('k').next().and_then(|number| number.parse().ok()).expect("a number");
        match key.level {
            dm_api::Level::App => assert_eq!(json!(key.text), texts[number]["text"]),
            dm_api::Level::Staging => assert_eq!(key.json.as_ref().expect("JSON").get(), jsons[number]),
        }
    }

    let answer = api.post(ALL, &json!({"name": "other", "tag": "1e10"})).await;
    let path = format!("{ALL}/other?at_least={}", answer.header(dm_api::POSITION));
    assert_eq!(api.get(&path).await.json()["tag"], "1e10");
}
