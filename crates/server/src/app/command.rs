//! The command line of `dms`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr as _;

use anyhow::Context as _;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use sqlx::postgres::PgConnectOptions;
use tokio::runtime::{Builder, Runtime};

use crate::access::certificates::Folder;
use crate::access::identity::{Identity, Role};
use crate::app::operate;
use crate::app::serve::{self, Ended};
use crate::config::{self, Flags, Settings};
use crate::db::migrate;
use crate::local::detached::Detached;
use crate::telemetry;

/// The exit code of a program that a second signal has cut short.
pub(super) const INTERRUPTED: u8 = 130;

/// The server of DM (Deploy Manager)
#[derive(Debug, Parser)]
#[command(name = "dms", version, about, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Be the server, in the foreground
    #[command(after_help = SETTINGS)]
    Serve(Box<Flags>),
    /// Bring the database at --database-url to the schema of this dms
    #[command(after_help = SETTINGS)]
    Migrate(Box<Flags>),
    /// Show each setting, its value, and where it comes from
    #[command(after_help = SETTINGS)]
    Config {
        #[command(flatten)]
        flags: Box<Flags>,
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Make read models anew from the log; people read the old ones until the new ones are complete
    #[command(after_help = SETTINGS)]
    Rebuild {
        #[command(flatten)]
        flags: Box<Flags>,
        /// Which: stagings, runs, audit [default: all]
        #[arg(value_name = "READ MODEL")]
        names: Vec<String>,
    },
    /// Look after the home of a local DM
    #[command(subcommand)]
    Home(OfHome),
    /// Make an authority, the server's certificate, and those of clients
    Certs(Certs),
    #[command(hide = true)]
    RunDetached(Detached),
}

#[derive(Debug, Subcommand)]
enum OfHome {
    /// Remove it with everything in it: the private database with all history, certificates, demo stagings
    Purge {
        /// Which [default: `$XDG_STATE_HOME/dm`, else ~/.local/state/dm; as root /var/lib/dm]
        #[arg(long, env = "DM_HOME", value_name = "DIR")]
        home: Option<PathBuf>,
        /// Ask nothing
        #[arg(short, long)]
        yes: bool,
    },
}

const SETTINGS: &str = "\
Each setting but --home and --config can also be a line of dms.toml, named like its flag: check-interval = \"1m\". \
A flag wins over a variable, and a variable over the file.

TIME is a whole number and its unit, as in 500ms, 30s, 5m or 2h. ADDRESS is IP:PORT; port 0 is any free one.

A default port that is taken is replaced by a free one. The real addresses stand in dmc.toml in the home, where dmc \
finds them, and in the first lines that `dms serve` prints.";

#[derive(Debug, Args)]
struct Certs {
    /// The folder to write to; what is in it is replaced
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A `ca.crt` whose first authority stays trusted
    #[arg(long, value_name = "CA")]
    previous: Option<PathBuf>,
    /// A client to make a certificate for, as ROLE/NAME; repeatable [default: user/build user/cleanup]
    #[arg(long, value_name = "ROLE/NAME")]
    client: Vec<Identity>,
}

pub(super) fn main() -> ExitCode {
    let command = Cli::command();
    let matches = command.clone().get_matches();
    let verb = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).verb;
    let done = match verb {
        Verb::Serve(flags) => serve(&flags),
        Verb::Migrate(flags) => migrate(&flags).map(|()| ExitCode::SUCCESS),
        Verb::Config { flags, json } => show_settings(&command, &matches, &flags, json),
        Verb::Rebuild { flags, names } => rebuild(&flags, names),
        Verb::Home(OfHome::Purge { home, yes }) => operate::purge(home, yes),
        Verb::Certs(certs) => make_certificates(&certs).map(|()| ExitCode::SUCCESS),
        Verb::RunDetached(detached) => match detached.run() {
            Ok(never) => match never {},
            Err(error) => Err(error.into()),
        },
    };
    done.unwrap_or_else(|error| {
        telemetry::tell(&format!("dms: {error:#}"));
        ExitCode::FAILURE
    })
}

fn serve(flags: &Flags) -> anyhow::Result<ExitCode> {
    let settings = Settings::complete(flags)?;
    telemetry::start(settings.log, &settings.log_filter).context("--log-filter")?;
    match runtime()?.block_on(serve::serve(settings))? {
        Ended::InOrder => Ok(ExitCode::SUCCESS),
        Ended::CutShort => Ok(ExitCode::from(INTERRUPTED)),
    }
}

fn migrate(flags: &Flags) -> anyhow::Result<()> {
    let Some(url) = config::database_url(flags)? else {
        anyhow::bail!("give --database-url (or DM_DATABASE_URL); a private database is migrated by `dms serve`");
    };
    let options = PgConnectOptions::from_str(&url).context("--database-url")?;
    runtime()?.block_on(async {
        let pool = migrate::connect(options).await?;
        migrate::migrate(&pool).await?;
        pool.close().await;
        anyhow::Ok(())
    })?;
    telemetry::print("the database has the schema of this dms");
    Ok(())
}

fn show_settings(command: &Command, matches: &ArgMatches, flags: &Flags, json: bool) -> anyhow::Result<ExitCode> {
    if let Some((verb, given)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(verb)
    {
        operate::show_settings(command, given, flags, json)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rebuild(flags: &Flags, names: Vec<String>) -> anyhow::Result<ExitCode> {
    let settings = Settings::complete(flags)?;
    telemetry::start(settings.log, "warn").context("--log-filter")?;
    runtime()?.block_on(operate::rebuild(settings, names))?;
    Ok(ExitCode::SUCCESS)
}

fn make_certificates(certs: &Certs) -> anyhow::Result<()> {
    let usual = ["build", "cleanup"].map(|name| Identity { role: Role::User, name: name.to_owned() });
    let clients = if certs.client.is_empty() { &usual[..] } else { &certs.client };
    let folder = Folder::at(&certs.dir);
    folder.make(clients, certs.previous.as_deref())?;
    telemetry::print(&format!("authority  {}", folder.authorities().display()));
    telemetry::print(&format!("server     {}", folder.server_certificate().display()));
    for client in clients {
        telemetry::print(&format!("client     {}", folder.client_certificate(client).display()));
    }
    Ok(())
}

/// Two threads carry thousands of connections that mostly wait; more would only cost memory.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).thread_name("dms").enable_all().build()
}
