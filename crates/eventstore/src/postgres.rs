//! The log in PostgreSQL: one handle over a writer, a listener and a pool for reads.
//!
//! Only [`writer`] changes the log, and only through the function `append_batch` of the migrations.

mod batch;
mod listener;
mod read;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::envelope::{Append, Position, Receipt};
use crate::error::AppendError;
use crate::pool::Pool;
use crate::transact::Streams;
use writer::Queue;

/// What an operator or a test may set.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a lease lives that an append claims.
    pub lease_ttl: Duration,
    /// How long an append is tried: after that it is `Unavailable`, or `Unknown` if it may have reached the database.
    pub patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { lease_ttl: Duration::from_secs(90), patience: Duration::from_secs(8) }
    }
}

/// The log. Cheap to clone; all clones share one writer and one listener, which end with the last of them.
#[derive(Debug, Clone)]
pub struct EventStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: Pool,
    queue: Queue,
    newest: Arc<watch::Sender<Position>>,
    streams: Streams,
    tasks: TaskTracker,
    /// Ends the tasks: at the latest when it is dropped.
    stop: DropGuard,
}

impl EventStore {
    /// Starts the writer (a connection of its own, made from `options`) and the listener (another one). Returns at
    /// once, also while the database is away: both connect again and again, with back-off.
    pub fn start(pool: impl Into<Pool>, options: &PgConnectOptions, config: &Config) -> Self {
        let pool = pool.into();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let newest = Arc::new(watch::Sender::new(Position::default()));
        let (queue, writer) = writer::new(options, config, stop.clone());
        tasks.spawn(writer.run());
        tasks.spawn(stop.clone().run_until_cancelled_owned(listener::listen(
            options.clone(),
            pool.clone(),
            newest.clone(),
        )));
        tasks.spawn(stop.clone().run_until_cancelled_owned(listener::poll(pool.clone(), newest.clone())));
        tasks.close();
        let streams = Streams::default();
        Self { inner: Arc::new(Inner { pool, queue, newest, streams, tasks, stop: stop.drop_guard() }) }
    }

    /// Appends, together with every other append that is waiting.
    pub async fn append(&self, append: Append) -> Result<Receipt, AppendError> {
        self.inner.queue.append(append).await
    }

    /// The newest position that this replica has heard of: changes wake readers. Only a hint; it is refreshed each
    /// second even when no notification comes.
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.inner.newest.subscribe()
    }

    /// Why the database takes no appends though it answers, as far as this replica has heard lately.
    pub fn hindrance(&self) -> Option<String> {
        self.inner.queue.hindrance()
    }

    /// Stops the writer once its queue is empty, and the listener.
    pub async fn stop(&self) {
        self.inner.stop.token().cancel();
        self.inner.tasks.wait().await;
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.inner.streams
    }
}
