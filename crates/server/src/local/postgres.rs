//! A private PostgreSQL for a `dms` without a database of its own.
//!
//! Owns `DM_HOME/postgres`. The server listens on a unix socket in a folder that only its user may enter, runs as an
//! unprivileged user also when `dms` is root, ends with `dms`, and is started again when it crashes.

mod programs;
mod supervisor;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Uid, User, geteuid};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::{sleep, timeout};

use crate::local::home::{self, Home, HomeError};
use programs::Programs;
use supervisor::{Plan, Supervisor};

/// The superuser of the cluster, and its database.
const NAME: &str = "dm";

/// The port, which is only a part of the socket's name.
const PORT: u16 = 5432;

/// The longest name of a file in the folder of sockets.
const LONGEST_SOCKET: &str = ".s.PGSQL.5432.lock";

/// How long it may take until it answers; recovery after a crash of the machine is part of that.
const START: Duration = Duration::from_mins(1);

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Between attempts to connect.
const PAUSE: Duration = Duration::from_millis(20);

/// How much of the end of the log explains a failure.
const LOG_TAIL: usize = 2000;

/// Why there is no private PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// It is not installed.
    #[error(
        "no PostgreSQL {oldest} or newer was found; install it (apt-get install postgresql, or dnf install \
         postgresql-server), name the folder of its programs with --postgres-bin, or give --database-url",
        oldest = programs::OLDEST
    )]
    NotFound,
    /// The given folder is not one of PostgreSQL's programs.
    #[error("--postgres-bin {folder}: there is no initdb and postgres")]
    NotThere {
        /// The folder.
        folder: PathBuf,
    },
    /// The database was made by a version that is not there.
    #[error("the private database was made by PostgreSQL {made_by}, which is not here (found: {found:?}); install it")]
    OtherVersion {
        /// The version that made it.
        made_by: u32,
        /// The versions that were found.
        found: Vec<u32>,
    },
    /// Root has no unprivileged user to give it to.
    #[error("PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody")]
    NoUser,
    /// Its user cannot reach its folder.
    #[error("PostgreSQL runs as {user}, which may not enter {folder}; choose a DM_HOME elsewhere, as below /var/lib")]
    Unreachable {
        /// Its user.
        user: String,
        /// The folder that is closed.
        folder: PathBuf,
    },
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A file or program could not be used.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// Which one.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// It ended instead of answering.
    #[error("PostgreSQL did not start: {log}")]
    Ended {
        /// The end of its log.
        log: String,
    },
    /// It did not answer in time.
    #[error("PostgreSQL did not answer within {} s", START.as_secs())]
    Silent(#[source] Option<sqlx::Error>),
}

/// A private PostgreSQL, running.
#[derive(Debug)]
pub struct Postgres {
    supervisor: Supervisor,
    options: PgConnectOptions,
    /// The folder of its sockets, where that is not in the home.
    elsewhere: Option<PathBuf>,
}

impl Postgres {
    /// Starts it; makes its database first if there is none, and stops what an earlier `dms` has left running. `given`
    /// is the folder of its programs, if somebody said. `tell` hears what takes time.
    pub async fn start(home: &Home, given: Option<&Path>, tell: impl Fn(&str)) -> Result<Self, PostgresError> {
        let user = user()?;
        let folder = home.path().join("postgres");
        let owner = user.as_ref().map_or_else(geteuid, |user| user.uid);
        home::private_folder(&folder, owner)?;
        if let Some(user) = &user {
            reachable(&folder, user)?;
        }
        let sockets = home.sockets("postgres", LONGEST_SOCKET, owner)?;
        let data = folder.join("data");
        let programs = Programs::find(given, made_by(&data)?)?;
        let account = user.map(|user| (user.uid, user.gid));
        if !data.exists() {
            tell("making a private database");
            initialise(&programs, account, &folder)?;
        }
        tell("starting PostgreSQL");
        let plan = Plan {
            program: programs.path("postgres"),
            account,
            data,
            log: folder.join("log"),
            sockets: sockets.clone(),
        };
        let supervisor = Supervisor::start(plan)?;
        let options = options(&sockets);
        match answers(&supervisor, &options, &folder.join("log")).await {
            Ok(()) => {
                let elsewhere = Some(sockets).filter(|sockets| !sockets.starts_with(home.path()));
                Ok(Self { supervisor, options, elsewhere })
            }
            Err(error) => {
                supervisor.stop().await;
                Err(error)
            }
        }
    }

    /// How to connect to it.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Ends it, within a bound.
    pub async fn stop(&self) {
        self.supervisor.stop().await;
        if let Some(folder) = &self.elsewhere {
            // One that is not empty belongs to a server that has not ended; the next start ends it.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// How to connect to the one of a home that another `dms` holds.
pub fn of(home: &Path) -> PgConnectOptions {
    options(&home::socket_folder(home, "postgres", LONGEST_SOCKET))
}

/// Ends a server that a `dms` of this home has left running. Whoever calls holds the home's lock.
pub fn end_leftover(home: &Path) -> io::Result<()> {
    supervisor::end_leftover(&home.join("postgres").join("data"))?;
    // It lies below `/tmp` when the home's path is long; it may not be there at all.
    let _empty = fs::remove_dir(home::socket_folder(home, "postgres", LONGEST_SOCKET));
    Ok(())
}

fn options(sockets: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(sockets)
        .port(PORT)
        .username(NAME)
        .database(NAME)
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging()
}

/// Whom it runs as: nobody else unless this is root, which it refuses.
fn user() -> Result<Option<User>, PostgresError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let known = |name| User::from_name(name).ok().flatten();
    known("postgres").or_else(|| known("nobody")).map(Some).ok_or(PostgresError::NoUser)
}

/// Every folder above must let the user pass.
fn reachable(folder: &Path, user: &User) -> Result<(), PostgresError> {
    for above in folder.ancestors().skip(1) {
        let found = fs::metadata(above).map_err(io_error(&format!("{} cannot be looked at", above.display())))?;
        let bit = if found.uid() == user.uid.as_raw() {
            0o100
        } else if found.gid() == user.gid.as_raw() {
            0o010
        } else {
            0o001
        };
        if found.mode() & bit == 0 {
            return Err(PostgresError::Unreachable { user: user.name.clone(), folder: above.to_owned() });
        }
    }
    Ok(())
}

/// The version that made the database, if there is one.
fn made_by(data: &Path) -> Result<Option<u32>, PostgresError> {
    let file = data.join("PG_VERSION");
    match fs::read_to_string(&file) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(&format!("{} cannot be read", file.display()))(error)),
    }
}

/// Made beside its place and renamed, so that a start that is cut short leaves nothing that looks finished.
fn initialise(programs: &Programs, account: Option<(Uid, Gid)>, folder: &Path) -> Result<(), PostgresError> {
    let fresh = folder.join("data.new");
    match fs::remove_dir_all(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error(&format!("{} cannot be removed", fresh.display()))(error)),
    }
    let mut initdb = Command::new(programs.path("initdb"));
    initdb.arg("-D").arg(&fresh).args(["-U", NAME, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions"]);
    run("initdb", initdb, account, "")?;
    let mut single = Command::new(programs.path("postgres"));
    single.args(["--single", "-D"]).arg(&fresh).arg("postgres");
    run("postgres --single", single, account, &format!("CREATE DATABASE {NAME}\n"))?;
    fs::rename(&fresh, folder.join("data")).map_err(io_error("the new database cannot be renamed"))
}

fn run(
    program: &'static str,
    mut command: Command,
    account: Option<(Uid, Gid)>,
    input: &str,
) -> Result<(), PostgresError> {
    if let Some((uid, gid)) = account {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    let failed = || io_error(&format!("{program} cannot be started"));
    let mut child = clean(&mut command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed())?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(failed())?;
    }
    let output = child.wait_with_output().map_err(failed())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(PostgresError::Failed { program, status: output.status, output: tail(&text) })
}

/// The `PG*` variables of whoever started `dms` are about another server.
fn clean(command: &mut Command) -> &mut Command {
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C").current_dir("/")
}

/// Waits until it answers, or has ended.
async fn answers(supervisor: &Supervisor, options: &PgConnectOptions, log: &Path) -> Result<(), PostgresError> {
    let deadline = Instant::now() + START;
    loop {
        let error = match timeout(CONNECT, PgConnection::connect_with(options)).await {
            Ok(Ok(connection)) => {
                // It has answered; how the connection ends tells nothing more.
                let _ = connection.close().await;
                return Ok(());
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        if supervisor.has_ended() {
            return Err(PostgresError::Ended { log: tail(&fs::read_to_string(log).unwrap_or_default()) });
        }
        if Instant::now() > deadline {
            return Err(PostgresError::Silent(error));
        }
        sleep(PAUSE).await;
    }
}

fn tail(text: &str) -> String {
    let text = text.trim();
    let start = text.len().saturating_sub(LOG_TAIL);
    text.char_indices().find(|(at, _)| *at >= start).map_or("", |(at, _)| &text[at..]).to_owned()
}

fn io_error(what: &str) -> impl FnOnce(io::Error) -> PostgresError + use<> {
    let what = what.to_owned();
    move |source| PostgresError::Io { what, source }
}
