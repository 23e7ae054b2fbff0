//! The names and numbers of the domain as types, each with the one place that checks it.
//!
//! Everything here is parsed once, at the edge; behind it a value of such a type is right by construction.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not the name, tag or key it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {rule}")]
pub struct Invalid {
    /// What the text was meant to be: `name`, `tag`, `key`, `value`, `reason`, `on_behalf`.
    pub what: &'static str,
    /// The stable name of the rule that it breaks, for machines.
    pub code: &'static str,
    /// The rule in words, readable after [`Invalid::what`].
    pub rule: String,
}

impl Invalid {
    pub(crate) fn new(what: &'static str, code: &'static str, rule: impl Into<String>) -> Self {
        Self { what, code, rule: rule.into() }
    }
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }
    };
}

text_type! {
    /// The name of a staging, which is also the name of its stream: a DNS label of at most 40 characters that starts
    /// with a letter, `^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`.
    StagingName
}

impl StagingName {
    /// Most characters a name may have.
    pub const LENGTH_MAX: usize = 40;

    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const WHAT: &str = "name";
        if text.is_empty() {
            return Err(Invalid::new(WHAT, "name_empty", "must not be empty"));
        }
        if text.len() > Self::LENGTH_MAX {
            return Err(Invalid::new(
                WHAT,
                "name_length",
                format!("has {} bytes, the most is {}", text.len(), Self::LENGTH_MAX),
            ));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let label = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.ends_with(plain)
            && text.chars().all(|c| plain(c) || c == '-');
        if !label {
            return Err(Invalid::new(
                WHAT,
                "name_format",
                "must start with a-z, continue with a-z, 0-9 or '-', and end with a letter or a digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

text_type! {
    /// The version of the product to deploy, an image tag; always text, also when it looks like a number.
    ///
    /// The form is that of the OCI distribution specification: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
    Tag
}

impl Tag {
    /// Most characters a tag may have.
    pub const LENGTH_MAX: usize = 128;

    /// Checks a tag.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const WHAT: &str = "tag";
        if text.is_empty() {
            return Err(Invalid::new(WHAT, "tag_empty", "must not be empty"));
        }
        if text.len() > Self::LENGTH_MAX {
            return Err(Invalid::new(
                WHAT,
                "tag_length",
                format!("has {} bytes, the most is {}", text.len(), Self::LENGTH_MAX),
            ));
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !(text.starts_with(word) && text.chars().all(|c| word(c) || c == '.' || c == '-')) {
            return Err(Invalid::new(
                WHAT,
                "tag_format",
                "must start with a letter, a digit or '_' and continue with letters, digits, '_', '.' or '-'",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

text_type! {
    /// The key of an override: dotted segments, `replicas` or `web.image.pullPolicy`.
    ///
    /// A key has no `=` (wrappers receive `KEY=VALUE`), no white space, no control characters and no empty segment.
    Key
}

impl Key {
    /// Most bytes a key may have.
    pub const LENGTH_MAX: usize = 253;

    /// Checks a key.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const WHAT: &str = "key";
        if text.is_empty() {
            return Err(Invalid::new(WHAT, "key_empty", "must not be empty"));
        }
        if text.len() > Self::LENGTH_MAX {
            return Err(Invalid::new(
                WHAT,
                "key_length",
                format!("has {} bytes, the most is {}", text.len(), Self::LENGTH_MAX),
            ));
        }
        if text.chars().any(|c| c == '=' || c.is_whitespace() || c.is_control()) || text.starts_with('-') {
            return Err(Invalid::new(
                WHAT,
                "key_format",
                "must not start with '-' and must not contain '=', white space or control characters",
            ));
        }
        if text.split('.').any(str::is_empty) {
            return Err(Invalid::new(
                WHAT,
                "key_segment",
                "must not have an empty segment between, before or after dots",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The branches that it lies on, shortest first: of `a.b.c` the keys `a` and `a.b`.
    pub fn parents(&self) -> impl Iterator<Item = Self> {
        self.0.match_indices('.').map(|(end, _)| Self(self.0[..end].to_owned()))
    }
}

text_type! {
    /// Why somebody asks for something, in their own words: 1 to 2,000 characters.
    Comment
}

impl Comment {
    /// Most characters a reason may have.
    pub const LENGTH_MAX: usize = 2_000;

    /// Checks a reason.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const WHAT: &str = "reason";
        if text.is_empty() {
            return Err(Invalid::new(WHAT, "reason_empty", "must not be empty"));
        }
        let length = text.chars().count();
        if length > Self::LENGTH_MAX {
            return Err(Invalid::new(
                WHAT,
                "reason_length",
                format!("has {length} characters, the most is {}", Self::LENGTH_MAX),
            ));
        }
        if text.contains('\0') {
            return Err(Invalid::new(WHAT, "nul", "must not contain U+0000"));
        }
        Ok(Self(text.to_owned()))
    }
}

text_type! {
    /// For whom somebody says to act: 1 to 200 characters on one line. A claim, which nobody has checked.
    OnBehalf
}

impl OnBehalf {
    /// Most characters it may have.
    pub const LENGTH_MAX: usize = 200;

    /// Checks a claim.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const WHAT: &str = "on_behalf";
        let length = text.chars().count();
        if !(1..=Self::LENGTH_MAX).contains(&length) {
            let rule = format!("has {length} characters; it must have 1 to {}", Self::LENGTH_MAX);
            return Err(Invalid::new(WHAT, "on_behalf_length", rule));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::new(WHAT, "on_behalf_format", "must be one line without control characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

macro_rules! uuid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_type! {
    /// One execution of a lifecycle wrapper for one staging; minted when the command is accepted.
    RunId
}

uuid_type! {
    /// A command, by its caller and its idempotency key.
    CommandId
}

/// An event's number in its stream: 1, 2, 3 and so on; 0 stands for "no event yet".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub i64);

impl Version {
    /// The version of a stream without events.
    pub const NONE: Self = Self(0);

    /// The version of the event after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a run has been claimed: 1 for the first time.
pub type Attempt = u32;

/// A `dms` process: the id minted into its `DM_HOME` and the number of its start there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The id of the `DM_HOME`.
    pub id: Uuid,
    /// 1 for the first start in that home.
    pub start: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id, self.start)
    }
}

/// Who did it: the identity in a certificate (`admin/anna`), or `system` for what `dms` does by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(pub String);

impl Actor {
    /// `dms` itself: claims, ends of runs, checks.
    pub fn system() -> Self {
        Self("system".to_owned())
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
