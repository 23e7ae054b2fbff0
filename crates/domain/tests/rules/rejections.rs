//! Refusals: their stable codes, their words, and what to do instead.

use std::collections::BTreeMap;
use std::time::Duration;

use dm_domain::ids::{Invalid, Version};
use dm_domain::overrides::Level;
use dm_domain::staging::{Rejection, Status, Verb};
use dm_domain::testing::facts::{anna, key, moment, run};

#[test]
fn the_codes_are_what_they_have_always_been() {
    let codes: Vec<&str> = every_kind().iter().map(Rejection::code).collect();
    let expected = [
        "staging_not_found",
        "staging_exists",
        "wrong_status",
        "busy",
        "other_run",
        "forced_cleanup",
        "too_young",
        "unknown_base",
        "edit_conflict",
        "key_conflict",
        "key_twice",
        "too_many_overrides",
        "configuration_too_large",
        "invalid_value",
        "stale_run",
    ];
    assert_eq!(codes, expected);
}

#[test]
fn only_what_is_wrong_in_any_state_is_the_fault_of_the_request() {
    let at_fault: Vec<&str> =
        every_kind().iter().filter(|rejection| rejection.is_invalid_input()).map(Rejection::code).collect();
    let expected = ["key_conflict", "key_twice", "too_many_overrides", "configuration_too_large", "invalid_value"];
    assert_eq!(at_fault, expected);
}

#[test]
fn each_names_what_it_is_about() {
    let words: BTreeMap<&str, String> =
        every_kind().iter().map(|rejection| (rejection.code(), rejection.to_string())).collect();
    for (code, part) in [
        ("staging_not_found", "it was cleaned up at 2025-06-15"),
        ("wrong_status", "cleanup is not possible while the staging is Running"),
        ("busy", "update was requested by user/anna at 2025-06-15"),
        ("too_young", "less than 60 s ago"),
        ("edit_conflict", "app key a was changed meanwhile, by the event of version 6"),
        ("key_conflict", "app key a cannot have a value while a.b has one"),
        ("too_many_overrides", "501 overrides, the most is 500"),
        ("invalid_value", "app key a: value is wrong"),
    ] {
        assert!(words[code].contains(part), "{code}: {}", words[code]);
    }
}

#[test]
fn a_hint_can_end_a_sentence() {
    for hint in every_kind().iter().filter_map(Rejection::hint) {
        assert!(hint.starts_with(char::is_lowercase) && !hint.ends_with('.'), "{hint}");
    }
}

/// One of each, in the order of their declaration.
fn every_kind() -> Vec<Rejection> {
    let level = Level::App;
    let invalid = Invalid { what: "value", code: "value_length", rule: "is wrong".to_owned() };
    vec![
        Rejection::NotFound { cleaned_up_at: Some(moment(0)) },
        Rejection::Exists { status: Status::Archived },
        Rejection::WrongStatus { verb: "cleanup", status: Status::Running, hint: Some("delete it first") },
        Rejection::Busy { run: run(1), verb: Verb::Update, by: anna(), since: moment(0) },
        Rejection::OtherRun { named: run(1), under_way: run(2) },
        Rejection::ForcedCleanup,
        Rejection::TooYoung { archived_at: moment(0), wanted: Duration::from_mins(1) },
        Rejection::UnknownBase { base: Version(3) },
        Rejection::EditConflict { what: "app key a".to_owned(), theirs: Version(6) },
        Rejection::KeyConflict { level, parent: key("a"), child: key("a.b") },
        Rejection::KeyTwice { level, key: key("a") },
        Rejection::TooManyOverrides { count: 501, max: 500 },
        Rejection::ConfigurationTooLarge { size: 1, max: 0 },
        Rejection::InvalidValue { level, key: key("a"), invalid },
        Rejection::Stale { run: run(1) },
    ]
}
