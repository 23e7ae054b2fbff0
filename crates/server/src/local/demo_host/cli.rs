//! The command line of `dms demo-host`: what wrappers call, and people who want to see behind the demo.
//!
//! Exit codes: 0 done, 1 refused or failed, 4 the host does not answer, 64 wrong arguments.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use dm_domain::ids::{StagingName, Tag};
use dm_domain::overrides::Levels;
use serde_json::value::RawValue;

use super::super::home::{HomeError, default_path};
use super::wire::{self, LINE_MAX, Reply, Report, Request, Settings, Work};
use super::{ensure, host, serve, socket_of};

/// Keeps the stagings of `wrappers/local` as processes of this machine.
#[derive(Debug, Parser)]
#[command(name = "dms demo-host", bin_name = "dms demo-host")]
struct Cli {
    /// The folder that holds everything of a local DM [default: as for `dms serve`].
    #[arg(long, env = "DM_HOME", hide_env_values = true, global = true)]
    home: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Be the host; `dms serve` starts it.
    Run,
    /// Start a staging in place of a running one; without a tag: one whose process has ended, as it was.
    Start(Start),
    /// End a staging's process and keep its files.
    Stop { name: StagingName },
    /// End a staging's process and remove its files.
    Remove { name: StagingName },
    /// Say what is true of a staging, after asking it over HTTP.
    Status { name: StagingName },
    /// Say what is true of all.
    List,
    /// Be the process of a staging; the host starts it.
    #[command(hide = true)]
    ServeStaging {
        folder: PathBuf,
        #[arg(long)]
        port: Option<u16>,
    },
}

#[derive(Debug, Args)]
struct Start {
    name: StagingName,
    /// The version of the product.
    #[arg(long)]
    tag: Option<Tag>,
    /// A JSON file with the values of the app level.
    #[arg(long, value_name = "FILE", requires = "tag")]
    app_values: Option<PathBuf>,
    /// A JSON file with the values of the staging level.
    #[arg(long, value_name = "FILE", requires = "tag")]
    staging_values: Option<PathBuf>,
    /// A key of the app level to show.
    #[arg(long, value_name = "KEY=VALUE", requires = "tag", allow_hyphen_values = true)]
    app_override: Vec<String>,
    /// A key of the staging level to show.
    #[arg(long, value_name = "KEY=VALUE", requires = "tag", allow_hyphen_values = true)]
    staging_override: Vec<String>,
}

/// Why the command has not done what it was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Refused(String),
    #[error("the demo host does not answer ({0}); `dms serve` keeps it where wrappers.toml says demo_host = true")]
    Away(#[source] io::Error),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// `dms demo-host ARGS`, given `ARGS`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = std::iter::once("dms demo-host".into()).chain(args);
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _nowhere_to_say = error.print();
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let Err(failure) = act(cli) else { return ExitCode::SUCCESS };
    let _nowhere_to_say = writeln!(io::stderr(), "{failure}");
    match failure {
        Failure::Away(_) => ExitCode::from(4),
        Failure::Refused(_) | Failure::Home(_) | Failure::Io(_) => ExitCode::FAILURE,
    }
}

fn act(cli: Cli) -> Result<(), Failure> {
    if let Action::ServeStaging { folder, port } = cli.action {
        return Ok(serve::run(folder, port)?);
    }
    let home = match cli.home {
        Some(home) => std::path::absolute(home)?,
        None => default_path()?,
    };
    let socket = socket_of(&home);
    let (name, work) = match cli.action {
        Action::ServeStaging { .. } | Action::Run => return Ok(host::run(&home, &socket)?),
        Action::List => return call(&socket, &Request::List),
        Action::Start(start) => {
            if start.tag.is_none() {
                // For people, who may have no `dms` running.
                ensure(&home)?;
            }
            start.work()?
        }
        Action::Stop { name } => (name, Work::Stop),
        Action::Remove { name } => (name, Work::Remove),
        Action::Status { name } => (name, Work::Status),
    };
    call(&socket, &Request::Staging { name, work })
}

fn call(socket: &Path, request: &Request) -> Result<(), Failure> {
    match wire::call(socket, request).map_err(Failure::Away)? {
        Reply::Staging(report) => print(&report.lines())?,
        Reply::Stagings(reports) => print(&table(&reports))?,
        Reply::Refused(why) => return Err(Failure::Refused(why)),
        Reply::Pong => {}
    }
    Ok(())
}

impl Start {
    fn work(self) -> io::Result<(StagingName, Work)> {
        let Some(tag) = self.tag else { return Ok((self.name, Work::StartAgain)) };
        let overrides = Levels { app: pairs(self.app_override)?, staging: pairs(self.staging_override)? };
        let values =
            Levels { app: values(self.app_values.as_deref())?, staging: values(self.staging_values.as_deref())? };
        Ok((self.name, Work::Start(Settings { tag, overrides, values })))
    }
}

fn pairs(given: Vec<String>) -> io::Result<BTreeMap<String, String>> {
    let pair = |text: String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{text}` is not KEY=VALUE"))),
    };
    given.into_iter().map(pair).collect()
}

fn values(file: Option<&Path>) -> io::Result<Box<RawValue>> {
    let mut text = "{}".to_owned();
    if let Some(path) = file {
        let named = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
        text.clear();
        File::open(path)
            .and_then(|file| file.take(LINE_MAX).read_to_string(&mut text))
            .map_err(|error| named(&error))?;
        // A line break between two values would end the request too early.
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|error| named(&error))?;
        drop(object);
        text = one_line(&text);
    }
    Ok(RawValue::from_string(text)?)
}

/// The same JSON without line breaks, which can only stand between its values.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

impl Report {
    /// One fact per line, `key: value`.
    fn lines(&self) -> String {
        let mut lines = format!("name: {}\nstate: {}\n", self.name, self.state.word());
        let facts = [
            ("url", self.url.clone()),
            ("tag", self.tag.as_ref().map(Tag::to_string)),
            ("visits", self.visits.map(|visits| visits.to_string())),
            ("pid", self.pid.map(|pid| pid.to_string())),
            ("cause", self.cause.as_deref().map(one_line)),
        ];
        for (key, value) in facts {
            if let Some(value) = value {
                lines.extend([key, ": ", &value, "\n"]);
            }
        }
        lines
    }
}

fn table(reports: &[Report]) -> String {
    let row = |name: &str, state: &str, tag: &str, visits: &str, url: &str| {
        format!("{name:<24} {state:<8} {tag:<20} {visits:>8}  {url}").trim_end().to_owned() + "\n"
    };
    let head = row("NAME", "STATE", "TAG", "VISITS", "URL");
    let rows = reports.iter().map(|report| {
        row(
            report.name.as_str(),
            report.state.word(),
            report.tag.as_ref().map_or("", Tag::as_str),
            &report.visits.unwrap_or_default().to_string(),
            report.url.as_deref().unwrap_or_default(),
        )
    });
    std::iter::once(head).chain(rows).collect()
}

fn print(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}
