//! What a folder of wrappers says of itself in its `wrappers.toml`, and the time limits that hold where it says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    contract: u64,
    /// Verbs that must not be repeated after an interruption.
    #[serde(default)]
    pub(super) ask: BTreeSet<String>,
    #[serde(default)]
    pub(super) demo_host: bool,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
}

impl Manifest {
    pub(super) fn of(folder: &Path) -> Self {
        let path = folder.join("wrappers.toml");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let manifest: Self = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(manifest.contract, 1, "{}: contract", path.display());
        manifest
    }

    /// How long this wrapper may take.
    pub(super) fn limit(&self, verb: &str) -> Duration {
        let default = match verb {
            "create" | "update" | "restore" => 30 * 60,
            "delete" | "cleanup" | "init" => 10 * 60,
            _ => 20,
        };
        Duration::from_secs(self.limits.get(verb).copied().unwrap_or(default))
    }
}
