//! One bounded pass of a projection: lock the checkpoint, read, fold, store, move the checkpoint, all or nothing.
//!
//! While the lock is held, everything that may be large is read over other connections: a replica that is frozen in the
//! middle is then always idle in its transaction, which the database ends, and never in the middle of a long answer.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use dm_eventstore::{EventStore, Page, Pool, Position, RecordedEvent};
use sqlx::{Connection as _, PgConnection};

use crate::quarantine::{self, Quarantined};
use crate::{Fact, Poison, Projection, ProjectionError, checkpoint, rebuild};

/// Most events that one step applies.
pub(crate) const BATCH: u32 = 500;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stepped {
    /// Nothing is left to apply.
    Done,
    /// Another replica is at it.
    Elsewhere,
    /// The rows are those of a newer build, which this one leaves alone; a rebuild makes them its own.
    NewerBuild,
    /// It was bounded; there may be more.
    More,
}

/// The rows that stagings have now, by name; one that cannot be read is poison.
pub(crate) type Rows<R> = Vec<(String, Result<R, Poison>)>;

/// A new version of a row.
#[derive(Debug)]
pub(crate) struct Versioned<R> {
    /// Which staging.
    pub(crate) key: String,
    /// The event that made it.
    pub(crate) position: Position,
    /// The row.
    pub(crate) row: R,
}

/// A projection with its table.
pub(crate) trait Table: Projection<Row: Clone + Send + Sync> + Send + 'static {
    /// The rows of these stagings.
    fn load(
        pool: &Pool,
        generation: i32,
        keys: &[String],
    ) -> impl Future<Output = Result<Rows<Self::Row>, sqlx::Error>> + Send;

    /// Adds versions, in order of their positions.
    fn store(
        connection: &mut PgConnection,
        generation: i32,
        versions: Vec<Versioned<Self::Row>>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Deletes up to `limit` rows of generations that nobody reads or fills; says how many.
    fn sweep(pool: &Pool, limit: i64) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;
}

/// What a step needs.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    /// The log.
    pub(crate) store: EventStore,
    /// For what is read.
    pub(crate) reads: Pool,
    /// For the transactions that hold a checkpoint's lock.
    pub(crate) writes: Pool,
}

/// Moves every generation that this build fills by one batch, and swaps one that has caught up.
pub(crate) async fn step<P: Table>(means: &Means) -> Result<Stepped, ProjectionError> {
    let mut generations = checkpoint::generations(&means.reads, P::NAME, P::VERSION).await?;
    if generations.is_empty() {
        checkpoint::ensure(&means.reads, P::NAME, P::VERSION).await?;
        generations = checkpoint::generations(&means.reads, P::NAME, P::VERSION).await?;
    }
    let mut all = if generations.is_empty() { Stepped::NewerBuild } else { Stepped::Done };
    for &(generation, _) in &generations {
        all = all.max(step_generation::<P>(means, generation).await?);
    }
    let filling = generations.iter().any(|&(_, read)| !read);
    if filling && rebuild::swap(&means.writes, P::NAME, P::VERSION).await? {
        tracing::info!(
            projection.name = P::NAME,
            "a new generation of the read model is complete and read from here on"
        );
    }
    Ok(all)
}

async fn step_generation<P: Table>(means: &Means, generation: i32) -> Result<Stepped, ProjectionError> {
    let mut link = means.writes.link().await?;
    let mut tx = link.begin().await?;
    let Some(from) = checkpoint::lock(&mut tx, P::NAME, generation).await? else {
        tx.rollback().await?;
        link.give_back();
        return Ok(Stepped::Elsewhere);
    };
    let Page { events, more } = means.store.read_all(from, BATCH).await?;
    let Some(to) = events.last().map(|event| event.position) else {
        tx.rollback().await?;
        link.give_back();
        return Ok(Stepped::Done);
    };
    let folded = Fold::<P>::start(&means.reads, generation, &events).await?.run(events);
    P::store(&mut tx, generation, folded.versions).await?;
    for stopped in &folded.stopped {
        quarantine::store(&mut tx, generation, stopped).await?;
    }
    checkpoint::advance(&mut tx, P::NAME, generation, to).await?;
    tx.commit().await?;
    link.give_back();
    for stopped in &folded.stopped {
        tracing::error!(
            projection.name = P::NAME,
            staging.name = stopped.key,
            event.position = stopped.position.0,
            "an event cannot be applied, so this staging stands still in the read model: {}",
            stopped.cause
        );
    }
    Ok(if more { Stepped::More } else { Stepped::Done })
}

/// The fold of one batch.
struct Fold<P: Table> {
    rows: BTreeMap<String, Result<P::Row, Poison>>,
    quarantined: BTreeSet<String>,
}

/// What a batch comes to.
struct Folded<R> {
    versions: Vec<Versioned<R>>,
    stopped: Vec<Quarantined>,
}

impl<P: Table> Fold<P> {
    async fn start(pool: &Pool, generation: i32, events: &[RecordedEvent]) -> Result<Self, sqlx::Error> {
        let keys: BTreeSet<_> = events.iter().filter_map(key).collect();
        let keys: Vec<_> = keys.into_iter().collect();
        let quarantined = quarantine::among(pool, P::NAME, generation, &keys).await?;
        let rows = P::load(pool, generation, &keys).await?.into_iter().collect();
        Ok(Self { rows, quarantined })
    }

    fn run(mut self, events: Vec<RecordedEvent>) -> Folded<P::Row> {
        let mut folded = Folded { versions: Vec::new(), stopped: Vec::new() };
        for recorded in events {
            let Some(key) = key(&recorded).filter(|key| !self.quarantined.contains(key)) else { continue };
            let fact = Fact::read(recorded);
            let position = fact.recorded.position;
            match self.apply(&key, &fact) {
                Ok(None) => {}
                Ok(Some(row)) => {
                    self.rows.insert(key.clone(), Ok(row.clone()));
                    folded.versions.push(Versioned { key, position, row });
                }
                Err(Poison(cause)) => {
                    self.quarantined.insert(key.clone());
                    let projection = P::NAME.to_owned();
                    folded.stopped.push(Quarantined { projection, key, position, cause });
                }
            }
        }
        folded
    }

    fn apply(&self, key: &str, fact: &Fact) -> Result<Option<P::Row>, Poison> {
        match self.rows.get(key) {
            None => P::evolve(None, fact),
            Some(Ok(row)) => P::evolve(Some(row), fact),
            Some(Err(poison)) => Err(poison.clone()),
        }
    }
}

/// The staging of an event; none for an event of a system stream, which no read model shows.
fn key(event: &RecordedEvent) -> Option<String> {
    event.stream.staging().map(String::from)
}
