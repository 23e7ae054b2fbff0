//! What helm and the API server have against a configuration, in sentences for the person who asked: the key that has set
//! it where that can be told, the value, the rule, and where it would have stood. Pure.
//!
//! Their own words name types of their language and quote whole objects; what cannot be put into better words is kept, but
//! short.

mod quantity;
mod read;
mod template;

use crate::cluster::object::Object;
use crate::cluster::workload;
use crate::say;
use crate::values::{Json, Layout, Level, Path};

/// Characters of one sentence.
const SENTENCE_MAX: usize = 500;

/// Characters of a value in it.
const VALUE_MAX: usize = 80;

/// Sentences; who mends them sees the next ones.
const SENTENCES_MAX: usize = 8;

/// helm reads a manifest with this character in it once, and not again.
const UNREADABLE: char = '\u{7f}';
const CONTROL: &str = "has a control character, which helm cannot hand on";

/// What was asked for, to find the key that has set a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) tag: &'a str,
    pub(crate) app_overrides: &'a [(String, String)],
    pub(crate) staging_overrides: &'a [(String, String)],
}

/// One thing that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Complaint {
    /// Kind and name, for people; empty where it is about the values.
    object: String,
    /// The field of the object.
    field: String,
    /// The place in the chart's values.
    place: Option<Path>,
    /// As its author wrote it, without quotes.
    value: String,
    /// What must be.
    rule: String,
}

/// The sentences. The manifest is what was complained about, where there is one.
pub(crate) fn in_words(said: &str, asked: &Asked<'_>, manifest: &[Object]) -> Vec<String> {
    let mut complaints = read::complaints(said);
    for complaint in &mut complaints {
        quantity::find(complaint, manifest);
    }
    let mut seen = Vec::new();
    // One value may stand in many fields.
    complaints.retain(|complaint| {
        let same = (complaint.object.clone(), complaint.value.clone(), complaint.rule.clone());
        let is_new = complaint.value.is_empty() || !seen.contains(&same);
        seen.push(same);
        is_new
    });
    let mut sentences: Vec<String> = complaints.iter().map(|complaint| asked.sentence(complaint)).collect();
    sentences.dedup();
    sentences.truncate(SENTENCES_MAX);
    sentences
}

/// Images that no node could fetch. The API server takes them all the same: it looks at those of pods alone.
pub(crate) fn blank_images<'a>(asked: &Asked<'_>, objects: impl Iterator<Item = &'a Object>) -> Vec<String> {
    let mut found = Vec::new();
    for object in objects {
        let spec = workload::pod_spec(object);
        for list in ["initContainers", "containers"] {
            let containers = object.list(&format!("{spec}/{list}"));
            for (at, container) in containers.iter().enumerate() {
                let Some(image) = container["image"].as_str().filter(|image| image.trim() != *image) else { continue };
                found.push(Complaint {
                    object: object.to_string(),
                    field: format!("{}.{list}[{at}].image", spec[1..].replace('/', ".")),
                    place: None,
                    value: image.to_owned(),
                    rule: "must be the name of an image, without blanks around it".to_owned(),
                });
            }
        }
    }
    found.iter().map(|complaint| asked.sentence(complaint)).take(SENTENCES_MAX).collect()
}

impl Asked<'_> {
    fn sentence(&self, complaint: &Complaint) -> String {
        let Complaint { object, field, place, value, rule } = complaint;
        let (whose, value) = match place.as_ref().and_then(|place| self.key_at(place)) {
            Some((key, set)) => (Some(key), if value.is_empty() { set } else { value.clone() }),
            None if rule == CONTROL => (self.overrides().find_map(unreadable), String::new()),
            None => (self.key_of(value, field), value.clone()),
        };
        let place = place.as_ref().map(|place| format!("the value {place}"));
        let at: Vec<&str> = [object.as_str(), field].into_iter().filter(|part| !part.is_empty()).collect();
        let at = place.unwrap_or_else(|| at.join(", "));
        // What must be follows the value; other words stand for themselves.
        let follows = ["must ", "is ", "may "].iter().any(|word| rule.starts_with(word));
        let after = if follows { " " } else { ": " };
        let value = if value.is_empty() { String::new() } else { shown(&value) + after };
        let sentence = match (whose, at.is_empty()) {
            (Some(key), true) => format!("{key}: {value}{rule}"),
            (Some(key), false) if complaint.place.is_some() => format!("{key}: {value}{rule}"),
            (Some(key), false) => format!("{key}: {value}{rule} ({at})"),
            (None, true) => format!("{value}{rule}"),
            (None, false) => format!("{at}: {value}{rule}"),
        };
        say::shortened(&sentence, SENTENCE_MAX)
    }

    fn overrides(&self) -> impl Iterator<Item = (Level, &str, &str)> {
        let app = self.app_overrides.iter().map(|pair| (Level::App, pair));
        let staging = self.staging_overrides.iter().map(|pair| (Level::Staging, pair));
        app.chain(staging).map(|(level, (key, value))| (level, key.as_str(), value.as_str()))
    }

    /// The key that lands at a place of the values, and what it was set to.
    fn key_at(&self, place: &Path) -> Option<(String, String)> {
        let (level, key) = self.layout.key_of(place)?;
        let is_it = |(other, name, _): &(Level, &str, &str)| *other == level && (*name == key || is_below(&key, name));
        let set = self.overrides().find(is_it);
        let value = set.filter(|(_, name, _)| *name == key).map(|(_, _, value)| value.to_owned());
        Some((format!("{level} {}", set.map_or(key.as_str(), |(_, name, _)| name)), value.unwrap_or_default()))
    }

    /// The keys that may have set a value: that are it, have it, or have it in their JSON. Of several, those count that
    /// are named like the field.
    fn key_of(&self, value: &str, field: &str) -> Option<String> {
        if value.is_empty() {
            return None;
        }
        let mut found: Vec<_> = self.overrides().filter(|(_, key, text)| has(key, text, value)).collect();
        let last = field.rsplit(['.', ']']).next().unwrap_or_default().to_lowercase();
        let is_named_so = |(_, key, _): &(Level, &str, &str)| {
            last.contains(&key.rsplit('.').next().unwrap_or_default().to_lowercase())
        };
        if found.len() > 1 && found.iter().any(is_named_so) {
            found.retain(is_named_so);
        }
        if found.is_empty() && value == self.tag {
            return Some("the tag".to_owned());
        }
        let names: Vec<String> = found.iter().take(3).map(|(level, key, _)| format!("{level} {key}")).collect();
        (!names.is_empty()).then(|| names.join(" or "))
    }
}

fn unreadable((level, key, value): (Level, &str, &str)) -> Option<String> {
    value.contains(UNREADABLE).then(|| format!("{level} {key}"))
}

fn is_below(key: &str, of: &str) -> bool {
    key.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'))
}

fn has(key: &str, text: &str, value: &str) -> bool {
    fn holds(json: &Json, value: &str) -> bool {
        match json {
            Json::Map(map) => map.iter().any(|(key, json)| key == value || holds(json, value)),
            Json::List(list) => list.iter().any(|json| holds(json, value)),
            Json::Text(text) => text == value,
            Json::Null | Json::Bool(_) | Json::Number(_) => json.to_string() == value,
        }
    }
    text == value || key.split('.').any(|part| part == value) || Json::parse(text).is_ok_and(|json| holds(&json, value))
}

/// A value in a sentence.
fn shown(value: &str) -> String {
    // A text that was given as JSON has its quotes already.
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.to_owned());
    let short: String = say::shortened(&value, VALUE_MAX).chars().flat_map(char::escape_debug).collect();
    format!("\"{}\"", short.replace("\\\"", "\"").replace("\\'", "'"))
}

#[cfg(test)]
mod tests;
