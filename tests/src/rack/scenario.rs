//! What scripted wrappers do: how long they last, what they leave behind, how they end. What one call does follows from
//! the seed and from what the call is for, so that a run of the rack can be repeated; only checks are thrown anew.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rack::dice::Dice;

/// The file that says it, beside the wrappers.
const FILE: &str = "scenario.json";

/// What all wrappers of a folder do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scenario {
    /// What all chance follows from.
    pub seed: u64,
    /// What lifecycle wrappers do.
    pub runs: Behaviour,
    /// What checks do.
    pub checks: Behaviour,
    /// Stagings of which every check hangs.
    pub hanging: BTreeSet<String>,
    /// Between two signs of life, in milliseconds.
    pub beat_ms: u64,
}

/// What one kind of wrapper does.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Behaviour {
    /// How long it lasts, at least and at most, in milliseconds.
    pub lasts_ms: (u64, u64),
    /// In how many of 100 cases it does not hear SIGTERM, nor do its children.
    pub deaf: u64,
    /// How many children it starts at most, each in a session of its own.
    pub children: u64,
    /// In how many of 100 cases it fails.
    pub fails: u64,
}

/// What one call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    /// How long it lasts.
    pub lasts: Duration,
    /// Whether it does not hear SIGTERM.
    pub deaf: bool,
    /// How many children it starts.
    pub children: u64,
    /// With which code it ends.
    pub code: u8,
}

impl Scenario {
    /// Writes it down for the wrappers of a folder.
    pub fn write(&self, wrappers: &Path) -> io::Result<()> {
        // Renamed into place, so that no wrapper reads a half of it.
        let new = wrappers.join("scenario.new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, wrappers.join(FILE))
    }

    /// Reads what was written down for a folder.
    pub fn read(wrappers: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(wrappers.join(FILE))?)?)
    }

    /// What a call does.
    pub fn act(&self, verb: &str, staging: &str, purpose: &str) -> Act {
        let checks = matches!(verb, "check" | "archive_check");
        let behaviour = match verb {
            "check" | "archive_check" => self.checks,
            "info" => Behaviour::default(),
            _ => self.runs,
        };
        let mut dice = Dice::of(self.seed, &[verb, staging, purpose]);
        let mut lasts = Duration::from_millis(dice.between(behaviour.lasts_ms.0, behaviour.lasts_ms.1));
        if checks && self.hanging.contains(staging) {
            lasts = Duration::MAX;
        }
        Act {
            lasts,
            deaf: dice.percent(behaviour.deaf),
            children: dice.between(0, behaviour.children),
            code: u8::from(dice.percent(behaviour.fails)),
        }
    }
}
