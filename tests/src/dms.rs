//! A real `dms serve` for one test, with its own home, ports and wrappers.
//!
//! Dropped, it is stopped, and must then have left nothing running. Everything here blocks, with deadlines.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;

use crate::eventually::eventually_blocking;
use crate::postgres::Database;
use crate::processes;
use crate::tls;

/// From the call to the ready lines: a new private PostgreSQL on a busy machine included.
const START: Duration = Duration::from_secs(90);

/// An orderly stop, and the end of everything that belongs to a home.
const STOP: Duration = Duration::from_secs(40);

/// The verbs that a folder of wrappers must have.
const VERBS: [&str; 6] = ["create", "update", "delete", "cleanup", "check", "archive_check"];

/// The `dms` of this build: beside the program that asks, or a folder above it where that is a test.
pub fn executable() -> PathBuf {
    let mut folder = std::env::current_exe().expect("a program knows where it is");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder.join("dms")
}

/// What a `dms` is started with.
#[derive(Debug)]
pub struct Setup {
    folder: TempDir,
    home: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    user: Option<User>,
    wrappers: bool,
}

impl Setup {
    /// An empty home, free ports, wrappers that do nothing and succeed, and a private PostgreSQL.
    pub fn new() -> Self {
        // Not below a folder of root alone: the private PostgreSQL runs as another user.
        let folder =
            tempfile::Builder::new().prefix("dm-test-").tempdir_in("/var/tmp").expect("a folder below /var/tmp");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).expect("the folder is ours");
        let home = folder.path().join("home");
        let arguments =
            ["--listen", "--listen-dmc", "--listen-metrics"].map(|flag| format!("{flag}=127.0.0.1:0")).into();
        Self { folder, home, arguments, variables: Vec::new(), user: None, wrappers: false }
    }

    /// Where its home will be.
    pub fn home_path(&self) -> &Path {
        &self.home
    }

    /// Another home.
    #[must_use]
    pub fn home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = home.into();
        self
    }

    /// One more argument of `dms serve`, as `--flag=value`; takes the place of one with the same flag.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        let argument = argument.into();
        let flag = |argument: &str| argument.split('=').next().map(str::to_owned);
        self.arguments.retain(|other| flag(other) != flag(&argument));
        self.arguments.push(argument);
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A database, made by [`Database::empty`], instead of a private one.
    #[must_use]
    pub fn database(self, database: &Database) -> Self {
        self.database_url(&database.url())
    }

    /// A database elsewhere instead of a private one.
    #[must_use]
    pub fn database_url(self, url: &str) -> Self {
        self.argument(format!("--database-url={url}")).argument("--migrate")
    }

    /// A folder of wrappers.
    #[must_use]
    pub fn wrappers(mut self, folder: &Path) -> Self {
        self.wrappers = true;
        self.argument(format!("--wrappers={}", folder.display()))
    }

    /// As `nobody` where the tests run as root; as whoever runs them elsewhere.
    #[must_use]
    pub fn ordinary_user(mut self) -> Self {
        if geteuid().is_root() {
            let user = User::from_name("nobody").expect("users can be looked up").expect("there is a user nobody");
            let own = self.folder.path().join("user");
            fs::create_dir(&own).expect("the folder is ours");
            nix::unistd::chown(&own, Some(user.uid), Some(user.gid)).expect("root gives folders away");
            self.home = own.join("home");
            self.user = Some(user);
        }
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(mut self) -> Dms {
        self.complete();
        let (child, lines) = self.spawn();
        let mut dms = Dms { setup: self, child: Some(child), page: None, dmc: None, metrics: None };
        dms.become_ready(&lines);
        dms
    }

    /// Starts it in the expectation that it ends by itself with an error.
    ///
    /// # Panics
    /// When it does not end.
    pub fn fail(mut self) -> Output {
        self.complete();
        let output = self.command().output().expect("dms can be started");
        assert!(!output.status.success(), "dms was to fail, and ended well");
        eventually_blocking("everything of the home has ended", STOP, || {
            processes::of(&self.home).is_empty().then_some(())
        });
        output
    }

    fn complete(&mut self) {
        if !self.wrappers {
            let folder = self.folder.path().join("wrappers");
            fs::create_dir_all(&folder).expect("the folder is ours");
            for verb in VERBS {
                executable_file(&folder.join(verb), b"#!/bin/sh\nexit 0\n");
            }
            fs::write(folder.join("wrappers.toml"), "contract = 1\n").expect("the folder is ours");
            self.arguments.push(format!("--wrappers={}", folder.display()));
            self.wrappers = true;
        }
    }

    fn command(&self) -> Command {
        let mut command = match &self.user {
            None => Command::new(executable()),
            Some(user) => {
                // The build may lie where an ordinary user of this machine cannot go.
                let copy = self.folder.path().join("dms");
                if !copy.exists() {
                    fs::copy(executable(), &copy).expect("dms was built");
                }
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={}", user.uid))
                    .arg(format!("--regid={}", user.gid))
                    .args(["--clear-groups", "--"])
                    .arg(copy);
                command
            }
        };
        command.arg("serve").arg("--home").arg(&self.home).args(&self.arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(self.variables.iter().cloned()).current_dir("/");
        command.stdin(Stdio::null());
        command
    }

    fn spawn(&self) -> (Child, mpsc::Receiver<String>) {
        let log = File::options().append(true).create(true).open(self.log()).expect("the folder is ours");
        let mut child = self.command().stdout(Stdio::piped()).stderr(log).spawn().expect("dms was built");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        (child, lines)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("dms.log")
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a program.
///
/// # Panics
/// When the file cannot be written.
pub fn executable_file(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("the folder is ours");
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("the file is ours");
}

/// A `dms` that was started.
#[derive(Debug)]
pub struct Dms {
    setup: Setup,
    child: Option<Child>,
    page: Option<SocketAddr>,
    dmc: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
}

impl Dms {
    /// Its home.
    pub fn home(&self) -> &Path {
        &self.setup.home
    }

    /// A folder for the test's own files, which goes with this value.
    pub fn folder(&self) -> &Path {
        self.setup.folder.path()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("dms runs");
        Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
    }

    /// Where its page is.
    ///
    /// # Panics
    /// Before it was ready.
    pub fn page(&self) -> SocketAddr {
        self.page.expect("dms was ready")
    }

    /// Where `dmc` connects.
    ///
    /// # Panics
    /// Before it was ready.
    pub fn dmc(&self) -> SocketAddr {
        self.dmc.expect("dms was ready")
    }

    /// Where probes and metrics are.
    ///
    /// # Panics
    /// Before it was ready.
    pub fn metrics(&self) -> SocketAddr {
        self.metrics.expect("dms was ready")
    }

    /// A path of the listener for `dmc`, as [`Dms::client`] reaches it.
    pub fn url(&self, path: &str) -> String {
        format!("https://dms.dm:{}{path}", self.dmc().port())
    }

    /// A client with the certificate of its home.
    ///
    /// # Panics
    /// When there is none.
    pub fn client(&self) -> reqwest::Client {
        let settings = fs::read_to_string(self.home().join("dmc.toml")).expect("dms writes dmc.toml");
        let settings: toml::Table = settings.parse().expect("dmc.toml is TOML");
        let path = |key: &str| PathBuf::from(settings[key].as_str().expect("a path"));
        tls::client(&path("ca"), Some((&path("cert"), &path("key"))), self.dmc())
    }

    /// What it has logged.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn log(&self) -> String {
        fs::read_to_string(self.setup.log()).expect("dms logs into a file")
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.end(Signal::SIGTERM)
    }

    /// Kills it: it can do nothing more.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) -> ExitStatus {
        self.end(Signal::SIGKILL)
    }

    /// Stops its clock: it does nothing, and nobody is told.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).expect("dms runs");
    }

    /// Lets it go on after [`Dms::freeze`].
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).expect("dms runs");
    }

    /// Whether it was started and not yet waited for.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it again, as it was started before.
    ///
    /// # Panics
    /// When it runs, or does not become ready.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "dms still runs");
        let (child, lines) = self.setup.spawn();
        self.child = Some(child);
        self.become_ready(&lines);
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        kill(self.pid(), signal).expect("dms runs");
        let mut child = self.child.take().expect("dms runs");
        eventually_blocking("dms ends", STOP, || child.try_wait().expect("it is a child of this process"))
    }

    fn become_ready(&mut self, lines: &mpsc::Receiver<String>) {
        let mut ready = false;
        loop {
            let Ok(line) = lines.recv_timeout(START) else {
                panic!("dms did not become ready:\n{}", self.log());
            };
            let mut words = line.split_whitespace();
            let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let address = || value.rsplit('/').next().and_then(|address| address.parse().ok());
            match name {
                "dms" => ready = line.ends_with("is ready"),
                "page" => self.page = address(),
                "dmc" => self.dmc = address(),
                "metrics" => self.metrics = address(),
                "home" => {
                    assert!(ready && value == self.home().display().to_string(), "a strange last line: {line}");
                    return;
                }
                _ => panic!("a strange line: {line}"),
            }
        }
    }
}

impl Drop for Dms {
    fn drop(&mut self) {
        let home = self.setup.home.clone();
        if std::thread::panicking() {
            eprintln!("--- log of dms ---\n{}", fs::read_to_string(self.setup.log()).unwrap_or_default());
            if let Some(mut child) = self.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
            processes::of(&home).iter().for_each(processes::Process::kill);
            return;
        }
        if self.child.is_some() {
            self.terminate();
        }
        eventually_blocking("everything of the home has ended", STOP, || {
            let left = processes::of(&home);
            left.is_empty().then_some(())
        });
    }
}
