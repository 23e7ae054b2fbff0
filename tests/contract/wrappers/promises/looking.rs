//! The wrappers that only look: they change nothing, and what they print has the form that `dms` reads.

use std::collections::BTreeSet;

use super::Home;
use super::harness::{Ended, REPORT_KEYS, Staging};

/// Calls everything that only looks, with the tag that it has and with another one.
async fn look(home: &Home, staging: &Staging<'_>) {
    let [.., other] = home.tags();
    for verb in ["check", "archive_check", "info", "defaults", "config_check"] {
        if home.has(verb) {
            staging.run(verb).await;
            staging.clone().tag(other).run(verb).await;
        }
    }
    if home.has("tags") {
        staging.clone().query("").run("tags").await;
    }
}

pub(in super::super) async fn looking_changes_nothing(home: &Home) {
    let staging = home.staging("looked-at");
    let gone = async |when: &str| {
        look(home, &staging).await;
        let ended = staging.run("check").await;
        assert!(matches!(ended.code, Some(1 | 2)), "{when}, and looking made it run: {ended}");
        staging.done("archive_check").await;
    };
    gone("it was not there").await;
    staging.done("create").await;
    staging.reaches("check", 0).await;
    look(home, &staging).await;
    staging.done("check").await;
    let ended = staging.run("archive_check").await;
    assert_eq!(ended.code, Some(1), "it runs after all looked at it, so archive_check: {ended}");
    staging.done("delete").await;
    staging.reaches("archive_check", 0).await;
    gone("it was deleted").await;
    staging.done("cleanup").await;
}

pub(in super::super) async fn a_fine_configuration_passes_config_check_without_a_word(home: &Home) {
    if home.has("config_check") {
        let ended = home.staging("fine").done("config_check").await;
        assert_eq!(ended.stdout, "", "the defaults are fine, so config_check prints nothing: {ended}");
    }
}

pub(in super::super) async fn info_and_defaults_print_lines_as_the_contract_has_them(home: &Home) {
    let staging = home.staging("lines");
    if home.has("defaults") {
        let ended = staging.done("defaults").await;
        let mut keys = BTreeSet::new();
        for [level, key, _] in ended.rows() {
            assert!(matches!(&*level, "app" | "staging"), "{level} is no level: {ended}");
            assert!(!key.is_empty() && keys.insert((level, key.clone())), "{key:?} is empty or not the first: {ended}");
        }
    }
    if home.has("info") {
        staging.done("create").await;
        staging.reaches("check", 0).await;
        let ended = staging.done("info").await;
        let links = ended.rows::<2>();
        assert!(links.len() <= 100, "more than 100 links: {ended}");
        for [name, url] in links {
            assert!(!name.is_empty() && url.contains("://"), "{name:?} with {url:?} is no link: {ended}");
        }
        staging.done("cleanup").await;
    }
}

pub(in super::super) async fn tags_prints_the_tags_that_contain_a_text(home: &Home) {
    if !home.has("tags") {
        return;
    }
    let all = tags(&home.staging("tags").query("").done("tags").await);
    // A text that one of them contains, and others perhaps not, and one that no tag can.
    let part: String = all.last().map_or_else(String::new, |tag| tag.chars().skip(1).collect());
    for query in [&*part, "no/tag"] {
        let expected: Vec<&String> = all.iter().filter(|tag| tag.contains(query)).collect();
        let ended = home.staging("tags").query(query).done("tags").await;
        assert_eq!(tags(&ended).iter().collect::<Vec<_>>(), expected, "tags {query:?}: {ended}");
    }
}

fn tags(ended: &Ended) -> Vec<String> {
    let tags: Vec<String> = ended.rows().into_iter().map(|[tag, _label, _created]: [String; 3]| tag).collect();
    for tag in &tags {
        let right = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        assert!((1..=128).contains(&tag.len()) && tag.bytes().all(right), "{tag:?} is no tag: {ended}");
    }
    tags
}

pub(in super::super) async fn what_a_verb_reports_are_json_lines_that_dms_knows(home: &Home) {
    let staging = home.staging("reports");
    for verb in ["check", "create", "check", "delete", "archive_check", "cleanup"] {
        let ended = staging.run(verb).await;
        for line in ended.report.lines() {
            let line: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{verb} reported {line:?}: {error}"));
            for (key, value) in line {
                assert!(REPORT_KEYS.contains(&key.as_str()) && value.is_string(), "{verb} reported {key}: {value}");
            }
        }
    }
}
