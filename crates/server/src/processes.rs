//! The processes of this machine as `/proc` tells them: who descends from whom, and who belongs to a call.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgrp};

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

/// A process, as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) process: Process,
    /// Its process group.
    pub(crate) group: i32,
    /// It has ended, and waits to be reaped.
    pub(crate) is_zombie: bool,
    /// A signal has stopped it.
    pub(crate) is_stopped: bool,
}

impl Seen {
    /// Kills it and its process group, unless that is the one of this process: what is forked at this moment is in it
    /// too, and the kernel sees to it that none of a group gets away.
    pub(crate) fn kill(self) {
        if self.group > 1 && self.group != getpgrp().as_raw() {
            let _ = killpg(Pid::from_raw(self.group), Signal::SIGKILL);
        }
        self.process.signal(Signal::SIGKILL);
    }
}

/// Everything that descends from `root`, zombies included, without `root` itself.
pub(crate) fn descendants(root: Pid) -> Vec<Seen> {
    descendants_of(&all(), &BTreeSet::from([root.as_raw()]))
}

/// Shows each child of `parent` at the moment it is found, zombies included, the newest first: what forks for ever is gone
/// a moment later. Says whether the look was a whole one: a process that ended before it was looked at may have left a
/// child that was not there yet.
pub(crate) fn look_at_children(parent: Pid, mut see: impl FnMut(Seen)) -> bool {
    let mut is_whole = true;
    let mut pids = pids();
    let newest = newest_pid();
    // Numbers start anew when the highest was given.
    pids.sort_by_key(|pid| newest.wrapping_sub(*pid).cast_unsigned());
    for pid in pids {
        match stat(pid) {
            Some(stat) if stat.parent == parent.as_raw() => see(stat.seen(pid)),
            Some(_) => {}
            None => is_whole = false,
        }
    }
    is_whole
}

/// These, and everything that descends from them.
pub(crate) fn trees(roots: Vec<Seen>) -> Vec<Seen> {
    let mut found = roots;
    if !found.is_empty() {
        let pids = found.iter().map(|root| root.process.pid).collect();
        found.extend(descendants_of(&all(), &pids));
    }
    found
}

/// Every living process whose environment has `name=value`.
pub(crate) fn with_variable(name: &str, value: &OsStr) -> Vec<Seen> {
    marked_in(&all(), name, value)
}

/// Every living process whose environment has `name=value`, and everything that descends from one.
pub(crate) fn marked(name: &str, value: &OsStr) -> Vec<Seen> {
    let all = all();
    let mut found = marked_in(&all, name, value);
    let roots = found.iter().map(|root| root.process.pid).collect();
    found.extend(descendants_of(&all, &roots));
    found
}

fn marked_in(all: &BTreeMap<i32, Stat>, name: &str, value: &OsStr) -> Vec<Seen> {
    let mark = [name.as_bytes(), b"=", value.as_encoded_bytes()].concat();
    all.iter().filter(|(pid, _)| has_variable(**pid, &mark)).map(|(pid, stat)| stat.seen(*pid)).collect()
}

/// What `/proc/PID/stat` tells of a process.
#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: i32,
    group: i32,
    started: u64,
    is_zombie: bool,
    is_stopped: bool,
}

impl Stat {
    fn seen(self, pid: i32) -> Seen {
        let Self { started, group, is_zombie, is_stopped, .. } = self;
        Seen { process: Process { pid, started }, group, is_zombie, is_stopped }
    }
}

fn descendants_of(all: &BTreeMap<i32, Stat>, roots: &BTreeSet<i32>) -> Vec<Seen> {
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
                found.push(all[pid].seen(*pid));
                open.push(*pid);
            }
        }
    }
    found
}

fn all() -> BTreeMap<i32, Stat> {
    pids().into_iter().filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The id that was given last.
fn newest_pid() -> i32 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_ascii_whitespace().next_back().and_then(|pid| pid.parse().ok()).unwrap_or(i32::MAX)
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything, parentheses and blanks included.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let (is_zombie, is_stopped) = (state == "Z", state == "T");
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let started = fields.nth(16)?.parse().ok()?;
    Some(Stat { parent, group, started, is_zombie, is_stopped })
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
        let mark = OsStr::new("/a mark of this test");
        let mut child =
            Command::new("sleep").arg("60").env("DM_TEST_MARK", mark).spawn().expect("sleep can be started");
        let pid = i32::try_from(child.id()).expect("a process id is small");
        let is_child = |seen: &Seen| seen.process.pid == pid;
        assert!(descendants(Pid::this()).iter().any(is_child));
        assert!(!descendants(Pid::from_raw(pid)).iter().any(is_child));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        // Between fork and exec the child still has its parent's environment.
        while !marked("DM_TEST_MARK", mark).iter().any(is_child) {
            assert!(std::time::Instant::now() < deadline, "the mark is not seen");
        }
        assert_eq!(marked("DM_TEST_MARK", OsStr::new("/another mark")), []);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(!marked("DM_TEST_MARK", mark).iter().any(is_child));
    }
}
