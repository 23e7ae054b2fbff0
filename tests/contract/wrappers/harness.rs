//! A home of its own for each test, with a demo host where the wrappers want one.
//!
//! `calls.rs` calls wrappers as `dms` does, `given.rs` is what they are given, `manifest.rs` reads what a folder says of itself.

mod calls;
mod given;
mod manifest;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

pub(super) use calls::{Ended, Staging};
use dm_tests::eventually::{eventually, eventually_blocking};
use dm_tests::processes::{self, Process};
pub(super) use given::Given;
use manifest::Manifest;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// What a line of a report may hold.
pub(super) const REPORT_KEYS: [&str; 2] = ["cause", "step"];

/// Longer than the demo host takes for anything.
const DEADLINE: Duration = Duration::from_mins(2);

/// A `DM_HOME`. Dropped, it ends its demo host and holds that nothing is left running.
#[derive(Debug)]
pub(super) struct Home {
    folder: TempDir,
    path: PathBuf,
    wrappers: PathBuf,
    manifest: Manifest,
    given: Given,
    host: Option<Child>,
    /// What a `dms` would hold.
    lock: Option<File>,
    /// What the wrapper `defaults` has printed: level, key and value.
    defaults: OnceCell<Vec<[String; 3]>>,
}

impl Home {
    /// A home for the folder of wrappers that is to be tried.
    pub(super) async fn new() -> Self {
        match std::env::var_os("DM_TEST_WRAPPERS") {
            Some(folder) => Self::with(Path::new(&folder), Given::of_environment().with_named_tags()).await,
            None => Self::local().await,
        }
    }

    /// A home for this folder of wrappers.
    pub(super) async fn of(folder: &Path) -> Self {
        Self::with(folder, Given::of_environment()).await
    }

    /// The same, and what its wrappers are given.
    pub(super) async fn with(folder: &Path, given: Given) -> Self {
        Self::at(fs::canonicalize(folder).unwrap(), "home", given).await
    }

    /// A home for `wrappers/local`.
    pub(super) async fn local() -> Self {
        Self::local_below("home").await
    }

    /// The same, with a path of its own below a temporary folder.
    pub(super) async fn local_below(path: &str) -> Self {
        Self::at(repository().join("wrappers/local"), path, Given::of_environment()).await
    }

    async fn at(wrappers: PathBuf, path: &str, given: Given) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(path);
        fs::create_dir_all(&path).unwrap();
        let lock = File::create(path.join("lock")).unwrap();
        lock.try_lock().unwrap();
        let manifest = Manifest::of(&wrappers);
        let defaults = OnceCell::new();
        let mut home = Self { folder, path, wrappers, manifest, given, host: None, lock: Some(lock), defaults };
        if home.manifest.demo_host {
            home.start_host().await;
        }
        if home.has("init") {
            home.staging("").done("init").await;
        }
        home
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The tags that this folder's stagings can have.
    pub(super) fn tags(&self) -> &[String; 3] {
        &self.given.tags
    }

    /// Whether the folder has this wrapper.
    pub(super) fn has(&self, verb: &str) -> bool {
        self.wrappers.join(verb).is_file()
    }

    /// The verb that brings a deleted staging back.
    pub(super) fn restore(&self) -> &'static str {
        if self.has("restore") { "restore" } else { "create" }
    }

    /// Whether an interrupted run of this verb is repeated, which `wrappers.toml` may deny.
    pub(super) fn repeats(&self, verb: &str) -> bool {
        !self.manifest.ask.contains(verb)
    }

    /// A staging to call wrappers for, with the first of the tags.
    pub(super) fn staging<'a>(&'a self, name: &str) -> Staging<'a> {
        Staging::new(self, name, &self.tags()[0])
    }

    /// Starts the host and returns when it answers.
    pub(super) async fn start_host(&mut self) {
        let log = File::options().append(true).create(true).open(self.folder.path().join("host.log")).unwrap();
        self.host = Some(self.dms(&["demo-host", "run"]).stderr(log).spawn().unwrap());
        eventually("the demo host answers", DEADLINE, async || {
            let output = self.dms(&["demo-host", "list"]).output().await.unwrap();
            output.status.success().then_some(())
        })
        .await;
    }

    /// Ends the host by a signal and returns when it is gone.
    pub(super) async fn end_host(&mut self, signal: Signal) {
        let host = self.host.as_ref().unwrap().id().unwrap();
        kill(Pid::from_raw(host.cast_signed()), signal).unwrap();
        self.host_ends().await;
    }

    /// Waits for the host's own end.
    pub(super) async fn host_ends(&mut self) {
        let mut host = self.host.take().unwrap();
        timeout(DEADLINE, host.wait()).await.expect("the host ends in time").unwrap();
    }

    /// As if the `dms` of this home had ended.
    pub(super) fn release(&mut self) {
        self.lock = None;
    }

    /// `dms` with this home.
    pub(super) fn dms(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(dms());
        command.args(arguments).env_clear().env("DM_HOME", &self.path).kill_on_drop(true).stdin(Stdio::null());
        command
    }

    /// What `dms demo-host ARGUMENTS` prints, which must succeed.
    pub(super) async fn demo_host(&self, arguments: &[&str]) -> String {
        let output = self.dms(&[&["demo-host"], arguments].concat()).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The processes that have to do with this home.
    pub(super) fn processes(&self) -> Vec<Process> {
        processes::of(self.folder.path())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(host) = self.host.as_ref().and_then(Child::id) {
            let _ended_already = kill(Pid::from_raw(host.cast_signed()), Signal::SIGTERM);
        }
        if std::thread::panicking() {
            return;
        }
        let ended = || self.processes().is_empty().then_some(());
        eventually_blocking("every process of the home has ended", Duration::from_secs(20), ended);
    }
}

/// The root of this repository.
pub(super) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The built server, beside the test's own program.
fn dms() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let path = program.parent().unwrap().parent().unwrap().join("dms");
    assert!(path.is_file(), "{} is missing; build it with: cargo build -p dm-server", path.display());
    path
}
