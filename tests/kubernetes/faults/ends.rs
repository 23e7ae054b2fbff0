//! The end of a delete, of an output and of a process tree.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dm_tests::dms::executable_file;
use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Client, Plane};
use dm_tests::processes;

use super::{becomes, types};
use crate::world::{SEEN, Start, repository};

#[test]
fn fault_10_a_delete_that_does_not_end_is_a_failure_to_go_on_from() {
    let plane = Plane::shared();
    let start = Start::on(&plane).chart("small");
    let folder = start.namespace().folder().to_owned();
    let no = folder.join("no");
    let script = format!(
        "if [ -e {} ]; then case \" $* \" in *' scale '*) echo 'the cluster says no' >&2; exit 1 ;; esac; fi",
        no.display()
    );
    let path = path_with(&plane, &folder, "kubectl", &script);
    let short = ["--allow-short-times", "--status-timeout=3s", "--awaiting-interval=500ms"];
    let world = short.into_iter().fold(start.path(path), Start::argument).start();

    // Its pod needs 8 s to go.
    world.done(&["create", "slow", "--tag", "1.0.0", "--staging", "stage=lingers"]);
    let before = types(&world, "slow").len();
    let ended = world.dmc(&["delete", "slow", "--wait", "-y"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("still there: pod slow-web-"), "it says what is left: {ended:?}");
    becomes(&world, "slow", "Archived");
    let since = types(&world, "slow").split_off(before);
    let told: Vec<&str> = since.iter().map(String::as_str).filter(|name| !name.starts_with("Check")).collect();
    assert_eq!(told, ["DeleteRequested", "RunStarted", "RunFinished", "Failed", "BecameArchived"]);

    // A wrapper that cannot do it fails at once, and people can go on.
    world.done(&["create", "broken", "--tag", "1.0.0"]);
    fs::write(&no, "").expect("the folder is ours");
    assert_eq!(world.dmc(&["delete", "broken", "--wait", "-y"]).code, 1);
    let info = world.info("broken");
    assert_eq!((&info["status"], &info["reason"]), (&"Failure".into(), &"run_failed".into()), "{info}");
    assert!(info["cause"].as_str().is_some_and(|cause| cause.contains("the cluster says no")), "{info}");
    fs::remove_file(&no).expect("the file is ours");
    world.done(&["retry", "broken"]);
    assert_eq!(world.status("broken"), "Archived");
}

#[test]
fn fault_23_what_the_tools_print_streams_and_any_byte_is_kept() {
    const HELM: &[u8] = b"helm\xff\xfe\x00\xc3(\n";
    const KUBEDOG: &[u8] = b"kubedog\x80\xf5\n";
    let plane = Plane::shared();
    let start = Start::on(&plane).chart("small");
    let folder = start.namespace().folder().to_owned();
    path_with(&plane, &folder, "helm", r"case $1 in upgrade) printf 'helm\377\376\000\303(\n' >&2 ;; esac");
    let path = path_with(&plane, &folder, "kubedog", r"printf 'kubedog\200\365\n'");
    let world = start.path(path).start();
    // It ends well, and does so 5 s after its pod has begun.
    world.ok(&["create", "demo", "--tag", "1.0.0", "--staging", "stage=slow", "-y"]);
    let output = || world.command(&["logs", "demo"]).output().expect("dmc was built").stdout;
    let has = |output: &[u8], bytes: &[u8]| output.windows(bytes.len()).any(|window| window == bytes);
    let streamed = eventually_blocking("what the tools have printed shows", SEEN, || {
        let output = output();
        (has(&output, HELM) && has(&output, KUBEDOG)).then_some(output)
    });
    assert_eq!(world.json(&["runs", "demo"])[0]["state"], "running", "while it runs");
    becomes(&world, "demo", "Running");
    let whole = output();
    assert!(whole.starts_with(&streamed), "what was shown stays: {}", String::from_utf8_lossy(&whole));
    assert!(has(&whole, b"demo is ready"), "{}", String::from_utf8_lossy(&whole));
}

#[test]
fn fault_24_a_time_limit_ends_the_tools_too() {
    let plane = Plane::shared();
    let start = Start::on(&plane).chart("small");
    let folder = start.namespace().folder().to_owned();
    // helm for one of them is deaf to what asks it to end, and so is what it has left in a session of its own.
    let deaf = "trap '' TERM HUP INT; echo $$ >> pids; while :; do sleep 600; done";
    fs::write(folder.join("deaf"), deaf).expect("the folder is ours");
    let script = format!(
        "case \"$1 $2\" in 'upgrade deaf') cd {}; (setsid sh deaf &); setsid sh deaf & exec sh deaf ;; esac",
        folder.display()
    );
    let path = path_with(&plane, &folder, "helm", &script);
    let world = start.path(path).wrappers(hurried(&folder)).start();
    for (name, stage) in [("never", "never"), ("deaf", "ready")] {
        let stage = format!("stage={stage}");
        world.ok(&["create", name, "--tag", "1.0.0", "--staging", &stage, "-y"]);
    }
    for name in ["never", "deaf"] {
        let info = becomes(&world, name, "Failure");
        assert_eq!((&info["reason"], &info["run"]["outcome"]), (&"run_failed".into(), &"time limit".into()), "{info}");
    }
    assert!(world.output("never").contains("never-web"), "kubedog had been at work");
    let pids = fs::read_to_string(folder.join("pids")).expect("helm has begun");
    assert_eq!(pids.lines().count(), 3, "the whole tree was there");
    eventually_blocking("nothing of the two runs is left", SEEN, || {
        let left = [processes::of(world.dms.home()), processes::of(&folder)].concat();
        left.iter().all(|process| process.command.contains(" serve ")).then_some(())
    });
    // What they have left half done stands in nobody's way.
    world.done(&["update", "never", "--staging", "stage=ready"]);
}

/// Our wrappers, with a short time for a create.
fn hurried(folder: &Path) -> PathBuf {
    let own = folder.join("wrappers");
    fs::create_dir(&own).expect("the folder is ours");
    for entry in fs::read_dir(repository().join("wrappers/kubernetes")).expect("it is there").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            symlink(entry.path(), own.join(entry.file_name())).expect("the folder is ours");
        }
    }
    fs::write(own.join("wrappers.toml"), "contract = 1\n[limits]\ncreate = 8\n").expect("the folder is ours");
    own
}

/// `PATH` on which a tool first does something else: `script`, which is for `sh`.
fn path_with(client: &Client, folder: &Path, tool: &str, script: &str) -> String {
    let own = folder.join("tools");
    fs::create_dir_all(&own).expect("the folder is ours");
    let real = client.tools().join(tool);
    executable_file(&own.join(tool), format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", real.display()).as_bytes());
    format!("{}:{}", own.display(), client.path().to_string_lossy())
}
