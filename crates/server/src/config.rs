//! The settings of `dms`: flags, `DM_*` variables and `dms.toml`, in this order of precedence.
//!
//! Owns names, defaults and limits of all settings. It must not act on them.

mod duration;
mod flags;
mod shown;

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use flags::{Flags, LogFormat};
pub use shown::{Shown, shown};

use crate::local::home::{self, HomeError};

/// Which logs are written unless somebody says otherwise. That a database is slow or away is said by those who wait for it.
const LOG_FILTER: &str = "info,sqlx=warn,sqlx::pool::acquire=error";

/// What the operator has set, checked and complete.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Holds everything of a local DM.
    pub home: PathBuf,
    /// Which database; none: `dms` starts a private one.
    pub database_url: Option<String>,
    /// Whether to bring a given database to this build's schema at start; a private one always is.
    pub migrate: bool,
    /// The folder of PostgreSQL's programs; none: `dms` looks for it.
    pub postgres_bin: Option<PathBuf>,
    /// The folder of certificates; none: `dms` makes its own.
    pub certs: Option<PathBuf>,
    /// The folder of wrappers.
    pub wrappers: PathBuf,
    /// Where the page listens.
    pub listen: Listen,
    /// Where `dmc` connects, by mutual TLS.
    pub listen_dmc: Listen,
    /// Where probes and metrics are.
    pub listen_metrics: Listen,
    /// Handed to wrappers as `--project-name`.
    pub project_name: String,
    /// Handed to wrappers as `--base-domain`.
    pub base_domain: String,
    /// Handed to wrappers as `--namespace`.
    pub namespace: String,
    /// Most lifecycle wrappers that run at once.
    pub max_runs: usize,
    /// Most checks, and calls of `info`, at once.
    pub max_checks: usize,
    /// Most calls of `defaults`, `config_check` and `tags` at once; what finds no place waits, bounded.
    pub max_questions: usize,
    /// How long a pass of the check is awaited after a wrapper's exit 0.
    pub status_timeout: Duration,
    /// Times of the runner.
    pub times: Times,
    /// How logs are written.
    pub log: LogFormat,
    /// Which logs are written, as `tracing` filters them.
    pub log_filter: String,
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address; port 0 is any free one.
    pub address: SocketAddr,
    /// Whether somebody asked for it. One that is only the default gives way when it is taken.
    pub given: bool,
}

/// The times by which runs and checks go.
#[derive(Debug, Clone)]
pub struct Times {
    /// How long a lease lives without renewal (90 s).
    pub lease_ttl: Duration,
    /// How often it is renewed (5 s).
    pub lease_renewal: Duration,
    /// Between SIGTERM and SIGKILL (1 s).
    pub grace: Duration,
    /// How long a stopping `dms` waits for its runs (10 s).
    pub stop_grace: Duration,
    /// Between checks of a staging at rest (30 s).
    pub check_interval: Duration,
    /// Between checks while a pass is awaited, after the first at 0, 1, 2 and 5 s (5 s).
    pub awaiting_interval: Duration,
    /// How long the output of a run is kept, counted from its beginning (90 days).
    pub keep_output: Duration,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the settings in {path} cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file says something that is no setting.
    #[error("{path}: {message}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where, and what is wrong.
        message: String,
    },
    /// A time or number is beyond its limits.
    #[error("{name} is {value}; it must be {rule}")]
    Limit {
        /// The flag.
        name: &'static str,
        /// What was set.
        value: String,
        /// What is allowed.
        rule: String,
    },
    /// There is no folder of wrappers.
    #[error("no folder of wrappers was found beside {executable}; name one with --wrappers or DM_WRAPPERS")]
    NoWrappers {
        /// From where it was looked for.
        executable: PathBuf,
    },
    /// The folder of wrappers is none.
    #[error("--wrappers {0} is not a folder")]
    WrappersMissing(PathBuf),
    /// The home cannot be found.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Settings {
    /// Completes flags and variables by the file and the defaults, and checks the whole.
    pub fn complete(flags: &Flags) -> Result<Self, SettingsError> {
        let home = home_of(flags)?;
        let flags = flags.or(read_file(flags.config.as_deref(), &home)?);
        let listen = |given: Option<SocketAddr>, port: u16| Listen {
            address: given.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port))),
            given: given.is_some(),
        };
        let text = |given: Option<String>, default: &str| given.unwrap_or_else(|| default.to_owned());
        let settings = Self {
            wrappers: wrappers(flags.wrappers.clone())?,
            home,
            migrate: flags.migrate.unwrap_or(false),
            listen: listen(flags.listen, 8480),
            listen_dmc: listen(flags.listen_dmc, 8443),
            listen_metrics: listen(flags.listen_metrics, 8490),
            project_name: text(flags.project_name.clone(), "dm"),
            base_domain: text(flags.base_domain.clone(), "localhost"),
            namespace: text(flags.namespace.clone(), "dm"),
            max_runs: flags.max_runs.unwrap_or(8),
            max_checks: flags.max_checks.unwrap_or(16),
            max_questions: flags.max_questions.unwrap_or(8),
            status_timeout: flags.status_timeout.map_or(Duration::from_mins(5), Duration::from),
            times: times(&flags),
            log: flags.log.unwrap_or(LogFormat::Text),
            log_filter: text(flags.log_filter.clone(), LOG_FILTER),
            database_url: flags.database_url,
            postgres_bin: flags.postgres_bin,
            certs: flags.certs,
        };
        settings.check(flags.allow_short_times)?;
        Ok(settings)
    }

    fn check(&self, allow_short: bool) -> Result<(), SettingsError> {
        let seconds = Duration::from_secs;
        let limits = [
            ("status-timeout", self.status_timeout, seconds(30), seconds(2 * 3600)),
            ("lease-ttl", self.times.lease_ttl, seconds(30), seconds(600)),
            ("lease-renewal", self.times.lease_renewal, seconds(1), seconds(60)),
            ("grace", self.times.grace, seconds(1), seconds(300)),
            ("stop-grace", self.times.stop_grace, seconds(0), seconds(600)),
            ("check-interval", self.times.check_interval, seconds(5), seconds(3600)),
            ("awaiting-interval", self.times.awaiting_interval, seconds(1), seconds(300)),
            ("keep-output", self.times.keep_output, seconds(3600), Duration::from_hours(3650 * 24)),
        ];
        for (name, value, least, most) in limits {
            let least = if allow_short { Duration::from_millis(1) } else { least };
            let zero = value.is_zero() && least.is_zero();
            if !zero && !(least..=most).contains(&value) {
                let rule = format!("{} to {}", duration::show(least), duration::show(most));
                return Err(SettingsError::Limit { name, value: duration::show(value), rule });
            }
        }
        for (name, value) in
            [("max-runs", self.max_runs), ("max-checks", self.max_checks), ("max-questions", self.max_questions)]
        {
            if !(1..=256).contains(&value) {
                return Err(SettingsError::Limit { name, value: value.to_string(), rule: "1 to 256".to_owned() });
            }
        }
        self.times.agree()
    }
}

impl Times {
    /// Whether each run can be stopped before its lease expires: SIGTERM, grace, SIGKILL have to fit between the last
    /// renewal that may be missed and the end of the lease.
    fn agree(&self) -> Result<(), SettingsError> {
        for (name, value, parts, part) in
            [("lease-renewal", self.lease_renewal, 4, "a quarter"), ("grace", self.grace, 3, "a third")]
        {
            if value * parts > self.lease_ttl {
                let rule = format!("at most {part} of lease-ttl, which is {}", duration::show(self.lease_ttl));
                return Err(SettingsError::Limit { name, value: duration::show(value), rule });
            }
        }
        Ok(())
    }
}

/// The given database, if there is one.
pub fn database_url(flags: &Flags) -> Result<Option<String>, SettingsError> {
    let home = home_of(flags)?;
    Ok(flags.or(read_file(flags.config.as_deref(), &home)?).database_url)
}

/// `DM_HOME`, from the flags or the default; the file cannot say it, because it lies there.
fn home_of(flags: &Flags) -> Result<PathBuf, HomeError> {
    let home = flags.home.clone().map_or_else(home::default_path, Ok)?;
    if home.is_absolute() { Ok(home) } else { Err(HomeError::Relative(home)) }
}

fn times(flags: &Flags) -> Times {
    let time = |given: Option<duration::Setting>, default| given.map_or(default, Duration::from);
    Times {
        lease_ttl: time(flags.lease_ttl, Duration::from_secs(90)),
        lease_renewal: time(flags.lease_renewal, Duration::from_secs(5)),
        grace: time(flags.grace, Duration::from_secs(1)),
        stop_grace: time(flags.stop_grace, Duration::from_secs(10)),
        check_interval: time(flags.check_interval, Duration::from_secs(30)),
        awaiting_interval: time(flags.awaiting_interval, Duration::from_secs(5)),
        keep_output: time(flags.keep_output, Duration::from_hours(90 * 24)),
    }
}

/// The file that is named, which must be there, or the one in the home, which need not.
fn read_file(named: Option<&Path>, home: &Path) -> Result<Flags, SettingsError> {
    let path = named.map_or_else(|| home.join("dms.toml"), Path::to_owned);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => return Ok(Flags::default()),
        Err(source) => return Err(SettingsError::Read { path, source }),
    };
    toml::from_str(&text)
        .map_err(|error| SettingsError::Parse { path, message: error.to_string().trim_end().to_owned() })
}

/// The folder that is named; else the installed one; else the one of the repository that the executable was built in.
fn wrappers(given: Option<PathBuf>) -> Result<PathBuf, SettingsError> {
    if let Some(folder) = given {
        return match std::fs::canonicalize(&folder) {
            Ok(folder) if folder.is_dir() => Ok(folder),
            Ok(_) | Err(_) => Err(SettingsError::WrappersMissing(folder)),
        };
    }
    let executable = env::current_exe().unwrap_or_default();
    let installed = executable.ancestors().nth(2).map(|prefix| prefix.join("share/dm/wrappers/local"));
    let built = executable.ancestors().skip(1).map(|above| above.join("wrappers/local"));
    let found = installed.into_iter().chain(built).find(|folder| folder.is_dir());
    found.ok_or(SettingsError::NoWrappers { executable })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the settings with these lines of `dms.toml` are refused for; empty if they are not.
    fn refused(lines: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("dms.toml"), lines).expect("written");
        let (home, wrappers) = (Some(folder.path().to_owned()), Some(folder.path().to_owned()));
        let settings = Settings::complete(&Flags { home, wrappers, ..Flags::default() });
        settings.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_defaults_are_within_their_own_limits() {
        assert_eq!(refused(""), "");
    }

    #[test]
    fn a_lease_leaves_time_to_renew_it_and_to_end_a_wrapper_before_it_expires() {
        assert_eq!(refused("lease-ttl = '40s'\nlease-renewal = '10s'\ngrace = '13s'"), "");
        let renewal = refused("lease-ttl = '40s'\nlease-renewal = '11s'");
        assert_eq!(renewal, "lease-renewal is 11s; it must be at most a quarter of lease-ttl, which is 40s");
        let grace = refused("lease-ttl = '40s'\ngrace = '14s'");
        assert_eq!(grace, "grace is 14s; it must be at most a third of lease-ttl, which is 40s");
    }

    #[test]
    fn what_is_beyond_its_limits_or_unknown_is_named() {
        assert_eq!(refused("max-runs = 0"), "max-runs is 0; it must be 1 to 256");
        assert_eq!(refused("check-interval = '4s'"), "check-interval is 4s; it must be 5s to 1h");
        assert!(refused("max-run = 3").contains("unknown field `max-run`"), "{}", refused("max-run = 3"));
    }
}
