//! Why a verb cannot do its work, by what follows from it.

use std::fmt;

/// What a sentence says where a right is what is missing.
pub(crate) const MISSING_RIGHT: &str = "a right is missing";

/// What went wrong, in a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Error {
    /// Waiting does not mend it.
    Failed(String),
    /// There is no answer: the cluster cannot be reached, or does not let us look.
    CannotTell(String),
    /// The wrapper itself was called or set up wrongly.
    Misused(String),
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn failed(words: impl Into<String>) -> Self {
        Self::Failed(words.into())
    }

    pub(crate) fn cannot_tell(words: impl Into<String>) -> Self {
        Self::CannotTell(words.into())
    }

    pub(crate) fn misused(words: impl Into<String>) -> Self {
        Self::Misused(words.into())
    }

    /// Whether there is no answer because we have no right to it.
    pub(crate) fn lacks_right(&self) -> bool {
        matches!(self, Self::CannotTell(words) if words.contains(MISSING_RIGHT))
    }

    /// The same with what was being done in front of it.
    pub(crate) fn during(self, what: &str) -> Self {
        match self {
            Self::Failed(words) => Self::Failed(format!("{what}: {words}")),
            Self::CannotTell(words) => Self::CannotTell(format!("{what}: {words}")),
            Self::Misused(words) => Self::Misused(words),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(words) | Self::CannotTell(words) | Self::Misused(words) => f.write_str(words),
        }
    }
}
