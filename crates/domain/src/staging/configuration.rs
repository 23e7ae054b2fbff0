//! The configuration of a staging as its events made it, and what an edit may still change of it.
//!
//! Knows who changed which key last within one incarnation. Knows nothing of statuses or runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Key, Tag, Version};
use crate::overrides::{Edit, Level, Levels, Override, Overrides, Value, Values, public_values, resolve};
use crate::staging::Rejection;
use crate::staging::event::ConfigurationRequested;

/// What a staging has or is to have: all that a wrapper is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The version of the product.
    pub tag: Tag,
    /// What people have set on top of the defaults.
    pub overrides: Overrides,
    /// Defaults with overrides applied, frozen when the last create, update, restore or retry of one was accepted.
    pub effective: Values,
    /// The version of the event that set `tag` and `overrides`; the `base` of an edit on top of it.
    pub version: Version,
    history: History,
}

/// Who changed what last, in one incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct History {
    /// The versions of all its configuration events: what a `base` may name.
    versions: BTreeSet<Version>,
    tag_changed: Version,
    keys_changed: Levels<BTreeMap<Key, Version>>,
}

/// What an edit would make of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) tag: Tag,
    pub(super) overrides: Overrides,
    pub(super) effective: Values,
}

impl Draft {
    /// `edit` over nothing: the first configuration of an incarnation.
    pub(super) fn first(tag: &Tag, edit: &Edit, defaults: &Values) -> Result<Self, Rejection> {
        Self::over(tag, &Overrides::default(), edit, defaults)
    }

    fn over(tag: &Tag, overrides: &Overrides, edit: &Edit, defaults: &Values) -> Result<Self, Rejection> {
        edit.check()?;
        let overrides = edit.on(overrides.clone());
        let effective = resolve(&overrides, defaults)?;
        Ok(Self { tag: edit.tag.as_ref().unwrap_or(tag).clone(), overrides, effective })
    }
}

impl Configuration {
    /// About how many bytes of memory its content takes.
    pub(super) fn weight(&self) -> usize {
        /// What a map keeps beside the text of an entry.
        const ENTRY: usize = 80;
        let entry = |key: &Key, value: Option<&Value>| ENTRY + key.as_str().len() + value.map_or(0, Value::weight);
        let mut weight = size_of::<Version>() * self.history.versions.len();
        for level in Level::ALL {
            let overrides = self.overrides.at(level).iter().map(|(key, of)| match of {
                Override::Set(value) => entry(key, Some(value)),
                Override::Unset => entry(key, None),
            });
            let effective = self.effective.at(level).iter().map(|(key, value)| entry(key, Some(value)));
            let changed = self.history.keys_changed.at(level).keys().map(|key| entry(key, None));
            weight += overrides.chain(effective).chain(changed).sum::<usize>();
        }
        weight
    }

    /// The overrides that a wrapper receives as arguments.
    pub fn public_overrides(&self) -> Values {
        public_values(&self.overrides)
    }

    /// The configuration that the create of `version` asks for.
    pub(super) fn created(requested: &ConfigurationRequested, version: Version) -> Self {
        let nothing = Self {
            tag: requested.tag.clone(),
            overrides: Overrides::default(),
            effective: Values::default(),
            version,
            history: History {
                versions: BTreeSet::new(),
                tag_changed: version,
                keys_changed: Levels { app: BTreeMap::new(), staging: BTreeMap::new() },
            },
        };
        nothing.requested(requested, version)
    }

    /// The configuration that the update or restore of `version` asks for.
    pub(super) fn requested(mut self, requested: &ConfigurationRequested, version: Version) -> Self {
        let edit = Edit {
            tag: None,
            set: requested.set.clone(),
            unset: requested.unset.clone(),
            reset: requested.reset.clone(),
        };
        let before = self.overrides.clone();
        self.overrides = edit.on(self.overrides);
        for (level, key) in edit.keys() {
            if before.at(level).get(key) != self.overrides.at(level).get(key) {
                self.history.keys_changed.at_mut(level).insert(key.clone(), version);
            }
        }
        if self.tag != requested.tag {
            self.tag.clone_from(&requested.tag);
            self.history.tag_changed = version;
        }
        self.effective.clone_from(&requested.effective);
        self.version = version;
        self.history.versions.insert(version);
        self
    }

    /// What `edit` would make of it over `defaults`.
    pub(super) fn draft(&self, edit: &Edit, defaults: &Values) -> Result<Draft, Rejection> {
        Draft::over(&self.tag, &self.overrides, edit, defaults)
    }

    /// Whether `edit` asks for nothing but this tag and these overrides; defaults have no say.
    pub(super) fn is_asked_by(&self, edit: &Edit) -> bool {
        edit.tag.as_ref().is_none_or(|tag| *tag == self.tag) && edit.on(self.overrides.clone()) == self.overrides
    }

    /// Whether `draft` would come out as what is there.
    pub(super) fn comes_out_as(&self, draft: &Draft) -> bool {
        self.tag == draft.tag && self.effective == draft.effective
    }

    /// Refuses an edit of something that somebody else has changed since `base`.
    pub(super) fn admits(&self, edit: &Edit, base: Version) -> Result<(), Rejection> {
        if !self.history.versions.contains(&base) {
            return Err(Rejection::UnknownBase { base });
        }
        if edit.tag.is_some() && self.history.tag_changed > base {
            return Err(Rejection::EditConflict { what: "tag".to_owned(), theirs: self.history.tag_changed });
        }
        for (level, key) in edit.keys() {
            if let Some(&theirs) = self.changed(level, key).filter(|&&theirs| theirs > base) {
                return Err(Rejection::EditConflict { what: format!("{level} key {key}"), theirs });
            }
        }
        Ok(())
    }

    fn changed(&self, level: Level, key: &Key) -> Option<&Version> {
        self.history.keys_changed.at(level).get(key)
    }
}
