//! `dms serve`: start, life and orderly stop.

use std::future::pending;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use dm_domain::ids::Owner;
use dm_eventstore::{EventStore, Pool};
use dm_projector::Projector;
use nix::unistd::geteuid;
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::access::certificates::Folder;
use crate::access::identity::{Identity, Role};
use crate::access::listener::{Limits, Listening};
use crate::access::tls::Tls;
use crate::app::App;
use crate::app::listeners::{Bound, url};
use crate::children;
use crate::clock::Clock;
use crate::config::Settings;
use crate::db::migrate;
use crate::local::demo_host;
use crate::local::home::{self, Home};
use crate::local::postgres::Postgres;
use crate::metrics::Metrics;
use crate::router;
use crate::runner::{Parts, Runner, Wrappers};
use crate::telemetry::{self, LiveLine};

/// How long requests under way may go on when `dms` stops and its runs have ended.
const REQUESTS: Duration = Duration::from_secs(5);

/// How long the answers that are given then may take to their clients.
const ANSWERS: Duration = Duration::from_secs(1);

/// How often the files of certificates are looked at.
const CERTIFICATES: Duration = Duration::from_secs(5);

/// How often the demo host is looked at.
const DEMO_HOST: Duration = Duration::from_secs(5);

/// How `dms` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything was stopped.
    InOrder,
    /// A signal came while it started, or a second one while it stopped.
    CutShort,
}

/// Starts, serves until a signal comes, stops.
pub(super) async fn serve(settings: Settings) -> anyhow::Result<Ended> {
    let mut signals = Signals::new()?;
    // What a killed shim leaves behind comes to this process, which ends it.
    children::adopt()?;
    let server = tokio::select! {
        server = Server::start(settings) => server?,
        () = signals.next() => return Ok(Ended::CutShort),
    };
    server.announce();
    signals.next().await;
    tracing::info!("stopping");
    tokio::select! {
        () = server.stop() => Ok(Ended::InOrder),
        () = signals.next() => Ok(Ended::CutShort),
    }
}

/// Everything that was started.
struct Server {
    app: App,
    page: Listening,
    dmc: Listening,
    metrics: Listening,
    /// What goes on by itself beside the runner: certificates, the demo host. Ends with this value.
    chores: JoinSet<()>,
    postgres: Option<Postgres>,
    home: Home,
}

impl Server {
    async fn start(settings: Settings) -> anyhow::Result<Self> {
        let line = LiveLine::new();
        let home = Home::open(&settings.home, Utc::now())?;
        let bound = Bound::new(&settings, telemetry::tell)?;
        let wrappers = Wrappers::load(&settings)?;
        let mut chores = JoinSet::new();
        if wrappers.need_demo_host() {
            host_demos(home.path(), &mut chores).await?;
        }
        let (postgres, options) = database(&settings, &home, &line).await?;
        line.say("preparing the database");
        let starting = migrate::connect(options.clone()).await?;
        if postgres.is_some() || settings.migrate {
            migrate::migrate(&starting).await?;
        }
        let clock = migrate::check(&starting).await?;
        let pool = Pool::from(starting);
        let tls = certificates(&settings, &home, &mut chores)?;
        line.say("starting");
        let app = assemble(settings, pool, &options, clock, home.owner, wrappers)?;
        let limits = Limits::default();
        let server = Self {
            page: Listening::start(bound.page, None, limits, router::page(app.clone()))?,
            dmc: Listening::start(bound.dmc, Some(tls), limits, router::dmc(app.clone()))?,
            metrics: Listening::start(bound.metrics, None, limits, router::metrics(app.clone()))?,
            app,
            chores,
            postgres,
            home,
        };
        server.tell_clients()?;
        Ok(server)
    }

    /// Writes for `dmc` of this home where `dms` is, and with which certificate to come if this home has one.
    fn tell_clients(&self) -> anyhow::Result<()> {
        /// The lines of `dmc.toml`.
        #[derive(Serialize)]
        struct ClientSettings<'a> {
            url: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            cert: Option<&'a Path>,
            #[serde(skip_serializing_if = "Option::is_none")]
            key: Option<&'a Path>,
            ca: &'a Path,
        }
        let folder = certificates_of(&self.home, self.app.settings.certs.as_deref());
        let client = local_client();
        let (certificate, key) = (folder.client_certificate(&client), folder.client_key(&client));
        let settings = ClientSettings {
            url: url("https", self.dmc.address),
            cert: Some(certificate.as_path()).filter(|file| file.exists()),
            key: Some(key.as_path()).filter(|file| file.exists()),
            ca: &folder.authorities(),
        };
        Ok(self.home.write_client_settings(&toml::to_string(&settings)?)?)
    }

    fn announce(&self) {
        telemetry::print(&format!("dms {} is ready", env!("CARGO_PKG_VERSION")));
        telemetry::print(&format!("page     {}", url("http", self.page.address)));
        telemetry::print(&format!("dmc      {}", url("https", self.dmc.address)));
        telemetry::print(&format!("metrics  {}", url("http", self.metrics.address)));
        telemetry::print(&format!("home     {}", self.home.path().display()));
        tracing::info!(owner = %self.home.owner, "ready");
    }

    /// Each part before what it stands on. Probes tell of it to the end. As long as runs are waited for, reads are
    /// answered and commands are refused in words: a closed port would tell nobody that they can come again.
    async fn stop(mut self) {
        let app = &self.app;
        app.stopping.cancel();
        app.runner.stop(app.settings.times.stop_grace).await;
        let last_call = async {
            sleep(REQUESTS).await;
            app.last_call.cancel();
            pending::<()>().await;
        };
        tokio::select! {
            _ = async { tokio::join!(self.page.stop(REQUESTS + ANSWERS), self.dmc.stop(REQUESTS + ANSWERS)) } => {}
            () = last_call => {}
        }
        app.projector.stop().await;
        app.store.stop().await;
        self.chores.abort_all();
        self.metrics.stop(REQUESTS).await;
        app.pool.close();
        if let Some(postgres) = &self.postgres {
            postgres.stop().await;
        }
        tracing::info!("stopped");
        // Last: its lock says that nothing of this `dms` is there.
        drop(self.home);
    }
}

/// The parts that work on the database, from the log upwards.
fn assemble(
    settings: Settings,
    pool: Pool,
    options: &PgConnectOptions,
    clock: Clock,
    owner: Owner,
    wrappers: Wrappers,
) -> std::io::Result<App> {
    let config = dm_eventstore::Config { lease_ttl: settings.times.lease_ttl, ..Default::default() };
    let store = EventStore::start(pool.clone(), options, &config);
    let projector = Projector::start(store.clone(), pool.clone());
    let metrics = Metrics::new();
    let runner = Runner::start(Parts {
        settings: &settings,
        store: store.clone(),
        pool: pool.clone(),
        clock: clock.clone(),
        projector: projector.clone(),
        owner,
        wrappers,
        metrics: metrics.clone(),
    })?;
    let (stopping, last_call) = (CancellationToken::new(), CancellationToken::new());
    Ok(App { settings: Arc::new(settings), store, pool, clock, projector, runner, metrics, stopping, last_call })
}

/// SIGINT and SIGTERM, which mean the same.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Keeps the host of demo stagings there, which outlives this `dms`.
async fn host_demos(home: &Path, chores: &mut JoinSet<()>) -> anyhow::Result<()> {
    let home = home.to_owned();
    let ensure = move || {
        let home = home.clone();
        spawn_blocking(move || demo_host::ensure(&home))
    };
    ensure().await?.context("the demo host cannot be started")?;
    chores.spawn(async move {
        let mut ticks = interval_at(Instant::now() + DEMO_HOST, DEMO_HOST);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Ok(Err(error)) = ensure().await {
                tracing::warn!(%error, "the demo host cannot be started");
            }
        }
    });
    Ok(())
}

/// The given database, or a private one.
async fn database(
    settings: &Settings,
    home: &Home,
    line: &LiveLine,
) -> anyhow::Result<(Option<Postgres>, PgConnectOptions)> {
    if let Some(url) = &settings.database_url {
        return Ok((None, PgConnectOptions::from_str(url).context("--database-url")?));
    }
    let postgres = Postgres::start(home, settings.postgres_bin.as_deref(), |what| line.say(what)).await?;
    let options = postgres.options();
    Ok((Some(postgres), options))
}

/// Certificates, and the task that reads them again, and renews its own.
fn certificates(settings: &Settings, home: &Home, chores: &mut JoinSet<()>) -> anyhow::Result<Tls> {
    let given = settings.certs.as_deref();
    let folder = certificates_of(home, given);
    let own = given.is_none();
    if own {
        home.folder("certs")?;
        renew(&folder)?;
    }
    let tls = Tls::load(folder.clone())?;
    chores.spawn(look_after(folder, own, tls.clone()));
    Ok(tls)
}

async fn look_after(folder: Folder, own: bool, tls: Tls) {
    warn_of_the_end(&folder);
    let mut warned = Instant::now();
    let mut ticks = interval_at(Instant::now() + CERTIFICATES, CERTIFICATES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if own && let Err(error) = renew(&folder) {
            tracing::warn!(error = %format!("{error:#}"), "certificates cannot be renewed");
        }
        match tls.reload() {
            Ok(true) => tracing::info!("certificates were read again"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = %format!("{:#}", anyhow::Error::from(error)), "certificates stay as they were");
            }
        }
        if warned.elapsed() > Duration::from_hours(24) {
            warn_of_the_end(&folder);
            warned = Instant::now();
        }
    }
}

fn renew(folder: &Folder) -> anyhow::Result<()> {
    if let Some(reason) = folder.ensure(&[local_client()])? {
        tracing::info!(reason, "certificates were made");
    }
    Ok(())
}

fn warn_of_the_end(folder: &Folder) {
    if let Some(ends) = folder.ends_soon() {
        tracing::warn!(%ends, "the server's certificate ends soon; make new ones with `dms certs`");
    }
}

fn certificates_of(home: &Home, given: Option<&Path>) -> Folder {
    Folder::at(given.map_or_else(|| home.path().join("certs"), Path::to_owned))
}

/// Whoever runs `dms` administers it. A login name may have characters that an identity may not.
fn local_client() -> Identity {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "._@-".contains(c) { c } else { '-' };
    let name = home::user(geteuid()).chars().take(64).map(fits).collect();
    Identity { role: Role::Admin, name }
}
