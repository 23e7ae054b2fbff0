//! Every setting with its value and where it came from, for `dms config`. The list is that of the flags themselves.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use serde::Serialize;

use super::{Flags, LogFormat, Settings, SettingsError, home_of, read_file};

/// A setting as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its flag without the dashes, which is also its line in `dms.toml`.
    pub setting: String,
    /// Its value; none: not set, and there is no default. A password is masked.
    pub value: Option<String>,
    /// Who says so: the flag, the variable, the file, or nobody.
    pub source: String,
}

/// Each setting of the subcommand that was parsed: `command` has its flags, `matches` what was given.
pub fn shown(command: &Command, matches: &ArgMatches, flags: &Flags) -> Result<Vec<Shown>, SettingsError> {
    let home = home_of(flags)?;
    let settings = Settings::complete(flags)?;
    let values = table(&Flags::from(&settings));
    let path = flags.config.clone().unwrap_or_else(|| home.join("dms.toml"));
    let of_file = table(&read_file(flags.config.as_deref(), &home)?);
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set()).filter_map(|argument| {
        let setting = argument.get_long()?.to_owned();
        let value = match setting.as_str() {
            "home" => Some(home.display().to_string()),
            "config" => Some(path.display().to_string()),
            _ => values.get(&setting).map(text),
        };
        // What is no setting, such as the form of this very output, has no variable.
        let variable = argument.get_env()?.to_string_lossy().into_owned();
        let source = match matches.value_source(argument.get_id().as_str()) {
            Some(ValueSource::CommandLine) => format!("--{setting}"),
            Some(ValueSource::EnvVariable) => variable,
            _ if of_file.contains_key(&setting) => path.display().to_string(),
            _ => "default".to_owned(),
        };
        let value = value.map(|value| if setting == "database-url" { masked(&value) } else { value });
        Some(Shown { setting, value, source })
    });
    Ok(shown.collect())
}

fn table(flags: &Flags) -> toml::Table {
    // Flags consist of texts, numbers and truths, which a table can always hold.
    toml::Table::try_from(flags).unwrap_or_default()
}

fn text(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// An address without its password, which may stand before the `@` or among the parameters.
fn masked(url: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, None), |(before, query)| (before, Some(query)));
    let before = match (before.find("://"), before.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            let user = before[scheme + 3..at].split(':').next().unwrap_or_default();
            let password = if before[scheme + 3..at].contains(':') { ":***" } else { "" };
            format!("{}{user}{password}{}", &before[..scheme + 3], &before[at..])
        }
        _ => before.to_owned(),
    };
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.eq_ignore_ascii_case("password") => format!("{name}=***"),
        _ => pair.to_owned(),
    };
    match query {
        Some(query) => format!("{before}?{}", query.split('&').map(hide).collect::<Vec<_>>().join("&")),
        None => before,
    }
}

impl From<&Settings> for Flags {
    /// Everything as if it had been given.
    fn from(settings: &Settings) -> Self {
        let times = &settings.times;
        Self {
            home: Some(settings.home.clone()),
            config: None,
            database_url: settings.database_url.clone(),
            migrate: Some(settings.migrate),
            postgres_bin: settings.postgres_bin.clone(),
            certs: settings.certs.clone(),
            wrappers: Some(settings.wrappers.clone()),
            listen: Some(settings.listen.address),
            listen_dmc: Some(settings.listen_dmc.address),
            listen_metrics: Some(settings.listen_metrics.address),
            project_name: Some(settings.project_name.clone()),
            base_domain: Some(settings.base_domain.clone()),
            namespace: Some(settings.namespace.clone()),
            max_runs: Some(settings.max_runs),
            max_checks: Some(settings.max_checks),
            max_questions: Some(settings.max_questions),
            status_timeout: Some(settings.status_timeout.into()),
            lease_ttl: Some(times.lease_ttl.into()),
            lease_renewal: Some(times.lease_renewal.into()),
            grace: Some(times.grace.into()),
            stop_grace: Some(times.stop_grace.into()),
            check_interval: Some(times.check_interval.into()),
            awaiting_interval: Some(times.awaiting_interval.into()),
            keep_output: Some(times.keep_output.into()),
            log: Some(match settings.log {
                LogFormat::Text => LogFormat::Text,
                LogFormat::Json => LogFormat::Json,
            }),
            log_filter: Some(settings.log_filter.clone()),
            allow_short_times: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("postgres://dm:s3cret@db:5432/dm", "postgres://dm:***@db:5432/dm"),
            ("postgres://dm:p@ss:w0rd@db/dm?sslmode=require", "postgres://dm:***@db/dm?sslmode=require"),
            ("postgres://dm@db/dm?password=s3cret&host=/run", "postgres://dm@db/dm?password=***&host=/run"),
            ("postgres:///dm", "postgres:///dm"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }
}
