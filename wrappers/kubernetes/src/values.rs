//! From what DM hands a wrapper to the values of a helm chart, and from a chart's values to defaults.
//!
//! Pure: files, settings and helm are the caller's. What a chart accepts beyond the types of texts is judged by helm.

mod compose;
mod defaults;
mod given;
mod json;
mod path;
mod schema;

use std::fmt;

pub(crate) use compose::compose;
pub(crate) use defaults::defaults;
pub(crate) use json::Json;
pub(crate) use path::Path;

/// Who a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Handed to the product.
    App,
    /// Shapes the environment itself.
    Staging,
}

impl Level {
    /// The other one.
    fn other(self) -> Self {
        match self {
            Self::App => Self::Staging,
            Self::Staging => Self::App,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App => "app",
            Self::Staging => "staging",
        })
    }
}

/// What a chart and its operator say when people say nothing.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// Its `values.yaml`: a map, or null.
    pub(crate) defaults: Json,
    /// What the operator puts on top of it for every staging: a map, or null.
    pub(crate) extra: Json,
    /// Its `values.schema.json`, if it has one.
    pub(crate) schema: Option<serde_json::Value>,
}

impl Chart {
    /// The values that apply when nobody sets any: the chart's with the operator's on top, merged as helm merges them.
    fn base(&self) -> Json {
        let mut base = Json::Map(self.defaults.as_map().cloned().unwrap_or_default());
        overlay(&mut base, &self.extra);
        base
    }
}

/// A null on top of a key removes it, as in helm.
fn overlay(base: &mut Json, top: &Json) {
    let (Json::Map(base), Json::Map(top)) = (base, top) else { return };
    for (key, value) in top {
        match (base.get_mut(key), value) {
            (_, Json::Null) => {
                base.remove(key);
            }
            (Some(below @ Json::Map(_)), Json::Map(_)) => overlay(below, value),
            (Some(_) | None, _) => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Where things land in the values of the chart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// Keys of the level `app` land below it.
    pub(crate) app: Path,
    /// Keys of the level `staging` land below it.
    pub(crate) staging: Path,
    /// The tag stands at each of these, always as text.
    pub(crate) tag: Vec<Path>,
    /// The name of the staging.
    pub(crate) name: Vec<Path>,
    /// The base domain.
    pub(crate) base_domain: Vec<Path>,
    /// The namespace.
    pub(crate) namespace: Vec<Path>,
    /// The name of the project.
    pub(crate) project_name: Vec<Path>,
    /// Whether the values of the chart are the defaults that DM knows: then a default that is missing was unset.
    pub(crate) defaults: bool,
}

impl Layout {
    fn prefix(&self, level: Level) -> &Path {
        match level {
            Level::App => &self.app,
            Level::Staging => &self.staging,
        }
    }

    /// The level whose keys land at `path`: of two prefixes the longer one.
    fn owner(&self, path: &Path) -> Option<Level> {
        let holds = |level: &Level| self.prefix(*level).holds(path);
        [Level::Staging, Level::App].into_iter().filter(holds).max_by_key(|level| self.prefix(*level).keys().len())
    }

    /// The level and key that land at a place.
    pub(crate) fn key_of(&self, path: &Path) -> Option<(Level, String)> {
        let level = self.owner(path)?;
        let key = path.keys()[self.prefix(level).keys().len()..].join(".");
        (!key.is_empty()).then_some((level, key))
    }

    /// Every place that DM itself writes to, with what it writes in words.
    fn fixed(&self) -> impl Iterator<Item = (&Path, &'static str)> {
        let places = [
            (&self.tag, "the tag"),
            (&self.name, "the name of the staging"),
            (&self.base_domain, "the base domain"),
            (&self.namespace, "the namespace"),
            (&self.project_name, "the name of the project"),
        ];
        places.into_iter().flat_map(|(paths, what)| paths.iter().map(move |path| (path, what)))
    }
}

/// What DM says of one staging.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// The tag.
    pub(crate) tag: String,
    /// The name.
    pub(crate) name: String,
    /// The base domain.
    pub(crate) base_domain: String,
    /// The namespace.
    pub(crate) namespace: String,
    /// The name of the project.
    pub(crate) project_name: String,
    /// The effective configuration of the level `app`, dotted keys nested.
    pub(crate) app: Json,
    /// The effective configuration of the level `staging`, dotted keys nested.
    pub(crate) staging: Json,
    /// Key and value of each `--app-override`.
    pub(crate) app_overrides: Vec<(String, String)>,
    /// Key and value of each `--staging-override`.
    pub(crate) staging_overrides: Vec<(String, String)>,
}

/// Why a key cannot be what it was set to. Its `Display` is a sentence for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{level} {key}: {words}")]
pub(crate) struct Refusal {
    /// The level of the key.
    pub(crate) level: Level,
    /// The key, as people write it.
    pub(crate) key: String,
    /// The value and the rule.
    pub(crate) words: String,
}

/// What is wrong with a layout, alone or for this chart, one fragment for each fault; to be asked before anything else.
pub(crate) fn faults(chart: &Chart, layout: &Layout) -> Vec<String> {
    let mut faults = Vec::new();
    for (what, json) in [("the values of the chart", &chart.defaults), ("the extra values", &chart.extra)] {
        if !matches!(json, Json::Null | Json::Map(_)) {
            faults.push(format!("{what} are {}, and must be a map", kind(json)));
        }
    }
    if layout.app == layout.staging {
        faults.push(format!(
            "app keys and staging keys both land at {}; give one of them a place of its own",
            layout.app
        ));
    }
    let fixed: Vec<_> = layout.fixed().collect();
    for (at, (path, what)) in fixed.iter().enumerate() {
        for (other, other_what) in fixed[..at].iter().filter(|(other, _)| other.meets(path)) {
            faults.push(format!("{what} at {path} and {other_what} at {other} overwrite each other"));
        }
        for level in [Level::App, Level::Staging].into_iter().filter(|level| path.holds(layout.prefix(*level))) {
            faults.push(format!("{what} at {path} leaves no place for {level} keys at {}", layout.prefix(level)));
        }
    }
    let base = chart.base();
    let places = fixed.iter().map(|(path, what)| (*what, *path, path.parents().collect::<Vec<_>>()));
    let prefixes = [("app keys", &layout.app), ("staging keys", &layout.staging)]
        .map(|(what, prefix)| (what, prefix, prefix.parents().chain([prefix.clone()]).collect()));
    for (what, path, on_the_way) in places.chain(prefixes) {
        if let Some((place, json)) = no_map(&base, on_the_way) {
            faults.push(format!("{what} cannot land at {path}: {place} is {} in the chart", kind(json)));
        }
    }
    for (path, what) in fixed {
        if let Some(Json::Map(_)) = base.at(path.keys()) {
            faults.push(format!("{what} cannot land at {path}: that is a map in the chart"));
        }
    }
    faults
}

/// The first of these places below which nothing can stand.
fn no_map(base: &Json, places: impl IntoIterator<Item = Path>) -> Option<(Path, &Json)> {
    let mut there = places.into_iter().filter_map(|path| Some((base.at(path.keys())?, path)));
    there.find(|(json, _)| !matches!(json, Json::Map(_) | Json::Null)).map(|(json, path)| (path, json))
}

/// What kind of thing it is, in words.
fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "nothing",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::Text(_) => "a text",
        Json::List(_) => "a list",
        Json::Map(_) => "a map",
    }
}

#[cfg(test)]
mod tests;
