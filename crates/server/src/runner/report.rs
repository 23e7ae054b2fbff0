//! `DM_REPORT`: what a wrapper says about itself, JSON lines that it may append to a file.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::{regular, text};

/// Bytes of the file that are read.
const SIZE_MAX: u64 = 256 * 1024;

/// The cause that the report names last; none when there is none, or no report: the wrapper may have put anything in its
/// place.
pub(crate) fn cause(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    regular::open(path).ok()?.take(SIZE_MAX).read_to_end(&mut bytes).ok()?;
    // Lines that are no JSON are a wrapper's slip, and no reason to lose what it says in the others.
    let causes = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    let last = causes.filter_map(|line| line.cause).next_back()?;
    let cause = text::cause(&last);
    (!cause.is_empty()).then_some(cause)
}

/// Fields that are not known are for later.
#[derive(Deserialize)]
struct Line {
    cause: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cause_counts_and_other_lines_do_no_harm() {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let path = folder.path().join("report");
        assert_eq!(cause(&path), None);
        std::fs::write(
            &path,
            "{\"step\":\"one\"}\nnot json\n{\"cause\":\"first\"}\n{\"cause\":\"\\u001b[1mno\\u0000de\"}\n{",
        )
        .expect("it can be written");
        assert_eq!(cause(&path).as_deref(), Some("node"));
    }
}
