//! What `wrappers/local` promises beyond the contract: a page, its visits, values byte for byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::harness::{Home, Staging};

/// Values that a careless quote, split or guess would change.
const VALUES: [&str; 14] = [
    "",
    " blanks at both ends \t",
    "two\nlines\n",
    "\ncarriage\r\nreturn\r",
    "$HOME ${PATH} $(id) `id`",
    r#"quotes ' " \ \\ \n"#,
    "an emoji 🦀 and ü",
    "58467965",
    "1e10",
    "true",
    "a=b=c",
    "--app-override x=y",
    "* ? [a] ~ ! # & | ; < > ( ) { }",
    "\u{1}\u{7f}\u{2028}&amp;<b>",
];

#[tokio::test]
async fn values_and_tags_arrive_byte_for_byte() {
    let home = Home::local().await;
    for tag in ["58467965", "1e10", "0x10", "v1.0_rc-1"] {
        let mut staging = home.staging("bytes").tag(tag);
        for (at, value) in VALUES.iter().enumerate() {
            staging = staging.app(&format!("key{at}"), value).staging(&format!("nested.key{at}"), value);
        }
        staging.done("create").await;
        staging.done("check").await;
        let url = link(&staging).await;
        let status: serde_json::Value = serde_json::from_str(&get(&url, "status.json").await).unwrap();
        assert_eq!(status["tag"], tag);
        for (at, value) in VALUES.iter().enumerate() {
            assert_eq!(status["overrides"]["app"][format!("key{at}")], *value);
            assert_eq!(status["overrides"]["staging"][format!("nested.key{at}")], *value);
            assert_eq!(status["values"]["app"][format!("key{at}")], *value);
            assert_eq!(status["values"]["staging"]["nested"][format!("key{at}")], *value);
        }
        let page = get(&url, "").await;
        assert!(page.contains("<code>$HOME ${PATH} $(id) `id`</code>") && page.contains("<code>58467965</code>"));
        assert!(page.contains("&amp;amp;&lt;b&gt;</code>"), "markup is shown, not run");
    }
}

#[tokio::test]
async fn a_configuration_of_half_a_mebibyte_arrives() {
    let home = Home::local().await;
    let mut staging = home.staging("large").tag("v1");
    for at in 0..8 {
        staging = staging.app(&format!("key{at}"), &"\u{1}x".repeat(32 * 1024));
    }
    staging.done("create").await;
    staging.done("check").await;
    let status: serde_json::Value = serde_json::from_str(&get(&link(&staging).await, "status.json").await).unwrap();
    assert_eq!(status["values"]["app"]["key7"], "\u{1}x".repeat(32 * 1024));
}

#[tokio::test]
async fn visits_go_on_after_a_delete_and_begin_anew_after_a_cleanup() {
    let home = Home::local().await;
    let staging = home.staging("visits").tag("v1");
    staging.done("create").await;
    let url = link(&staging).await;
    get(&url, "").await;
    assert!(get(&url, "").await.contains("<b>2</b>"));
    get(&url, "status.json").await;
    staging.done("delete").await;
    assert!(TcpStream::connect(address(&url)).await.is_err(), "the link of a deleted staging is dead");
    staging.done("restore").await;
    assert_eq!(link(&staging).await, url, "the port stays while it is free");
    assert!(get(&url, "").await.contains("<b>3</b>"));
    staging.done("delete").await;
    staging.done("create").await;
    assert!(get(&link(&staging).await, "").await.contains("<b>4</b>"), "create after a delete keeps the visits");
    staging.done("cleanup").await;
    staging.done("create").await;
    assert!(get(&link(&staging).await, "").await.contains("<b>1</b>"));
}

#[tokio::test]
async fn a_port_that_is_taken_meanwhile_is_replaced() {
    let home = Home::local().await;
    let staging = home.staging("moved").tag("v1");
    staging.done("create").await;
    let url = link(&staging).await;
    staging.done("delete").await;
    let taken = tokio::net::TcpListener::bind(address(&url)).await.unwrap();
    staging.done("restore").await;
    staging.done("check").await;
    assert_ne!(link(&staging).await, url);
    drop(taken);
}

#[tokio::test]
async fn what_the_page_cannot_show_is_refused_with_a_sentence() {
    let home = Home::local().await;
    let staging = home.staging("checked").tag("v1");
    for (bad, key) in [
        (staging.clone().app("color", "#12"), "color"),
        (staging.clone().app("color", "red;}"), "color"),
        (staging.clone().app("color", "red\n"), "color"),
        (staging.clone().app("color", ""), "color"),
        (staging.clone().app("greeting", &"x".repeat(501)), "greeting"),
        (staging.clone().staging("replicas", "0"), "replicas"),
        (staging.clone().staging("replicas", "many"), "replicas"),
        (staging.clone().staging("replicas", "1e1"), "replicas"),
    ] {
        let ended = bad.run("config_check").await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stdout.contains(key), "{ended:?}");
    }
    for good in [
        staging.clone().app("color", "#A0f"),
        staging.clone().app("color", "teal").staging("replicas", "9"),
        staging.clone().app("other", "red;}").staging("color", "any"),
    ] {
        good.done("config_check").await;
    }
}

#[tokio::test]
async fn the_defaults_pass_the_check_of_the_configuration() {
    let home = Home::local().await;
    let mut staging = home.staging("defaults").tag("v1");
    for line in staging.clone().done("defaults").await.stdout_lines() {
        let fields: Vec<&str> = line.splitn(3, ',').collect();
        staging = match fields[..] {
            ["app", key, value] => staging.app(key, value),
            ["staging", key, value] => staging.staging(key, value),
            _ => panic!("{line:?}"),
        };
    }
    staging.done("config_check").await;
    staging.done("create").await;
    assert!(get(&link(&staging).await, "").await.contains("Hello from DM"));
}

#[tokio::test]
async fn a_cause_with_quotes_and_line_breaks_is_one_json_line() {
    let home = Home::local().await;
    let ended = home.staging("quoted").tag("v1").argument("--a\"\\\n\t\u{1}é", "1").run("create").await;
    let line: serde_json::Value = serde_json::from_str(ended.report.trim_end()).unwrap();
    assert_eq!(line["cause"], "unknown argument --a\"\\\n\t\u{1}é");
}

#[tokio::test]
async fn a_verb_reports_its_steps() {
    let home = Home::local().await;
    let ended = home.staging("steps").tag("v1").done("create").await;
    assert!(ended.report.starts_with(r#"{"step":"starting steps with tag v1"}"#), "{ended}");
}

/// Where the page is, as `info` says.
async fn link(staging: &Staging<'_>) -> String {
    let ended = staging.done("info").await;
    ended.stdout_lines()[0].strip_prefix("page,").unwrap().to_owned()
}

fn address(url: &str) -> &str {
    url.strip_prefix("http://").unwrap().trim_end_matches('/')
}

async fn get(url: &str, path: &str) -> String {
    let get = async {
        let mut stream = TcpStream::connect(address(url)).await.unwrap();
        stream.write_all(format!("GET /{path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{head}");
        body.to_owned()
    };
    timeout(Duration::from_secs(30), get).await.expect("an answer in time")
}
