//! Problem documents in the words of the command line. Prints nothing.

use std::time::Duration;

use dm_api::{Problem, Violation};

use crate::exit::Error;
use crate::overrides::Edits;

/// A refusal as an error, each violation named by what was typed: a rule that several things break together is told
/// once. The detail of a single one only repeats it.
pub(crate) fn refusal(mut problem: Problem, retry_after: Option<Duration>, edits: &Edits) -> Error {
    let together = problem.errors.chunk_by(|one, next| one.detail == next.detail);
    let mut violations: Vec<_> = together.map(|of_one_rule| in_words(of_one_rule, edits)).collect();
    if violations.len() == 1 {
        problem.detail = violations.remove(0);
    }
    Error::Problem { problem: Box::new(problem), violations, retry_after }
}

fn in_words(violations: &[Violation], edits: &Edits) -> String {
    let places: Vec<_> = violations.iter().map(|violation| place(&violation.pointer, edits)).collect();
    let (place, detail) = (places.join(", "), violations.first().map_or("", |violation| &violation.detail));
    if place.is_empty() { detail.to_owned() } else { format!("{place}: {detail}") }
}

/// A pointer as what was typed.
fn place(pointer: &str, edits: &Edits) -> String {
    let typed = if let Some(query) = pointer.strip_prefix('?') {
        Some(format!("--{}", query.replace('_', "-")))
    } else if let Some(header) = pointer.strip_prefix("header:") {
        Some(format!("--{}", header.to_ascii_lowercase()))
    } else if let Some(part) = pointer.strip_prefix("path:") {
        Some(part.to_ascii_uppercase())
    } else {
        edits.flag_of(pointer)
    };
    typed.unwrap_or_else(|| pointer.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(pointer: &str) -> Violation {
        Violation { pointer: pointer.to_owned(), rule: "r".to_owned(), detail: "must not be".to_owned() }
    }

    fn shown(pointer: &str) -> String {
        in_words(&[broken(pointer)], &Edits::default())
    }

    #[test]
    fn what_breaks_a_rule_together_is_named_together() {
        assert_eq!(in_words(&[broken("/tag"), broken("/reason")], &Edits::default()), "--tag, --reason: must not be");
    }

    #[test]
    fn a_violation_is_named_by_what_was_typed() {
        assert_eq!(shown("/tag"), "--tag: must not be");
        assert_eq!(shown("/on_behalf"), "--on-behalf: must not be");
        assert_eq!(shown("/request/base"), "--base: must not be");
        assert_eq!(shown("header:Idempotency-Key"), "--idempotency-key: must not be");
        assert_eq!(shown("path:name"), "NAME: must not be");
        assert_eq!(shown("?limit"), "--limit: must not be");
        assert_eq!(shown("/elsewhere"), "/elsewhere: must not be");
        assert_eq!(shown(""), "must not be");
    }
}
