//! A chart with kinds of its own, on a plane of the test's own: while a cluster learns of kinds and forgets them, it is late
//! to remove what others have left.

use std::fs;
use std::process::Command;

use dm_tests::kubernetes::{Plane, chart, run};
use serde_json::json;

use crate::hand::Hand;

#[test]
fn a_kind_that_comes_with_its_chart_may_be_named_in_the_settings() {
    let plane = Plane::own();
    let namespace = plane.namespace();
    let folder = namespace.folder().join("chart");
    run(Command::new("cp").arg("-r").arg(chart("small")).arg(&folder));
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "databases.example.test"},
        "spec": {
            "group": "example.test", "scope": "Namespaced", "names": {"kind": "Database", "plural": "databases"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    fs::create_dir(folder.join("crds")).unwrap();
    fs::write(folder.join("crds/database.yaml"), definition.to_string()).unwrap();
    let settings = "[custom.\"databases.example.test\"]\narchive = '{}'\nrestore = '{}'\n";
    let hand = Hand::on(&plane, &namespace, "small", &json!({}), settings).variable("DM_WRAPPER_CHART__PATH", &folder);
    hand.done("create", "pr-1", "1");
    hand.done("delete", "pr-1", "1");
    hand.until("archive_check", "pr-1", "1");
    hand.done("cleanup", "pr-1", "1");
    namespace.by_hand(&["delete", "crd", "databases.example.test"]);
    hand.done("delete", "pr-1", "1");
}
