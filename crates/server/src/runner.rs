//! Does what states call for: claims, wrappers, checks, and the end of what was lost.
//!
//! Looks only at folded state ([`pending_work`]); reports only by commands. Normal work and recovery are one path. Where
//! to look is a hint of the read models; when to look is a hint of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use dm_domain::ids::{Owner, StagingName};
use dm_domain::staging::{State, Work, next_deadline, pending_work};
use dm_eventstore::{EventStore, Pool};
use dm_projector::stagings::{self, Due, DueWork};
use dm_projector::{ProjectionError, Projector};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod answer;
mod boottime;
mod call;
mod checks;
mod commands;
mod executable;
mod held;
mod init;
mod leftovers;
mod lost;
mod manifest;
mod output;
mod regular;
mod renewal;
mod report;
mod run;
pub mod shim;
mod supervise;
mod text;
pub mod wrapper;

pub(crate) use answer::KnownTag;
pub use init::State as InitState;
pub(crate) use manifest::Program;
pub(crate) use wrapper::WrapperError;
pub use wrapper::{ConfigCheck, LoadError, Wrappers};

use self::checks::Plans;
use self::held::{Held, Purpose};
use self::output::Outputs;
use crate::clock::Clock;
use crate::config::{Settings, Times};
use crate::metrics::Metrics;

/// Between two steps at most.
const STEP_EVERY: Duration = Duration::from_secs(1);
/// Between two steps at least, and as a multiple of what a step takes: a flood of events must not become one of queries.
const STEP_PAUSE: Duration = Duration::from_millis(10);
/// How long a step waits for the read models to see what has woken it.
const REACH_TIMEOUT: Duration = Duration::from_millis(500);
/// How many hints a step looks at.
const DUE_MAX: u32 = 1_000;
/// How long a stopping `dms` tries to report what it has interrupted.
const REPORT_PATIENCE: Duration = Duration::from_secs(10);

/// The runner of this `dms`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runner {
    inner: Arc<Inner>,
}

/// What a runner is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// What the operator has set.
    pub settings: &'a Settings,
    /// The log.
    pub store: EventStore,
    /// Connections for leases, output and hints.
    pub pool: Pool,
    /// The database's time, which renewals keep right.
    pub clock: Clock,
    /// Keeps the hints.
    pub projector: Projector,
    /// This start of `dms`.
    pub owner: Owner,
    /// The wrappers that it calls.
    pub wrappers: Wrappers,
    /// What Prometheus is told.
    pub metrics: Metrics,
}

/// What is true of a staging only now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Live {
    /// When a check of it last ended here.
    pub checked_at: Option<DateTime<Utc>>,
    /// The last line its run has printed here.
    pub last_line: Option<String>,
}

#[derive(Debug)]
struct Inner {
    store: EventStore,
    pool: Pool,
    clock: Clock,
    projector: Projector,
    owner: Owner,
    wrappers: Wrappers,
    metrics: Metrics,
    home: PathBuf,
    times: Times,
    max_runs: usize,
    max_checks: usize,
    wake: Arc<Notify>,
    held: Held,
    plans: Mutex<Plans>,
    checked_at: Mutex<BTreeMap<StagingName, DateTime<Utc>>>,
    outputs: Outputs,
    /// No new work.
    stopping: CancellationToken,
    /// Runs, checks, and the loop that starts them.
    work: TaskTracker,
    /// Ends what goes on for ever.
    ending: CancellationToken,
}

impl Runner {
    /// Starts working. Whatever earlier starts of the same home have left is ended first.
    ///
    /// To be called within a runtime.
    pub fn start(parts: Parts<'_>) -> io::Result<Self> {
        let Parts { settings, store, pool, clock, projector, owner, wrappers, metrics } = parts;
        let folders = lost::left_folders(&settings.home)?;
        let wake = Arc::new(Notify::new());
        let inner = Arc::new(Inner {
            store,
            outputs: Outputs::new(pool.clone()),
            pool,
            clock,
            projector,
            owner,
            wrappers,
            metrics,
            home: settings.home.clone(),
            times: settings.times.clone(),
            max_runs: settings.max_runs,
            max_checks: settings.max_checks,
            held: Held::new(Arc::clone(&wake)),
            wake,
            plans: Mutex::default(),
            checked_at: Mutex::default(),
            stopping: CancellationToken::new(),
            work: TaskTracker::new(),
            ending: CancellationToken::new(),
        });
        for endless in [Endless::Renewal, Endless::Lost(folders), Endless::Expiry] {
            let (inner, ending) = (Arc::clone(&inner), inner.ending.clone());
            tokio::spawn(ending.run_until_cancelled_owned(endless.go(inner)));
        }
        inner.work.spawn(init::go(Arc::clone(&inner)));
        inner.work.spawn(Arc::clone(&inner).look_for_work());
        Ok(Self { inner })
    }

    /// Says that there may be something to do.
    pub fn wake(&self) {
        self.inner.wake.notify_one();
    }

    /// The wrappers it calls.
    pub fn wrappers(&self) -> &Wrappers {
        &self.inner.wrappers
    }

    /// How the wrapper `init` goes.
    pub fn init(&self) -> InitState {
        self.inner.wrappers.init().borrow().clone()
    }

    /// How many runs and how many checks have a place here.
    pub fn held(&self) -> (usize, usize) {
        self.inner.held.count()
    }

    /// What is true of a staging only now, as far as this replica knows.
    pub fn live(&self, staging: &StagingName) -> Live {
        Live {
            checked_at: lock(&self.inner.checked_at).get(staging).copied(),
            last_line: self.inner.held.last_line(staging),
        }
    }

    /// Stops claiming and checking, waits for runs up to `grace`, interrupts the rest.
    pub async fn stop(&self, grace: Duration) {
        let inner = &self.inner;
        inner.stopping.cancel();
        inner.held.stop_checks();
        inner.work.close();
        if tokio::time::timeout(grace, inner.work.wait()).await.is_err() {
            inner.held.stop_all();
            if tokio::time::timeout(inner.times.grace + REPORT_PATIENCE, inner.work.wait()).await.is_err() {
                tracing::warn!("runs were stopped without a report; the next start reports them as lost");
            }
        }
        inner.ending.cancel();
    }
}

enum Endless {
    Renewal,
    Lost(BTreeSet<String>),
    Expiry,
}

impl Endless {
    async fn go(self, inner: Arc<Inner>) {
        match self {
            Self::Renewal => renewal::renew(inner).await,
            Self::Lost(folders) => lost::look_after(inner, folders).await,
            Self::Expiry => output::expire(&inner.pool, &inner.clock, inner.times.keep_output).await,
        }
    }
}

impl Inner {
    /// How long after the question for it a lease is surely good: its shim has to be done before it expires, and the
    /// settings see to it that the grace leaves time for that.
    fn lease_life(&self) -> Duration {
        let ttl = self.times.lease_ttl;
        ttl.saturating_sub(self.times.grace + ttl / 9)
    }

    async fn look_for_work(self: Arc<Self>) {
        let mut log = self.store.watch();
        while !self.stopping.is_cancelled() {
            let begun = Instant::now();
            if let Err(error) = self.step().await {
                tracing::debug!(%error, "hints cannot be read");
            }
            let pause = STEP_PAUSE.max(begun.elapsed() * 2).min(STEP_EVERY);
            let now = Instant::now();
            let next = self.plans().next(now).map_or(STEP_EVERY, |next| next - now);
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = self.wake.notified() => {}
                Ok(()) = log.changed() => {}
                () = tokio::time::sleep(next.min(STEP_EVERY)) => {}
            }
            log.borrow_and_update();
        }
    }

    /// One bounded look: starts what is due and has a place, stops what is to be stopped.
    async fn step(self: &Arc<Self>) -> Result<(), ProjectionError> {
        let newest = *self.store.watch().borrow();
        match self.projector.reach(newest, REACH_TIMEOUT).await {
            // What the read models do not show yet they show at a later step.
            Ok(()) | Err(ProjectionError::Behind { .. }) => {}
            Err(error) => return Err(error),
        }
        if *self.wrappers.init().borrow() != InitState::Done {
            return Ok(());
        }
        for due in stagings::due(&self.pool, DUE_MAX).await? {
            if self.stopping.is_cancelled() {
                return Ok(());
            }
            if self.has_place_for(&due) {
                self.begin(&due.staging).await;
            }
        }
        let hints = stagings::checked(&self.pool).await?;
        self.plans().update(&hints, &self.times, Instant::now());
        lock(&self.checked_at).retain(|staging, _| hints.binary_search_by(|hint| hint.staging.cmp(staging)).is_ok());
        let due = self.plans().due(Instant::now());
        for staging in due {
            if self.stopping.is_cancelled() || self.held.count().1 >= self.max_checks {
                return Ok(());
            }
            if self.held.purpose(&staging).is_none() {
                self.begin(&staging).await;
            }
        }
        Ok(())
    }

    /// Whether it is worth a look: a run needs a place and a check out of its way.
    fn has_place_for(&self, due: &Due) -> bool {
        let (runs, checks) = self.held.count();
        match (due.work, self.held.purpose(&due.staging)) {
            (DueWork::Run, None) => runs < self.max_runs,
            (DueWork::Run, Some(Purpose::Check)) => {
                self.held.stop_check(&due.staging);
                false
            }
            (DueWork::Stop, Some(Purpose::Run(..))) => true,
            (DueWork::Links, None) => checks < self.max_checks,
            (DueWork::Run | DueWork::Links, Some(_)) | (DueWork::Stop, _) => false,
        }
    }

    /// Loads a staging and begins what its state calls for, unless the stop began meanwhile.
    async fn begin(self: &Arc<Self>, staging: &StagingName) {
        match self.store.load(staging).await {
            Ok(_) if self.stopping.is_cancelled() => {}
            Ok(loaded) => {
                if let Some(work) = pending_work(&loaded.state) {
                    self.begin_work(staging, &loaded.state, &work);
                }
            }
            Err(error) => {
                tracing::debug!(staging.name = %staging, %error, "a staging cannot be read");
                self.plans().set_next(staging, Instant::now() + self.times.awaiting_interval);
            }
        }
    }

    fn begin_work(self: &Arc<Self>, staging: &StagingName, state: &State, work: &Work) {
        let inner = Arc::clone(self);
        let staging = staging.clone();
        match *work {
            Work::Run { run, attempt, verb } => {
                if self.held.count().0 >= self.max_runs {
                    return;
                }
                let Some(subject) = run::subject(&staging, state, run, attempt) else { return };
                let Some((holding, control)) = self.held.take(&staging, Purpose::Run(run, attempt)) else { return };
                let task = run::Task { staging, run, attempt, verb, holding, control };
                self.work.spawn(task.go(inner, subject));
            }
            Work::Stop { run, attempt } => self.held.cancel_run(&staging, run, attempt),
            Work::Check { incarnation, run, attempt, archived, awaited_since } => {
                let Some(subject) = run::subject(&staging, state, run, attempt) else { return };
                let Some((holding, control)) = self.held.take(&staging, Purpose::Check) else { return };
                let awaited = awaited_since.map(|since| (since, next_deadline(state)));
                let task = checks::Task { staging, incarnation, run, attempt, archived, awaited, holding, control };
                self.work.spawn(task.go(inner, subject));
            }
            Work::Links { run, attempt } => {
                let Some(subject) = run::subject(&staging, state, run, attempt) else { return };
                let Some((holding, control)) = self.held.take(&staging, Purpose::Check) else { return };
                let version = state.version();
                let task = checks::LinksTask { staging, run, attempt, version, holding, control };
                self.work.spawn(task.go(inner, subject));
            }
        }
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        lock(&self.plans)
    }

    fn checked(&self, staging: &StagingName) {
        lock(&self.checked_at).insert(staging.clone(), self.clock.now());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
