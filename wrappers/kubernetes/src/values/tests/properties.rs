//! What holds for any chart and any configuration.

use proptest::prelude::*;

use super::super::defaults::ChartDefault;
use super::super::json::{Map, Number};
use super::super::*;
use super::path;

fn layout(defaults: bool) -> Layout {
    Layout {
        app: path("env"),
        tag: vec![path("image.tag"), path("env.TAG")],
        name: vec![path("name")],
        defaults,
        ..Layout::default()
    }
}

fn given(app: Json, staging: Json) -> Given {
    Given {
        tag: "1e10".to_owned(),
        name: "pr-1".to_owned(),
        base_domain: "example.org".to_owned(),
        namespace: "dm".to_owned(),
        project_name: "Shop".to_owned(),
        app,
        staging,
        app_overrides: Vec::new(),
        staging_overrides: Vec::new(),
    }
}

/// A value of a chart: any kind, with keys that DM can say and keys that it cannot.
fn chart_value() -> impl Strategy<Value = Json> {
    let number = prop_oneof!["-?(0|[1-9][0-9]{0,20})", "(0|[1-9][0-9]{0,3})\\.[0-9]{1,4}", "[1-9]e[0-9]"];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        number.prop_map(|digits| Json::Number(Number::parse(&digits).expect("a literal"))),
        any::<String>().prop_map(Json::Text),
        "(true|[0-9]{1,3}|1e10|0123|)".prop_map(Json::Text),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            3 => map(inner.clone()),
            1 => prop::collection::vec(inner, 0..3).prop_map(Json::List),
        ]
    })
}

fn map(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    let key = prop_oneof![8 => "[a-e]{1,2}", 1 => "(env|image|tag|TAG|name)", 1 => "(a\\.b||-x|x y|=)"];
    prop::collection::btree_map(key, value, 0..5).prop_map(Json::Map)
}

/// A chart that the layout fits.
fn chart() -> impl Strategy<Value = Chart> {
    (map(chart_value()), map(chart_value()))
        .prop_map(|(defaults, extra)| Chart { defaults, extra, schema: None })
        .prop_filter("the layout fits", |chart| faults(chart, &layout(true)).is_empty())
}

/// Nests dotted keys, as DM does.
fn nested(entries: impl IntoIterator<Item = (String, Json)>) -> Json {
    fn put(map: &mut Map, keys: &[&str], json: Json) {
        match keys {
            [] => {}
            [key] => drop(map.insert((*key).to_owned(), json)),
            [key, below @ ..] => {
                let Json::Map(inner) = map.entry((*key).to_owned()).or_insert_with(Json::empty) else { return };
                put(inner, below, json);
            }
        }
    }
    let mut map = Map::new();
    for (key, json) in entries {
        put(&mut map, &key.split('.').collect::<Vec<_>>(), json);
    }
    Json::Map(map)
}

fn effective(chart: &Chart, keep: impl Fn(&ChartDefault) -> bool) -> Given {
    let found: Vec<_> = defaults(chart, &layout(true)).into_iter().filter(keep).collect();
    let of = |level| {
        let entries = found.iter().filter(move |default| default.level == level);
        nested(entries.map(|default| (default.key.clone(), Json::Text(default.value.clone()))))
    };
    given(of(Level::App), of(Level::Staging))
}

/// What a chart sees: its own values with these on top.
fn seen(chart: &Chart, values: &Json) -> Json {
    Chart { extra: values.clone(), ..chart.clone() }.base()
}

/// Without what DM itself writes, and without maps that have nothing in them: helm leaves some behind where a key was.
fn others(json: &Json, at: &Path) -> Option<Json> {
    let layout = layout(true);
    if layout.fixed().any(|(fixed, _)| fixed == at) {
        return None;
    }
    let Json::Map(map) = json else { return (*json != Json::Null).then(|| json.clone()) };
    let map: Map = map.iter().filter_map(|(key, json)| Some((key.clone(), others(json, &at.child(key))?))).collect();
    (!map.is_empty()).then_some(Json::Map(map))
}

proptest! {
    #[test]
    fn defaults_that_nobody_has_touched_change_nothing(chart in chart()) {
        let values = compose(&chart, &layout(true), &effective(&chart, |_| true)).expect("nothing is refused");
        let top = Path::default();
        prop_assert_eq!(others(&seen(&chart, &values), &top), others(&chart.base(), &top));
    }

    #[test]
    fn an_unset_default_is_gone_and_all_others_are_there(chart in chart(), seed in any::<u64>()) {
        let unset = |default: &ChartDefault| (default.key.len() as u64 + seed).is_multiple_of(3);
        let values = compose(&chart, &layout(true), &effective(&chart, |default| !unset(default))).expect("nothing is refused");
        let seen = seen(&chart, &values);
        for default in defaults(&chart, &layout(true)) {
            let path = layout(true).prefix(default.level).below(&default.key);
            let own = chart.base().at(path.keys()).cloned();
            prop_assert_eq!(seen.at(path.keys()).cloned(), own.filter(|_| !unset(&default)), "{}", path);
        }
    }

    #[test]
    fn no_key_is_lost_and_a_text_without_a_type_arrives_byte_for_byte(
        app in prop::collection::btree_map("[a-c]{1,2}(\\.[x-z]){0,2}", any::<String>(), 0..8),
        staging in prop::collection::btree_map("[a-c]{1,2}(\\.[x-z]){0,2}", any::<String>(), 0..8),
    ) {
        let free = |entries: std::collections::BTreeMap<String, String>| -> Vec<(String, String)> {
            let branch = |key: &str| entries.keys().any(|other| other.starts_with(&format!("{key}.")));
            entries.iter().filter(|(key, _)| !branch(key)).map(|(key, text)| (key.clone(), text.clone())).collect()
        };
        let (app, staging) = (free(app), free(staging));
        let tree = |entries: &[(String, String)]| {
            nested(entries.iter().map(|(key, text)| (key.clone(), Json::Text(text.clone()))))
        };
        let given = Given { app_overrides: app.clone(), staging_overrides: staging.clone(), ..given(tree(&app), tree(&staging)) };
        let chart = Chart { defaults: Json::Null, extra: Json::Null, schema: None };
        let values = compose(&chart, &layout(false), &given).expect("nothing is refused");
        let values = Json::parse(&values.to_string()).expect("it is JSON");
        for (level, entries) in [(Level::App, &app), (Level::Staging, &staging)] {
            for (key, text) in entries {
                let path = layout(false).prefix(level).below(key);
                prop_assert_eq!(values.at(path.keys()), Some(&Json::Text(text.clone())), "{}", path);
            }
        }
        prop_assert_eq!(values.at(path("image.tag").keys()), Some(&Json::Text("1e10".to_owned())));
    }

    #[test]
    fn whatever_is_asked_each_key_has_landed_or_is_refused(
        chart in chart(),
        asked in prop::collection::btree_map("(a|b|env|image|name)(\\.(a|b|tag|TAG))?", chart_value(), 0..4),
        text in prop_oneof!["[0-9]{1,2}", "(true|x)"],
    ) {
        let top: Vec<_> = asked.into_iter().filter(|(key, _)| !key.contains('.') ).collect();
        let overrides: Vec<_> = top.iter().map(|(key, json)| (key.clone(), json.to_string())).collect();
        let mut entries = top.clone();
        entries.push(("c.d".to_owned(), Json::Text(text.clone())));
        let mut given = given(Json::empty(), nested(entries));
        given.staging_overrides = overrides;
        given.staging_overrides.push(("c.d".to_owned(), text.clone()));
        match compose(&chart, &layout(false), &given) {
            Ok(values) => {
                prop_assert!(matches!(values.at(path("c.d").keys()), Some(Json::Text(_) | Json::Number(_) | Json::Bool(_))));
                for (key, json) in top {
                    let landed = values.at(path(&key).keys());
                    prop_assert!(landed == Some(&json) || matches!((landed, &json), (Some(Json::Map(_)), Json::Map(_))), "{}", key);
                }
                prop_assert_eq!(values.at(path("image.tag").keys()), Some(&Json::Text("1e10".to_owned())));
            }
            Err(refusals) => {
                prop_assert!(!refusals.is_empty());
                for refusal in refusals {
                    let known = given.staging_overrides.iter().any(|(key, _)| *key == refusal.key);
                    prop_assert!(known && refusal.level == Level::Staging, "{}", refusal);
                }
            }
        }
    }
}
