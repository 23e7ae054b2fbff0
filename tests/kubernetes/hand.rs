//! Wrappers called by hand, as `dms` calls them: one verb at a time, with its exit code, its output and its report.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Namespace, Plane, chart};
use dm_tests::processes::{self, Process};
use nix::unistd::Pid;
use serde_json::{Value, json};
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
    variables: Vec<(String, OsString)>,
    /// The home of whoever calls, where kubectl keeps what it knows of the cluster.
    user: PathBuf,
}

/// A call that was begun.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    home: PathBuf,
    output: PathBuf,
    report: PathBuf,
    began: Instant,
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Called {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    /// Steps and causes, in the order in which they were reported.
    pub(crate) report: Vec<Value>,
    pub(crate) took: Duration,
}

impl Hand {
    /// A chart of the tests with these values on top, by the rights of an administrator. `settings` are all others
    /// than the chart.
    pub(crate) fn on(plane: &Plane, namespace: &Namespace, chart_name: &str, values: &Value, settings: &str) -> Self {
        // Several of them may work in one namespace.
        let folder = namespace.folder().join(Uuid::new_v4().simple().to_string());
        fs::create_dir_all(&folder).expect("the folder is ours");
        let hand = Self {
            namespace: namespace.name().to_owned(),
            path: plane.path(),
            kubeconfig: plane.kubeconfig().to_owned(),
            // What is not given is as the chart has it, not unset by a person.
            variables: vec![
                ("DM_WRAPPER_CHART__PATH".to_owned(), chart(chart_name).into()),
                ("DM_WRAPPER_VALUES__DEFAULTS".to_owned(), "false".into()),
            ],
            user: namespace.folder().to_owned(),
            folder,
        };
        fs::write(hand.folder.join("hand.toml"), settings).expect("the folder is ours");
        fs::write(hand.folder.join("app.json"), "{}").expect("the folder is ours");
        fs::write(hand.folder.join("staging.json"), values.to_string()).expect("the folder is ours");
        hand
    }

    /// Somebody else, or another way to the cluster.
    pub(crate) fn by(mut self, kubeconfig: impl Into<PathBuf>) -> Self {
        self.kubeconfig = kubeconfig.into();
        self
    }

    /// One more variable of the environment.
    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// What a staging's calls have to themselves.
    fn homes(&self, name: &str) -> PathBuf {
        // Not a part of the folder of another name.
        self.folder.join(format!("home-{name}."))
    }

    /// Begins a verb, as an attempt of a run.
    pub(crate) fn begin(&self, verb: &str, name: &str, tag: &str, run: &str) -> Running {
        // It stands in the environment of all that the verb starts.
        let home = self.homes(name).join(verb);
        fs::create_dir_all(&home).expect("the folder is ours");
        let (output, report) = (home.join("output"), home.join("report"));
        let file = File::create(&output).expect("the folder is ours");
        fs::write(&report, "").expect("the folder is ours");
        let mut command = Command::new(repository().join("wrappers/kubernetes").join(verb));
        command.args(["--project-name", "demo", "--base-domain", "staging.test", "--namespace", &self.namespace]);
        command.args(["--name", name, "--tag", tag]);
        command.env_clear().env("PATH", &self.path).env("HOME", &self.user).env("KUBECONFIG", &self.kubeconfig);
        command.env("DM_WRAPPER_SETTINGS", self.folder.join("hand.toml"));
        command.env("DM_APP_VALUES", self.folder.join("app.json"));
        command.env("DM_STAGING_VALUES", self.folder.join("staging.json"));
        command.env("DM_HOME", &home).env("DM_REPORT", &report).env("DM_RUN_ID", run).env("DM_ATTEMPT", "1");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("an open file")).stderr(file);
        let began = Instant::now();
        let child = command.spawn().expect("the wrappers are built: script/test kubernetes does it");
        Running { child, home, output, report, began }
    }

    /// Runs a verb to its end, after which nothing of it is left.
    pub(crate) fn call(&self, verb: &str, name: &str, tag: &str) -> Called {
        let called = self.begin(verb, name, tag, &run_id()).end();
        let left = processes::of(&self.homes(name).join(verb));
        assert_eq!(left, Vec::<Process>::new(), "{verb} {name} has left something running");
        called
    }

    /// Runs a verb to its end, which is a good one.
    pub(crate) fn done(&self, verb: &str, name: &str, tag: &str) -> Called {
        let called = self.call(verb, name, tag);
        assert_eq!(called.code, Some(0), "{verb} {name}: {called:?}");
        called
    }

    /// Runs a verb that only looks until it says yes.
    pub(crate) fn until(&self, verb: &str, name: &str, tag: &str) {
        let mut last = None;
        eventually_blocking(&format!("{verb} {name} passes"), END, || {
            let called = last.insert(self.call(verb, name, tag));
            (called.code == Some(0)).then_some(())
        });
    }

    /// What runs of a staging's calls.
    pub(crate) fn processes(&self, name: &str) -> Vec<Process> {
        processes::of(&self.homes(name))
    }
}

impl Running {
    /// Waits for its end.
    pub(crate) fn end(mut self) -> Called {
        let status: ExitStatus =
            eventually_blocking("the wrapper ends", END, || self.child.try_wait().expect("a child"));
        let took = self.began.elapsed();
        let report = fs::read_to_string(&self.report).expect("the file is ours");
        Called {
            code: status.code(),
            output: String::from_utf8_lossy(&fs::read(&self.output).expect("the file is ours")).into_owned(),
            report: report.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect(),
            took,
        }
    }

    /// Waits until it has called `helm upgrade`, or has ended: the process of helm, and when it was seen.
    pub(crate) fn helm(&mut self) -> Option<(Pid, Instant)> {
        let own = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        eventually_blocking("helm is called", END, || {
            let all = processes::named("upgrade");
            let helm = all.iter().find(|process| processes::parent(process.pid) == Some(own));
            let seen = helm.map(|process| (process.pid, Instant::now()));
            if seen.is_some() || self.has_ended() { Some(seen) } else { None }
        })
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Kills it and all that it has started, as `dms` does.
    pub(crate) fn kill_tree(mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
        eventually_blocking("its tree has ended", END, || {
            let left = processes::of(&self.home);
            left.iter().for_each(Process::kill);
            left.is_empty().then_some(())
        });
    }
}

impl Called {
    /// The last cause that it has reported.
    pub(crate) fn cause(&self) -> &str {
        self.report.iter().rev().find_map(|line| line["cause"].as_str()).unwrap_or_default()
    }

    /// Whether a step that it has reported starts so.
    pub(crate) fn has_step(&self, start: &str) -> bool {
        self.report.iter().filter_map(|line| line["step"].as_str()).any(|step| step.starts_with(start))
    }
}

/// A run that nobody else has.
pub(crate) fn run_id() -> String {
    Uuid::new_v4().to_string()
}

/// [`plain`] for `dmc`.
pub(crate) const PLAIN: [&str; 6] = [
    "--staging=db.enabled=false",
    "--staging=files.enabled=false",
    "--staging=cron.enabled=false",
    "--staging=agent.enabled=false",
    "--staging=ingress.enabled=false",
    "--staging=web.replicas=1",
];

/// The product's chart without what takes time and is of no interest where helm is killed.
pub(crate) fn plain() -> Value {
    let off = json!({"enabled": false});
    json!({"db": off, "files": off, "cron": off, "agent": off, "ingress": off, "web": {"replicas": 1}})
}
