//! Finds what still runs.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: Pid,
    /// Its arguments, separated by blanks.
    pub command: String,
}

impl Process {
    /// Ends it, if it is still there.
    pub fn kill(&self) {
        let _ = kill(self.pid, Signal::SIGKILL);
    }
}

/// All processes that have to do with a folder: it stands in their arguments or environment, or they work in it. The
/// test's own process is not among them.
///
/// # Panics
/// Without `/proc`.
pub fn of(folder: &Path) -> Vec<Process> {
    let needle = folder.as_os_str().as_bytes();
    let mentions = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    all(|process, arguments| {
        let environment = || fs::read(process.join("environ")).unwrap_or_default();
        let works_in = || fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        mentions(arguments) || mentions(&environment()) || works_in()
    })
}

/// All processes with a word among their arguments.
///
/// # Panics
/// Without `/proc`.
pub fn named(word: &str) -> Vec<Process> {
    all(|_, arguments| arguments.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
}

/// All processes of a group, whatever became of the process that it is named after.
///
/// # Panics
/// Without `/proc`.
pub fn of_group(group: Pid) -> Vec<Process> {
    all(|process, _| {
        numbers(process).and_then(|numbers| numbers.split(' ').nth(2)?.parse().ok()) == Some(group.as_raw())
    })
}

/// Those for which `which`, asked with their folder in `/proc` and their arguments, says so.
fn all(which: impl Fn(&Path, &[u8]) -> bool) -> Vec<Process> {
    let own = std::process::id();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("tests run on Linux").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        // A zombie has no arguments; it runs no more.
        if !arguments.is_empty() && u32::try_from(pid) != Ok(own) && which(&entry.path(), &arguments) {
            let command = String::from_utf8_lossy(&arguments).replace('\0', " ").trim_end().to_owned();
            found.push(Process { pid: Pid::from_raw(pid), command });
        }
    }
    found
}

/// The parent of a process; none when it is no more.
pub fn parent(pid: Pid) -> Option<Pid> {
    numbers(Path::new(&format!("/proc/{pid}")))?.split(' ').nth(1)?.parse().ok().map(Pid::from_raw)
}

/// What the kernel says of a process, from its state on.
fn numbers(process: &Path) -> Option<String> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name may hold anything, also brackets; what follows the last one is numbers.
    stat.rsplit_once(") ").map(|(_, numbers)| numbers.to_owned())
}

/// What a process holds in memory, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At most so far.
    pub peak: u64,
}

/// The memory of a process, by `/proc/PID/status`; none when it is no more.
pub fn memory(pid: Pid) -> Option<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Memory { resident: kib("VmRSS:")?, peak: kib("VmHWM:")? })
}
