//! `wrappers.toml`: what a folder of wrappers declares about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use dm_domain::staging::Verb;
use serde::Deserialize;

use super::wrapper::LoadError;

/// The file's name in the folder.
pub(crate) const FILE: &str = "wrappers.toml";
/// The contract that this build keeps (`wrappers/README.md`).
const CONTRACT: i64 = 1;
/// Longest time limit of a wrapper, in seconds: one day.
const LIMIT_MAX: u64 = 24 * 60 * 60;

/// An executable of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Program {
    Create,
    Update,
    Restore,
    Delete,
    Cleanup,
    Check,
    ArchiveCheck,
    Info,
    Defaults,
    ConfigCheck,
    Tags,
    Init,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Program {
    /// All that are looked for.
    pub(crate) const ALL: [Self; 12] = [
        Self::Create,
        Self::Update,
        Self::Restore,
        Self::Delete,
        Self::Cleanup,
        Self::Check,
        Self::ArchiveCheck,
        Self::Info,
        Self::Defaults,
        Self::ConfigCheck,
        Self::Tags,
        Self::Init,
    ];

    /// The name of its file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::Cleanup => "cleanup",
            Self::Check => "check",
            Self::ArchiveCheck => "archive_check",
            Self::Info => "info",
            Self::Defaults => "defaults",
            Self::ConfigCheck => "config_check",
            Self::Tags => "tags",
            Self::Init => "init",
        }
    }

    /// Whether a folder without it is refused.
    pub(crate) fn is_required(self) -> bool {
        match self {
            Self::Create | Self::Update | Self::Delete | Self::Cleanup | Self::Check | Self::ArchiveCheck => true,
            Self::Restore | Self::Info | Self::Defaults | Self::ConfigCheck | Self::Tags | Self::Init => false,
        }
    }

    /// How long it may take where the manifest does not say.
    fn default_limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Create | Self::Update | Self::Restore => 30 * 60,
            Self::Delete | Self::Cleanup | Self::Init => 10 * 60,
            Self::Check | Self::ArchiveCheck | Self::Info | Self::Defaults | Self::ConfigCheck | Self::Tags => 20,
        })
    }
}

impl From<Verb> for Program {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Create => Self::Create,
            Verb::Update => Self::Update,
            Verb::Restore => Self::Restore,
            Verb::Delete => Self::Delete,
            Verb::Cleanup => Self::Cleanup,
        }
    }
}

/// What the folder declares, checked.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    limits: BTreeMap<Program, Duration>,
    ask: BTreeSet<Verb>,
    demo_host: bool,
}

impl Manifest {
    /// Reads the manifest of a folder.
    pub(crate) fn read(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|cause| LoadError::Manifest { path, cause }),
            Err(source) => Err(LoadError::Unreadable { path, source }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        // First and alone, so that a manifest of another contract is not refused for a field that this one lacks.
        let Declared { contract } = toml::from_str(text).map_err(|error| error.to_string())?;
        if contract != CONTRACT {
            return Err(format!("contract = {contract}, but this dms keeps contract {CONTRACT}"));
        }
        let content: Content = toml::from_str(text).map_err(|error| error.to_string())?;
        for (program, seconds) in &content.limits {
            if !(1..=LIMIT_MAX).contains(seconds) {
                let name = program.name();
                return Err(format!("limits.{name} = {seconds}, but must be 1 to {LIMIT_MAX} seconds"));
            }
        }
        let limits = content.limits.into_iter().map(|(program, limit)| (program, Duration::from_secs(limit))).collect();
        Ok(Self { limits, ask: content.ask, demo_host: content.demo_host })
    }

    /// The time limit of a wrapper.
    pub(crate) fn limit(&self, program: Program) -> Duration {
        self.limits.get(&program).copied().unwrap_or_else(|| program.default_limit())
    }

    /// Whether an interrupted run of this verb may be repeated only by a person.
    pub(crate) fn asks(&self, verb: Verb) -> bool {
        self.ask.contains(&verb)
    }

    /// Whether the wrappers ask `dms demo-host` to keep their processes.
    pub(crate) fn needs_demo_host(&self) -> bool {
        self.demo_host
    }
}

#[derive(Deserialize)]
struct Declared {
    contract: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(rename = "contract")]
    _contract: i64,
    #[serde(default)]
    limits: BTreeMap<Program, u64>,
    #[serde(default)]
    ask: BTreeSet<Verb>,
    #[serde(default)]
    demo_host: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_ask_are_as_declared_and_else_have_defaults() {
        let manifest = Manifest::parse("contract = 1\nask = [\"cleanup\"]\n[limits]\ncreate = 5\narchive_check = 7\n")
            .expect("it is right");
        assert_eq!(manifest.limit(Program::Create), Duration::from_secs(5));
        assert_eq!(manifest.limit(Program::ArchiveCheck), Duration::from_secs(7));
        assert_eq!(manifest.limit(Program::Check), Duration::from_secs(20));
        assert!(manifest.asks(Verb::Cleanup) && !manifest.asks(Verb::Create));
    }

    #[test]
    fn a_folder_has_the_demo_host_only_if_it_says_so() {
        let needs = |text: &str| Manifest::parse(text).expect("it is right").needs_demo_host();
        assert!(needs("contract = 1\ndemo_host = true\n") && !needs("contract = 1\n"));
    }

    #[test]
    fn a_wrong_manifest_is_refused_with_its_fault() {
        for (text, fault) in [
            ("", "contract"),
            ("contract = 2\nnew_field = 1", "contract = 2"),
            ("contract = 1\nlimit = 3", "limit"),
            ("contract = 1\n[limits]\nunknown = 3", "unknown"),
            ("contract = 1\n[limits]\ncreate = 0", "limits.create = 0"),
            ("contract = 1\nask = [\"check\"]", "check"),
            ("contract = 1\ndemo_host = 1", "demo_host"),
            ("contract = ", "contract"),
        ] {
            let cause = Manifest::parse(text).expect_err(text);
            assert!(cause.contains(fault), "{text:?}: {cause}");
        }
    }
}
