//! The folder of one staging, `DM_HOME/stagings/NAME/`: what it is to run with, its visits, its log.
//!
//! Owns names and formats of these files. Each is replaced whole, so a crash leaves the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use dm_domain::ids::StagingName;
use serde::{Deserialize, Serialize};

use super::wire::{LINE_MAX, Settings};

/// A log that has grown beyond this is started anew with the next start of its staging.
const LOG_MAX: u64 = 64 * 1024;

/// Begins the name of a folder that is being removed; no staging can be called so.
const REMOVED: &str = ".removed-";

/// What a staging is to run with, and whether it should.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    /// Its name, for whoever reads the file.
    pub(super) name: StagingName,
    /// What it runs with.
    pub(super) settings: Settings,
    /// Whether it should run: yes from its start until it is stopped.
    pub(super) should_run: bool,
    /// How its process ended although it should run; such a staging is not started again unasked.
    pub(super) ended: Option<String>,
    /// The port where it last answered, which it takes again when it is free.
    pub(super) port: Option<u16>,
}

/// The folder of one staging.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder of a staging, which need not be there.
    pub(super) fn of(home: &Path, name: &StagingName) -> Self {
        Self(root(home).join(name.as_str()))
    }

    /// A folder given by its path.
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it is there.
    pub(super) fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// Reads what the staging is to run with; none if it was never started.
    pub(super) fn load(&self) -> io::Result<Option<Spec>> {
        let file = match File::open(self.0.join("spec.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut text = String::new();
        file.take(LINE_MAX).read_to_string(&mut text)?;
        Ok(Some(serde_json::from_str(&text)?))
    }

    /// Keeps what the staging is to run with.
    pub(super) fn store(&self, spec: &Spec) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        self.replace("spec.json", &serde_json::to_vec_pretty(spec)?)
    }

    /// The visits so far; a count that cannot be read is 0.
    pub(super) fn visits(&self) -> u64 {
        fs::read_to_string(self.0.join("visits")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Keeps the visits.
    pub(super) fn store_visits(&self, visits: u64) -> io::Result<()> {
        self.replace("visits", format!("{visits}\n").as_bytes())
    }

    /// The log of the staging's process, to write on.
    pub(super) fn log(&self) -> io::Result<File> {
        let path = self.0.join("log");
        let long = fs::metadata(&path).is_ok_and(|found| found.len() > LOG_MAX);
        let mut options = OpenOptions::new();
        if long { options.write(true).truncate(true) } else { options.append(true).create(true) }.open(path)
    }

    /// Removes the folder and all in it: it is gone at once, even if this is cut short.
    pub(super) fn remove(&self, home: &Path, name: &StagingName) -> io::Result<()> {
        let aside = root(home).join(format!("{REMOVED}{name}"));
        ignore_missing(fs::remove_dir_all(&aside))?;
        ignore_missing(fs::rename(&self.0, &aside))?;
        ignore_missing(fs::remove_dir_all(&aside))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let fresh = self.0.join(format!("{name}.new"));
        File::create(&fresh)?.write_all(content)?;
        fs::rename(&fresh, self.0.join(name))
    }
}

/// The names that have a folder, in order, after what earlier removals left is swept.
pub(super) fn sweep(home: &Path) -> io::Result<Vec<StagingName>> {
    fs::create_dir_all(root(home))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(root(home))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with(REMOVED) {
            ignore_missing(fs::remove_dir_all(entry.path()))?;
        } else if let Ok(name) = StagingName::parse(name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn root(home: &Path) -> PathBuf {
    home.join("stagings")
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> StagingName {
        StagingName::parse("demo").expect("a name")
    }

    #[test]
    fn a_removal_cut_short_is_swept_and_is_no_staging() {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root(home.path()).join(".removed-demo")).expect("made");
        fs::create_dir_all(root(home.path()).join("other")).expect("made");
        let names = sweep(home.path()).expect("swept");
        assert_eq!(names.iter().map(StagingName::as_str).collect::<Vec<_>>(), ["other"]);
        assert!(!root(home.path()).join(".removed-demo").exists());
    }

    #[test]
    fn removing_what_is_not_there_is_done() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::of(home.path(), &name());
        folder.remove(home.path(), &name()).expect("nothing to do");
        assert!(!folder.exists());
    }

    #[test]
    fn a_count_that_cannot_be_read_is_zero() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::at(home.path().to_owned());
        assert_eq!(folder.visits(), 0);
        folder.store_visits(41).expect("stored");
        assert_eq!(folder.visits(), 41);
        fs::write(home.path().join("visits"), "many").expect("written");
        assert_eq!(folder.visits(), 0);
    }
}
