//! Asking a cluster with the pinned kubectl and helm, as whoever a kubeconfig names.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Who asks, and with what.
#[derive(Debug, Clone)]
pub struct Client {
    kubeconfig: PathBuf,
    tools: PathBuf,
    keeps: Option<PathBuf>,
}

impl Client {
    /// With a kubeconfig, and kubectl and helm in a folder.
    pub fn new(kubeconfig: impl Into<PathBuf>, tools: impl Into<PathBuf>) -> Self {
        Self { kubeconfig: kubeconfig.into(), tools: tools.into(), keeps: None }
    }

    /// A folder for what kubectl and helm keep for later, instead of the one of the user.
    #[must_use]
    pub fn keeping(mut self, folder: &Path) -> Self {
        self.keeps = Some(folder.to_owned());
        self
    }

    /// The same tools, as somebody else.
    #[must_use]
    pub fn with(&self, kubeconfig: impl Into<PathBuf>) -> Self {
        Self { kubeconfig: kubeconfig.into(), ..self.clone() }
    }

    /// Where a test may put files of its own.
    pub(super) fn scratch(&self) -> &Path {
        self.keeps.as_deref().unwrap_or(Path::new("/var/tmp"))
    }

    /// The file that says where the cluster is, and who asks.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The folder of the pinned kubectl, helm, kubedog and the rest.
    pub fn tools(&self) -> &Path {
        &self.tools
    }

    /// The value of `PATH` with the tools first.
    pub fn path(&self) -> OsString {
        let mut path = self.tools.clone().into_os_string();
        path.push(":/usr/local/bin:/usr/bin:/bin");
        path
    }

    /// A call of kubectl.
    pub fn kubectl(&self) -> Command {
        self.tool("kubectl")
    }

    /// A call of helm.
    pub fn helm(&self) -> Command {
        self.tool("helm")
    }

    /// A call of any of the tools.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.tools.join(name));
        command.env("KUBECONFIG", &self.kubeconfig).env("PATH", self.path()).stdin(Stdio::null());
        if let Some(folder) = &self.keeps {
            command.env("KUBECACHEDIR", folder.join("kubectl"));
            for (variable, name) in [("CACHE", "cache"), ("CONFIG", "config"), ("DATA", "data")] {
                command.env(format!("HELM_{variable}_HOME"), folder.join("helm").join(name));
            }
        }
        command
    }

    /// The objects of a kind. With an empty namespace those of all, with an empty selector whatever their labels.
    ///
    /// # Panics
    /// When the cluster does not say.
    pub fn get(&self, kind: &str, namespace: &str, selector: &str) -> Vec<Value> {
        let mut command = self.kubectl();
        command.args(["get", kind, "-o", "json"]);
        match namespace {
            "" => command.arg("-A"),
            one => command.args(["-n", one]),
        };
        if !selector.is_empty() {
            command.args(["-l", selector]);
        }
        let found: Value = serde_json::from_str(&run(&mut command)).expect("kubectl prints JSON");
        found["items"].as_array().cloned().unwrap_or_default()
    }

    /// One object; none when there is none of that name.
    ///
    /// # Panics
    /// When the cluster does not say.
    pub fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let mut command = self.kubectl();
        command.args(["get", kind, name, "-o", "json", "--ignore-not-found"]);
        if !namespace.is_empty() {
            command.args(["-n", namespace]);
        }
        let found = run(&mut command);
        (!found.trim().is_empty()).then(|| serde_json::from_str(&found).expect("kubectl prints JSON"))
    }

    /// Makes what a text of YAML or JSON says, or changes it to that.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn apply(&self, text: &str) {
        feed(self.kubectl().args(["apply", "--server-side", "--force-conflicts", "-f", "-"]), text);
    }
}

/// Runs a command that must succeed, and gives what it printed.
///
/// # Panics
/// When it fails; the message has what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    judge(command, &output)
}

/// The same, with a text on its standard input.
///
/// # Panics
/// As [`run`].
pub fn feed(command: &mut Command, text: &str) -> String {
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let mut input = child.stdin.take().expect("it is piped");
    // One that ends early says why itself.
    let _ = input.write_all(text.as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("it is a child of this process");
    judge(command, &output)
}

fn judge(command: &Command, output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let mut said = format!("{command:?}: {}\n{stdout}", output.status);
        let _ = write!(said, "{}", String::from_utf8_lossy(&output.stderr));
        panic!("{said}");
    }
    stdout
}
