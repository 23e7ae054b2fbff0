//! The processes of this machine as `/proc` tells them: who descends from whom, and who belongs to a call.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process; its start time tells it from a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pid: i32,
    started: u64,
}

impl Process {
    /// Its id.
    pub(crate) fn pid(self) -> Pid {
        Pid::from_raw(self.pid)
    }

    /// The process that has this id.
    pub(crate) fn find(pid: Pid) -> Option<Self> {
        Some(Self { pid: pid.as_raw(), started: stat(pid.as_raw())?.started })
    }

    /// Whether it lives, or is a zombie.
    pub(crate) fn is_there(self) -> bool {
        Self::find(self.pid()) == Some(self)
    }

    /// Sends it a signal. One that has ended, or that belongs to another user, is left to the next look.
    pub(crate) fn signal(self, signal: Signal) {
        let _ = kill(self.pid(), signal);
    }
}

/// Everything that descends from `root`, zombies included, without `root` itself.
pub(crate) fn descendants(root: Pid) -> Vec<Process> {
    descendants_of(&all(), &BTreeSet::from([root.as_raw()]))
}

/// A child, dead or alive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Child {
    pub(crate) process: Process,
    /// It has ended, and waits to be reaped.
    pub(crate) is_zombie: bool,
}

/// The children of `parent`.
pub(crate) fn children(parent: Pid) -> Vec<Child> {
    let children = all().into_iter().filter(|(_, stat)| stat.parent == parent.as_raw());
    let child = |(pid, Stat { started, is_zombie, .. })| Child { process: Process { pid, started }, is_zombie };
    children.map(child).collect()
}

/// These, and everything that descends from them.
pub(crate) fn trees(roots: Vec<Process>) -> Vec<Process> {
    let mut found = roots;
    if !found.is_empty() {
        let pids = found.iter().map(|root| root.pid).collect();
        found.extend(descendants_of(&all(), &pids));
    }
    found
}

/// Every living process whose environment has `name=value`, and everything that descends from one.
pub(crate) fn marked(name: &str, value: &Path) -> Vec<Process> {
    let mark = [name.as_bytes(), b"=", value.as_os_str().as_encoded_bytes()].concat();
    let all = all();
    let roots: BTreeSet<i32> = all.keys().copied().filter(|pid| has_variable(*pid, &mark)).collect();
    let mut found = descendants_of(&all, &roots);
    found.extend(roots.iter().map(|pid| Process { pid: *pid, started: all[pid].started }));
    found
}

/// What `/proc/PID/stat` tells of a process.
#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: i32,
    started: u64,
    is_zombie: bool,
}

fn descendants_of(all: &BTreeMap<i32, Stat>, roots: &BTreeSet<i32>) -> Vec<Process> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (pid, stat) in all {
        children.entry(stat.parent).or_default().push(*pid);
    }
    let mut seen = roots.clone();
    let mut open: Vec<i32> = roots.iter().copied().collect();
    let mut found = Vec::new();
    while let Some(parent) = open.pop() {
        for pid in children.get(&parent).into_iter().flatten() {
            if seen.insert(*pid) {
                found.push(Process { pid: *pid, started: all[pid].started });
                open.push(*pid);
            }
        }
    }
    found
}

fn all() -> BTreeMap<i32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(pid)?))
        })
        .collect()
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything, parentheses and blanks included.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace();
    let is_zombie = fields.next()? == "Z";
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, started, is_zombie })
}

fn has_variable(pid: i32, mark: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|variable| variable == mark))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_child_descends_from_its_parent_and_has_its_mark() {
        let mark = Path::new("/a mark of this test");
        let mut child =
            Command::new("sleep").arg("60").env("DM_TEST_MARK", mark).spawn().expect("sleep can be started");
        let pid = i32::try_from(child.id()).expect("a process id is small");
        let is_child = |process: &Process| process.pid == pid;
        assert!(descendants(Pid::this()).iter().any(is_child));
        assert!(!descendants(Pid::from_raw(pid)).iter().any(is_child));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        // Between fork and exec the child still has its parent's environment.
        while !marked("DM_TEST_MARK", mark).iter().any(is_child) {
            assert!(std::time::Instant::now() < deadline, "the mark is not seen");
        }
        assert_eq!(marked("DM_TEST_MARK", Path::new("/another mark")), []);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(!marked("DM_TEST_MARK", mark).iter().any(is_child));
    }
}
