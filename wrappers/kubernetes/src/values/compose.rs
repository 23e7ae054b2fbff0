//! The values of one staging, for `helm --values`.
//!
//! From below: the operator's extra values, a null for each default that was unset, staging keys, app keys, and what DM
//! itself says. Nothing is overwritten in silence: what would be is refused.

use std::collections::BTreeSet;
use std::{mem, slice};

use super::defaults::{self, defaults};
use super::given::{Leaf, Said, leaves};
use super::json::{Json, Map, Number};
use super::path::Path;
use super::schema::{Types, types};
use super::{Chart, Given, Layout, Level, Refusal, kind, no_map};

/// Most characters of a value in a refusal.
const SHOWN_MAX: usize = 40;

/// The values for helm, or everything that stands against them, sorted.
pub(crate) fn compose(chart: &Chart, layout: &Layout, given: &Given) -> Result<Json, Vec<Refusal>> {
    let judge = Judge { chart, base: chart.base(), layout };
    let mut values = Json::Map(chart.extra.as_map().cloned().unwrap_or_default());
    let levels = [
        (Level::Staging, leaves(&given.staging, &given.staging_overrides)),
        (Level::App, leaves(&given.app, &given.app_overrides)),
    ];
    for path in unset(chart, layout, &levels) {
        match chart.defaults.at(path.keys()) {
            Some(_) => put(&mut values, Some(&chart.defaults), path.keys(), Json::Null),
            None => remove(&mut values, path.keys()),
        }
    }
    let mut put = |path: &Path, json| put(&mut values, Some(&chart.defaults), path.keys(), json);
    let mut refusals = Vec::new();
    for (level, leaves) in &levels {
        for leaf in leaves {
            let path = layout.prefix(*level).below(&leaf.key);
            match judge.value(*level, &path, leaf) {
                Ok(json) => put(&path, json),
                Err(words) => refusals.push(Refusal { level: *level, key: leaf.key.clone(), words }),
            }
        }
    }
    let said = [
        (&layout.project_name, &given.project_name),
        (&layout.namespace, &given.namespace),
        (&layout.name, &given.name),
        (&layout.base_domain, &given.base_domain),
        (&layout.tag, &given.tag),
    ];
    for (path, text) in said.into_iter().flat_map(|(paths, text)| paths.iter().map(move |path| (path, text))) {
        put(path, Json::Text(text.clone()));
    }
    refusals.sort();
    if refusals.is_empty() { Ok(values) } else { Err(refusals) }
}

/// Where the defaults stand that DM knows and that are missing in what it gave: people have unset them.
fn unset(chart: &Chart, layout: &Layout, levels: &[(Level, Vec<Leaf<'_>>)]) -> Vec<Path> {
    if !layout.defaults {
        return Vec::new();
    }
    let keys = |(level, leaves): &'_ (Level, Vec<Leaf<'_>>)| {
        leaves.iter().map(|leaf| (*level, leaf.key.clone())).collect::<Vec<_>>()
    };
    let set: BTreeSet<(Level, String)> = levels.iter().flat_map(keys).collect();
    let known = defaults(chart, layout).into_iter().map(|default| (default.level, default.key));
    known.filter(|known| !set.contains(known)).map(|(level, key)| layout.prefix(level).below(&key)).collect()
}

/// Puts a value at its place, merged with what stands there as helm merges: map into map.
fn put(values: &mut Json, chart: Option<&Json>, keys: &[String], json: Json) {
    match (keys, json) {
        ([], Json::Map(map)) => {
            *values = Json::Map(opened(mem::replace(values, Json::Null), chart));
            for (key, json) in map {
                put(values, chart, slice::from_ref(&key), json);
            }
        }
        ([], json) => *values = json,
        ([key, below @ ..], json) => {
            let mut map = opened(mem::replace(values, Json::Null), chart);
            let chart = chart.and_then(|chart| chart.as_map()?.get(key));
            put(map.entry(key.clone()).or_insert_with(Json::empty), chart, below, json);
            *values = Json::Map(map);
        }
    }
}

/// Takes a key away that only the extra values have: helm would show a null of theirs to the chart.
fn remove(values: &mut Json, keys: &[String]) {
    match (values, keys) {
        (Json::Map(map), [key]) => {
            map.remove(key);
        }
        (Json::Map(map), [key, below @ ..]) => {
            if let Some(json) = map.get_mut(key) {
                remove(json, below);
            }
        }
        (_, _) => {}
    }
}

/// A value as a map. A null has hidden what the chart has there, and each key of it must stay hidden.
fn opened(json: Json, chart: Option<&Json>) -> Map {
    match json {
        Json::Map(map) => map,
        Json::Null => {
            let hidden = chart.and_then(Json::as_map).into_iter().flatten();
            hidden.map(|(key, _)| (key.clone(), Json::Null)).collect()
        }
        Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) => Map::new(),
    }
}

/// What may land where, and as what.
struct Judge<'a> {
    chart: &'a Chart,
    base: Json,
    layout: &'a Layout,
}

impl Judge<'_> {
    /// What a value is for the chart, or in words why it cannot be that.
    fn value(&self, level: Level, path: &Path, leaf: &Leaf<'_>) -> Result<Json, String> {
        self.place(level, path, leaf.value)?;
        if let Some((place, json)) = no_map(&self.base, path.parents()) {
            return Err(format!("{place} is {} in the chart, so nothing can stand below it", kind(json)));
        }
        let default = self.base.at(path.keys());
        match (leaf.value, default) {
            (Said::Json(json), _) => Ok(json.clone()),
            // Nobody has set it, so nobody could mend it either.
            (Said::Default(text), Some(own)) if defaults::text(own).as_deref() == Some(text) => Ok(own.clone()),
            (Said::Default(text) | Said::Text(text), _) => self.typed(path, text, default),
        }
    }

    /// Refuses what would overwrite what DM says, or what the other level says.
    fn place(&self, level: Level, path: &Path, value: Said<'_>) -> Result<(), String> {
        if let Some((fixed, what)) = self.layout.fixed().find(|(fixed, _)| fixed.holds(path)) {
            return Err(format!("{fixed} is the place of {what}, which no key can set"));
        }
        let other = level.other();
        let place = self.layout.prefix(other);
        if self.layout.owner(path) == Some(other) {
            let key = path.keys()[place.keys().len()..].join(".");
            let instead = if key.is_empty() { String::new() } else { format!("; set the {other} key {key} instead") };
            return Err(format!("{place} is the place of {other} keys{instead}"));
        }
        if let Said::Json(Json::Map(map)) = value {
            return map.iter().try_for_each(|(key, json)| self.place(level, &path.child(key), Said::Json(json)));
        }
        if let Some((fixed, what)) = self.layout.fixed().find(|(fixed, _)| path.holds(fixed)) {
            return Err(format!("{path} must stay a map: below it, {fixed} is the place of {what}"));
        }
        if path.holds(place) {
            return Err(format!("{path} must stay a map: below it, {place} is the place of {other} keys"));
        }
        Ok(())
    }

    /// A text as what the chart needs. The schema knows better than the default, and silence of both leaves a text.
    fn typed(&self, path: &Path, text: &str, default: Option<&Json>) -> Result<Json, String> {
        let schema = self.chart.schema.as_ref().and_then(|schema| types(schema, path));
        let needs = schema.unwrap_or_else(|| default.map_or(Types::TEXT, by_default));
        if needs.allow(Types::TEXT) || !needs.says_more_than_null() {
            return Ok(Json::Text(text.to_owned()));
        }
        let number = Number::parse(text).filter(|number| needs.allow(Types::NUMBER) || number.is_whole());
        match (text, number) {
            ("true" | "false", _) if needs.allow(Types::BOOL) => Ok(Json::Bool(text == "true")),
            (_, Some(number)) if needs.allow(Types::WHOLE) => Ok(Json::Number(number)),
            (_, Some(_) | None) => Err(unfit(text, needs)),
        }
    }
}

/// What a default says of the texts that may replace it. Charts do put a text where they have an empty map or a list.
fn by_default(default: &Json) -> Types {
    match default {
        Json::Bool(_) => Types::BOOL,
        Json::Number(_) => Types::NUMBER,
        Json::Map(map) if !map.is_empty() => Types::MAP,
        Json::Null | Json::Text(_) | Json::List(_) | Json::Map(_) => Types::TEXT,
    }
}

/// Why a text is not what the chart needs.
fn unfit(text: &str, needs: Types) -> String {
    let shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    let number = if needs.allow(Types::NUMBER) { "a number" } else { "a whole number" };
    let known = [
        (Types::WHOLE, number),
        (Types::BOOL, "true or false"),
        (Types::LIST, "a list given as JSON"),
        (Types::MAP, "a map, given as JSON or by the keys below it"),
    ];
    let wanted: Vec<&str> =
        known.into_iter().filter(|(types, _)| needs.allow(*types)).map(|(_, words)| words).collect();
    match wanted.as_slice() {
        ["a number"] => format!("\"{shown}\" is no number; the chart needs one"),
        ["a whole number"] => format!("\"{shown}\" is no whole number; the chart needs one"),
        ["true or false"] => format!("\"{shown}\" is neither true nor false; the chart needs one of them"),
        several => format!("\"{shown}\" is not what the chart needs here: {}", several.join(", or ")),
    }
}

#[cfg(test)]
mod tests;
