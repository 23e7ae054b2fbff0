//! The page of a demo staging: one self-contained document, without scripts and without anything from elsewhere.
//!
//! Pure text from values. Whatever a person has set is escaped or checked before it is put in.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::files::Spec;

/// The accent when none is set, or something that is no colour.
const COLOR: &str = "#2f6fed";

/// Most boxes drawn for `replicas`.
const REPLICAS_MAX: u64 = 9;

/// The page of a staging, seen for the `visits`th time.
pub(super) fn render(spec: &Spec, visits: u64) -> String {
    let settings = &spec.settings;
    let text = |values: &RawValue, pointer: &str| {
        let values: Value = serde_json::from_str(values.get()).unwrap_or_default();
        match values.pointer(pointer) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Null) | None => None,
            Some(other) => Some(other.to_string()),
        }
    };
    let greeting = text(&settings.values.app, "/greeting").unwrap_or_default();
    let footer = text(&settings.values.app, "/footer/text").unwrap_or_default();
    let color = text(&settings.values.app, "/color").filter(|color| is_color(color));
    let replicas = text(&settings.values.staging, "/replicas").and_then(|number| number.parse().ok()).unwrap_or(1);
    TEMPLATE
        .split("{{")
        .map(|part| {
            let Some((hole, rest)) = part.split_once("}}") else { return part.to_owned() };
            let filled = match hole {
                "name" => escaped(spec.name.as_str()),
                "tag" => escaped(settings.tag.as_str()),
                "greeting" => escaped(&greeting),
                "footer" => escaped(&footer),
                "color" => color.as_deref().unwrap_or(COLOR).to_owned(),
                "visits" => visits.to_string(),
                "replicas" => (0..replicas.min(REPLICAS_MAX)).map(|_| "<i></i>").collect(),
                "app" => rows(&settings.overrides.app),
                "staging" => rows(&settings.overrides.staging),
                other => unreachable!("the template has no hole called {other}"),
            };
            filled + rest
        })
        .collect()
}

/// Whether a text is a colour as this page takes it: `#rgb`, `#rrggbb`, or the name of one.
fn is_color(text: &str) -> bool {
    match text.strip_prefix('#') {
        Some(digits) => matches!(digits.len(), 3 | 6) && digits.chars().all(|c| c.is_ascii_hexdigit()),
        None => (3..=20).contains(&text.len()) && text.chars().all(|c| c.is_ascii_lowercase()),
    }
}

fn rows(values: &BTreeMap<String, String>) -> String {
    if values.is_empty() {
        return "<p class=\"none\">none</p>".to_owned();
    }
    let row = |(key, value): (&String, &String)| {
        ["<dt>", &escaped(key), "</dt><dd><code>", &escaped(value), "</code></dd>"].concat()
    };
    let rows: Vec<String> = values.iter().map(row).collect();
    ["<dl>", &rows.concat(), "</dl>"].concat()
}

/// A text as HTML shows it; a carriage return would otherwise be read as a line break.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\r' => html.push_str("&#13;"),
            other => html.push(other),
        }
    }
    html
}

/// `{{name}}` is a hole; nothing else of it changes.
const TEMPLATE: &str = include_str!("page.html");

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(app: &str) -> Spec {
        let values: Value = serde_json::from_str(app).expect("valid");
        let overrides: BTreeMap<String, String> = values
            .as_object()
            .expect("an object")
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().expect("text").to_owned()))
            .collect();
        let spec = serde_json::json!({
            "name": "demo", "should_run": true, "ended": null, "port": null,
            "settings": {
                "tag": "v1",
                "overrides": { "app": overrides, "staging": {} },
                "values": { "app": values, "staging": { "replicas": "3" } },
            },
        });
        serde_json::from_str(&spec.to_string()).expect("a spec")
    }

    #[test]
    fn markup_in_a_value_is_shown_and_never_run() {
        let page = render(&spec(r#"{"greeting":"<script>alert('1')</script> & \"more\""}"#), 1);
        assert!(!page.contains("<script"));
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;more&quot;"));
    }

    #[test]
    fn a_value_that_looks_like_a_hole_is_shown_as_it_is() {
        let page = render(&spec(r#"{"greeting":"{{visits}}"}"#), 41);
        assert!(page.contains("{{visits}}"));
    }

    #[test]
    fn what_is_no_color_never_reaches_the_style() {
        let page = render(&spec(r#"{"color":"red;} body{display:none"}"#), 1);
        assert!(page.contains(&format!("--accent: {COLOR}")));
        assert!(render(&spec(r#"{"color":"teal"}"#), 1).contains("--accent: teal"));
    }

    #[test]
    fn replicas_are_drawn() {
        assert_eq!(render(&spec("{}"), 1).matches("<i></i>").count(), 3);
    }
}
