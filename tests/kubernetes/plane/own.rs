//! Planes of a test's own: stopped, frozen, killed, and gone. At most a few of these run at once, see `.config/nextest.toml`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Plane, SHARED, run};
use dm_tests::processes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{SOON, deploy, is_ready, pod};

/// How many programs a plane has.
const PROGRAMS: usize = 5;
/// How many processes these are: kwok has a shell that starts it again.
const PROCESSES: usize = PROGRAMS + 1;

#[test]
fn an_api_server_that_was_stopped_goes_on_where_it_was() {
    let plane = Plane::own();
    let namespace = plane.namespace();
    deploy(&namespace, "before", &[("main", "dm.test/ready:1")]);
    pod(&namespace, "before", "it is ready", is_ready);
    plane.stop_api();
    let asked = plane.kubectl().args(["get", "nodes", "--request-timeout=3s"]).output().unwrap();
    assert!(!asked.status.success() && String::from_utf8_lossy(&asked.stderr).contains("refused"), "{asked:?}");
    let began = Instant::now();
    plane.start_api();
    pod(&namespace, "before", "it is still ready", is_ready);
    deploy(&namespace, "after", &[("main", "dm.test/ready:1")]);
    pod(&namespace, "after", "another becomes ready", is_ready);
    eprintln!("from the start of the API server to a new pod: {:?}", began.elapsed());
    assert_eq!(plane.pids().len(), PROGRAMS);
}

#[test]
fn a_kwok_that_crashes_is_started_again() {
    let plane = Plane::own();
    let namespace = plane.namespace();
    let kwok = || {
        let mut all = processes::of(plane.folder()).into_iter();
        all.find(|process| process.command.contains("/kwok ") && !process.command.starts_with("sh "))
    };
    kwok().expect("it runs").kill();
    deploy(&namespace, "after", &[("main", "dm.test/ready:1")]);
    pod(&namespace, "after", "it is ready", is_ready);
    assert!(kwok().is_some());
}

#[test]
fn an_api_server_that_is_frozen_says_nothing_until_it_is_thawed() {
    let plane = Plane::own();
    let namespace = plane.namespace();
    plane.freeze_api();
    let began = Instant::now();
    let asked = plane.kubectl().args(["get", "nodes", "--request-timeout=3s"]).output().unwrap();
    assert!(!asked.status.success() && began.elapsed() >= Duration::from_secs(3), "{asked:?}");
    plane.thaw_api();
    let began = Instant::now();
    deploy(&namespace, "after", &[("main", "dm.test/ready:1")]);
    pod(&namespace, "after", "it becomes ready", is_ready);
    eprintln!("from the thaw to a new pod: {:?}", began.elapsed());
}

#[test]
fn nothing_of_a_plane_is_left_when_it_is_dropped() {
    let began = Instant::now();
    let plane = Plane::own();
    let took = began.elapsed();
    let folder = plane.folder().to_owned();
    assert_eq!(processes::of(&folder).len(), PROCESSES, "the search finds them while they run");
    let memory: u64 = processes::of(&folder).iter().map(|one| processes::memory(one.pid).unwrap().resident).sum();
    eprintln!("{}ready after {took:?}, {} MiB", plane.versions(), memory / 1024);
    // As a test might that fails in the middle of an outage.
    plane.freeze_api();
    let began = Instant::now();
    drop(plane);
    eprintln!("gone after {:?}", began.elapsed());
    assert!(processes::of(&folder).is_empty() && !folder.exists());
}

#[test]
fn nothing_of_a_plane_is_left_by_a_test_that_panics() {
    let folder = std::sync::Mutex::new(PathBuf::new());
    let ended = std::panic::catch_unwind(|| {
        let plane = Plane::own();
        plane.folder().clone_into(&mut folder.lock().unwrap());
        drop(plane.namespace());
        panic!("as a test that fails");
    });
    assert!(ended.is_err());
    let folder = folder.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    assert!(folder.starts_with("/var/tmp"), "it had started");
    assert!(processes::of(&folder).is_empty());
}

/// The program `plane`, and the folder of what it has started.
fn program(arguments: &[&str]) -> (Child, PathBuf) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plane"));
    // As on a machine where nobody has a cluster.
    command.args(arguments).env_remove("KUBECONFIG").stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let kubeconfig = line.trim().strip_prefix("export KUBECONFIG=").unwrap_or_else(|| panic!("it prints: {line}"));
    let folder = Path::new(kubeconfig).parent().unwrap().to_owned();
    assert_eq!(processes::of(&folder).iter().filter(|process| process.command.contains("--")).count(), PROCESSES);
    (child, folder)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

fn all_end(folder: &Path) {
    eventually_blocking("everything of the plane has ended", SOON, || processes::of(folder).is_empty().then_some(()));
}

#[test]
fn nothing_runs_on_when_the_program_is_killed() {
    let (mut child, folder) = program(&[]);
    child.kill().unwrap();
    child.wait().unwrap();
    all_end(&folder);
    // Its folder goes when the next one starts.
    drop(Plane::own());
    assert!(!folder.exists());
}

#[test]
fn nothing_is_left_when_the_program_is_told_to_end_with_its_command() {
    let script = "echo export KUBECONFIG=$DM_TEST_KUBERNETES/kubeconfig; exec sleep 1000";
    let (mut child, folder) = program(&["sh", "-c", script]);
    kill(pid(&child), Signal::SIGTERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(128 + Signal::SIGTERM as i32), None), "as its command ended");
    all_end(&folder);
    assert!(!folder.exists());
}

#[test]
fn a_command_finds_a_cluster_and_its_end_is_that_of_the_program() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plane"));
    let script = "KUBECONFIG=$DM_TEST_KUBERNETES/kubeconfig kubectl get nodes -o name && helm version --short; exit 7";
    command.args(["sh", "-c", script]).env_remove("KUBECONFIG").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.starts_with("node/node-1\nnode/node-2\nv4."), "{said}");
    let mut versions = String::new();
    child.stderr.take().unwrap().read_to_string(&mut versions).unwrap();
    for name in ["etcd: ", "kube-apiserver: Kubernetes v1.", "kwok: ", "kubectl: ", "helm: v4.", "kubedog: "] {
        assert!(versions.contains(name), "{name} is missing in {versions}");
    }
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn a_cluster_that_is_named_is_used_and_none_is_started() {
    let plane = Plane::shared();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plane"));
    command.args([
        "sh",
        "-c",
        "echo ${DM_TEST_KUBERNETES:-none}; kubectl config view --minify -o jsonpath='{..server}'",
    ]);
    command.env("KUBECONFIG", plane.kubeconfig()).env_remove(SHARED);
    let said = run(&mut command);
    let server = run(plane.kubectl().args(["config", "view", "--minify", "-o", "jsonpath={..server}"]));
    assert_eq!(said, format!("none\n{server}"));
}

#[test]
fn without_a_cluster_a_test_says_how_to_get_one() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "plane::stages::a_pod_is_ready_whatever_its_tag"]);
    command.env_remove("KUBECONFIG").env_remove(SHARED);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("script/test kubernetes"), "{said}");
    // Where there is one it is used.
    let _ = run(Plane::shared().kubectl().args(["get", "--raw=/readyz"]));
}
