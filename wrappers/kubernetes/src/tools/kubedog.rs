//! kubedog's stream, for people to read beside a roll-out. It decides nothing.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::object::Object;
use crate::error::{Error, Result};
use crate::say;
use crate::tools::access::Access;
use crate::tools::{process, stop};

/// It says nothing before this time is over: it sleeps for a second and a half before it looks at pods.
const FIRST_WORDS: Duration = Duration::from_secs(2);

/// A roll-out that is over gives it this long to say so.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_millis(300);

/// The program, which is looked for before anything is changed.
#[derive(Debug)]
pub(crate) struct Kubedog {
    program: PathBuf,
    variables: Vec<(&'static str, OsString)>,
}

/// kubedog at work, its output on ours. Dropped, it is ended.
#[derive(Debug)]
pub(crate) struct Stream {
    child: Option<Child>,
    begun: Instant,
}

impl Kubedog {
    pub(crate) fn find(name: &str, access: &Access) -> Result<Self> {
        Ok(Self { program: process::find(name)?, variables: access.variables() })
    }

    /// Follows the workloads of a manifest, for so many seconds at most.
    pub(crate) fn follow(&self, namespace: &str, seconds: u64, manifest: &[Object]) -> Result<Stream> {
        let Some(request) = request(manifest, namespace) else {
            return Ok(Stream { child: None, begun: Instant::now() });
        };
        let mut command = Command::new(&self.program);
        command
            .args(["multitrack", "--namespace", namespace, "-t", &seconds.max(1).to_string()])
            // What containers have said since the chart was applied, and nothing from before.
            .args(["--logs-since", "15s", "--status-progress-period", "10"])
            .envs(self.variables.iter().cloned())
            .env("KUBEDOG_NO_COLOR", "1")
            .env("KUBEDOG_TERMINAL_WIDTH", "120")
            .stdin(Stdio::piped());
        let cannot =
            |error: std::io::Error| Error::failed(format!("{} cannot be started: {error}", self.program.display()));
        let mut child = command.spawn().map_err(cannot)?;
        stop::begun(&child);
        if let Some(mut stdin) = child.stdin.take() {
            // What it does not read it does not need; one that hangs is not waited for.
            std::thread::spawn(move || stdin.write_all(request.to_string().as_bytes()));
        }
        Ok(Stream { child: Some(child), begun: Instant::now() })
    }
}

impl Stream {
    /// The roll-out is over: kubedog may finish what it is saying. One that has said nothing yet is not waited for.
    pub(crate) fn finish(mut self) {
        let time = if self.begun.elapsed() < FIRST_WORDS { Duration::ZERO } else { LAST_WORDS };
        if let Some(child) = &mut self.child
            && !ends_within(child, time)
        {
            say::line("kubedog is stopped: the roll-out is decided");
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        process::ask_to_end(&child);
        if !ends_within(&mut child, GRACE) {
            let _ended_already = child.kill();
            let _reaped = child.wait();
        }
        stop::ended(&child);
    }
}

fn ends_within(child: &mut Child, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    loop {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What it is asked, or nothing where there is nothing that it knows. It must not end before its time because of a pod
/// that has failed, and says so with every field: its own defaults end it at the second failure.
fn request(manifest: &[Object], namespace: &str) -> Option<Value> {
    let of = |kind: &str| -> Vec<Value> {
        let found = manifest.iter().filter(|object| object.kind() == kind && !object.group().contains('.'));
        found
            .map(|object| {
                let own = Some(object.namespace()).filter(|own| !own.is_empty()).unwrap_or(namespace);
                json!({
                    "ResourceName": object.name(), "Namespace": own,
                    "FailMode": "HopeUntilEndOfDeployProcess", "AllowFailuresCount": 1000,
                })
            })
            .collect()
    };
    let mut request = serde_json::Map::new();
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        let objects = of(kind);
        if !objects.is_empty() {
            request.insert(format!("{kind}s"), objects.into());
        }
    }
    (!request.is_empty()).then_some(Value::Object(request))
}
