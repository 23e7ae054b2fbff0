//! Gathers every fault of a request, so that all of them are told at once.

use dm_api::Violation;
use dm_domain::ids::Invalid;

use crate::error::{ApiError, codes};

/// The rule that a secret override breaks while there is no sealing.
pub(crate) const SECRETS_RULE: &str = codes::SECRETS_UNAVAILABLE.name;

/// Most faults that one answer names.
const NAMED_MAX: usize = 50;

/// Faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    found: Vec<Violation>,
    count: usize,
}

impl Violations {
    /// Notes one.
    pub(crate) fn add(&mut self, pointer: impl Into<String>, rule: &str, detail: impl Into<String>) {
        self.count += 1;
        if self.found.len() < NAMED_MAX {
            self.found.push(Violation { pointer: pointer.into(), rule: rule.to_owned(), detail: detail.into() });
        }
    }

    /// The value, or a note of the rule that it breaks.
    pub(crate) fn take<T>(&mut self, pointer: impl Into<String>, parsed: Result<T, Invalid>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(invalid) => {
                self.add(pointer, invalid.code, invalid.to_string());
                None
            }
        }
    }

    /// Refuses the request if anything was found.
    pub(crate) fn done(self) -> Result<(), ApiError> {
        let Some(first) = self.found.first() else { return Ok(()) };
        let code = if self.found.iter().any(|violation| violation.rule == SECRETS_RULE) {
            codes::SECRETS_UNAVAILABLE
        } else {
            codes::INVALID_REQUEST
        };
        let detail = match self.count {
            1 => format!("{}: {}", place(&first.pointer), first.detail),
            count if count > NAMED_MAX => format!("{count} faults; the first {NAMED_MAX} are named"),
            count => format!("{count} faults"),
        };
        Err(ApiError::new(code, detail).errors(self.found))
    }
}

/// A pointer as people read it.
fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "body" } else { pointer }
}

/// A reference token of a JSON pointer (RFC 6901).
pub(crate) fn token(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}
