//! The handle on all read models: starts and stops their loops, and answers what concerns all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dm_eventstore::{EventStore, Pool, Position};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Audit;
use crate::loops::{self, Heard};
use crate::quarantine::{self, Quarantined};
use crate::runs::Runs;
use crate::stagings::Stagings;
use crate::step::{Means, Stepped, step};
use crate::{Projection, ProjectionError, checkpoint, rebuild};

/// How often whoever waits for a position looks by themselves.
const LOOK: Duration = Duration::from_millis(250);

/// How long the last look may take beyond the end of a wait.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// The names of all read models.
pub const NAMES: [&str; 3] = [Stagings::NAME, Runs::NAME, Audit::NAME];

/// Keeps the read models. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Projector {
    means: Means,
    heard: Arc<Heard>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Projector {
    /// A projector that moves only when [`Projector::step`] is called. Connects when it has to.
    pub fn new(store: EventStore, pool: impl Into<Pool>) -> Self {
        let reads = pool.into();
        // A checkpoint's lock is held by a connection of its own, so that a busy server cannot keep a step from what it
        // needs to end: one for each read model.
        let writes = reads.sibling(NAMES.len());
        Self {
            means: Means { store, reads, writes },
            heard: Arc::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Starts a task for each read model, which goes on until [`Projector::stop`].
    pub fn start(store: EventStore, pool: impl Into<Pool>) -> Self {
        let projector = Self::new(store, pool);
        let Self { means, heard, stop, tasks } = projector.clone();
        tasks.spawn(loops::keep::<Stagings>(means.clone(), stop.clone()));
        tasks.spawn(loops::keep::<Runs>(means.clone(), stop.clone()));
        tasks.spawn(loops::keep::<Audit>(means.clone(), stop.clone()));
        let options = means.reads.options().clone();
        tasks.spawn(async move { loops::listen(options, &heard, &stop).await });
        projector
    }

    /// Ends the tasks at the edge of a batch.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.means.writes.close();
    }

    /// Moves every read model by one batch: at most 500 events. What the loops do, for whoever has none.
    pub async fn step(&self) -> Result<Stepped, ProjectionError> {
        let (stagings, runs) = (step::<Stagings>(&self.means).await?, step::<Runs>(&self.means).await?);
        Ok(stagings.max(runs).max(step::<Audit>(&self.means).await?))
    }

    /// Fills a read model anew from the whole log, beside what people read meanwhile, and swaps it in: `stagings`, `runs`
    /// or `audit`.
    pub async fn rebuild(&self, name: &str) -> Result<(), ProjectionError> {
        match name {
            Stagings::NAME => rebuild::rebuild::<Stagings>(&self.means).await,
            Runs::NAME => rebuild::rebuild::<Runs>(&self.means).await,
            Audit::NAME => rebuild::rebuild::<Audit>(&self.means).await,
            _ => Err(ProjectionError::Unknown(name.to_owned())),
        }
    }

    /// How far a rebuild has come; none when none is under way.
    pub async fn rebuilt(&self, name: &str) -> Result<Option<Position>, ProjectionError> {
        let version = match name {
            Stagings::NAME => Stagings::VERSION,
            Runs::NAME => Runs::VERSION,
            Audit::NAME => Audit::VERSION,
            _ => return Err(ProjectionError::Unknown(name.to_owned())),
        };
        Ok(checkpoint::filled(&self.means.reads, name, version).await?)
    }

    /// Up to where all read models reflect the log.
    pub async fn position(&self) -> Result<Position, ProjectionError> {
        let positions = checkpoint::positions(&self.means.reads).await?;
        // Whoever waits looks by themselves, so nobody is woken.
        self.heard.send_if_modified(|heard| {
            for (name, at) in &positions {
                loops::advance(heard, name, *at);
            }
            false
        });
        Ok(slowest(&positions.into_iter().collect()))
    }

    /// Waits until all read models reflect the log up to `position`: read your own writes.
    pub async fn reach(&self, position: Position, timeout: Duration) -> Result<(), ProjectionError> {
        let deadline = Instant::now() + timeout;
        let mut heard = self.heard.subscribe();
        loop {
            // Registered before the question, so that what moves meanwhile ends the wait.
            if slowest(&heard.borrow_and_update()) >= position {
                return Ok(());
            }
            let at = tokio::time::timeout_at(deadline + LAST_LOOK, self.position())
                .await
                .map_err(|_| ProjectionError::TimedOut)??;
            if at >= position {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(ProjectionError::Behind { at, wanted: position });
            }
            // News, or time to look anyway: both end the wait.
            let _ = tokio::time::timeout_at(deadline.min(Instant::now() + LOOK), heard.changed()).await;
        }
    }

    /// Stagings that stand still in a read model because one of their events could not be applied; at most 1,000.
    pub async fn quarantined(&self) -> Result<Vec<Quarantined>, ProjectionError> {
        Ok(quarantine::list(&self.means.reads).await?)
    }
}

fn slowest(positions: &BTreeMap<String, Position>) -> Position {
    NAMES.iter().map(|&name| positions.get(name).copied().unwrap_or_default()).min().unwrap_or_default()
}
