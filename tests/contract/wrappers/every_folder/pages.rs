//! The folder that people start from: the one of `wrappers/README.md`, as it stands there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::{REQUIRED, keeps_every_promise};
use crate::wrappers::harness::repository;

#[tokio::test]
async fn the_smallest_folder_of_the_readme_keeps_every_promise() {
    keeps_every_promise(smallest_folder(&smallest_script()).path()).await;
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
