//! A PostgreSQL of a test's own, which can be stopped and started, as the one of an operator can; killed; and put on disks
//! that are small.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;

use crate::eventually::eventually_blocking;

/// By when processes that were killed are gone.
const GONE: Duration = Duration::from_secs(20);

/// A PostgreSQL with one empty database; stopped and removed with this value.
#[derive(Debug)]
pub struct Cluster {
    // Before the folder that it is mounted in, and after the server on it has ended.
    disks: Vec<Disk>,
    folder: TempDir,
    programs: PathBuf,
    user: Option<User>,
    settings: String,
}

/// A small disk, in memory.
#[derive(Debug)]
pub struct Disk(PathBuf);

/// Sizes in MiB of the disks of a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Of the one for tables.
    pub tables: u32,
    /// Of the one for the write-ahead log.
    pub wal: u32,
}

impl Cluster {
    /// Makes one and starts it. A power cut would cost it what it has acknowledged, because it does not wait for the disk.
    ///
    /// # Panics
    /// Without PostgreSQL's programs.
    pub fn start() -> Self {
        Self::with(&["fsync=off"])
    }

    /// The same, with settings of its own.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn with(settings: &[&str]) -> Self {
        Self::made(settings, None)
    }

    /// The same, on disks of these sizes.
    ///
    /// # Panics
    /// As [`Cluster::start`], and without the right to mount.
    pub fn on_disks(sizes: Sizes) -> Self {
        // Small segments, so that a small disk holds some.
        Self::made(&["fsync=off", "min_wal_size=2MB", "max_wal_size=6MB"], Some(sizes))
    }

    fn made(settings: &[&str], sizes: Option<Sizes>) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let found = Command::new(root.join("script/lib/postgres-bin")).output().expect("the script is there");
        let programs = PathBuf::from(String::from_utf8(found.stdout).expect("a path").trim());
        let folder = tempfile::Builder::new().prefix("dm-pg-").tempdir_in("/var/tmp").expect("a folder");
        // PostgreSQL refuses to run as root.
        let user = geteuid().is_root().then(|| {
            let known = |name| User::from_name(name).expect("users can be looked up");
            known("postgres").or_else(|| known("nobody")).expect("an ordinary user")
        });
        let settings = settings.iter().flat_map(|setting| [" -c ", setting]).collect();
        let mut cluster = Self { disks: Vec::new(), folder, programs, user, settings };
        cluster.own(cluster.folder.path());
        let mut arguments =
            ["-U", "dm", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"].map(str::to_owned).to_vec();
        if let Some(Sizes { tables, wal }) = sizes {
            for (name, size) in [("data", tables), ("wal", wal)] {
                let disk = Disk::mount(cluster.folder.path().join(name), size);
                cluster.own(&disk.0);
                cluster.disks.push(disk);
            }
            arguments.push(format!("--waldir={}", cluster.folder.path().join("wal/log").display()));
            arguments.push("--wal-segsize=1".to_owned());
        }
        cluster.run("initdb", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        cluster.again();
        cluster
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("postgres://dm@localhost/postgres?host={}", self.folder.path().display())
    }

    /// The disk with its tables.
    ///
    /// # Panics
    /// When it has no disks of its own.
    pub fn tables(&self) -> &Disk {
        &self.disks[0]
    }

    /// The disk with its write-ahead log.
    ///
    /// # Panics
    /// When it has no disks of its own.
    pub fn wal(&self) -> &Disk {
        &self.disks[1]
    }

    /// Starts it after a stop.
    ///
    /// # Panics
    /// When it does not start.
    pub fn again(&self) {
        assert!(self.try_again(), "PostgreSQL does not start:\n{}", self.log());
    }

    /// The same; whether it has started.
    ///
    /// # Panics
    /// Without PostgreSQL's programs.
    pub fn try_again(&self) -> bool {
        let sockets = self.folder.path().display();
        let options = format!("-c listen_addresses='' -c unix_socket_directories={sockets}{}", self.settings);
        let arguments = ["-w", "-l", &format!("{sockets}/log"), "-o", &options, "start"];
        self.command("pg_ctl", &arguments).status().expect("it is installed").success()
    }

    /// Whether its first process is there.
    pub fn is_up(&self) -> bool {
        self.postmaster().is_some_and(|pid| kill(pid, None).is_ok() && !is_zombie(pid))
    }

    /// Stops it as a crash would: nothing is written, and every connection is cut.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn crash(&self) {
        self.run("pg_ctl", &["-w", "-m", "immediate", "stop"]);
    }

    /// Kills all its processes at once: they can do nothing more. What they had written the kernel still has.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        let postmaster = self.postmaster().expect("it runs");
        let mut all = children(postmaster);
        // So that it starts no others meanwhile, and ends none in order.
        kill(postmaster, Signal::SIGSTOP).expect("it runs");
        all.extend(children(postmaster));
        all.push(postmaster);
        for pid in &all {
            // One may have ended by itself.
            let _ = kill(*pid, Signal::SIGKILL);
        }
        eventually_blocking("all processes of PostgreSQL are gone", GONE, || {
            all.iter().all(|pid| kill(*pid, None) == Err(Errno::ESRCH) || is_zombie(*pid)).then_some(())
        });
        // Where nobody asks how it has ended it would look alive to the next one.
        for lock in [self.data().join("postmaster.pid"), self.folder.path().join(".s.PGSQL.5432.lock")] {
            fs::remove_file(lock).expect("it was running");
        }
    }

    fn postmaster(&self) -> Option<Pid> {
        let file = fs::read_to_string(self.data().join("postmaster.pid"));
        file.ok()?.lines().next()?.trim().parse().ok().map(Pid::from_raw)
    }

    /// Gives a folder to whoever runs PostgreSQL.
    fn own(&self, folder: &Path) {
        if let Some(user) = &self.user {
            nix::unistd::chown(folder, Some(user.uid), Some(user.gid)).expect("root gives folders away");
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program, arguments).output().expect("it is installed");
        assert!(output.status.success(), "{program}: {output:?}\n{}", self.log());
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let path = self.programs.join(program);
        let mut command = match &self.user {
            None => Command::new(path),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={}", user.uid))
                    .arg(format!("--regid={}", user.gid))
                    .args(["--clear-groups", "--"])
                    .arg(path);
                command
            }
        };
        command.arg("-D").arg(self.data()).args(arguments).current_dir("/");
        // The server keeps what it is handed, and a test would wait for its end.
        command.stdin(Stdio::null());
        if program == "pg_ctl" {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        command
    }

    fn data(&self) -> PathBuf {
        // `initdb` wants a folder that is empty, and there is more on a disk.
        let folder = self.folder.path().join("data");
        if self.disks.is_empty() { folder } else { folder.join("pg") }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may be stopped already.
        let _ = self.command("pg_ctl", &["-w", "-m", "immediate", "stop"]).status();
    }
}

impl Disk {
    fn mount(folder: PathBuf, mib: u32) -> Self {
        fs::create_dir(&folder).expect("the folder is ours");
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "dm-test"]).arg(&folder).output();
        let mounted = mounted.expect("mount is installed");
        assert!(
            mounted.status.success(),
            "this test needs a small disk and so the right to mount one: run it as root, or as \
             `unshare --user --map-root-user --mount COMMAND`: {mounted:?}"
        );
        Self(folder)
    }

    /// Takes all the room that is left.
    ///
    /// # Panics
    /// When it cannot be written to for another reason.
    pub fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).expect("there is room for a name");
        let mut size = 1024 * 1024;
        while size > 0 {
            match ballast.write_all(&vec![0; size]) {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(Errno::ENOSPC as i32) => size /= 2,
                Err(error) => panic!("the ballast cannot be written: {error}"),
            }
        }
    }

    /// Gives that room back.
    ///
    /// # Panics
    /// When it was not taken.
    pub fn free(&self) {
        fs::remove_file(self.0.join("ballast")).expect("it was filled");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is about to end may still have it open.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !std::thread::panicking() {
            assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
        }
    }
}

fn children(of: Pid) -> Vec<Pid> {
    let found = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    found.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

/// Whether it has ended, and nobody has asked how.
fn is_zombie(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}
