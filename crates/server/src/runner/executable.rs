//! The file of a run's wrapper: what it was when the run was claimed, and whether it still is.

use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::regular;

/// Bytes read at once.
const READ_MAX: usize = 64 * 1024;

/// What a file was at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pinned {
    stamp: Stamp,
    /// SHA-256 of its content, in hex.
    pub(crate) digest: String,
}

/// Which file it is, and when it was last changed. The time is the kernel's, which nobody can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// A file that is kept open: whatever takes its name, its content can be looked at again.
#[derive(Debug)]
pub(crate) struct Executable {
    file: File,
    pinned: Pinned,
}

impl Executable {
    /// Opens a regular file and reads it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = regular::open(path)?;
        // Before it is read: what is written meanwhile is a change.
        let stamp = Stamp::of(&file.metadata()?);
        let digest = digest(&file)?;
        Ok(Self { file, pinned: Pinned { stamp, digest } })
    }

    /// What it was when it was opened.
    pub(crate) fn pinned(&self) -> &Pinned {
        &self.pinned
    }

    /// Whether this very file has another content than when it was opened.
    pub(crate) fn was_overwritten(&self) -> bool {
        !self.pinned.holds_for(&self.file)
    }
}

impl Pinned {
    /// Whether the file with this name is not this one any more. One that cannot be opened at all is left to whoever
    /// executes it, and says why.
    pub(crate) fn was_replaced(&self, path: &Path) -> bool {
        regular::open(path).is_ok_and(|file| !self.holds_for(&file))
    }

    fn holds_for(&self, mut file: &File) -> bool {
        // A change of its mode or of its names is none of its content.
        file.metadata().is_ok_and(|metadata| Stamp::of(&metadata) == self.stamp)
            || (file.rewind().is_ok() && digest(file).is_ok_and(|digest| digest == self.digest))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn digest(mut file: &File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_MAX];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    let mut hex = String::new();
    for byte in hash.finalize() {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_another_content_is_a_change() {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let (path, other) = (folder.path().join("wrapper"), folder.path().join("other"));
        fs::write(&path, "one").expect("it can be written");
        let opened = Executable::open(&path).expect("it is a file");
        assert_eq!(&opened.pinned().digest[..8], "7692c3ad");
        assert!(!opened.was_overwritten() && !opened.pinned().was_replaced(&path));
        fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("the file is ours");
        assert!(!opened.was_overwritten() && !opened.pinned().was_replaced(&path), "a mode is no content");
        fs::write(&other, "two").expect("it can be written");
        fs::rename(&other, &path).expect("it can be renamed");
        assert!(opened.pinned().was_replaced(&path), "another file has its name");
        assert!(!opened.was_overwritten(), "the first one is what it was");
        fs::remove_file(&path).expect("it can be removed");
        assert!(!opened.was_overwritten() && !opened.pinned().was_replaced(&path), "who executes it says why not");
    }

    #[test]
    fn a_file_that_is_written_over_is_found_out() {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let path = folder.path().join("wrapper");
        for (before, after) in [("one", "two"), ("one", "one and more"), ("one", "")] {
            fs::write(&path, before).expect("it can be written");
            let opened = Executable::open(&path).expect("it is a file");
            // The kernel's clock may not have gone on since.
            let pinned = Pinned { stamp: Stamp { changed: (0, 0), ..opened.pinned.stamp }, ..opened.pinned.clone() };
            let opened = Executable { pinned, ..opened };
            assert!(!opened.was_overwritten());
            fs::write(&path, after).expect("it can be written");
            assert!(opened.was_overwritten() && opened.pinned().was_replaced(&path), "{after:?}");
        }
    }
}
