//! Connections that are shared, each query with a time limit, and what becomes of a connection that falls silent.
//!
//! A link can die without a word, and what is then said to it is never answered. So a connection on which something was
//! given up is closed and never used again; one that lay idle is tried before something is entrusted to it; and one that
//! does not answer condemns all that lay idle for longer. Whoever asks waits for at most one dead connection.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    ConnectOptions as _, Connection as _, Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Most connections, unless it is said otherwise.
const CONNECTIONS: usize = 16;
/// How long somebody waits for a connection: while the database is away they are to be told soon.
const ACQUIRE: Duration = Duration::from_secs(3);
/// How long a single query may take, once it has a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the trial of a connection may take.
const TRIAL: Duration = Duration::from_secs(1);
/// What has lain idle for this long is closed.
const IDLE_MAX: Duration = Duration::from_mins(10);
/// What has been open for this long is closed: a server keeps memory for each.
const LIFE_MAX: Duration = Duration::from_mins(30);

/// Connections to one database, made when they are needed. Cheap to clone; clones share them.
///
/// It carries out single queries; [`Pool::link`] is for transactions.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<Shared>,
    patience: Duration,
}

#[derive(Debug)]
struct Shared {
    options: PgConnectOptions,
    /// One for each connection that is on loan. What lies idle needs none: it is on loan before a new one is made.
    permits: Arc<Semaphore>,
    /// The one that was used last is at the end.
    idle: Mutex<Vec<Open>>,
}

struct Open {
    connection: PgConnection,
    made: Instant,
    used: Instant,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("made", &self.made).field("used", &self.used).finish_non_exhaustive()
    }
}

impl Pool {
    /// For at most so many connections at a time.
    pub fn new(options: PgConnectOptions, connections: usize) -> Self {
        let permits = Arc::new(Semaphore::new(connections));
        Self { shared: Arc::new(Shared { options, permits, idle: Mutex::default() }), patience: PATIENCE }
    }

    /// Another pool for the same database.
    #[must_use]
    pub fn sibling(&self, connections: usize) -> Self {
        Self::new(self.shared.options.clone(), connections)
    }

    /// The same connections, for queries that may take longer or shorter.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), patience }
    }

    /// How to connect to its database.
    pub fn options(&self) -> &PgConnectOptions {
        &self.shared.options
    }

    /// A connection that was alive a moment ago.
    pub async fn link(&self) -> Result<Link, sqlx::Error> {
        let deadline = Instant::now() + ACQUIRE;
        timeout_at(deadline, self.shared.open())
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .map(|(open, permit)| Link { open: Some(open), shared: Arc::clone(&self.shared), _permit: permit })
    }

    /// Closes what lies idle, and hands nothing out any more.
    pub fn close(&self) {
        self.shared.permits.close();
        self.shared.idle().clear();
    }
}

/// A pool of its own, with the same options: what `sqlx` makes keeps connections of which it does not know that they are
/// dead.
impl From<PgPool> for Pool {
    fn from(pool: PgPool) -> Self {
        Self::new(pool.connect_options().as_ref().clone(), CONNECTIONS)
    }
}

impl Shared {
    async fn open(&self) -> Result<(Open, OwnedSemaphorePermit), sqlx::Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        loop {
            let kept = self.idle().pop();
            let Some(mut kept) = kept else { break };
            if matches!(timeout(TRIAL, kept.connection.ping()).await, Ok(Ok(()))) {
                return Ok((kept, permit));
            }
            self.idle().retain(|other| other.used > kept.used);
        }
        let connection = self.options.connect().await?;
        let now = Instant::now();
        Ok((Open { connection, made: now, used: now }, permit))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Open>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on loan. Dropped, it is closed, because nobody knows what was going on on it; whoever has had an answer to
/// everything gives it back.
#[derive(Debug)]
pub struct Link {
    open: Option<Open>,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Link {
    /// What was asked, and the connection back if it is fit.
    fn settle<T>(self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if outcome.as_ref().err().is_none_or(is_harmless) {
            self.give_back();
        }
        outcome
    }

    /// Lets others use it.
    pub fn give_back(mut self) {
        if let Some(mut open) = self.open.take() {
            // It would keep the memory of its longest statement, which is a MiB of output.
            open.connection.shrink_buffers();
            open.used = Instant::now();
            let mut idle = self.shared.idle();
            idle.retain(|other| other.used.elapsed() < IDLE_MAX);
            if open.made.elapsed() < LIFE_MAX && !self.shared.permits.is_closed() {
                idle.push(open);
            }
        }
    }
}

impl Deref for Link {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self
            .open
            .as_ref()
            .expect("invariant: only giving back takes the connection, and that takes the link")
            .connection
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut PgConnection {
        let open = self.open.as_mut();
        &mut open.expect("invariant: only giving back takes the connection, and that takes the link").connection
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    /// All rows are taken before the first is handed out, so that a slow reader holds no connection.
    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let all = async move {
            let mut link = self.link().await?;
            let all = within(self.patience, link.fetch_many(query).try_collect::<Vec<_>>()).await;
            link.settle(all)
        };
        stream::once(all).map_ok(|all| stream::iter(all.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut link = self.link().await?;
            let row = within(self.patience, link.fetch_optional(query)).await;
            link.settle(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        Box::pin(async move {
            let mut link = self.link().await?;
            let statement = within(self.patience, link.prepare_with(sql, parameters)).await;
            link.settle(statement)
        })
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        Box::pin(async move {
            let mut link = self.link().await?;
            let described = within(self.patience, link.describe(sql)).await;
            link.settle(described)
        })
    }
}

/// A query with its time limit.
async fn within<T>(patience: Duration, query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(patience, query).await.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

/// Whether a connection is as good as before after what the database has against a query. It ends a connection with the
/// classes 08 and 57.
fn is_harmless(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().map(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.is_some_and(|code| !code.starts_with("08") && !code.starts_with("57")))
}
