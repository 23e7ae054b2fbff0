//! The shim alone, by its own protocol: whatever a wrapper does and whoever dies, nothing of its tree is left.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// By when anything in these tests has happened.
const SOON: Duration = Duration::from_secs(10);

/// A shim with a Bash script as its wrapper.
struct Shim {
    child: Child,
    link: Option<BufReader<UnixStream>>,
    folder: TempDir,
}

impl Shim {
    /// `change` edits the spec before it is sent.
    fn start(script: &str, change: impl FnOnce(&mut Value)) -> Self {
        let folder = tempfile::tempdir().expect("the test can do this");
        let mut shim = Self::without_spec(folder);
        let spec = shim.spec(script, change);
        shim.say(&spec);
        shim
    }

    fn without_spec(folder: TempDir) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("the test can do this");
        ours.set_read_timeout(Some(SOON)).expect("the test can do this");
        let child = Command::new(dm_tests::dms::executable())
            .arg("run-shim")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test can do this");
        Self { child, link: Some(BufReader::new(ours)), folder }
    }

    fn spec(&self, script: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut spec = json!({
            "argv": ["/bin/bash", "-c", script],
            "env": {"PATH": std::env::var("PATH").expect("the test can do this"), "MARK": self.mark()},
            "cwd": self.folder.path(),
            "lock": self.folder.path().join("lock"),
            "deadline": u64::MAX,
            "limit_ms": 60_000,
            "grace_ms": 300,
        });
        change(&mut spec);
        spec
    }

    /// In the environment of everything that descends from this shim's wrapper.
    fn mark(&self) -> String {
        self.folder.path().to_str().expect("the test can do this").to_owned()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.link.as_mut().expect("the test can do this").get_mut(), "{message}")
            .expect("the test can do this");
    }

    /// The next notice; `Null` at the end.
    fn hear(&mut self) -> Value {
        let mut line = String::new();
        match self.link.as_mut().expect("the test can do this").read_line(&mut line).expect("the test can do this") {
            0 => Value::Null,
            _ => serde_json::from_str(&line).expect("the test can do this"),
        }
    }

    fn hear_started(&mut self) -> Pid {
        let notice = self.hear();
        Pid::from_raw(
            notice["started"].as_i64().unwrap_or_else(|| panic!("{notice}")).try_into().expect("the test can do this"),
        )
    }

    /// Until a file that the script writes is there.
    fn wait_for(&self, name: &str) {
        until(&format!("{name} is written"), || self.file(name).exists());
    }

    fn living(&self) -> Vec<String> {
        with_mark(&self.mark())
    }

    fn wait_exit(&mut self) {
        until("the shim ends", || self.child.try_wait().expect("the test can do this").is_some());
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.link = None;
        let _ = self.child.wait();
        if !std::thread::panicking() {
            assert_eq!(self.living(), Vec::<String>::new(), "processes are left");
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

fn with_mark(mark: &str) -> Vec<String> {
    let variable = format!("MARK={mark}");
    let has_mark = |path: &Path| {
        std::fs::read(path.join("environ"))
            .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == variable.as_bytes()))
    };
    std::fs::read_dir("/proc")
        .expect("the test can do this")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| has_mark(path))
        .map(|path| std::fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " "))
        .collect()
}

fn boottime() -> u64 {
    Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).expect("the test can do this"))
        .as_nanos()
        .try_into()
        .expect("the test can do this")
}

fn after(duration: Duration) -> u64 {
    boottime() + u64::try_from(duration.as_nanos()).expect("the test can do this")
}

#[test]
fn output_and_exit_code_come_through() {
    let mut shim = Shim::start("echo out; echo \"$MARK\"; exit 7", |_| ());
    shim.hear_started();
    assert_eq!(shim.hear(), json!({"exited": 7}));
    assert_eq!(shim.hear(), json!("gone"));
    assert_eq!(shim.hear(), Value::Null);
    let mut output = String::new();
    shim.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert_eq!(output, format!("out\n{}\n", shim.mark()));
}

#[test]
fn a_wrapper_that_ends_itself_by_a_signal_is_said_to_have_been_signalled() {
    let mut shim = Shim::start("kill -SEGV $$", |_| ());
    shim.hear_started();
    assert_eq!(shim.hear(), json!({"signalled": 11}));
    assert_eq!(shim.hear(), json!("gone"));
}

#[test]
fn a_wrapper_that_cannot_be_executed_is_said_not_to_have_started() {
    let mut shim = Shim::start("", |spec| spec["argv"] = json!(["/does/not/exist"]));
    let notice = shim.hear();
    let cause = notice["not_started"].as_str().unwrap();
    assert!(cause.contains("/does/not/exist") && cause.contains("No such file"), "{cause}");
    assert_eq!(shim.hear(), Value::Null);
}

#[test]
fn the_wrapper_has_the_environment_of_its_spec_and_no_other() {
    let mut shim = Shim::start("", |spec| {
        spec["argv"] = json!(["/usr/bin/env"]);
        spec["env"] = json!({"A": "1", "B": "two\nlines $HOME"});
    });
    shim.hear_started();
    let mut output = String::new();
    shim.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert_eq!(output, "A=1\nB=two\nlines $HOME\n");
}

#[test]
fn the_wrapper_has_no_signal_blocked_and_does_not_ignore_a_closed_pipe() {
    let mut shim = Shim::start("", |spec| {
        spec["argv"] = json!(["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    });
    shim.hear_started();
    assert_eq!(shim.hear(), json!({"exited": 0}));
    let mut output = String::new();
    shim.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    let masks: Vec<_> =
        output.lines().filter_map(|line| u64::from_str_radix(line.split('\t').nth(1)?, 16).ok()).collect();
    let sigpipe = 1 << (Signal::SIGPIPE as i32 - 1);
    assert!(masks.len() == 2 && masks[0] == 0 && masks[1] & sigpipe == 0, "{output}");
}

#[test]
fn a_hanging_wrapper_is_stopped_at_its_time_limit() {
    let mut shim = Shim::start("trap 'touch told; exit 3' TERM; while :; do sleep 0.05; done", |spec| {
        spec["limit_ms"] = json!(300);
    });
    shim.hear_started();
    assert_eq!(shim.hear(), json!({"stopping": "time_limit"}));
    assert_eq!(shim.hear(), json!({"exited": 3}));
    assert_eq!(shim.hear(), json!("gone"));
    assert!(shim.file("told").exists(), "SIGTERM came first");
}

#[test]
fn a_wrapper_that_ignores_sigterm_is_killed_after_the_grace() {
    let mut shim = Shim::start("trap '' TERM; touch ready; while :; do sleep 60; done", |_| ());
    shim.hear_started();
    shim.wait_for("ready");
    let asked = Instant::now();
    shim.say(&json!("stop"));
    assert_eq!(shim.hear(), json!({"stopping": "asked"}));
    assert_eq!(shim.hear(), json!({"signalled": 9}));
    assert_eq!(shim.hear(), json!("gone"));
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_wrapper_that_has_stopped_itself_is_killed_after_the_grace() {
    let mut shim = Shim::start("kill -STOP $$", |_| ());
    let wrapper = shim.hear_started();
    until("it has stopped itself", || has_state(wrapper, 'T'));
    shim.say(&json!("stop"));
    assert_eq!(shim.hear(), json!({"stopping": "asked"}));
    assert_eq!(shim.hear(), json!({"signalled": 9}));
    assert_eq!(shim.hear(), json!("gone"));
}

#[test]
fn grandchildren_in_sessions_of_their_own_end_with_the_wrapper() {
    let script = "
        for _ in $(seq 20); do (setsid bash -c 'trap \"\" TERM HUP; touch ready; exec -a leftover sleep 600' &) & done
        until [ -e ready ]; do :; done
        exit 0";
    let mut shim = Shim::start(script, |_| ());
    shim.hear_started();
    assert_eq!(shim.hear(), json!({"exited": 0}));
    assert_eq!(shim.hear(), json!("gone"));
    assert_eq!(shim.living(), Vec::<String>::new());
}

#[test]
fn a_wrapper_that_signals_its_whole_group_does_not_hit_its_shim() {
    let mut shim = Shim::start("trap '' TERM; kill -TERM 0; exit 5", |_| ());
    shim.hear_started();
    assert_eq!(shim.hear(), json!({"exited": 5}));
    assert_eq!(shim.hear(), json!("gone"));
}

#[test]
fn the_tree_ends_when_the_socket_closes() {
    let mut shim = Shim::start("(setsid sleep 600 &); touch ready; while :; do sleep 600; done", |_| ());
    shim.hear_started();
    shim.wait_for("ready");
    assert_ne!(shim.living(), Vec::<String>::new());
    shim.link = None;
    shim.wait_exit();
    assert_eq!(shim.living(), Vec::<String>::new());
}

#[test]
fn the_tree_ends_at_the_deadline_unless_it_is_moved() {
    let mut shim = Shim::start("while :; do sleep 600; done", |spec| {
        spec["deadline"] = json!(after(Duration::from_millis(800)));
    });
    shim.hear_started();
    let moved = after(Duration::from_millis(1_500));
    shim.say(&json!({"deadline": moved}));
    assert_eq!(shim.hear(), json!({"stopping": "deadline"}));
    assert!(boottime() >= moved, "the later deadline counts");
    assert_eq!(shim.hear(), json!({"signalled": 15}));
    assert_eq!(shim.hear(), json!("gone"));
}

#[test]
fn nothing_is_started_after_the_deadline() {
    let mut shim = Shim::start("touch started", |spec| spec["deadline"] = json!(boottime()));
    assert_eq!(shim.hear(), json!({"stopping": "deadline"}));
    assert_eq!(shim.hear(), json!("gone"));
    shim.wait_exit();
    assert!(!shim.file("started").exists());
}

#[test]
fn nothing_is_started_when_the_socket_is_closed_behind_the_spec() {
    let mut shim = Shim::without_spec(tempfile::tempdir().unwrap());
    // While the shim stands still its whole input arrives, and its end.
    let pid = Pid::from_raw(shim.child.id().try_into().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let spec = shim.spec("touch started", |_| ());
    shim.say(&spec);
    shim.link = None;
    kill(pid, Signal::SIGCONT).unwrap();
    shim.wait_exit();
    assert!(!shim.file("started").exists());
}

#[test]
fn its_file_is_locked_for_its_life_and_a_second_shim_is_refused() {
    let mut shim = Shim::start("until [ -e end ]; do sleep 0.01; done", |_| ());
    shim.hear_started();
    let lock = std::fs::File::open(shim.file("lock")).unwrap();
    assert!(lock.try_lock().is_err(), "the file is locked while the wrapper runs");
    let mut second = Shim::start("touch started", |spec| spec["lock"] = json!(shim.file("lock")));
    let notice = second.hear();
    assert!(notice["not_started"].as_str().is_some_and(|cause| cause.contains("cannot lock")), "{notice}");
    std::fs::write(shim.file("end"), "").unwrap();
    shim.wait_exit();
    lock.try_lock().expect("the file is free once the shim is gone");
}

#[test]
fn the_wrapper_dies_with_its_shim() {
    let mut shim = Shim::start("touch ready; while :; do sleep 600; done", |_| ());
    let wrapper = shim.hear_started();
    shim.wait_for("ready");
    shim.child.kill().unwrap();
    assert_eq!(shim.child.wait().unwrap().signal(), Some(9));
    until("the wrapper ends", || kill(wrapper, None).is_err() || has_state(wrapper, 'Z'));
    // What the wrapper itself had started is for `dms` to find, by its mark, which is not there while it is being executed.
    until("nothing is left", || {
        for process in
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        {
            let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            if String::from_utf8_lossy(&environment).contains(&format!("MARK={}", shim.mark())) {
                let _ = kill(Pid::from_raw(process.parse().unwrap()), Signal::SIGKILL);
            }
        }
        shim.living().is_empty()
    });
}

fn has_state(pid: Pid, state: char) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(&format!(") {state} ")))
}

#[test]
fn signals_meant_for_programs_do_not_end_a_shim_before_its_tree() {
    let mut shim = Shim::start("until [ -e end ]; do sleep 0.01; done; exit 4", |_| ());
    shim.hear_started();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        kill(Pid::from_raw(shim.child.id().try_into().unwrap()), signal).unwrap();
    }
    std::fs::write(shim.file("end"), "").unwrap();
    assert_eq!(shim.hear(), json!({"exited": 4}));
    assert_eq!(shim.hear(), json!("gone"));
}
