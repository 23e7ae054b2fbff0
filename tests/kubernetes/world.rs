//! A real `dms` with the wrappers for Kubernetes, in a namespace of its own, and `dmc` to use it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use dm_tests::dms::{Dms, Setup, executable};
use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Namespace, Plane, chart};
use dm_tests::postgres::Database;
use serde_json::Value;

/// By when a staging is where it should be, on a busy machine.
pub(crate) const SOON: &str = "3m";

/// `dms`, the namespace in which its stagings are, and the settings of its wrappers.
pub(crate) struct World {
    pub(crate) dms: Dms,
    pub(crate) namespace: Namespace,
    /// What its wrappers find in their environment.
    variables: Vec<(&'static str, String)>,
    // After `dms`, which uses it.
    _database: Database,
}

/// What a world starts with.
pub(crate) struct Start<'a> {
    plane: &'a Plane,
    namespace: Namespace,
    settings: String,
    chart: String,
    wrappers: PathBuf,
    kubeconfig: PathBuf,
    path: Option<String>,
    arguments: Vec<String>,
}

impl<'a> Start<'a> {
    /// The product's chart, the rights of an administrator, and a namespace of its own for all stagings.
    pub(crate) fn on(plane: &'a Plane) -> Self {
        let namespace = plane.namespace();
        Self {
            plane,
            namespace,
            settings: String::new(),
            chart: local("product"),
            wrappers: repository().join("wrappers/kubernetes"),
            kubeconfig: plane.kubeconfig().to_owned(),
            path: None,
            arguments: Vec::new(),
        }
    }

    /// The namespace, before `dms` runs.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Another chart of `tests/kubernetes/charts`.
    pub(crate) fn chart(self, name: &str) -> Self {
        self.chart_at(&chart(name))
    }

    /// A chart of the test's own.
    pub(crate) fn chart_at(mut self, folder: &Path) -> Self {
        self.chart = format!("path = \"{}\"", folder.display());
        self
    }

    /// Another folder of wrappers, in which the verbs are links to ours.
    pub(crate) fn wrappers(mut self, folder: PathBuf) -> Self {
        self.wrappers = folder;
        self
    }

    /// Lines of the settings, before all sections.
    pub(crate) fn settings(mut self, lines: &str) -> Self {
        let _ = writeln!(self.settings, "{lines}");
        self
    }

    /// Somebody else, with fewer rights.
    pub(crate) fn kubeconfig(mut self, kubeconfig: PathBuf) -> Self {
        self.kubeconfig = kubeconfig;
        self
    }

    /// Another `PATH` of the wrappers.
    pub(crate) fn path(mut self, path: String) -> Self {
        self.path = Some(path);
        self
    }

    /// One more argument of `dms serve`.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts `dms`.
    pub(crate) fn start(self) -> World {
        let database = tokio::runtime::Runtime::new().expect("a runtime").block_on(Database::empty());
        let file = self.namespace.folder().join("kubernetes.toml");
        fs::write(&file, written(&self.settings, &self.chart)).expect("the folder is ours");
        let path = self.path.unwrap_or_else(|| self.plane.path().into_string().expect("paths of tests are UTF-8"));
        let variables = vec![
            ("PATH", path),
            ("HOME", self.namespace.folder().display().to_string()),
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            ("DM_WRAPPER_SETTINGS", file.display().to_string()),
        ];
        let mut setup = Setup::new()
            .database(&database)
            .wrappers(&self.wrappers)
            .argument(format!("--namespace={}", self.namespace.name()))
            .argument("--base-domain=staging.test");
        for (name, value) in &variables {
            setup = setup.variable(name, value);
        }
        for argument in self.arguments {
            setup = setup.argument(argument);
        }
        World { dms: setup.start(), namespace: self.namespace, variables, _database: database }
    }
}

/// The lines that name a chart of `tests/kubernetes/charts`.
pub(crate) fn local(name: &str) -> String {
    format!("path = \"{}\"", chart(name).display())
}

/// A file of settings: lines before all sections, and those of the section `[chart]`. Domains reach the product's ingress;
/// sections stand last in TOML.
fn written(settings: &str, chart: &str) -> String {
    format!("{settings}\n[chart]\n{chart}\n[values]\nbase_domain = [\"ingress.domain\"]\n")
}

/// How a call of `dmc` ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// `dmc` for this `dms`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(executable().with_file_name("dmc"));
        command.args(arguments).env_clear().env("DM_HOME", self.dms.home()).env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    /// Runs `dmc` to its end.
    pub(crate) fn dmc(&self, arguments: &[&str]) -> Ended {
        ended(&self.command(arguments).output().expect("dmc was built"))
    }

    /// Runs `dmc` to its end, which is a good one, and gives its data.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.dmc(arguments);
        assert_eq!(ended.code, 0, "dmc {arguments:?}: {ended:?}\n{}", self.logs(arguments));
        ended.stdout
    }

    /// Runs a write of `dmc` and waits until what it asked for has come about.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        self.ok(&[arguments, &["--wait", "--timeout", SOON, "-y"]].concat())
    }

    /// The one JSON document that it prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("dmc {arguments:?} printed {text:?}: {error}"))
    }

    /// The staging as people see it.
    pub(crate) fn info(&self, name: &str) -> Value {
        self.json(&["info", name])
    }

    /// Its status.
    pub(crate) fn status(&self, name: &str) -> String {
        self.info(name)["status"].as_str().expect("a status is a text").to_owned()
    }

    /// Waits until it has this status: runs and stagings are read models of their own, and one may be behind the other.
    pub(crate) fn becomes(&self, name: &str, status: &str) {
        eventually_blocking(&format!("{name} is {status}"), SEEN, || (self.status(name) == status).then_some(()));
    }

    /// Its last run.
    pub(crate) fn last_run(&self, name: &str) -> Value {
        self.json(&["runs", name, "--limit=1"])[0].take()
    }

    /// All that has happened to it, in order.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        self.json(&["history", name]).as_array().expect("a list").clone()
    }

    /// What its last run has printed.
    pub(crate) fn output(&self, name: &str) -> String {
        self.ok(&["logs", name])
    }

    /// Other settings: lines before all sections, and those of the section `[chart]`. They count from the next call of a
    /// wrapper on.
    pub(crate) fn set(&self, settings: &str, chart: &str) {
        let (_, file) = self.variables.iter().find(|(name, _)| *name == "DM_WRAPPER_SETTINGS").expect("it is set");
        fs::write(file, written(settings, chart)).expect("the folder is ours");
    }

    /// A call of a wrapper for a staging, as `dms` would call it.
    pub(crate) fn verb(&self, verb: &str, name: &str, tag: &str) -> Ended {
        let (_, kubeconfig) = self.variables.iter().find(|(name, _)| *name == "KUBECONFIG").expect("it is set");
        self.verb_by(Path::new(kubeconfig), verb, name, tag)
    }

    /// The same as somebody else, whom a kubeconfig names.
    pub(crate) fn verb_by(&self, kubeconfig: &Path, verb: &str, name: &str, tag: &str) -> Ended {
        let mut command = Command::new(repository().join("wrappers/kubernetes").join(verb));
        command.args(["--project-name", "dm", "--base-domain", "staging.test"]);
        command.args(["--namespace", self.namespace.name(), "--name", name, "--tag", tag]);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("KUBECONFIG", kubeconfig).env("DM_HOME", self.dms.home()).stdin(Stdio::null());
        ended(&command.output().expect("the wrappers are built"))
    }

    /// How many pods of a staging are ready.
    pub(crate) fn ready(&self, name: &str) -> usize {
        let pods = self.namespace.get("pods", &format!("app.kubernetes.io/instance={name}"));
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        let conditions = |pod: &Value| pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        pods.iter().filter(|pod| conditions(pod).iter().any(is_ready)).count()
    }

    /// For a failure: what the run of the staging that the arguments name has printed.
    fn logs(&self, arguments: &[&str]) -> String {
        let Some(name) = arguments.get(1) else { return String::new() };
        let logs = self.dmc(&["logs", name]);
        format!("--- output of its last run ---\n{}{}", logs.stdout, logs.stderr)
    }
}

pub(crate) fn ended(output: &Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The root of this repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root")
}

/// How long the checks of these tests take to see something, on a busy machine.
pub(crate) const SEEN: Duration = Duration::from_mins(2);
