//! Overrides and the configuration they make: set, unset, reset over defaults, and what of it is refused.
//!
//! Pure algebra over two levels of dotted keys. Knows nothing of runs or statuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Invalid, Key, Tag};
use crate::staging::Rejection;

/// Who an override is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Handed to the product.
    App,
    /// Shapes the environment itself.
    Staging,
}

impl Level {
    /// Both levels, in the order in which people read them.
    pub const ALL: [Self; 2] = [Self::App, Self::Staging];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App => "app",
            Self::Staging => "staging",
        })
    }
}

/// One thing for each level.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels<T> {
    /// For [`Level::App`].
    #[serde(default)]
    pub app: T,
    /// For [`Level::Staging`].
    #[serde(default)]
    pub staging: T,
}

impl<T> Levels<T> {
    /// The thing of one level.
    pub fn at(&self, level: Level) -> &T {
        match level {
            Level::App => &self.app,
            Level::Staging => &self.staging,
        }
    }

    /// The thing of one level, to change it.
    pub fn at_mut(&mut self, level: Level) -> &mut T {
        match level {
            Level::App => &mut self.app,
            Level::Staging => &mut self.staging,
        }
    }
}

/// A secret value in its sealed form; the domain compares it by `tag` and never sees inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which data key sealed it.
    pub key_id: String,
    /// Base64.
    pub nonce: String,
    /// Base64.
    pub ciphertext: String,
    /// A keyed hash of the value under the data key: equal for equal values of one incarnation. Base64.
    pub tag: String,
}

/// The value of an override, kept byte for byte.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Text, also when it looks like a number.
    Text(String),
    /// A JSON value in its shortest form, because its author said so.
    Json(String),
    /// A secret, sealed.
    Secret(Sealed),
}

impl Value {
    /// Bytes of its text.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Secret(Sealed { key_id, nonce, ciphertext, tag }) => {
                key_id.len() + nonce.len() + ciphertext.len() + tag.len()
            }
        }
    }
}

/// Two secrets are the same value when their tags are.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) | (Self::Json(a), Self::Json(b)) => a == b,
            (Self::Secret(a), Self::Secret(b)) => a.key_id == b.key_id && a.tag == b.tag,
            (Self::Text(_) | Self::Json(_) | Self::Secret(_), _) => false,
        }
    }
}

impl Eq for Value {}

impl Value {
    /// Most bytes a value may have; far below the 128 KiB at which Linux ends an argument of a process.
    pub const LENGTH_MAX: usize = 64 * 1024;

    /// The bytes this value adds to a configuration.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Secret(sealed) => sealed.ciphertext.len(),
        }
    }

    /// Whether the value has no bytes; the empty text is a value like any other.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks length and characters.
    pub fn check(&self) -> Result<(), Invalid> {
        const WHAT: &str = "value";
        if self.len() > Self::LENGTH_MAX {
            return Err(Invalid::new(
                WHAT,
                "value_length",
                format!("has {} bytes, the most is {}", self.len(), Self::LENGTH_MAX),
            ));
        }
        match self {
            Self::Text(text) | Self::Json(text) if text.contains('\0') => {
                Err(Invalid::new(WHAT, "nul", "must not contain U+0000"))
            }
            Self::Text(_) | Self::Json(_) | Self::Secret(_) => Ok(()),
        }
    }
}

/// What an override does to a key. A key without one has its default, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Override {
    /// Gives it a value.
    Set(Value),
    /// Hides the default: the key is absent.
    Unset,
}

/// All overrides of a staging.
pub type Overrides = Levels<BTreeMap<Key, Override>>;

/// Keys and values of both levels: the defaults as the wrapper reports them, or an effective configuration.
pub type Values = Levels<BTreeMap<Key, Value>>;

/// Keys of both levels.
pub type Keys = Levels<BTreeSet<Key>>;

/// What somebody wants changed; everything else stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Another tag.
    pub tag: Option<Tag>,
    /// Overrides to give a value.
    pub set: Values,
    /// Defaults to hide.
    pub unset: Keys,
    /// Overrides to drop, so that the default applies again.
    pub reset: Keys,
}

/// Most overrides of a staging, both levels together.
pub const OVERRIDES_MAX: usize = 500;

/// Most bytes of all keys and values of an effective configuration, both levels together: 512 KiB. All arguments of a
/// Linux process end at 2 MiB, and a run must never die of that.
pub const CONFIGURATION_BYTES_MAX: usize = 512 * 1024;

impl Edit {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        let nothing =
            |level| self.set.at(level).is_empty() && self.unset.at(level).is_empty() && self.reset.at(level).is_empty();
        self.tag.is_none() && Level::ALL.into_iter().all(nothing)
    }

    /// Every key that it names, once for each time it is named.
    pub fn keys(&self) -> impl Iterator<Item = (Level, &Key)> {
        Level::ALL.into_iter().flat_map(|level| {
            let named = self.set.at(level).keys().chain(self.unset.at(level)).chain(self.reset.at(level));
            named.map(move |key| (level, key))
        })
    }

    /// Refuses a key that is named twice and a value that breaks its rule; whatever it is applied to.
    pub(crate) fn check(&self) -> Result<(), Rejection> {
        let mut seen = BTreeSet::new();
        for (level, key) in self.keys() {
            if !seen.insert((level, key)) {
                return Err(Rejection::KeyTwice { level, key: key.clone() });
            }
        }
        for level in Level::ALL {
            for (key, value) in self.set.at(level) {
                value.check().map_err(|invalid| Rejection::InvalidValue { level, key: key.clone(), invalid })?;
            }
        }
        Ok(())
    }

    /// `overrides` with this edit on top. The tag is not part of it.
    #[must_use]
    pub(crate) fn on(&self, mut overrides: Overrides) -> Overrides {
        for level in Level::ALL {
            let target = overrides.at_mut(level);
            let set = self.set.at(level).iter().map(|(key, value)| (key.clone(), Override::Set(value.clone())));
            let unset = self.unset.at(level).iter().map(|key| (key.clone(), Override::Unset));
            target.extend(set.chain(unset));
            target.retain(|key, _| !self.reset.at(level).contains(key));
        }
        overrides
    }
}

/// The effective configuration: `defaults` with `overrides` applied.
///
/// Refused when there are too many overrides, when a key would be both a value and a branch, or when all of it together
/// is too large. Whatever is refused over some defaults is refused over more of them as well, so that a decision over
/// no defaults at all is a cheap first look.
pub fn resolve(overrides: &Overrides, defaults: &Values) -> Result<Values, Rejection> {
    let count = overrides.app.len() + overrides.staging.len();
    if count > OVERRIDES_MAX {
        return Err(Rejection::TooManyOverrides { count, max: OVERRIDES_MAX });
    }
    let mut effective = defaults.clone();
    for level in Level::ALL {
        for (key, entry) in overrides.at(level) {
            match entry {
                Override::Set(value) => effective.at_mut(level).insert(key.clone(), value.clone()),
                Override::Unset => effective.at_mut(level).remove(key),
            };
        }
    }
    for level in Level::ALL {
        no_value_on_a_branch(level, effective.at(level))?;
    }
    let bytes = |values: &BTreeMap<Key, Value>| -> usize {
        values.iter().map(|(key, value)| key.as_str().len() + value.len()).sum()
    };
    let size = bytes(&effective.app) + bytes(&effective.staging);
    if size > CONFIGURATION_BYTES_MAX {
        return Err(Rejection::ConfigurationTooLarge { size, max: CONFIGURATION_BYTES_MAX });
    }
    Ok(effective)
}

/// The overrides that a wrapper receives as arguments: those with a value that is not secret.
pub fn public_values(overrides: &Overrides) -> Values {
    let of_level = |entries: &BTreeMap<Key, Override>| {
        let public = entries.iter().filter_map(|(key, entry)| match entry {
            Override::Set(value @ (Value::Text(_) | Value::Json(_))) => Some((key.clone(), value.clone())),
            Override::Set(Value::Secret(_)) | Override::Unset => None,
        });
        public.collect()
    };
    Levels { app: of_level(&overrides.app), staging: of_level(&overrides.staging) }
}

/// `a` beside `a.b` cannot be written as a nested file. Hiding the default `a` makes room for a value of `a.b`.
fn no_value_on_a_branch(level: Level, values: &BTreeMap<Key, Value>) -> Result<(), Rejection> {
    for child in values.keys() {
        for parent in child.parents() {
            if values.contains_key(&parent) {
                return Err(Rejection::KeyConflict { level, parent, child: child.clone() });
            }
        }
    }
    Ok(())
}
