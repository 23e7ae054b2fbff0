//! The folders that people start from: those of `wrappers/README.md` and `docs/wrappers.md`, as they stand there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use tempfile::TempDir;

use crate::wrappers::harness::repository;
use crate::wrappers::promises::REQUIRED;

/// The smallest folder of `wrappers/README.md`.
pub(super) fn readme() -> TempDir {
    smallest_folder(&smallest_script())
}

/// The folder in Bash of `docs/wrappers.md`.
pub(super) fn guide_in_bash() -> TempDir {
    let folder = smallest_folder(&block(&guide(), "bash\n#!/usr/bin/env bash\n"));
    for verb in ["config_check", "defaults"] {
        symlink("smallest", folder.path().join(verb)).unwrap();
    }
    folder
}

/// The folder in Rust of `docs/wrappers.md`, whose program is compiled with the tests.
pub(super) fn guide_in_rust() -> TempDir {
    let folder = folder();
    for verb in REQUIRED.into_iter().chain(["config_check", "info"]) {
        symlink(env!("CARGO_BIN_EXE_example"), folder.path().join(verb)).unwrap();
    }
    folder
}

#[test]
fn the_guide_shows_the_rust_program_as_it_is_tried() {
    let program = fs::read_to_string(repository().join("tests/src/bin/example.rs")).unwrap();
    assert_eq!(block(&guide(), "rust\n//!"), program, "docs/wrappers.md and tests/src/bin/example.rs differ");
}

fn guide() -> String {
    fs::read_to_string(repository().join("docs/wrappers.md")).unwrap()
}

/// The fenced block that begins like this, without the language it is marked with.
fn block(page: &str, beginning: &str) -> String {
    let (_, from) = page.split_once(&format!("```{beginning}")).unwrap();
    let (rest, _) = from.split_once("\n```\n").unwrap();
    let (_language, first) = beginning.split_once('\n').unwrap();
    format!("{first}{rest}\n")
}

/// The script of the README, called by its six names.
pub(super) fn smallest_script() -> String {
    let readme = fs::read_to_string(repository().join("wrappers/README.md")).unwrap();
    let (_, section) = readme.split_once("\n## The smallest folder\n").unwrap();
    let indented = section
        .lines()
        .skip_while(|line| !line.starts_with("    "))
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    indented.map(|line| line.strip_prefix("    ").unwrap_or_default().to_owned() + "\n").collect()
}

/// A folder of this one script, called by the names of the verbs that must be there.
pub(super) fn smallest_folder(script: &str) -> TempDir {
    let folder = folder();
    executable(&folder.path().join("smallest"), script);
    for verb in REQUIRED {
        symlink("smallest", folder.path().join(verb)).unwrap();
    }
    folder
}

pub(super) fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wrappers.toml"), "contract = 1\n").unwrap();
    folder
}
