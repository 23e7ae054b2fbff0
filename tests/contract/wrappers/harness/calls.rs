//! Calls of wrappers as `dms` makes them: the same arguments, environment, files and limits.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use dm_tests::eventually::{eventually, pause};
use dm_tests::processes::{self, Process};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Home, dms};

/// How long a check may say "not yet" after a verb that was done, unless `DM_TEST_STATUS_TIMEOUT` has other seconds.
const STATUS_TIMEOUT: u64 = 300;
/// Between SIGTERM and SIGKILL, and for what was started in passing to end with its wrapper.
const GRACE: Duration = Duration::from_secs(1);
/// For what is killed to be gone.
const DEADLINE: Duration = Duration::from_secs(20);
/// Most that is looked at of what a wrapper prints.
const OUTPUT: u64 = 1024 * 1024;

/// A staging with the configuration that wrappers are called with.
#[derive(Debug, Clone)]
pub(in super::super) struct Staging<'a> {
    home: &'a Home,
    name: String,
    tag: String,
    levels: [BTreeMap<String, String>; 2],
    extra: Vec<String>,
}

/// How a call of a wrapper ended.
#[derive(Debug)]
pub(in super::super) struct Ended {
    pub(in super::super) code: Option<i32>,
    pub(in super::super) took: Duration,
    pub(in super::super) stdout: String,
    pub(in super::super) stderr: String,
    pub(in super::super) report: String,
    /// The command lines of what it had started and left; they are ended.
    pub(in super::super) left: Vec<String>,
}

impl Ended {
    pub(in super::super) fn stdout_lines(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.stdout.lines().collect();
        assert!(!lines.is_empty(), "nothing was printed");
        lines
    }

    /// What was printed, as the rows of a CSV file without a head line.
    pub(in super::super) fn rows<const FIELDS: usize>(&self) -> Vec<[String; FIELDS]> {
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(self.stdout.as_bytes());
        let fields = |row: csv::StringRecord| row.iter().map(str::to_owned).collect::<Vec<_>>();
        let exact = |row: Vec<String>| row.try_into().unwrap_or_else(|row| panic!("{row:?} are not {FIELDS} fields"));
        reader.records().map(|row| exact(fields(row.unwrap_or_else(|error| panic!("{error}: {self}"))))).collect()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "exit code {code}")?,
            None => write!(f, "ended by a signal")?,
        }
        write!(f, " after {:.1?}", self.took)?;
        for (what, text) in [("stdout", &self.stdout), ("stderr", &self.stderr), ("report", &self.report)] {
            for line in text.lines() {
                write!(f, "\n    {what}: {line}")?;
            }
        }
        Ok(())
    }
}

impl<'a> Staging<'a> {
    pub(super) fn new(home: &'a Home, name: &str, tag: &str) -> Self {
        Self { home, name: name.to_owned(), tag: tag.to_owned(), levels: Default::default(), extra: Vec::new() }
    }

    pub(in super::super) fn tag(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.tag);
        self
    }

    pub(in super::super) fn app(mut self, key: &str, value: &str) -> Self {
        self.levels[0].insert(key.to_owned(), value.to_owned());
        self
    }

    pub(in super::super) fn staging(mut self, key: &str, value: &str) -> Self {
        self.levels[1].insert(key.to_owned(), value.to_owned());
        self
    }

    /// One more argument, which the contract does not have.
    pub(in super::super) fn argument(mut self, flag: &str, value: &str) -> Self {
        self.extra.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// The text that a tag must contain, which is all that `tags` is given.
    pub(in super::super) fn query(mut self, text: &str) -> Self {
        self.extra = vec![text.to_owned()];
        self
    }

    /// Whether this configuration would be accepted. A refusal has to say why.
    pub(in super::super) async fn is_accepted(&self) -> bool {
        if !self.home.has("config_check") {
            return true;
        }
        let ended = self.run("config_check").await;
        assert_ne!(ended.code, Some(4), "config_check cannot tell: {ended}");
        assert!(ended.code == Some(0) || !ended.stdout.trim().is_empty(), "config_check refused without a word");
        ended.code == Some(0)
    }

    /// Calls a wrapper, which must end with 0.
    pub(in super::super) async fn done(&self, verb: &str) -> Ended {
        let ended = self.run(verb).await;
        assert_eq!(ended.code, Some(0), "{verb} {}: {ended}", self.name);
        ended
    }

    /// Calls a check until it ends with this code.
    pub(in super::super) async fn reaches(&self, check: &str, code: i32) {
        let seconds = std::env::var("DM_TEST_STATUS_TIMEOUT").ok();
        let seconds = seconds.map_or(STATUS_TIMEOUT, |text| text.parse().expect("DM_TEST_STATUS_TIMEOUT is a number"));
        let started = Instant::now();
        loop {
            let ended = self.run(check).await;
            if ended.code == Some(code) {
                return;
            }
            let name = &self.name;
            assert!(started.elapsed().as_secs() < seconds, "{check} {name} is not {code} within {seconds} s: {ended}");
            pause(Duration::from_millis(20)).await;
        }
    }

    /// Calls a wrapper and waits for its end.
    pub(in super::super) async fn run(&self, verb: &str) -> Ended {
        let defaults = if matches!(verb, "defaults" | "init") { &[] } else { self.defaults().await };
        self.call(verb, defaults).await
    }

    /// Calls a wrapper and kills it and all that it has started, unless it ends before.
    pub(in super::super) async fn killed(&self, verb: &str, after: Duration) {
        let mut call = self.start(verb, self.defaults().await);
        let _ended_before = timeout(after, call.child.wait()).await;
        call.end().await;
    }

    async fn defaults(&self) -> &'a [[String; 3]] {
        let read = async || {
            if !self.home.has("defaults") {
                return Vec::new();
            }
            let ended = Staging::new(self.home, &self.name, &self.tag).call("defaults", &[]).await;
            assert_eq!(ended.code, Some(0), "defaults: {ended}");
            ended.rows()
        };
        self.home.defaults.get_or_init(read).await
    }

    async fn call(&self, verb: &str, defaults: &[[String; 3]]) -> Ended {
        let started = Instant::now();
        let mut call = self.start(verb, defaults);
        let limit = self.home.manifest.limit(verb);
        let Ok(status) = timeout(limit, call.child.wait()).await else {
            call.end().await;
            panic!("{verb} {} has not ended within its limit of {limit:?}", self.name);
        };
        let took = started.elapsed();
        let left = call.left().await;
        let [stdout, stderr, report] = ["stdout", "stderr", "report"].map(|name| call.read(name));
        Ended { code: status.unwrap().code(), took, stdout, stderr, report, left }
    }

    fn start(&self, verb: &str, defaults: &[[String; 3]]) -> Call {
        let files = tempfile::tempdir_in(self.home.folder.path()).unwrap();
        let started = self.command(verb, files.path(), defaults).spawn();
        let child = started.unwrap_or_else(|error| panic!("{verb} cannot be executed: {error}"));
        let group = Pid::from_raw(child.id().unwrap().cast_signed());
        Call { child, group, files }
    }

    fn command(&self, verb: &str, files: &Path, defaults: &[[String; 3]]) -> Command {
        let [app, staging] = &self.levels;
        let write = |name: &str, text: &str| {
            let path = files.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let values = |level: &str, overrides: &BTreeMap<String, String>| {
            let of_level = defaults.iter().filter(|[at, ..]| at == level);
            let mut all: BTreeMap<String, String> =
                of_level.map(|[_, key, value]| (key.clone(), value.clone())).collect();
            all.extend(overrides.clone());
            nested(&all)
        };
        let mut command = Command::new(self.home.wrappers.join(verb));
        command
            .args(self.arguments(verb))
            .current_dir(&self.home.wrappers)
            .env_clear()
            .envs(&self.home.given.variables)
            .env("DM_HOME", &self.home.path)
            .env("DM_DMS", dms())
            .env("DM_RUN_ID", "018f4d5e-0000-7000-8000-000000000001")
            .env("DM_ATTEMPT", "1")
            .env("DM_APP_VALUES", write("app.json", &values("app", app)))
            .env("DM_STAGING_VALUES", write("staging.json", &values("staging", staging)))
            .env("DM_SECRETS", write("secrets.json", r#"{"app":{},"staging":{}}"#))
            .env("DM_REPORT", write("report", ""))
            .stdin(Stdio::null())
            // Files, not pipes: the end of a wrapper is its own, and not that of somebody who still holds its output.
            .stdout(File::create(files.join("stdout")).unwrap())
            .stderr(File::create(files.join("stderr")).unwrap())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn arguments(&self, verb: &str) -> Vec<String> {
        if verb == "tags" {
            return self.extra.clone();
        }
        let given = &self.home.given;
        let mut arguments = Vec::new();
        let mut flag = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
        flag("--project-name", given.project_name.clone());
        flag("--base-domain", given.base_domain.clone());
        flag("--namespace", given.namespace.clone());
        if verb == "init" {
            return arguments;
        }
        flag("--name", self.name.clone());
        flag("--tag", self.tag.clone());
        for (level, overrides) in ["--app-override", "--staging-override"].iter().zip(&self.levels) {
            for (key, value) in overrides {
                flag(level, format!("{key}={value}"));
            }
        }
        arguments.extend(self.extra.clone());
        arguments
    }
}

/// A wrapper that was started, in a process group of its own, and the files that it was given.
struct Call {
    child: Child,
    group: Pid,
    files: TempDir,
}

impl Call {
    /// What it has started and still runs: its group, and whoever was handed its files, by its environment too.
    fn running(&self) -> Vec<Process> {
        // The group is asked first, because that is cheap, and mostly nobody is left in it.
        let mut running = if killpg(self.group, None).is_ok() { processes::of_group(self.group) } else { Vec::new() };
        running.extend(processes::of(self.files.path()).into_iter().filter(|one| one.pid != self.group));
        running
    }

    /// Ends it with all that it has started, as nobody can refuse.
    async fn end(&mut self) {
        let _ended_already = killpg(self.group, Signal::SIGKILL);
        timeout(DEADLINE, self.child.wait()).await.expect("a killed wrapper ends").unwrap();
        eventually("all that a killed wrapper had started is gone", DEADLINE, async || {
            let running = self.running();
            running.iter().for_each(Process::kill);
            running.is_empty().then_some(())
        })
        .await;
    }

    /// What still runs a moment after its end; it is ended.
    async fn left(&self) -> Vec<String> {
        let ended = Instant::now();
        loop {
            let running = self.running();
            if running.is_empty() || ended.elapsed() >= GRACE {
                running.iter().for_each(Process::kill);
                return running.into_iter().map(|process| process.command).collect();
            }
            pause(Duration::from_millis(20)).await;
        }
    }

    /// What is in one of its files now.
    fn read(&self, name: &str) -> String {
        let mut text = Vec::new();
        File::open(self.files.path().join(name)).unwrap().take(OUTPUT).read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
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
