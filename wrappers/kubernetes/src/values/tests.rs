//! What holds for any chart and any configuration, and what is wrong with a layout.

mod properties;

use serde_json::{Value, json};

use super::*;

fn path(text: &str) -> Path {
    Path::parse(text).expect("a path")
}

#[track_caller]
fn has_faults(defaults: Value, extra: Value, layout: &Layout, expected: &[&str]) {
    let chart = Chart { defaults: defaults.into(), extra: extra.into(), schema: None };
    assert_eq!(faults(&chart, layout), expected);
}

#[test]
fn a_layout_that_fits_has_no_faults() {
    let layout = Layout {
        app: path("env"),
        tag: vec![path("image.tag"), path("env.TAG")],
        name: vec![path("name")],
        ..Layout::default()
    };
    has_faults(json!({"image": {"tag": "v0"}, "env": {"TAG": ""}, "name": null}), json!(null), &layout, &[]);
    has_faults(json!(null), json!({}), &layout, &[]);
    has_faults(json!({"image": null}), json!({"env": {}}), &layout, &[]);
}

#[test]
fn places_that_overwrite_each_other_are_faults() {
    let layout = Layout {
        app: path("a.b"),
        staging: path("a.b"),
        tag: vec![path("x.tag"), path("a")],
        base_domain: vec![path("x")],
        ..Layout::default()
    };
    has_faults(
        json!({}),
        json!({}),
        &layout,
        &[
            "app keys and staging keys both land at a.b; give one of them a place of its own",
            "the tag at a leaves no place for app keys at a.b",
            "the tag at a leaves no place for staging keys at a.b",
            "the base domain at x and the tag at x.tag overwrite each other",
        ],
    );
    has_faults(
        json!({}),
        json!({}),
        &Layout::default(),
        &["app keys and staging keys both land at the top level; give one of them a place of its own"],
    );
}

#[test]
fn a_chart_that_has_something_else_in_a_place_is_a_fault() {
    let layout = Layout { app: path("env"), tag: vec![path("image.tag"), path("web")], ..Layout::default() };
    has_faults(
        json!({"image": "demo:v0", "env": [], "web": {}}),
        json!(null),
        &layout,
        &[
            "the tag cannot land at image.tag: image is a text in the chart",
            "app keys cannot land at env: env is a list in the chart",
            "the tag cannot land at web: that is a map in the chart",
        ],
    );
    has_faults(json!({"env": []}), json!({"env": {}}), &layout, &[]);
    has_faults(
        json!([]),
        json!("x"),
        &layout,
        &["the values of the chart are a list, and must be a map", "the extra values are a text, and must be a map"],
    );
}
