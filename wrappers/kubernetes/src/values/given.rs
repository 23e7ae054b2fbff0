//! The effective configuration of one level, key by key: which value is a text, and which is JSON.
//!
//! The files say what a value is, the arguments how its author wrote it; only both together tell a text from JSON.

use std::collections::BTreeMap;

use super::json::Json;

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf<'a> {
    /// The key, dotted.
    pub(super) key: String,
    /// Its value.
    pub(super) value: Said<'a>,
}

/// How a value was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// By a default: a text.
    Default(&'a str),
    /// By somebody, as text.
    Text(&'a str),
    /// By somebody, as JSON.
    Json(&'a Json),
}

/// Every key of an effective configuration, sorted.
pub(super) fn leaves<'a>(effective: &'a Json, overrides: &[(String, String)]) -> Vec<Leaf<'a>> {
    let overrides = overrides.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut found = Vec::new();
    collect(effective, String::new(), &overrides, &mut found);
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

fn collect<'a>(json: &'a Json, key: String, overrides: &BTreeMap<&str, &str>, found: &mut Vec<Leaf<'a>>) {
    let value = match (json, overrides.get(key.as_str())) {
        (Json::Map(map), None) => {
            for (below, json) in map {
                let key = if key.is_empty() { below.clone() } else { format!("{key}.{below}") };
                collect(json, key, overrides, found);
            }
            return;
        }
        (Json::Text(text), None) => Said::Default(text),
        // The JSON form of a text has quotes around it, so it is never the text itself.
        (Json::Text(text), Some(argument)) if text == argument => Said::Text(text),
        (_, Some(_)) | (Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_), None) => Said::Json(json),
    };
    found.push(Leaf { key, value });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(entries: &[(&str, &str)]) -> Vec<(String, String)> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn text_json_and_defaults_are_told_apart() {
        let effective =
            r#"{"a":{"default":"1","json":"1","quoted":"\"1\"","text":"1"},"map":{"x":"y"},"n":1,"none":null}"#;
        let effective = Json::parse(effective).unwrap();
        let arguments = [
            ("a.json", "\"1\""),
            ("a.quoted", "\"1\""),
            ("a.text", "1"),
            ("map", "{\"x\":\"y\"}"),
            ("n", "1"),
            ("none", "null"),
        ];
        let leaves = leaves(&effective, &overrides(&arguments));
        let found: Vec<_> = leaves.iter().map(|leaf| (leaf.key.as_str(), leaf.value)).collect();
        let at = |keys: &[&str]| effective.at(&keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()).unwrap();
        assert_eq!(
            found,
            [
                ("a.default", Said::Default("1")),
                ("a.json", Said::Json(at(&["a", "json"]))),
                ("a.quoted", Said::Text("\"1\"")),
                ("a.text", Said::Text("1")),
                ("map", Said::Json(at(&["map"]))),
                ("n", Said::Json(at(&["n"]))),
                ("none", Said::Json(&Json::Null)),
            ]
        );
    }

    #[test]
    fn an_empty_map_that_somebody_gave_is_a_value_and_no_configuration_has_no_keys() {
        let effective = Json::parse(r#"{"a":{}}"#).unwrap();
        assert_eq!(leaves(&effective, &overrides(&[("a", "{}")])).len(), 1);
        assert_eq!(leaves(&Json::empty(), &[]), []);
    }
}
