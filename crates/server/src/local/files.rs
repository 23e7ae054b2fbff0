//! What lies in a folder: how much, and under which names. Follows no link, and what cannot be read counts as nothing.

use std::fs;
use std::path::Path;

/// How deep a folder is looked into; deeper ones are not of DM.
const DEPTH_MAX: u32 = 16;

/// The bytes of all files below a folder.
pub fn bytes(folder: &Path) -> u64 {
    fn below(folder: &Path, depth: u32) -> u64 {
        let Ok(entries) = fs::read_dir(folder) else { return 0 };
        let size = |entry: fs::DirEntry| match entry.metadata() {
            Ok(found) if found.is_dir() && depth > 0 => below(&entry.path(), depth - 1),
            Ok(found) if found.is_file() => found.len(),
            Ok(_) | Err(_) => 0,
        };
        entries.filter_map(Result::ok).map(size).sum()
    }
    below(folder, DEPTH_MAX)
}

/// The names in a folder, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}
