//! Wrappers called by hand, as `dms` calls them: one verb at a time, with its exit code, its output and its report.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Namespace, Plane, chart};
use serde_json::Value;
use uuid::Uuid;

use crate::world::repository;

/// By when any verb has ended, on a busy machine.
const END: Duration = Duration::from_mins(3);

/// What all calls have in common.
#[derive(Debug, Clone)]
pub(crate) struct Hand {
    folder: PathBuf,
    namespace: String,
    path: OsString,
    kubeconfig: PathBuf,
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Called {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    /// Steps and causes, in the order in which they were reported.
    pub(crate) report: Vec<Value>,
}

impl Hand {
    /// The product's chart with these values over its own, by the rights of an administrator. `settings` are lines of
    /// sections.
    pub(crate) fn on(plane: &Plane, namespace: &Namespace, values: &Value, settings: &str) -> Self {
        let folder = namespace.folder().join(Uuid::new_v4().simple().to_string());
        fs::create_dir_all(&folder).expect("the folder is ours");
        let text = fs::read_to_string(chart("product").join("values.yaml")).expect("the chart has values");
        let mut all: Value = serde_saphyr::from_str(&text).expect("the values are YAML");
        merge(&mut all, values);
        // What is of the levels; the tag has an argument of its own.
        let object = all.as_object_mut().expect("the values are a map");
        let app = object.remove("env").unwrap_or_default();
        object.remove("image");
        let settings = format!("[chart]\npath = \"{}\"\n{settings}", chart("product").display());
        for (file, content) in
            [("hand.toml", settings), ("app.json", app.to_string()), ("staging.json", all.to_string())]
        {
            fs::write(folder.join(file), content).expect("the folder is ours");
        }
        let (path, kubeconfig) = (plane.path(), plane.kubeconfig().to_owned());
        Self { folder, namespace: namespace.name().to_owned(), path, kubeconfig }
    }

    /// Somebody else.
    pub(crate) fn by(mut self, kubeconfig: impl Into<PathBuf>) -> Self {
        self.kubeconfig = kubeconfig.into();
        self
    }

    /// Runs a verb to its end.
    pub(crate) fn call(&self, verb: &str, name: &str, tag: &str) -> Called {
        let file = |what: &str| self.folder.join(format!("{what}-{name}"));
        let output = File::create(file("output")).expect("the folder is ours");
        fs::write(file("report"), "").expect("the folder is ours");
        let mut command = Command::new(repository().join("wrappers/kubernetes").join(verb));
        command.args(["--project-name", "demo", "--base-domain", "staging.test", "--namespace", &self.namespace]);
        command.args(["--name", name, "--tag", tag]);
        command.env_clear().env("PATH", &self.path).env("HOME", &self.folder).env("KUBECONFIG", &self.kubeconfig);
        command.env("DM_WRAPPER_SETTINGS", self.folder.join("hand.toml"));
        command.env("DM_APP_VALUES", self.folder.join("app.json"));
        command.env("DM_STAGING_VALUES", self.folder.join("staging.json"));
        command.env("DM_HOME", &self.folder).env("DM_REPORT", file("report"));
        command.env("DM_RUN_ID", Uuid::new_v4().to_string()).env("DM_ATTEMPT", "1");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("an open file")).stderr(output);
        let mut child = command.spawn().expect("the wrappers are built: script/test kubernetes does it");
        let status = eventually_blocking("the wrapper ends", END, || child.try_wait().expect("a child"));
        let read = |what: &str| String::from_utf8_lossy(&fs::read(file(what)).expect("the file is ours")).into_owned();
        let report = read("report");
        Called {
            code: status.code(),
            output: read("output"),
            report: report.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect(),
        }
    }

    /// Runs a verb to its end, which is a good one.
    pub(crate) fn done(&self, verb: &str, name: &str, tag: &str) -> Called {
        let called = self.call(verb, name, tag);
        assert_eq!(called.code, Some(0), "{verb} {name}: {called:#?}");
        called
    }

    /// Runs a verb that only looks until it says yes.
    pub(crate) fn until(&self, verb: &str, name: &str, tag: &str) {
        let mut last = String::new();
        let passes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually_blocking(verb, END, || {
                let called = self.call(verb, name, tag);
                last.clone_from(&called.output);
                (called.code == Some(0)).then_some(())
            });
        }));
        assert!(passes.is_ok(), "{verb} {name} never says yes: {last}");
    }
}

impl Called {
    /// The last cause that it has reported.
    pub(crate) fn cause(&self) -> &str {
        self.report.iter().rev().find_map(|line| line["cause"].as_str()).unwrap_or_default()
    }
}

fn merge(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                merge(below.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above.clone(),
    }
}
