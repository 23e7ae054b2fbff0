//! Which tags look newest, and which look like a pattern.

use std::cmp::Ordering;

/// Versions before all else, the highest first; a part of digits counts as a number, and `1.2-rc1` comes before `1.2`.
pub(super) fn newest_first(one: &str, other: &str) -> Ordering {
    let (version, other_version) = (version(one), version(other));
    version
        .is_some()
        .cmp(&other_version.is_some())
        .then_with(|| natural(version.unwrap_or(one), other_version.unwrap_or(other)))
        .then_with(|| one.cmp(other))
        .reverse()
}

/// What stands after the `v` of a tag that looks like a version: numbers between dots, and then nothing, or what is set off.
fn version(tag: &str) -> Option<&str> {
    let version = tag.strip_prefix(['v', 'V']).unwrap_or(tag);
    let end = version.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(version.len());
    let set_off = matches!(version.as_bytes().get(end), None | Some(b'-' | b'_'));
    (is_number(version) && set_off).then_some(version)
}

/// Part by part; a shorter text ends with an empty part.
fn natural(mut one: &str, mut other: &str) -> Ordering {
    loop {
        let ((part, rest), (other_part, other_rest)) = (first_part(one), first_part(other));
        let by_content = || if is_number(part) { number(part, other_part) } else { part.cmp(other_part) };
        let order = rank(part).cmp(&rank(other_part)).then_with(by_content);
        if order.is_ne() || part.is_empty() {
            return order;
        }
        (one, other) = (rest, other_rest);
    }
}

/// The first digits, or all that stands before the first digit.
fn first_part(text: &str) -> (&str, &str) {
    let digits = is_number(text);
    text.split_at(text.find(|character: char| character.is_ascii_digit() != digits).unwrap_or(text.len()))
}

/// What is set off by `-` leads to what stands before it, so it is older than nothing; all else is newer.
fn rank(part: &str) -> u8 {
    match part.as_bytes().first() {
        Some(b'-') => 0,
        None => 1,
        Some(b'0'..=b'9') => 2,
        Some(_) => 3,
    }
}

fn is_number(part: &str) -> bool {
    part.starts_with(|first: char| first.is_ascii_digit())
}

/// By value, however many digits there are.
fn number(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Whether a text looks like a pattern, in which `*` is any text and `?` any character.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut in_text) = (0, 0);
    // Where the last `*` stands, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_text));
                at += 1;
            }
            Some(one) if *one == b'?' || *one == text[in_text] => {
                at += 1;
                in_text += 1;
            }
            Some(_) | None => {
                let Some((stands_at, taken)) = star else { return false };
                star = Some((stands_at, taken + 1));
                (at, in_text) = (stands_at + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|one| *one == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_looking_come_first() {
        let sorted = [
            "20261120",
            "v10.0.0",
            "v9.1",
            "1.10.0",
            "1.10.0-rc.10",
            "1.10.0-rc.9",
            "1.10.0-beta",
            "v1.9.1",
            "1.9",
            "1.9-alpine",
            "stable",
            "pr-10",
            "pr-9",
            "main",
            "latest",
            "1e10",
            "1a2b3c4",
        ];
        let mut tags = sorted;
        tags.reverse();
        tags.sort_unstable_by(|one, other| newest_first(one, other));
        assert_eq!(tags, sorted);
        tags.rotate_left(7);
        tags.sort_unstable_by(|one, other| newest_first(one, other));
        assert_eq!(tags, sorted);
    }

    #[test]
    fn numbers_of_any_length_are_compared_by_value() {
        let long = "9".repeat(100);
        assert_eq!(newest_first(&format!("1{long}"), &long), Ordering::Less);
        assert_eq!(newest_first("1.007", "1.7"), Ordering::Greater, "equal in value, so the text decides");
        assert_eq!(newest_first("v1", "v1"), Ordering::Equal);
    }

    #[test]
    fn a_pattern_fits_the_whole_tag() {
        for (pattern, text, fits) in [
            ("v*", "v1.2", true),
            ("v*", "1.v2", false),
            ("v?.*", "v1.2", true),
            ("v?.*", "v10.2", false),
            ("*-rc*-*", "1-rc1-rc-2", true),
            ("*a*b", "aab", true),
            ("*a*b", "aba", false),
            ("", "", true),
            ("", "v1", false),
            ("*", "", true),
            ("v1.2", "v1.2", true),
            ("v1.2", "v1x2", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} and {text}");
        }
        assert!(!matches(&"*a".repeat(60), &"a".repeat(59)), "and takes no long time for it");
    }
}
