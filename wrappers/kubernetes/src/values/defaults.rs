//! The values of a chart as defaults of DM: level, key, text.
//!
//! Leaves out what a key or a text of DM cannot say; of that the chart's own value applies.

use super::json::Json;
use super::path::Path;
use super::{Chart, Layout, Level};

/// Most bytes of a key in DM.
const KEY_LENGTH_MAX: usize = 253;

/// Most bytes of a value in DM.
const VALUE_LENGTH_MAX: usize = 64 * 1024;

/// A value that applies when nobody sets another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChartDefault {
    /// The level of the key.
    pub(crate) level: Level,
    /// The key, dotted.
    pub(crate) key: String,
    /// The value as text: a number or a boolean as its plain literal.
    pub(crate) value: String,
}

/// The defaults of a chart, sorted by level and key.
pub(crate) fn defaults(chart: &Chart, layout: &Layout) -> Vec<ChartDefault> {
    let mut found = Vec::new();
    collect(&chart.base(), &Path::default(), layout, &mut found);
    found.sort();
    found
}

/// A value as a text of DM, if it can be said as one.
pub(super) fn text(json: &Json) -> Option<String> {
    let text = match json {
        Json::Bool(bool) => bool.to_string(),
        Json::Number(number) => number.as_str().to_owned(),
        Json::Text(text) => text.clone(),
        Json::Null | Json::List(_) | Json::Map(_) => return None,
    };
    (text.len() <= VALUE_LENGTH_MAX && !text.contains('\0')).then_some(text)
}

fn collect(json: &Json, path: &Path, layout: &Layout, found: &mut Vec<ChartDefault>) {
    if layout.fixed().any(|(fixed, _)| fixed.holds(path)) {
        return;
    }
    if let Json::Map(map) = json {
        for (key, below) in map {
            collect(below, &path.child(key), layout, found);
        }
        return;
    }
    let Some(level) = layout.owner(path) else { return };
    let Some(key) = key(&path.keys()[layout.prefix(level).keys().len()..]) else { return };
    found.extend(text(json).map(|value| ChartDefault { level, key, value }));
}

/// The key of an override for a way below the prefix, if DM can have such a key.
fn key(keys: &[String]) -> Option<String> {
    let said = |key: &String| {
        let barred = |char: char| matches!(char, '.' | '=') || char.is_whitespace() || char.is_control();
        !key.is_empty() && !key.contains(barred)
    };
    let dotted = keys.join(".");
    let fits = !dotted.is_empty() && dotted.len() <= KEY_LENGTH_MAX && !dotted.starts_with('-');
    (fits && keys.iter().all(said)).then_some(dotted)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn printed(values: Value, layout: &Layout) -> Vec<String> {
        let chart = Chart { defaults: values.into(), extra: Json::Null, schema: None };
        let line = |default: ChartDefault| format!("{} {}={}", default.level, default.key, default.value);
        defaults(&chart, layout).into_iter().map(line).collect()
    }

    fn layout(app: &str, staging: &str, tag: &[&str]) -> Layout {
        let tag = tag.iter().map(|path| Path::parse(path).unwrap()).collect();
        Layout { app: Path::prefix(app).unwrap(), staging: Path::prefix(staging).unwrap(), tag, ..Layout::default() }
    }

    #[test]
    fn leaves_are_sorted_by_level_and_key() {
        let values = json!({
            "replicas": 2, "image": {"tag": "v0", "repository": "demo"}, "ratio": 0.5, "on": false,
            "env": {"log": {"level": "info"}, "empty": "", "text": " a\n=\"b\" ", "a": "1"},
        });
        assert_eq!(
            printed(values, &layout("env", "", &["image.tag"])),
            [
                "app a=1",
                "app empty=",
                "app log.level=info",
                "app text= a\n=\"b\" ",
                "staging image.repository=demo",
                "staging on=false",
                "staging ratio=0.5",
                "staging replicas=2",
            ]
        );
    }

    #[test]
    fn what_no_text_can_say_is_left_out() {
        let long = "x".repeat(VALUE_LENGTH_MAX + 1);
        let mut values = json!({
            "null": null, "list": [1], "map": {}, "nul": "a\u{0}", "long": long, "a.b": 1, "": 1, "a b": 1, "a=b": 1,
            "-a": 1, "a\tb": 1, "deep": {"c.d": {"e": 1}, "": 2, "-ok": 3}, "ok": 4,
        });
        values[&"k".repeat(253)] = json!(5);
        values[&"l".repeat(254)] = json!(6);
        let expected =
            ["staging deep.-ok=3".to_owned(), format!("staging {}=5", "k".repeat(253)), "staging ok=4".to_owned()];
        assert_eq!(printed(values, &layout("env", "", &[])), expected);
    }

    #[test]
    fn the_places_of_tag_and_name_are_left_out_with_all_below() {
        let values =
            json!({"image": {"tag": "v0", "name": "x"}, "tag": {"inner": 1}, "name": "n", "domain": "d", "b": 1});
        let layout = Layout {
            name: vec![Path::parse("name").unwrap()],
            base_domain: vec![Path::parse("domain").unwrap()],
            ..layout("env", "", &["image.tag", "tag"])
        };
        assert_eq!(printed(values, &layout), ["staging b=1", "staging image.name=x"]);
    }

    #[test]
    fn the_longer_prefix_says_the_level() {
        let values = json!({"a": 1, "deploy": {"b": 2}, "x": {"env": {"c": 3}, "d": 4}});
        assert_eq!(
            printed(values.clone(), &layout("", "deploy", &[])),
            ["app a=1", "app x.d=4", "app x.env.c=3", "staging b=2"]
        );
        assert_eq!(printed(values.clone(), &layout("x.env", "x", &[])), ["app c=3", "staging d=4"]);
        assert_eq!(printed(values, &layout("a", "deploy", &[])), ["staging b=2"]);
    }

    #[test]
    fn what_the_operator_adds_or_removes_counts() {
        let chart = Chart {
            defaults: json!({"a": 1, "b": {"c": 2, "d": 3}, "e": {"f": 4}}).into(),
            extra: json!({"a": 5, "b": {"c": null}, "e": null, "g": "new"}).into(),
            schema: None,
        };
        let found = defaults(&chart, &layout("env", "", &[]));
        let found: Vec<_> = found.iter().map(|found| (found.key.as_str(), found.value.as_str())).collect();
        assert_eq!(found, [("a", "5"), ("b.d", "3"), ("g", "new")]);
    }
}
