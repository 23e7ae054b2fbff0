//! A real Kubernetes control plane for tests: etcd, the API server, controllers, a scheduler, and kwok, which plays nodes
//! and pods as the stages in `tests/kubernetes/stages` say. It decides nothing about DM.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::eventually::eventually_blocking;
use crate::processes;
use layout::Layout;
use programs::{Keeper, Program};

mod client;
mod layout;
mod namespace;
mod programs;

pub use client::{Client, feed, run};
pub use namespace::{Namespace, Reclaim, Rules};

/// Names the folder of the control plane that tests share.
pub const SHARED: &str = "DM_TEST_KUBERNETES";

/// From the first program to a cluster on which something could run.
const START: Duration = Duration::from_secs(90);
/// Until everything that has to do with a control plane is gone.
const STOP: Duration = Duration::from_secs(20);
/// Where the folders of planes are, and how their names begin.
const FOLDERS: &str = "/var/tmp";
const PREFIX: &str = "dm-kubernetes-";
/// What is in such a folder: the kubeconfig, a link to the tools, and a file that is locked as long as it is in use.
const KUBECONFIG: &str = "kubeconfig";
const TOOLS: &str = "tools";
const LOCK: &str = "lock";

/// All programs, in the order in which they start; all but the first two need the API server.
const PROGRAMS: [&str; 5] = ["etcd", API, "kube-controller-manager", "kube-scheduler", "kwok"];
const API: &str = "kube-apiserver";

/// A cluster to test on. Whoever asks is its administrator.
#[derive(Debug)]
pub struct Plane {
    client: Client,
    own: Option<Own>,
}

/// What was started, in the order in which it ends.
#[derive(Debug)]
struct Own {
    running: Mutex<Vec<Program>>,
    keeper: Keeper,
    layout: Layout,
    // Held as long as the folder is in use.
    _lock: File,
    folder: TempDir,
}

impl Plane {
    /// One of the test's own, which it may stop and freeze; it ends with this value.
    ///
    /// # Panics
    /// When the tools are not built, or it does not start.
    pub fn own() -> Self {
        let tools = tools();
        sweep();
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(FOLDERS).expect("a folder");
        let lock = locked(folder.path());
        std::os::unix::fs::symlink(&tools, folder.path().join(TOOLS)).expect("the folder is ours");
        let layout = Layout::write(folder.path());
        let client = Client::new(layout.kubeconfig(), tools).keeping(folder.path());
        let own = Own { running: Mutex::default(), keeper: Keeper::new(), layout, _lock: lock, folder };
        let plane = Self { client, own: Some(own) };
        plane.own_or_panic().start(&PROGRAMS[..2]);
        plane.wait_for_api();
        plane.client.apply(&layout::nodes());
        plane.definitions();
        plane.own_or_panic().start(&PROGRAMS[2..]);
        plane.wait_for_the_rest();
        plane
    }

    /// The one that all tests of a run share, or the cluster that the caller has named by `KUBECONFIG`. In it a test keeps
    /// to namespaces of its own.
    ///
    /// # Panics
    /// When there is none.
    pub fn shared() -> Self {
        let client = match (env::var_os(SHARED), env::var_os("KUBECONFIG")) {
            (Some(folder), _) => {
                let folder = PathBuf::from(folder);
                Client::new(folder.join(KUBECONFIG), folder.join(TOOLS)).keeping(&folder)
            }
            (None, Some(kubeconfig)) => Client::new(kubeconfig, tools()),
            (None, None) => panic!(
                "this test needs a cluster: run it by `script/test kubernetes NAME`, which starts one, or give \
                 KUBECONFIG to use another"
            ),
        };
        Self { client, own: None }
    }

    /// The folder with everything of it; that of the kubeconfig where it is somebody else's.
    pub fn folder(&self) -> &Path {
        self.kubeconfig().parent().expect("a file is in a folder")
    }

    /// A namespace that nobody else uses; it is deleted with the value.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn namespace(&self) -> Namespace {
        Namespace::new(self.client.clone())
    }

    /// Makes the kinds of `tests/kubernetes/crds` known; a plane of ours knows them from the start.
    ///
    /// # Panics
    /// When the cluster refuses them.
    pub fn definitions(&self) {
        let folder = layout::tree("tests/kubernetes/crds");
        run(self.kubectl().args(["apply", "--server-side", "-f"]).arg(folder));
    }

    /// What each program says of its version, a line each.
    ///
    /// # Panics
    /// When one does not start.
    pub fn versions(&self) -> String {
        let ask = |name: &str, arguments: &[&str]| {
            let said = run(self.tool(name).args(arguments));
            format!("{name}: {}\n", said.lines().next().unwrap_or_default().trim())
        };
        // Of another cluster these would say nothing.
        let servers = if self.own.is_some() { &PROGRAMS[..] } else { &[] };
        let servers: String = servers.iter().map(|name| ask(name, &["--version"])).collect();
        servers
            + &ask("kubectl", &["version", "--client"])
            + &ask("helm", &["version", "--short"])
            + &ask("kubedog", &["version"])
    }

    /// Stops the API server, as for maintenance; the others go on without it.
    ///
    /// # Panics
    /// When it does not run, or the plane is not the test's own.
    pub fn stop_api(&self) {
        let mut running = self.own_or_panic().running();
        let at = running.iter().position(|program| program.name() == API).expect("the API server runs");
        running.remove(at).stop();
    }

    /// Starts it again, and everything that needs it, too: after an outage they try again ever more rarely.
    ///
    /// # Panics
    /// When it runs or does not start, or the plane is not the test's own.
    pub fn start_api(&self) {
        let own = self.own_or_panic();
        assert!(own.running().iter().all(|program| program.name() != API), "the API server runs");
        own.running().retain(|program| PROGRAMS[..2].contains(&program.name()));
        own.start(&PROGRAMS[1..2]);
        self.wait_for_api();
        own.start(&PROGRAMS[2..]);
        self.wait_for_the_rest();
    }

    /// Stops the clock of the API server: it takes connections and says nothing.
    ///
    /// # Panics
    /// When it does not run, or the plane is not the test's own.
    pub fn freeze_api(&self) {
        self.own_or_panic().signal_api(Signal::SIGSTOP);
    }

    /// Lets it go on, and waits until it answers.
    ///
    /// # Panics
    /// As [`Plane::freeze_api`].
    pub fn thaw_api(&self) {
        self.own_or_panic().signal_api(Signal::SIGCONT);
        self.wait_for_api();
    }

    /// The processes of it; none when it is not the test's own.
    pub fn pids(&self) -> Vec<Pid> {
        self.own.iter().flat_map(|own| own.running().iter().map(Program::pid).collect::<Vec<_>>()).collect()
    }

    fn own_or_panic(&self) -> &Own {
        self.own.as_ref().expect("a plane that others use is not stopped: take Plane::own()")
    }

    fn wait_for_api(&self) {
        self.wait("the API server is ready", |plane| plane.says(&["get", "--raw=/readyz"]) == "ok");
    }

    /// Until nodes are ready, and the account is there without which no pod is made.
    fn wait_for_the_rest(&self) {
        const READY: &str =
            r#"{{range .items}}{{range .status.conditions}}{{if eq .type "Ready"}}{{.status}} {{end}}{{end}}{{end}}"#;
        self.wait("nodes are ready", |plane| {
            let said = plane.says(&["get", "nodes", "-o", "go-template", "--template", READY]);
            said.split_whitespace().filter(|status| *status == "True").count() == layout::NODES.len()
        });
        self.wait("pods have an account", |plane| {
            !plane.says(&["-n", "default", "get", "serviceaccount", "default", "-o", "name"]).is_empty()
        });
    }

    /// What kubectl prints; nothing when it fails.
    fn says(&self, arguments: &[&str]) -> String {
        let asked =
            self.kubectl().args(arguments).arg("--request-timeout=2s").output().expect("kubectl can be started");
        if asked.status.success() { String::from_utf8_lossy(&asked.stdout).into_owned() } else { String::new() }
    }

    /// Until something is so. One program that has ended is the end of waiting.
    fn wait(&self, what: &str, is: impl Fn(&Self) -> bool) {
        eventually_blocking(what, START, || {
            for program in self.own_or_panic().running().iter_mut() {
                assert!(program.is_up(), "{} has ended, while it was waited until {what}", program.name());
            }
            is(self).then_some(())
        });
    }
}

impl Deref for Plane {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Own {
    fn running(&self) -> MutexGuard<'_, Vec<Program>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, names: &[&'static str]) {
        let tools = self.folder.path().join(TOOLS);
        for name in names {
            let program = Program::start(&self.keeper, &tools, self.folder.path(), name, &self.layout.arguments(name));
            self.running().push(program);
        }
    }

    fn signal_api(&self, signal: Signal) {
        let running = self.running();
        running.iter().find(|program| program.name() == API).expect("the API server runs").signal(signal);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        // Without etcd the API server would not end.
        for program in self.running().drain(..).rev() {
            if panicking {
                eprint!("{}", program.tail());
            }
            drop(program);
        }
        let folder = self.folder.path();
        if panicking {
            processes::of(folder).iter().for_each(processes::Process::kill);
            return;
        }
        // Of these alone: what somebody has started with its kubeconfig may outlive it, and learns that it is gone.
        let is_program = |process: &processes::Process| process.command.contains(&*folder.to_string_lossy());
        eventually_blocking("every program of the control plane has ended", STOP, || {
            (!processes::of(folder).iter().any(is_program)).then_some(())
        });
    }
}

/// Locks a new folder against being swept. The lock has its name only when it is held.
fn locked(folder: &Path) -> File {
    let unnamed = folder.join("lock.new");
    let lock = File::create(&unnamed).expect("the folder is ours");
    lock.lock().expect("nobody else knows the file");
    fs::rename(unnamed, folder.join(LOCK)).expect("the folder is ours");
    lock
}

/// Removes the folders of planes whose process was killed.
fn sweep() {
    for entry in fs::read_dir(FOLDERS).expect("the folder is there").flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // One that is just being made has no lock yet.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if ours && lock.try_lock().is_ok() {
            // Another may be doing the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The folder of the pinned programs.
///
/// # Panics
/// When they are not built.
pub fn tools() -> PathBuf {
    let script = layout::tree("script/lib/kubernetes-tools");
    let said = Command::new(script).arg("--print").output().expect("the script is there");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    PathBuf::from(String::from_utf8(said.stdout).expect("a path").trim())
}

/// A chart of `tests/kubernetes/charts`.
pub fn chart(name: &str) -> PathBuf {
    layout::tree("tests/kubernetes/charts").join(name)
}

/// `PATH` with a folder before it.
pub fn path_with(folder: &Path) -> OsString {
    let mut path = folder.as_os_str().to_owned();
    if let Some(before) = env::var_os("PATH") {
        path.push(":");
        path.push(before);
    }
    path
}
