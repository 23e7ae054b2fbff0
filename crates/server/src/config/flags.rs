//! Every setting by its names: the flag, the variable, the line of `dms.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::config::duration::Setting;

/// What was set, by flag or variable, or in the file; nothing is completed yet.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flags {
    /// The folder that holds everything of a local DM [default: `$XDG_STATE_HOME/dm`, else
    /// ~/.local/state/dm; as root /var/lib/dm]
    #[arg(long, env = "DM_HOME", value_name = "DIR")]
    #[serde(skip)]
    pub home: Option<PathBuf>,
    /// The file of settings [default: dms.toml in the home, if there is one]
    #[arg(long, env = "DM_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// The database, postgres://... [default: a private PostgreSQL in the home]
    #[arg(long, env = "DM_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Bring a given database to the schema of this dms at start [default: false; a private one always is]
    #[arg(long, env = "DM_MIGRATE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub migrate: Option<bool>,
    /// The folder of the private PostgreSQL's programs [default: one of this system, 15 or newer]
    #[arg(long, env = "DM_POSTGRES_BIN", value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
    /// The folder of certificates, as `dms certs` makes it [default: dms makes its own in the home]
    #[arg(long, env = "DM_CERTS", value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// The folder of wrappers [default: wrappers/local, which runs stagings as processes of this machine]
    #[arg(long, env = "DM_WRAPPERS", value_name = "DIR")]
    pub wrappers: Option<PathBuf>,
    /// Where the page listens [default: 127.0.0.1:8480]
    #[arg(long, env = "DM_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where dmc connects, by mutual TLS [default: 127.0.0.1:8443]
    #[arg(long, env = "DM_LISTEN_DMC", value_name = "ADDRESS")]
    pub listen_dmc: Option<SocketAddr>,
    /// Where probes and metrics are [default: 127.0.0.1:8490]
    #[arg(long, env = "DM_LISTEN_METRICS", value_name = "ADDRESS")]
    pub listen_metrics: Option<SocketAddr>,
    /// What wrappers are told as --project-name [default: dm]
    #[arg(long, env = "DM_PROJECT_NAME", value_name = "TEXT")]
    pub project_name: Option<String>,
    /// What wrappers are told as --base-domain [default: localhost]
    #[arg(long, env = "DM_BASE_DOMAIN", value_name = "TEXT")]
    pub base_domain: Option<String>,
    /// What wrappers are told as --namespace [default: dm]
    #[arg(long, env = "DM_NAMESPACE", value_name = "TEXT")]
    pub namespace: Option<String>,
    /// Most runs at once [default: 8]
    #[arg(long, env = "DM_MAX_RUNS", value_name = "N")]
    pub max_runs: Option<usize>,
    /// Most checks, and calls of info, at once [default: 16]
    #[arg(long, env = "DM_MAX_CHECKS", value_name = "N")]
    pub max_checks: Option<usize>,
    /// Most calls of defaults, `config_check` and tags at once [default: 8]
    #[arg(long, env = "DM_MAX_QUESTIONS", value_name = "N")]
    pub max_questions: Option<usize>,
    /// How long a check may take to pass after a run [default: 5m]
    #[arg(long, env = "DM_STATUS_TIMEOUT", value_name = "TIME")]
    pub status_timeout: Option<Setting>,
    /// How long a lease lives without renewal [default: 90s]
    #[arg(long, env = "DM_LEASE_TTL", value_name = "TIME")]
    pub lease_ttl: Option<Setting>,
    /// How often a lease is renewed [default: 5s]
    #[arg(long, env = "DM_LEASE_RENEWAL", value_name = "TIME")]
    pub lease_renewal: Option<Setting>,
    /// Between SIGTERM and SIGKILL of a wrapper [default: 1s]
    #[arg(long, env = "DM_GRACE", value_name = "TIME")]
    pub grace: Option<Setting>,
    /// How long a stopping dms waits for its runs [default: 10s]
    #[arg(long, env = "DM_STOP_GRACE", value_name = "TIME")]
    pub stop_grace: Option<Setting>,
    /// Between checks of a staging at rest [default: 30s]
    #[arg(long, env = "DM_CHECK_INTERVAL", value_name = "TIME")]
    pub check_interval: Option<Setting>,
    /// Between checks while a pass is awaited [default: 5s]
    #[arg(long, env = "DM_AWAITING_INTERVAL", value_name = "TIME")]
    pub awaiting_interval: Option<Setting>,
    /// How long the output of runs is kept [default: 90d]
    #[arg(long, env = "DM_KEEP_OUTPUT", value_name = "TIME")]
    pub keep_output: Option<Setting>,
    /// How logs are written to standard error [default: text]
    #[arg(long, env = "DM_LOG", value_name = "FORMAT")]
    pub log: Option<LogFormat>,
    /// Which logs are written [default: info,sqlx=warn]
    #[arg(long, env = "DM_LOG_FILTER", value_name = "FILTER")]
    pub log_filter: Option<String>,
    /// Lift the minima of all times, for tests
    #[arg(long, env = "DM_ALLOW_SHORT_TIMES", hide = true)]
    #[serde(skip)]
    pub allow_short_times: bool,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Flags {
    /// What is not set here, as the file has it.
    #[must_use]
    pub(super) fn or(&self, file: Self) -> Self {
        let own = self.clone();
        Self {
            home: own.home,
            config: own.config,
            database_url: own.database_url.or(file.database_url),
            migrate: own.migrate.or(file.migrate),
            postgres_bin: own.postgres_bin.or(file.postgres_bin),
            certs: own.certs.or(file.certs),
            wrappers: own.wrappers.or(file.wrappers),
            listen: own.listen.or(file.listen),
            listen_dmc: own.listen_dmc.or(file.listen_dmc),
            listen_metrics: own.listen_metrics.or(file.listen_metrics),
            project_name: own.project_name.or(file.project_name),
            base_domain: own.base_domain.or(file.base_domain),
            namespace: own.namespace.or(file.namespace),
            max_runs: own.max_runs.or(file.max_runs),
            max_checks: own.max_checks.or(file.max_checks),
            max_questions: own.max_questions.or(file.max_questions),
            status_timeout: own.status_timeout.or(file.status_timeout),
            lease_ttl: own.lease_ttl.or(file.lease_ttl),
            lease_renewal: own.lease_renewal.or(file.lease_renewal),
            grace: own.grace.or(file.grace),
            stop_grace: own.stop_grace.or(file.stop_grace),
            check_interval: own.check_interval.or(file.check_interval),
            awaiting_interval: own.awaiting_interval.or(file.awaiting_interval),
            keep_output: own.keep_output.or(file.keep_output),
            log: own.log.or(file.log),
            log_filter: own.log_filter.or(file.log_filter),
            allow_short_times: own.allow_short_times,
        }
    }
}
