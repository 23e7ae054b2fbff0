//! A home of its own for each test, its demo host, and calls of wrappers as `dms` makes them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use dm_tests::eventually::{eventually, eventually_blocking};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What a line of a report may hold.
pub(super) const REPORT_KEYS: [&str; 2] = ["cause", "step"];

/// Longer than anything here takes, a real cluster included.
const DEADLINE: Duration = Duration::from_mins(2);

/// Whose wrappers are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Local,
    Other,
}

/// A `DM_HOME` with a demo host. Dropped, it ends the host and holds that nothing is left running.
#[derive(Debug)]
pub(super) struct Home {
    folder: TempDir,
    path: PathBuf,
    wrappers: PathBuf,
    target: Target,
    host: Option<Child>,
    /// What a `dms` would hold.
    lock: Option<File>,
}

impl Home {
    /// A home for the folder of wrappers that is to be tried.
    pub(super) async fn new() -> Self {
        match std::env::var_os("DM_TEST_WRAPPERS") {
            Some(folder) => Self::of(Path::new(&folder)).await,
            None => Self::local().await,
        }
    }

    /// A home for this folder of wrappers.
    pub(super) async fn of(folder: &Path) -> Self {
        Self::at(fs::canonicalize(folder).unwrap(), Target::Other, "home").await
    }

    /// A home for `wrappers/local`.
    pub(super) async fn local() -> Self {
        Self::local_below("home").await
    }

    /// The same, with a path of its own below a temporary folder.
    pub(super) async fn local_below(path: &str) -> Self {
        Self::at(repository().join("wrappers/local"), Target::Local, path).await
    }

    async fn at(wrappers: PathBuf, target: Target, path: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(path);
        fs::create_dir_all(&path).unwrap();
        let lock = File::create(path.join("lock")).unwrap();
        lock.try_lock().unwrap();
        let mut home = Self { folder, path, wrappers, target, host: None, lock: Some(lock) };
        home.start_host().await;
        home
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn target(&self) -> Target {
        self.target
    }

    /// Whether the folder has this wrapper.
    pub(super) fn has(&self, verb: &str) -> bool {
        self.wrappers.join(verb).is_file()
    }

    /// The verb that brings a deleted staging back.
    pub(super) fn restore(&self) -> &'static str {
        if self.has("restore") { "restore" } else { "create" }
    }

    /// A staging to call wrappers for.
    pub(super) fn staging<'a>(&'a self, name: &str) -> Staging<'a> {
        Staging {
            home: self,
            name: name.to_owned(),
            tag: String::new(),
            levels: [BTreeMap::new(), BTreeMap::new()],
            extra: Vec::new(),
        }
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

    /// The processes whose command line or environment names this home.
    pub(super) fn processes(&self) -> Vec<i32> {
        let needle = self.folder.path().as_os_str().as_encoded_bytes();
        let names = |path: &Path| fs::read(path).is_ok_and(|text| text.windows(needle.len()).any(|at| at == needle));
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != std::process::id().cast_signed())
            .filter(|pid| ["cmdline", "environ"].iter().any(|file| names(Path::new(&format!("/proc/{pid}/{file}")))))
            .collect()
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

/// A staging with the configuration that wrappers are called with.
#[derive(Debug, Clone)]
pub(super) struct Staging<'a> {
    home: &'a Home,
    name: String,
    tag: String,
    levels: [BTreeMap<String, String>; 2],
    extra: Vec<String>,
}

/// How a call of a wrapper ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) report: String,
}

impl Ended {
    pub(super) fn stdout_lines(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.stdout.lines().collect();
        assert!(!lines.is_empty(), "nothing was printed");
        lines
    }
}

impl Staging<'_> {
    pub(super) fn tag(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.tag);
        self
    }

    pub(super) fn app(mut self, key: &str, value: &str) -> Self {
        self.levels[0].insert(key.to_owned(), value.to_owned());
        self
    }

    pub(super) fn staging(mut self, key: &str, value: &str) -> Self {
        self.levels[1].insert(key.to_owned(), value.to_owned());
        self
    }

    /// One more argument, which the contract does not have.
    pub(super) fn argument(mut self, flag: &str, value: &str) -> Self {
        self.extra.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// Calls a wrapper, which must end with 0.
    pub(super) async fn done(&self, verb: &str) -> Ended {
        let ended = self.run(verb).await;
        assert_eq!(ended.code, Some(0), "{verb}: {ended:?}");
        ended
    }

    /// Calls a check until it ends with this code.
    pub(super) async fn reaches(&self, check: &str, code: i32) {
        eventually(&format!("{check} ends with {code}"), DEADLINE, async || {
            let ended = self.run(check).await;
            (ended.code == Some(code)).then_some(())
        })
        .await;
    }

    /// Calls a wrapper and waits for its end.
    pub(super) async fn run(&self, verb: &str) -> Ended {
        let files = tempfile::tempdir_in(self.home.folder.path()).unwrap();
        let child = self.command(verb, files.path()).spawn().unwrap();
        let output = timeout(DEADLINE, child.wait_with_output()).await.expect("the wrapper ends in time").unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            report: fs::read_to_string(files.path().join("report")).unwrap(),
        }
    }

    /// Calls a wrapper and kills it and all its children, unless it ends before.
    pub(super) async fn killed(&self, verb: &str, after_ms: u64) {
        let files = tempfile::tempdir_in(self.home.folder.path()).unwrap();
        let mut child = self.command(verb, files.path()).process_group(0).spawn().unwrap();
        let group = Pid::from_raw(child.id().unwrap().cast_signed());
        let _ended_before = timeout(Duration::from_millis(after_ms), child.wait()).await;
        let _ended_already = killpg(group, Signal::SIGKILL);
        timeout(DEADLINE, child.wait()).await.expect("a killed wrapper ends").unwrap();
    }

    fn command(&self, verb: &str, files: &Path) -> Command {
        let [app, staging] = &self.levels;
        let write = |name: &str, text: &str| {
            let path = files.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let mut command = Command::new(self.home.wrappers.join(verb));
        command
            .args(["--project-name", "demo", "--base-domain", "example.org", "--namespace", "demo"])
            .args(["--name", &self.name, "--tag", &self.tag])
            .args(app.iter().flat_map(|(key, value)| ["--app-override".to_owned(), format!("{key}={value}")]))
            .args(staging.iter().flat_map(|(key, value)| ["--staging-override".to_owned(), format!("{key}={value}")]))
            .args(&self.extra)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("DM_HOME", &self.home.path)
            .env("DM_DMS", dms())
            .env("DM_RUN_ID", "018f4d5e-0000-7000-8000-000000000001")
            .env("DM_ATTEMPT", "1")
            .env("DM_APP_VALUES", write("app.json", &nested(app)))
            .env("DM_STAGING_VALUES", write("staging.json", &nested(staging)))
            .env("DM_SECRETS", write("secrets.json", r#"{"app":{},"staging":{}}"#))
            .env("DM_REPORT", write("report", ""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if self.home.target == Target::Other {
            // What a wrapper for a real cluster needs to find it.
            command.envs(["HOME", "KUBECONFIG"].iter().filter_map(|key| Some((key, std::env::var_os(key)?))));
        }
        command
    }
}

/// Dotted keys as the values files have them.
fn nested(flat: &BTreeMap<String, String>) -> String {
    let mut root = Map::new();
    for (key, value) in flat {
        let mut parts: Vec<&str> = key.split('.').collect();
        let last = parts.pop().unwrap();
        let mut at = &mut root;
        for part in parts {
            at = at.entry(part).or_insert_with(|| Value::Object(Map::new())).as_object_mut().unwrap();
        }
        at.insert(last.to_owned(), Value::String(value.clone()));
    }
    serde_json::to_string_pretty(&root).unwrap()
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
