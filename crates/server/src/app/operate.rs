//! What operators ask of `dms` beside serving: its settings, its read models made anew, its home removed.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::Utc;
use clap::{ArgMatches, Command};
use dm_eventstore::{EventStore, Position};
use dm_projector::{NAMES, Projector};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::config::{self, Flags, Settings};
use crate::db::migrate;
use crate::local::home::{self, Home, HomeError};
use crate::local::postgres::{self, Postgres};
use crate::local::{demo_host, files};
use crate::telemetry::{self, LiveLine};

/// How often a live line says how far a rebuild is.
const SHOWN: Duration = Duration::from_millis(200);

/// How often that is a line of its own where there is no terminal.
const TOLD: Duration = Duration::from_secs(10);

/// Prints every setting, its value and where it comes from.
pub(super) fn show_settings(command: &Command, matches: &ArgMatches, flags: &Flags, json: bool) -> anyhow::Result<()> {
    let shown = config::shown(command, matches, flags)?;
    if json {
        telemetry::print(&serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    let value = |of: &config::Shown| of.value.clone().unwrap_or_else(|| "(not set)".to_owned());
    let width = |text: &dyn Fn(&config::Shown) -> usize| shown.iter().map(text).max().unwrap_or(0);
    let (names, values) = (width(&|of| of.setting.len()), width(&|of| value(of).chars().count()).min(60));
    telemetry::print(&format!("{:names$}  {:values$}  FROM", "SETTING", "VALUE"));
    for of in &shown {
        telemetry::print(&format!("{:names$}  {:values$}  {}", of.setting, value(of), of.source));
    }
    Ok(())
}

/// A database to work on, and what has to be kept and stopped for it.
struct Database {
    options: PgConnectOptions,
    private: Option<(Postgres, Home)>,
}

impl Database {
    /// The given one; else the private one of the home, which is started unless another `dms` has it running.
    async fn open(settings: &Settings, line: &LiveLine) -> anyhow::Result<Self> {
        if let Some(url) = &settings.database_url {
            let options = PgConnectOptions::from_str(url).context("--database-url")?;
            return Ok(Self { options, private: None });
        }
        match Home::open(&settings.home, Utc::now()) {
            Ok(home) => {
                let started = Postgres::start(&home, settings.postgres_bin.as_deref(), |what| line.say(what)).await?;
                Ok(Self { options: started.options(), private: Some((started, home)) })
            }
            Err(HomeError::Held { .. }) => Ok(Self { options: postgres::of(&settings.home), private: None }),
            Err(error) => Err(error.into()),
        }
    }

    async fn close(self) {
        if let Some((postgres, _home)) = self.private {
            postgres.stop().await;
        }
    }
}

/// Makes read models anew from the log, beside what people read meanwhile.
pub(super) async fn rebuild(settings: Settings, names: Vec<String>) -> anyhow::Result<()> {
    let line = LiveLine::new();
    let names = if names.is_empty() { NAMES.map(str::to_owned).to_vec() } else { names };
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        bail!("there is no read model {unknown}; there are {}", NAMES.join(", "));
    }
    let database = Database::open(&settings, &line).await?;
    let pool = migrate::connect(database.options.clone()).await?;
    if database.private.is_some() {
        migrate::migrate(&pool).await?;
    }
    let rebuilt = rebuild_each(&pool, &database.options, &names, &line).await;
    pool.close().await;
    database.close().await;
    rebuilt
}

async fn rebuild_each(
    pool: &PgPool,
    options: &PgConnectOptions,
    names: &[String],
    line: &LiveLine,
) -> anyhow::Result<()> {
    migrate::check(pool).await?;
    let store = EventStore::start(pool.clone(), options, &dm_eventstore::Config::default());
    let projector = Projector::new(store.clone(), pool.clone());
    for name in names {
        let begun = Instant::now();
        let Position(head) = store.head().await?.position;
        let mut rebuild = std::pin::pin!(projector.rebuild(name));
        let mut told = begun;
        loop {
            tokio::select! {
                done = &mut rebuild => break done?,
                () = tokio::time::sleep(SHOWN) => {
                    let at = projector.rebuilt(name).await?.map_or(0, |Position(at)| at);
                    let far = format!("{name}: {at} of {head} events");
                    line.say(&far);
                    if !io::stderr().is_terminal() && told.elapsed() > TOLD {
                        told = Instant::now();
                        telemetry::tell(&far);
                    }
                }
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        telemetry::tell(&format!("{name}: rebuilt from {head} events in {seconds:.1} s"));
    }
    projector.stop().await;
    store.stop().await;
    Ok(())
}

/// Removes a home with everything in it, its stagings included.
pub(super) fn purge(home: Option<PathBuf>, yes: bool) -> anyhow::Result<ExitCode> {
    let path = home.map_or_else(home::default_path, Ok)?;
    let home = Home::open_to_remove(&path, Utc::now())?;
    let stagings = files::names(&path.join("stagings"));
    let size = files::bytes(&path);
    let what = match stagings.len() {
        0 => "no demo stagings".to_owned(),
        1 => format!("the demo staging {}", stagings[0]),
        count => format!("{count} demo stagings ({})", stagings.join(", ")),
    };
    telemetry::tell(&format!("{}: {} MiB: the private database with all history, {what}", path.display(), size >> 20));
    if !yes && !confirmed(&path)? {
        telemetry::tell("nothing was removed");
        return Ok(ExitCode::from(super::command::INTERRUPTED));
    }
    demo_host::end(&path)?;
    postgres::end_leftover(&path)?;
    home.remove()?;
    telemetry::tell(&format!("{} is gone", path.display()));
    Ok(ExitCode::SUCCESS)
}

fn confirmed(path: &Path) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        bail!("this needs a yes, and there is no terminal to ask on; give -y");
    }
    telemetry::ask(&format!("Remove {} for ever? [y/N] ", path.display()));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
