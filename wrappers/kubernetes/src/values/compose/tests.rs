//! What becomes of a configuration, value by value.

use serde_json::{Value, json};

use super::Level::{App, Staging};
use super::*;

/// A chart, a layout and a configuration, told in few words.
struct Case {
    chart: Chart,
    layout: Layout,
    given: Given,
}

fn path(text: &str) -> Path {
    Path::parse(text).expect("a path")
}

fn case(defaults: Value) -> Case {
    let text = |text: &str| text.to_owned();
    Case {
        chart: Chart { defaults: defaults.into(), extra: Json::Null, schema: None },
        layout: Layout { app: path("env"), tag: vec![path("image.tag")], ..Layout::default() },
        given: Given {
            tag: text("v1"),
            name: text("pr-1"),
            base_domain: text("example.org"),
            namespace: text("dm"),
            project_name: text("Shop"),
            app: Json::empty(),
            staging: Json::empty(),
            app_overrides: Vec::new(),
            staging_overrides: Vec::new(),
        },
    }
}

impl Case {
    fn schema(mut self, schema: Value) -> Self {
        self.chart.schema = Some(schema);
        self
    }

    fn extra(mut self, extra: Value) -> Self {
        self.chart.extra = extra.into();
        self
    }

    /// An override as text.
    fn text(mut self, level: Level, key: &str, text: &str) -> Self {
        self.set(level, key, Json::Text(text.to_owned()), text.to_owned());
        self
    }

    /// An override as JSON.
    fn json(mut self, level: Level, key: &str, json: &str) -> Self {
        self.set(level, key, Json::parse(json).expect("JSON"), json.to_owned());
        self
    }

    fn set(&mut self, level: Level, key: &str, json: Json, argument: String) {
        let (effective, overrides) = match level {
            App => (&mut self.given.app, &mut self.given.app_overrides),
            Staging => (&mut self.given.staging, &mut self.given.staging_overrides),
        };
        put(effective, None, Path::default().below(key).keys(), json);
        overrides.push((key.to_owned(), argument));
    }

    /// The defaults of the chart, but for these keys, in the configuration.
    fn with_defaults(mut self, unset: &[&str]) -> Self {
        self.layout.defaults = true;
        for default in defaults(&self.chart, &self.layout) {
            let effective = match default.level {
                App => &mut self.given.app,
                Staging => &mut self.given.staging,
            };
            if !unset.contains(&default.key.as_str()) {
                put(effective, None, Path::default().below(&default.key).keys(), Json::Text(default.value));
            }
        }
        self
    }

    #[track_caller]
    fn becomes(&self, expected: Value) {
        let values = compose(&self.chart, &self.layout, &self.given).expect("nothing is refused");
        assert_eq!(values, Json::from(expected));
    }

    #[track_caller]
    fn is_refused(&self, expected: &[&str]) {
        let refusals = compose(&self.chart, &self.layout, &self.given).unwrap_err();
        assert_eq!(refusals.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn each_level_lands_in_its_place_and_the_tag_in_its_own() {
    case(json!({"replicas": 1}))
        .extra(json!({"pullSecret": "x", "image": {"tag": "extra", "pullPolicy": "Always"}}))
        .text(Staging, "image.repository", "demo")
        .text(App, "log.level", "info")
        .becomes(json!({
            "pullSecret": "x", "image": {"tag": "v1", "pullPolicy": "Always", "repository": "demo"},
            "env": {"log": {"level": "info"}},
        }));
}

#[test]
fn name_domain_namespace_and_project_stand_wherever_the_layout_says() {
    let mut case = case(json!({}));
    case.layout = Layout {
        name: vec![path("name"), path("labels.staging")],
        base_domain: vec![path("ingress.domain")],
        namespace: vec![path("ns")],
        project_name: vec![path(r"annotations.example\.org/project")],
        ..case.layout
    };
    case.becomes(json!({
        "name": "pr-1", "labels": {"staging": "pr-1"}, "ingress": {"domain": "example.org"}, "ns": "dm",
        "annotations": {"example.org/project": "Shop"}, "image": {"tag": "v1"},
    }));
}

#[test]
fn a_tag_is_a_text_whatever_it_looks_like_and_whatever_the_chart_has() {
    for tag in ["58467965", "1e10", "0123", "true", "null", "1.10", "~"] {
        let mut case = case(json!({"image": {"tag": 5}}))
            .schema(json!({"properties": {"image": {"properties": {"tag": {"type": "number"}}}}}));
        tag.clone_into(&mut case.given.tag);
        case.becomes(json!({"image": {"tag": tag}}));
    }
}

#[test]
fn a_text_stays_one_where_the_chart_has_a_text_or_nothing() {
    let texts = ["58467965", "1e10", "0123", "true", "null", "", " 1 ", "a\n\"b\"\u{2028}", "{}", "yes", "0x10"];
    for text in texts {
        case(json!({"s": "1", "null": null, "list": [], "map": {}}))
            .text(Staging, "s", text)
            .text(Staging, "null", text)
            .text(Staging, "list", text)
            .text(Staging, "map", text)
            .text(App, "new", text)
            .becomes(json!({"s": text, "null": text, "list": text, "map": text, "env": {"new": text}, "image": {"tag": "v1"}}));
    }
}

#[test]
fn a_plain_literal_becomes_what_the_default_is_with_every_digit() {
    for number in ["3", "-1", "0.50", "1e10", "12345678901234567890"] {
        let case = case(json!({"n": 1, "env": {"b": true}})).text(Staging, "n", number).text(App, "b", "false");
        let values = compose(&case.chart, &case.layout, &case.given).expect("nothing is refused");
        assert_eq!(
            values.to_string(),
            format!("{{\"env\":{{\"b\":false}},\"image\":{{\"tag\":\"v1\"}},\"n\":{number}}}")
        );
    }
}

#[test]
fn what_is_no_plain_literal_is_refused_where_the_default_is_a_number_or_a_boolean() {
    let traps = [
        "0x10", "1_000", ".5", "+1", "NaN", "yes", "~", " 1", "1 ", "", "null", "True", "FALSE", "0123", "1e400", "off",
    ];
    for trap in traps {
        case(json!({"n": 1, "b": false})).text(Staging, "n", trap).text(Staging, "b", trap).is_refused(&[
            &format!("staging b: \"{trap}\" is neither true nor false; the chart needs one of them"),
            &format!("staging n: \"{trap}\" is no number; the chart needs one"),
        ]);
    }
    case(json!({"n": 1, "b": false})).text(Staging, "n", "true").text(Staging, "b", "1").is_refused(&[
        "staging b: \"1\" is neither true nor false; the chart needs one of them",
        "staging n: \"true\" is no number; the chart needs one",
    ]);
}

#[test]
fn a_refusal_shows_forty_characters_and_no_line_break() {
    case(json!({"env": {"n": 1}}))
        .text(App, "n", &format!("a\n\"{}", "ü".repeat(50)))
        .is_refused(&[&format!("app n: \"a\\n\\\"{}\" is no number; the chart needs one", "ü".repeat(37))]);
}

#[test]
fn the_extra_values_say_types_too() {
    case(json!({"a": "x"}))
        .extra(json!({"a": 1}))
        .text(Staging, "a", "2")
        .becomes(json!({"a": 2, "image": {"tag": "v1"}}));
    case(json!({"a": 1}))
        .extra(json!({"a": null}))
        .text(Staging, "a", "x")
        .becomes(json!({"a": "x", "image": {"tag": "v1"}}));
}

#[test]
fn the_schema_knows_better_than_the_default() {
    let schema = json!({"properties": {
        "port": {"type": "integer"}, "ratio": {"type": "number"}, "on": {"type": ["boolean", "null"]},
        "either": {"type": ["string", "integer"]}, "odd": {"type": ["integer", "boolean"]}, "map": {"type": "object"},
        "list": {"type": "array"}, "nothing": {"type": "null"}, "open": {},
    }});
    let chart = || case(json!({"port": "http", "either": 1, "open": 1})).schema(schema.clone());
    chart()
        .text(Staging, "port", "80")
        .text(Staging, "ratio", "0.5")
        .text(Staging, "on", "true")
        .text(Staging, "either", "80")
        .text(Staging, "odd", "false")
        .text(Staging, "nothing", "x")
        .text(Staging, "open", "7")
        .becomes(json!({
            "port": 80, "ratio": 0.5, "on": true, "either": "80", "odd": false, "nothing": "x", "open": 7, "image": {"tag": "v1"},
        }));
    chart()
        .text(Staging, "port", "1.0")
        .text(Staging, "ratio", "x")
        .text(Staging, "on", "null")
        .text(Staging, "odd", "1e3")
        .text(Staging, "map", "x")
        .text(Staging, "list", "[]")
        .is_refused(&[
            "staging list: \"[]\" is not what the chart needs here: a list given as JSON",
            "staging map: \"x\" is not what the chart needs here: a map, given as JSON or by the keys below it",
            "staging odd: \"1e3\" is not what the chart needs here: a whole number, or true or false",
            "staging on: \"null\" is neither true nor false; the chart needs one of them",
            "staging port: \"1.0\" is no whole number; the chart needs one",
            "staging ratio: \"x\" is no number; the chart needs one",
        ]);
}

#[test]
fn json_goes_as_it_is() {
    let case = case(json!({"n": 1, "list": [1], "s": "x", "map": {"a": 1}}))
        .json(Staging, "n", "\"1\"")
        .json(Staging, "list", "[1.0,{\"b\":null}]")
        .json(Staging, "s", "1e10")
        .json(Staging, "map", "{\"b\":{\"c.d\":2}}")
        .json(App, "t", "\"5\"");
    let values = compose(&case.chart, &case.layout, &case.given).expect("nothing is refused");
    let expected =
        r#"{"env":{"t":"5"},"image":{"tag":"v1"},"list":[1.0,{"b":null}],"map":{"b":{"c.d":2}},"n":"1","s":1e10}"#;
    assert_eq!(values.to_string(), expected);
}

#[test]
fn a_default_that_is_missing_was_unset_and_becomes_null() {
    let defaults =
        json!({"a": 1, "b": {"c": "x", "d": [1], "e": null}, "image": {"tag": "v0"}, "env": {"k": "v", "l": "w"}});
    let chart = || case(defaults.clone()).with_defaults(&["a", "b.c", "k"]);
    chart().becomes(json!({"a": null, "b": {"c": null}, "env": {"k": null, "l": "w"}, "image": {"tag": "v1"}}));
    let mut off = chart();
    off.layout.defaults = false;
    off.becomes(json!({"env": {"l": "w"}, "image": {"tag": "v1"}}));
}

#[test]
fn a_default_of_the_extra_values_that_was_unset_is_gone() {
    case(json!({"a": 1, "m": {"b": 2}}))
        .extra(json!({"a": 3, "m": {"c": 4, "d": 5}}))
        .with_defaults(&["a", "m.c"])
        .becomes(json!({"a": null, "m": {"b": 2, "d": 5}, "image": {"tag": "v1"}}));
}

#[test]
fn what_is_set_in_the_place_of_unset_keys_stands() {
    case(json!({"map": {"a": "1", "b": "2"}}))
        .with_defaults(&["map.a", "map.b"])
        .json(Staging, "map", "{\"b\":3,\"c\":4}")
        .becomes(json!({"map": {"a": null, "b": 3, "c": 4}, "image": {"tag": "v1"}}));
}

#[test]
fn a_default_that_nobody_has_set_is_the_charts_own_value_even_against_its_schema() {
    let schema = json!({"properties": {"port": {"type": ["string", "integer"]}, "size": {"type": "integer"}}});
    let chart = || case(json!({"port": 80, "size": "auto"})).schema(schema.clone()).with_defaults(&[]);
    chart().becomes(json!({"port": 80, "size": "auto", "image": {"tag": "v1"}}));
    chart()
        .text(Staging, "size", "auto")
        .is_refused(&["staging size: \"auto\" is no whole number; the chart needs one"]);
    chart().text(Staging, "port", "80").becomes(json!({"port": "80", "size": "auto", "image": {"tag": "v1"}}));
}

#[test]
fn a_key_in_the_place_of_the_tag_or_the_name_is_refused() {
    let chart = || {
        let mut case = case(json!({"image": {"tag": "v0", "repository": "demo"}}));
        case.layout.base_domain = vec![path("domain")];
        case
    };
    chart().text(Staging, "image.tag", "v2").text(Staging, "domain", "x").is_refused(&[
        "staging domain: domain is the place of the base domain, which no key can set",
        "staging image.tag: image.tag is the place of the tag, which no key can set",
    ]);
    let taken = ["staging image: image.tag is the place of the tag, which no key can set"];
    chart().json(Staging, "image", "{\"tag\":null}").is_refused(&taken);
    chart()
        .text(Staging, "image.tag.x", "v2")
        .is_refused(&["staging image.tag.x: image.tag is the place of the tag, which no key can set"]);
    let swallowed = ["staging image: image must stay a map: below it, image.tag is the place of the tag"];
    chart().text(Staging, "image", "demo:v2").is_refused(&swallowed);
    for json in ["null", "[1]", "5", "\"demo\""] {
        chart().json(Staging, "image", json).is_refused(&swallowed);
    }
    chart()
        .json(Staging, "image", "{\"repository\":\"x\"}")
        .becomes(json!({"domain": "example.org", "image": {"repository": "x", "tag": "v1"}}));
}

#[test]
fn a_key_in_the_place_of_the_other_level_is_refused() {
    let chart = || case(json!({"deploy": {"env": {"a": "x"}, "size": "y"}}));
    chart()
        .text(Staging, "env.color.x", "red")
        .is_refused(&["staging env.color.x: env is the place of app keys; set the app key color.x instead"]);
    chart().text(Staging, "env", "x").is_refused(&["staging env: env is the place of app keys"]);
    let nested = || {
        let mut case = chart();
        case.layout.app = path("deploy.env");
        case
    };
    let swallowed = ["staging deploy: deploy must stay a map: below it, deploy.env is the place of app keys"];
    nested().text(Staging, "deploy", "x").is_refused(&swallowed);
    nested().json(Staging, "deploy", "null").is_refused(&swallowed);
    nested()
        .json(Staging, "deploy", "{\"env\":{\"a\":1}}")
        .is_refused(&["staging deploy: deploy.env is the place of app keys"]);
    nested()
        .json(Staging, "deploy", "{\"size\":1}")
        .text(App, "a", "z")
        .becomes(json!({"deploy": {"env": {"a": "z"}, "size": 1}, "image": {"tag": "v1"}}));
    let mut turned = chart();
    (turned.layout.app, turned.layout.staging) = (Path::default(), path("deploy"));
    turned
        .text(App, "deploy.size", "x")
        .text(App, "b", "x")
        .text(Staging, "env.a", "x")
        .is_refused(&["app deploy.size: deploy is the place of staging keys; set the staging key size instead"]);
}

#[test]
fn nothing_stands_below_what_is_no_map_in_the_chart() {
    case(json!({"replicas": 1, "list": [], "a": {"b": "x"}, "null": null}))
        .text(Staging, "replicas.x", "1")
        .text(Staging, "list.x", "1")
        .json(Staging, "a.b.c", "{}")
        .is_refused(&[
            "staging a.b.c: a.b is a text in the chart, so nothing can stand below it",
            "staging list.x: list is a list in the chart, so nothing can stand below it",
            "staging replicas.x: replicas is a number in the chart, so nothing can stand below it",
        ]);
    case(json!({"null": null}))
        .text(Staging, "null.x", "1")
        .becomes(json!({"null": {"x": "1"}, "image": {"tag": "v1"}}));
}

#[test]
fn a_text_in_the_place_of_a_map_is_refused_unless_the_schema_allows_it() {
    let chart = || case(json!({"m": {"a": 1}})).text(Staging, "m", "x");
    chart().is_refused(&[
        "staging m: \"x\" is not what the chart needs here: a map, given as JSON or by the keys below it",
    ]);
    chart()
        .schema(json!({"properties": {"m": {"type": ["object", "string"]}}}))
        .becomes(json!({"m": "x", "image": {"tag": "v1"}}));
}

#[test]
fn what_the_operator_has_removed_stays_removed_beside_what_people_set() {
    let chart = || case(json!({"m": {"a": 1, "b": {"c": 2, "d": 3}}})).extra(json!({"m": null}));
    let becomes = json!({"m": {"a": null, "b": {"c": "x", "d": null}}, "image": {"tag": "v1"}});
    chart().text(Staging, "m.b.c", "x").becomes(becomes.clone());
    chart().json(Staging, "m", "{\"b\":{\"c\":\"x\"}}").becomes(becomes);
}

#[test]
fn every_refusal_is_named_at_once() {
    case(json!({"n": 1, "env": {"b": true}}))
        .text(Staging, "n", "x")
        .text(App, "b", "x")
        .text(Staging, "image.tag", "x")
        .is_refused(&[
            "app b: \"x\" is neither true nor false; the chart needs one of them",
            "staging image.tag: image.tag is the place of the tag, which no key can set",
            "staging n: \"x\" is no number; the chart needs one",
        ]);
}
