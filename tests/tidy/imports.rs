//! Who may depend on whom: the table of ARCHITECTURE.md, held against what cargo resolves.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::tree::{root, sources};

/// Each crate of the workspace and the crates of the workspace that it may depend on, tests aside.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("dm-domain", &[]),
    ("dm-api", &[]),
    ("dm-eventstore", &["dm-domain"]),
    ("dm-projector", &["dm-domain", "dm-eventstore"]),
    ("dm-server", &["dm-api", "dm-domain", "dm-eventstore", "dm-projector"]),
    ("dm-cli", &["dm-api", "dm-domain"]),
    ("dm-kubernetes", &[]),
    ("dm-bench", &["dm-api", "dm-domain", "dm-eventstore", "dm-tests"]),
];

/// What the domain may see of the world.
const DOMAIN_MAY_IMPORT: &[&str] = &["chrono", "proptest", "serde", "thiserror", "uuid"];

/// The libraries that DM stands on, and the crate in which each does its job.
const STANDS_ON: &[(&str, &str, &str)] = &[
    ("axum", "dm-server", "axum::"),
    ("tokio", "dm-server", "tokio::"),
    ("tracing", "dm-server", "tracing::"),
    ("clap", "dm-server", "clap::"),
    ("sqlx", "dm-eventstore", "sqlx::"),
    ("sqlx", "dm-projector", "sqlx::"),
    ("serde_json", "dm-eventstore", "serde_json::"),
    ("uuid", "dm-domain", "uuid::"),
    ("chrono", "dm-domain", "chrono::"),
    ("reqwest", "dm-cli", "reqwest::"),
    ("clap", "dm-cli", "clap::"),
];

/// Each package of the workspace with the names of its normal dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo describes the workspace");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    metadata["packages"]
        .as_array()
        .expect("there are packages")
        .iter()
        .map(|package| {
            let normal = package["dependencies"]
                .as_array()
                .expect("there are dependencies")
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().expect("it has a name").to_owned())
                .collect();
            (package["name"].as_str().expect("it has a name").to_owned(), normal)
        })
        .collect()
}

#[test]
fn crates_import_only_what_they_may() {
    let dependencies = dependencies();
    for (package, may) in MAY_IMPORT {
        let ours: BTreeSet<&str> =
            dependencies[*package].iter().map(String::as_str).filter(|name| name.starts_with("dm-")).collect();
        let may: BTreeSet<&str> = may.iter().copied().collect();
        assert_eq!(ours, may, "{package} imports other crates of DM than ARCHITECTURE.md says");
    }
    let listed: BTreeSet<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).chain(["dm-tests"]).collect();
    let there: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(there, listed, "a crate is missing from the table");
}

#[test]
fn the_domain_sees_nothing_of_the_world() {
    let dependencies = dependencies();
    let sees: BTreeSet<&str> = dependencies["dm-domain"].iter().map(String::as_str).collect();
    assert_eq!(sees, DOMAIN_MAY_IMPORT.iter().copied().collect());
    for package in ["dm-eventstore", "dm-projector"] {
        for no_socket in ["axum", "hyper-util", "reqwest", "clap"] {
            assert!(!dependencies[package].contains(no_socket), "{package} must not know {no_socket}");
        }
    }
    for no_server in ["sqlx", "axum", "nix"] {
        assert!(!dependencies["dm-cli"].contains(no_server), "dmc must not know {no_server}");
    }
}

#[test]
fn the_crates_dm_stands_on_do_their_jobs() {
    let dependencies = dependencies();
    let files = sources(".rs");
    for (library, package, call) in STANDS_ON {
        assert!(dependencies[*package].contains(*library), "{package} does not depend on {library}");
        let folder = format!("crates/{}/src/", package.strip_prefix("dm-").expect("ours start with dm-"));
        let uses = files.iter().filter(|file| file.path.starts_with(&folder) && file.text.contains(call)).count();
        assert!(uses > 0, "{package} depends on {library} and does not use it");
    }
}
