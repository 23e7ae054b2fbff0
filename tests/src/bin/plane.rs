//! `plane [COMMAND [ARG...]]`: starts a control plane, runs a command beside it and stops it; without a command it prints
//! how to use it and stays until it is stopped.
//!
//! The command finds `DM_TEST_KUBERNETES`, and the tools on `PATH`. Where `KUBECONFIG` names a cluster already, a command
//! is run with that, and nothing is started.

use std::env;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use dm_tests::kubernetes::{Plane, SHARED, path_with, tools};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::timeout;

/// How long a command may take to end after Ctrl-C, which a terminal sends to it too, and then after SIGTERM.
const GRACE: Duration = Duration::from_secs(15);

// One thread: the kernel ends the command with the thread that has started it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command: Vec<String> = env::args().skip(1).collect();
    // Before the plane, so that none is left by a signal that comes while it starts.
    let listen = |kind| unix::signal(kind).expect("a signal can be listened for");
    let signals = [listen(SignalKind::interrupt()), listen(SignalKind::terminate())];
    if command.is_empty() {
        let plane = Plane::own();
        eprint!("{}", plane.versions());
        println!("export KUBECONFIG={}", plane.kubeconfig().display());
        println!("export PATH={}:$PATH", plane.tools().display());
        stopped(signals).await;
        return ExitCode::SUCCESS;
    }
    let mut process = Command::new("setpriv");
    process.args(["--pdeathsig", "TERM", "--"]).args(&command);
    let plane = if env::var_os("KUBECONFIG").is_some() {
        eprintln!("the cluster of KUBECONFIG is used, and no control plane is started");
        let plane = Plane::shared();
        eprint!("{}", plane.versions());
        plane.definitions();
        process.env("PATH", path_with(&tools()));
        None
    } else {
        let plane = Plane::own();
        eprint!("{}", plane.versions());
        process.env(SHARED, plane.folder()).env("PATH", path_with(plane.tools()));
        Some(plane)
    };
    let status = match process.spawn() {
        Ok(child) => beside(child, signals).await,
        Err(error) => panic!("setpriv cannot be started: {error}"),
    };
    drop(plane);
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Waits for the end of the command, which is hastened by a signal.
async fn beside(mut child: Child, [mut interrupt, mut terminate]: [unix::Signal; 2]) -> ExitStatus {
    let ended = |status: std::io::Result<ExitStatus>| status.expect("it is a child of this process");
    tokio::select! {
        status = child.wait() => return ended(status),
        _ = interrupt.recv() => {
            if let Ok(status) = timeout(GRACE, child.wait()).await {
                return ended(status);
            }
        }
        _ = terminate.recv() => {}
    }
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It may have ended meanwhile.
        let _ = signal::kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if let Ok(status) = timeout(GRACE, child.wait()).await {
        return ended(status);
    }
    child.kill().await.expect("it is a child of this process");
    ended(child.wait().await)
}

async fn stopped([mut interrupt, mut terminate]: [unix::Signal; 2]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
