//! Names, tags, keys and reasons: what is refused, and by which rule.

use dm_domain::ids::{Comment, Invalid, Key, StagingName, Tag};
use proptest::prelude::*;

#[test]
fn a_name_is_a_dns_label_that_starts_with_a_letter() {
    for name in ["a", "a1", "pr-123", "a--b", &"a".repeat(40)] {
        assert_eq!(StagingName::parse(name).map(String::from), Ok(name.to_owned()));
    }
    refused(StagingName::parse(""), "name_empty");
    refused(StagingName::parse(&"a".repeat(41)), "name_length");
    for name in ["1a", "-a", "a-", "A", "a_b", "a.b", "a b", "\u{e4}", "a\0", "a\n", "@users"] {
        refused(StagingName::parse(name), "name_format");
    }
}

#[test]
fn a_tag_is_text_also_when_it_looks_like_a_number() {
    for tag in ["58467965", "1e10", "v1.0-rc_1", "_", "latest", &"t".repeat(128)] {
        assert_eq!(Tag::parse(tag).map(String::from), Ok(tag.to_owned()));
    }
    refused(Tag::parse(""), "tag_empty");
    refused(Tag::parse(&"t".repeat(129)), "tag_length");
    for tag in [".v1", "-v1", "v 1", "v/1", "v:1", "v1\n", "v\0"] {
        refused(Tag::parse(tag), "tag_format");
    }
}

#[test]
fn a_key_is_dotted_and_can_stand_in_front_of_an_equals_sign() {
    for key in ["a", "a.b.c", "web.image.pullPolicy", "A_B-c", "0", "schl\u{fc}ssel", &"k".repeat(253)] {
        assert_eq!(Key::parse(key).map(String::from), Ok(key.to_owned()));
    }
    refused(Key::parse(""), "key_empty");
    refused(Key::parse(&"k".repeat(254)), "key_length");
    for key in ["a=b", "a b", "-a", "a\nb", "a\0", "\u{a0}a"] {
        refused(Key::parse(key), "key_format");
    }
    for key in [".", ".a", "a.", "a..b"] {
        refused(Key::parse(key), "key_segment");
    }
}

#[test]
fn a_key_lies_on_the_branches_before_its_dots() {
    let parents = |key: &str| -> Vec<String> { Key::parse(key).expect("a key").parents().map(String::from).collect() };
    assert_eq!(parents("a.b.c"), ["a", "a.b"]);
    assert!(parents("a").is_empty());
}

#[test]
fn a_reason_is_short_and_has_no_nul() {
    assert!(Comment::parse(&"\u{e4}".repeat(2_000)).is_ok(), "characters count, not bytes");
    refused(Comment::parse(&"x".repeat(2_001)), "reason_length");
    refused(Comment::parse(""), "reason_empty");
    refused(Comment::parse("a\0b"), "nul");
}

#[test]
fn what_is_read_back_is_checked_as_well() {
    assert!(serde_json::from_str::<StagingName>("\"pr-1\"").is_ok());
    assert!(serde_json::from_str::<StagingName>("\"PR-1\"").is_err());
    assert!(serde_json::from_str::<Tag>("\"v 1\"").is_err());
    assert!(serde_json::from_str::<Key>("\"a..b\"").is_err());
    assert!(serde_json::from_str::<Tag>("58467965").is_err(), "a number is no text");
}

proptest! {
    #[test]
    fn any_text_is_refused_with_a_rule_or_kept_as_it_is(text in any::<String>()) {
        for kept in [
            StagingName::parse(&text).map(String::from),
            Tag::parse(&text).map(String::from),
            Key::parse(&text).map(String::from),
            Comment::parse(&text).map(String::from),
        ] {
            match kept {
                Ok(kept) => prop_assert_eq!(&kept, &text),
                Err(invalid) => prop_assert!(!invalid.rule.is_empty() && !invalid.code.is_empty()),
            }
        }
    }

    #[test]
    fn every_text_of_the_pattern_is_a_name(name in "[a-z]([-a-z0-9]{0,38}[a-z0-9])?") {
        prop_assert!(StagingName::parse(&name).is_ok());
    }

    #[test]
    fn every_text_of_the_pattern_is_a_tag(tag in "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}") {
        prop_assert!(Tag::parse(&tag).is_ok());
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(parsed: Result<T, Invalid>, code: &str) {
    let invalid = parsed.expect_err("it breaks a rule");
    assert_eq!(invalid.code, code, "{invalid}");
}
