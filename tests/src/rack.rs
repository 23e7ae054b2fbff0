//! A rack for faults: real `dms` on one real PostgreSQL, wrappers of scripted behaviour, clients that keep sending, and
//! the books that are checked when all is quiet again. What happens follows from a seed, which every run prints.

pub mod books;
pub mod client;
pub mod dice;
pub mod history;
pub mod load;
pub mod records;
pub mod rough;
pub mod scenario;
pub mod soak;
pub mod take_overs;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dm_domain::ids::StagingName;
use dm_domain::staging::State;
use dm_eventstore::{Config, EventStore, Position};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tempfile::TempDir;
use uuid::Uuid;

use crate::dms::{Dms, Setup, executable, executable_file};
use crate::eventually::{eventually, pause};
use crate::processes;
use books::{Books, Finding, Sums};
use client::{Client, Target, Targets};
use history::History;
use scenario::Scenario;

/// The wrappers of a rack.
const VERBS: [&str; 7] = ["create", "update", "delete", "cleanup", "check", "archive_check", "info"];

/// By when everything has come to its end after the last fault.
pub const QUIET: Duration = Duration::from_mins(3);

/// A seed from the environment (`DM_SEED`), to repeat a run; else a new one. Printed either way.
///
/// # Panics
/// When the one in the environment is no number.
pub fn seed(of: &str) -> u64 {
    let seed = match std::env::var("DM_SEED") {
        Ok(given) => given.parse().expect("DM_SEED is a number"),
        Err(_) => records::now() / 1_000 % 1_000_000,
    };
    eprintln!("{of}: seed {seed}; DM_SEED={seed} repeats it");
    seed
}

/// Several `dms`, their wrappers and their clients.
#[derive(Debug)]
pub struct Rack {
    /// What all chance follows from.
    pub seed: u64,
    /// The `dms`; one that was killed and not started again has no process.
    pub replicas: Vec<Dms>,
    /// Keeps what it was told.
    pub client: Client,
    /// Reads the log.
    pub store: EventStore,
    /// The database, past every proxy.
    pub pool: PgPool,
    /// The log as far as it was read.
    pub history: History,
    targets: Targets,
    // After the `dms`, which use it.
    folder: TempDir,
}

impl Rack {
    /// Starts `count` replicas on a database; `change` adds arguments. To be called within a runtime of several threads.
    ///
    /// # Panics
    /// When one does not become ready.
    pub fn start(url: &str, scenario: &Scenario, count: usize, change: impl Fn(Setup) -> Setup) -> Self {
        let folder = tempfile::Builder::new().prefix("dm-rack-").tempdir_in("/var/tmp").expect("a folder");
        let wrappers = folder.path();
        records::prepare(wrappers).expect("the folder is ours");
        scenario.write(wrappers).expect("the folder is ours");
        fs::write(wrappers.join("wrappers.toml"), "contract = 1\n").expect("the folder is ours");
        let interpreter = executable().with_file_name("scripted");
        assert!(interpreter.exists(), "{} is missing: build the package dm-tests", interpreter.display());
        for verb in VERBS {
            executable_file(&wrappers.join(verb), format!("#!{}\n", interpreter.display()).as_bytes());
        }
        let options: PgConnectOptions = url.parse().expect("a database's URL");
        let pool = PgPoolOptions::new().max_connections(4).connect_lazy_with(options.clone());
        let store = EventStore::start(pool.clone(), &options, &Config::default());
        let targets = Targets::default();
        let client = Client::new(targets.clone());
        let history = History::default();
        let mut rack =
            Self { seed: scenario.seed, replicas: Vec::new(), client, store, pool, history, targets, folder };
        for _ in 0..count {
            let setup = change(rack.setup(url));
            rack.add(setup);
        }
        rack
    }

    /// For one more `dms` of this rack.
    pub fn setup(&self, url: &str) -> Setup {
        Setup::new().database_url(url).wrappers(self.folder.path()).argument("--allow-short-times")
    }

    /// Starts one more.
    pub fn add(&mut self, setup: Setup) {
        let dms = tokio::task::block_in_place(|| setup.start());
        self.replicas.push(dms);
        self.announce(self.replicas.len() - 1);
    }

    /// Kills a `dms`.
    pub fn kill(&mut self, number: usize) {
        self.targets.remove(number);
        tokio::task::block_in_place(|| self.replicas[number].kill());
    }

    /// Starts one again that has ended.
    pub fn restart(&mut self, number: usize) {
        tokio::task::block_in_place(|| self.replicas[number].restart());
        self.announce(number);
    }

    fn announce(&self, number: usize) {
        let dms = &self.replicas[number];
        self.targets.set(number, Target { client: dms.client(), base: dms.url("/api/v1") });
    }

    /// Where all of them are.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Where a `dms` is.
    ///
    /// # Panics
    /// When it is not there.
    pub fn target(&self, number: usize) -> Target {
        self.targets.get(number).expect("it is there")
    }

    /// The folder of wrappers, with what they write down.
    pub fn wrappers(&self) -> &Path {
        self.folder.path()
    }

    /// What wrappers have written down.
    pub fn records(&self) -> BTreeMap<String, Vec<records::Record>> {
        records::read(self.folder.path())
    }

    /// Waits until no run is open.
    ///
    /// # Panics
    /// When that takes too long; the message says what is open.
    pub async fn quiet(&mut self) {
        let begun = Instant::now();
        loop {
            // A database that is away comes back.
            let read = self.history.read_on(&self.store).await;
            let busy = self.history.busy();
            if read.is_ok() && busy.is_empty() {
                return;
            }
            assert!(begun.elapsed() < QUIET, "seed {}: still busy after {QUIET:?}: {read:?}, {busy:?}", self.seed);
            pause(Duration::from_millis(100)).await;
        }
    }

    /// Stops every `dms` in good order, so that what is left then is left for ever.
    pub fn stop(&mut self) {
        tokio::task::block_in_place(|| {
            for dms in self.replicas.iter_mut().filter(|dms| dms.is_started()) {
                dms.terminate();
            }
        });
    }

    /// Waits for quiet, compares the read models with the log, stops everything and checks the books.
    ///
    /// # Panics
    /// When something was found.
    pub async fn close(self) -> Sums {
        let seed = self.seed;
        let (findings, sums) = self.settle().await;
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "seed {seed}: {} findings:\n  {}", findings.len(), shown.join("\n  "));
        sums
    }

    /// The same, and says what was found.
    ///
    /// # Panics
    /// When it does not become quiet.
    pub async fn settle(mut self) -> (Vec<Finding>, Sums) {
        self.quiet().await;
        let mut findings = self.differences().await;
        self.stop();
        self.history.read_on(&self.store).await.expect("the database is there");
        let (found, sums) = self.check();
        findings.extend(found);
        self.store.stop().await;
        (findings, sums)
    }

    /// The books as they stand.
    pub fn check(&self) -> (Vec<Finding>, Sums) {
        let told = self.client.told();
        let (records, left) = (self.records(), processes::of(self.folder.path()));
        let day = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos();
        let machine_started = i64::try_from(day).expect("for some centuries") - records::now().cast_signed();
        let books = Books { told: &told, history: &self.history, records: &records, machine_started, left: &left };
        (books.findings(), books.sums())
    }

    /// Where what a `dms` answers is not what the log says, for every staging and every `dms`. Checks may go on meanwhile:
    /// both sides are of the same version.
    ///
    /// # Panics
    /// When an answer does not come, or stays behind the log.
    pub async fn differences(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let names: Vec<StagingName> = self.history.states.keys().cloned().collect();
        for number in (0..self.replicas.len()).filter(|number| self.replicas[*number].is_started()) {
            let target = self.target(number);
            for name in &names {
                let begun = Instant::now();
                let (shown, logged) = loop {
                    let shown = shown(&target, name, self.history.head()).await;
                    self.history.read_on(&self.store).await.expect("the database is there");
                    let logged = logged(&self.history.states[name]);
                    let version = |facts: &Option<Facts>| facts.as_ref().map(|facts| facts.version);
                    if version(&shown) == version(&logged) || begun.elapsed() > QUIET {
                        break (shown, logged);
                    }
                };
                if shown != logged {
                    findings.push(Finding::Differs(format!("{name}: {shown:?} is shown, {logged:?} is logged")));
                }
            }
        }
        findings
    }
}

/// What both the log and a read model say of a staging.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    version: i64,
    status: String,
    reason: Option<String>,
    cause: Option<String>,
    tag: String,
    incarnation: i64,
    configuration: i64,
    last_run: Uuid,
    busy: bool,
}

async fn shown(target: &Target, name: &StagingName, at_least: Position) -> Option<Facts> {
    let path = format!("{}/stagings/{name}?at_least={at_least}", target.base);
    let answer = eventually("dms answers", QUIET, async || {
        let answer = target.client.get(&path).send().await.ok()?;
        (answer.status() != 503).then_some(answer)
    })
    .await;
    let shown: dm_api::Staging = match answer.status().as_u16() {
        200 => answer.json().await.expect("a staging"),
        404 => return None,
        status => panic!("{path} was answered {status}"),
    };
    Some(Facts {
        version: shown.version,
        status: format!("{:?}", shown.status),
        reason: shown.reason,
        cause: shown.cause,
        tag: shown.tag,
        incarnation: shown.incarnation,
        configuration: shown.configuration_version,
        last_run: shown.last_run,
        busy: shown.activity.is_some(),
    })
}

fn logged(state: &State) -> Option<Facts> {
    let configuration = state.configuration()?;
    Some(Facts {
        version: state.version().0,
        status: format!("{:?}", state.status()?),
        reason: state.reason().map(|reason| reason.to_string()),
        cause: state.cause().map(str::to_owned),
        tag: configuration.tag.to_string(),
        incarnation: state.incarnation()?.0,
        configuration: configuration.version.0,
        last_run: state.last_run()?.run.0,
        busy: state.run_under_way().is_some(),
    })
}
