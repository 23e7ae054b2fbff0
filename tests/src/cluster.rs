//! A PostgreSQL of a test's own, which can be stopped and started, as the one of an operator can.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};
use tempfile::TempDir;

/// A PostgreSQL with one empty database; stopped and removed with this value.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    user: Option<User>,
}

impl Cluster {
    /// Makes one and starts it.
    ///
    /// # Panics
    /// Without PostgreSQL's programs.
    pub fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let found = Command::new(root.join("script/lib/postgres-bin")).output().expect("the script is there");
        let programs = PathBuf::from(String::from_utf8(found.stdout).expect("a path").trim());
        let folder = tempfile::Builder::new().prefix("dm-pg-").tempdir_in("/var/tmp").expect("a folder");
        // PostgreSQL refuses to run as root.
        let user = geteuid().is_root().then(|| {
            let known = |name| User::from_name(name).expect("users can be looked up");
            known("postgres").or_else(|| known("nobody")).expect("an ordinary user")
        });
        if let Some(user) = &user {
            nix::unistd::chown(folder.path(), Some(user.uid), Some(user.gid)).expect("root gives folders away");
        }
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).expect("the folder is ours");
        let cluster = Self { folder, programs, user };
        cluster.run("initdb", &["-U", "dm", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]);
        cluster.again();
        cluster
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("postgres://dm@localhost/postgres?host={}", self.folder.path().display())
    }

    /// Starts it after a stop.
    ///
    /// # Panics
    /// When it does not start.
    pub fn again(&self) {
        let sockets = self.folder.path().display();
        let options = format!("-c listen_addresses='' -c unix_socket_directories={sockets} -c fsync=off");
        self.run("pg_ctl", &["-w", "-l", &format!("{sockets}/log"), "-o", &options, "start"]);
    }

    /// Stops it as a crash would: nothing is written, and every connection is cut.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn crash(&self) {
        self.run("pg_ctl", &["-w", "-m", "immediate", "stop"]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program, arguments).output().expect("it is installed");
        assert!(output.status.success(), "{program}: {output:?}");
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
        command.arg("-D").arg(self.folder.path().join("data")).args(arguments).current_dir("/");
        // The server keeps what it is handed, and a test would wait for its end.
        command.stdin(Stdio::null());
        if program == "pg_ctl" {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may be stopped already.
        let _ = self.command("pg_ctl", &["-w", "-m", "immediate", "stop"]).status();
    }
}
