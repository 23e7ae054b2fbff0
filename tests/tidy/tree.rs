//! The files of this tree, as git knows them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the tree.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_owned()
}

/// A file of the tree and its text.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl Source {
    /// The part that is not tests.
    pub(crate) fn production(&self) -> &str {
        self.text.split("#[cfg(test)]").next().unwrap_or_default()
    }

    /// Whether the whole file is for tests.
    pub(crate) fn is_for_tests(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.contains("/testing")
    }
}

/// All files that git tracks, or would if they were added, whose path ends in `ending`.
pub(crate) fn sources(ending: &str) -> Vec<Source> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the tree");
    assert!(listed.status.success(), "git ls-files failed");
    let found: Vec<Source> = String::from_utf8(listed.stdout)
        .expect("paths are UTF-8")
        .lines()
        .filter(|path| path.ends_with(ending))
        .filter_map(|path| {
            // A file that is deleted but not yet committed is listed and has no text.
            std::fs::read_to_string(root().join(path)).ok().map(|text| Source { path: path.to_owned(), text })
        })
        .collect();
    assert!(!found.is_empty(), "no file ends in {ending}: the search itself is broken");
    found
}
