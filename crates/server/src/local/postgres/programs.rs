//! Finds PostgreSQL's server programs, which distributions like to keep off `PATH`.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::local::postgres::PostgresError;

/// The oldest version that is used.
pub(super) const OLDEST: u32 = 15;

/// A folder of server programs, and their version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Programs {
    version: u32,
    folder: PathBuf,
}

impl Programs {
    /// The programs in the folder `given` if there is one; else those for a database made by version `made_by`; else the
    /// first that are new enough, in the order `PATH`, `pg_config`, the folders of distributions from the newest.
    pub(super) fn find(given: Option<&Path>, made_by: Option<u32>) -> Result<Self, PostgresError> {
        let found: Vec<Self> = match given {
            Some(folder) => {
                vec![Self::probe(folder).ok_or_else(|| PostgresError::NotThere { folder: folder.to_owned() })?]
            }
            None => candidates().iter().filter_map(|folder| Self::probe(folder)).collect(),
        };
        let Some(made_by) = made_by else {
            return found.into_iter().find(|programs| programs.version >= OLDEST).ok_or(PostgresError::NotFound);
        };
        let versions: BTreeSet<u32> = found.iter().map(|programs| programs.version).collect();
        found
            .into_iter()
            .find(|programs| programs.version == made_by)
            .ok_or(PostgresError::OtherVersion { made_by, found: versions.into_iter().collect() })
    }

    /// One of the programs.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn probe(folder: &Path) -> Option<Self> {
        // A link on PATH leads to one program; the others lie where it points to.
        let program = fs::canonicalize(folder.join("postgres")).ok()?;
        let folder = program.parent()?.to_owned();
        if !folder.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(&program).arg("--version").stdin(Stdio::null()).output().ok()?;
        Some(Self { version: version(&String::from_utf8_lossy(&output.stdout))?, folder })
    }
}

/// The major version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn version(text: &str) -> Option<u32> {
    let number = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let major: String = number.chars().take_while(char::is_ascii_digit).collect();
    major.parse().ok()
}

fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders.extend(pg_config());
    let mut known = Vec::new();
    for (parent, prefix, bin) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql@", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ] {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(|rest| rest.parse::<u32>().ok());
            let Some(number) = number else { continue };
            known.push((number, entry.path().join(bin)));
        }
    }
    known.sort_by(|(one, _), (other, _)| other.cmp(one));
    folders.extend(known.into_iter().map(|(_, folder)| folder));
    folders.push(PathBuf::from("/usr/local/pgsql/bin"));
    folders
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    let folder = Path::new(folder.trim());
    folder.is_absolute().then(|| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_the_program_says() {
        assert_eq!(version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(version("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(version("postgres"), None);
    }

    #[test]
    fn a_given_folder_without_programs_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = Programs::find(Some(folder.path()), None).expect_err("nothing is there");
        assert!(refused.to_string().contains(&folder.path().display().to_string()), "{refused}");
    }
}
