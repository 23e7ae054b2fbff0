//! Commands accepted by a real `dms` over mutual TLS with connections kept alive, beside appends to a store.
//!
//! Each caller creates a staging and cancels the run before it has begun, over and over: two accepted commands, each of
//! one event, and the name is free again. The only place for runs is taken, so that no other wrapper is ever started.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dm_eventstore::{Config, EventStore};
use dm_tests::dms::{Dms, Setup, executable_file};
use dm_tests::eventually::eventually_blocking;
use dm_tests::postgres::Database;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::Plan;
use crate::append::store_callers;
use crate::table::{Progress, Table};
use crate::window::{Caller, Window, drive, medians, ratios};

/// How many call at the same time.
const CALLERS: [u32; 2] = [1, 32];
/// How long the run that takes the place may take to begin.
const BEGIN: Duration = Duration::from_secs(30);
/// Where stagings are created.
const STAGINGS: &str = "/api/v1/stagings";

/// A `dms` and the way to it.
struct Server {
    dms: Dms,
    client: reqwest::Client,
}

impl Server {
    /// Sends a command, which must be accepted.
    async fn send(&self, path: &str, body: String) -> Result<()> {
        let request = self.client.post(self.dms.url(path)).body(body).header("content-type", "application/json");
        let answer = request.header(dm_api::IDEMPOTENCY_KEY, Uuid::new_v4().to_string()).send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        ensure!(status == 202, "{path} was answered {status}: {text}");
        Ok(())
    }
}

/// Wishes for a staging, and changes its mind.
struct HttpCaller {
    server: Arc<Server>,
    name: String,
    exists: bool,
}

impl Caller for HttpCaller {
    async fn call(&mut self) -> Result<()> {
        let (path, body) = if self.exists {
            (format!("{STAGINGS}/{}/cancel", self.name), "{}".to_owned())
        } else {
            (STAGINGS.to_owned(), create(&self.name))
        };
        self.server.send(&path, body).await?;
        self.exists = !self.exists;
        Ok(())
    }
}

fn create(name: &str) -> String {
    format!(r#"{{"name":"{name}","tag":"v1"}}"#)
}

pub(crate) fn measure(runtime: &Runtime, plan: Plan, progress: &Progress, table: &mut Table) -> Result<()> {
    table.part();
    progress.step("http: starts dms");
    let (database, beside) = runtime.block_on(async { (Database::empty().await, Database::create().await) });
    let server = Arc::new(start(runtime, &database)?);
    let store =
        runtime.block_on(async { EventStore::start(beside.pool().await, &beside.options(), &Config::default()) });
    for callers in CALLERS {
        let (http, store) = runtime.block_on(windows(&server, &store, callers, plan, progress))?;
        table.window(&format!("append, {callers} at once"), medians(&store), None, "");
        let ratios = ratios(&http, &store);
        table.window(&format!("command over HTTP, {callers} at once"), medians(&http), Some(ratios), "beside append");
    }
    runtime.block_on(store.stop());
    Ok(())
}

/// A `dms` whose only place for runs is taken by a run that does not end by itself.
fn start(runtime: &Runtime, database: &Database) -> Result<Server> {
    let setup = Setup::new().database(database).argument("--max-runs=1").argument("--stop-grace=1s");
    let folder = setup.home_path().with_file_name("wrappers-of-the-benchmark");
    let begun = folder.join("begun");
    write_wrappers(&folder, &begun)?;
    let dms = setup.wrappers(&folder).start();
    let server = Server { client: dms.client(), dms };
    runtime.block_on(server.send(STAGINGS, create("holder")))?;
    eventually_blocking("the run that takes the place", BEGIN, || begun.exists().then_some(()));
    Ok(server)
}

fn write_wrappers(folder: &Path, begun: &Path) -> Result<()> {
    std::fs::create_dir(folder).context("a folder for wrappers")?;
    for verb in ["update", "delete", "cleanup", "check", "archive_check"] {
        executable_file(&folder.join(verb), b"#!/bin/sh\nexit 0\n");
    }
    let hold = format!("#!/bin/sh\ntouch '{}'\nexec sleep 3600\n", begun.display());
    executable_file(&folder.join("create"), hold.as_bytes());
    std::fs::write(folder.join("wrappers.toml"), "contract = 1\n").context("a manifest")
}

/// The windows of commands over HTTP and of appends, by turns.
async fn windows(
    server: &Arc<Server>,
    store: &EventStore,
    callers: u32,
    plan: Plan,
    progress: &Progress,
) -> Result<(Vec<Window>, Vec<Window>)> {
    let (mut http, mut appends) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        let step = |what| progress.step(&format!("http: {what}, {callers} at once, round {round}"));
        step("append");
        appends.push(drive(store_callers(store, callers, &format!("w{callers}-{round}"))?, plan.span).await?);
        step("command");
        let caller =
            |number| HttpCaller { server: server.clone(), name: format!("s{callers}-{round}-{number}"), exists: false };
        http.push(drive((0..callers).map(caller).collect(), plan.span).await?);
    }
    Ok((http, appends))
}
