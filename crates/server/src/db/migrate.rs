//! Brings a database to this build's schema, and tells when it cannot.
//!
//! Owns every question about a database as such: its version, its rights, whether it can wake readers.

use std::time::{Duration, Instant};

use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::time::timeout;
use uuid::Uuid;

use crate::clock::Clock;

/// The schema of this build.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The oldest PostgreSQL that is used, as `server_version_num` has it.
const OLDEST: i32 = 150_000;

/// How long a first connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the database may take to pass a notification on.
const WAKE: Duration = Duration::from_secs(5);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It does not answer.
    #[error("the database does not answer")]
    Unavailable(#[from] sqlx::Error),
    /// It says nothing at all.
    #[error("the database does not answer within {} s", CONNECT.as_secs())]
    Silent,
    /// It is too old.
    #[error("the database is PostgreSQL {0}; 15 or newer is needed")]
    TooOld(String),
    /// Notifications do not arrive.
    #[error(
        "the database does not pass notifications on (LISTEN and NOTIFY): connect to it directly, or by a pooler in \
         session mode"
    )]
    Deaf,
    /// The role may not do what is needed.
    #[error("the database's role may not {right} {table}; migrations/README.md has the grants that it needs")]
    Forbidden {
        /// What it may not do.
        right: &'static str,
        /// With which table.
        table: String,
    },
    /// It has migrations that this build does not know.
    #[error("the database was made by a newer dms (migration {0} is not known to this one); use that one")]
    Newer(i64),
    /// It lacks migrations.
    #[error("the database lacks {0} migrations of this dms; run `dms migrate`, or start with --migrate")]
    Behind(usize),
    /// It has a migration of the same number and another content.
    #[error("the database was made by another build of dms (migration {0} differs); use that one, or another database")]
    Foreign(i64),
    /// A migration failed.
    #[error("the database cannot be migrated")]
    Migrate(#[source] MigrateError),
}

impl From<MigrateError> for DatabaseError {
    fn from(error: MigrateError) -> Self {
        if let MigrateError::VersionMissing(version) = error {
            Self::Newer(version)
        } else if let MigrateError::VersionMismatch(version) = error {
            Self::Foreign(version)
        } else {
            Self::Migrate(error)
        }
    }
}

/// Connects, once, so that what is wrong is told as the database says it, and makes a pool for the rest of the start.
pub async fn connect(options: PgConnectOptions) -> Result<PgPool, DatabaseError> {
    let options = options.application_name("dms");
    let connection =
        timeout(CONNECT, PgConnection::connect_with(&options)).await.map_err(|_| DatabaseError::Silent)??;
    connection.close().await?;
    Ok(PgPoolOptions::new().max_connections(3).acquire_timeout(CONNECT).connect_lazy_with(options))
}

/// Applies what is missing. Several may do so at once: they wait for each other.
pub async fn migrate(pool: &PgPool) -> Result<(), DatabaseError> {
    is_new_enough(pool).await?;
    Ok(MIGRATIONS.run(pool).await?)
}

/// Checks that the database can be used by this build as it is, and takes its time.
pub async fn check(pool: &PgPool) -> Result<Clock, DatabaseError> {
    is_new_enough(pool).await?;
    let mut connection = pool.acquire().await?;
    has_schema(&mut connection).await?;
    is_permitted(&mut connection).await?;
    drop(connection);
    wakes(pool).await?;
    let asked = Instant::now();
    let now = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(pool).await?;
    Ok(Clock::new(asked, now))
}

async fn is_new_enough(pool: &PgPool) -> Result<(), DatabaseError> {
    let version = sqlx::query!(
        r#"SELECT current_setting('server_version_num')::int AS "number!", current_setting('server_version') AS "name!""#
    )
    .fetch_one(pool)
    .await?;
    if version.number < OLDEST { Err(DatabaseError::TooOld(version.name)) } else { Ok(()) }
}

async fn has_schema(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    let known = sqlx::query_scalar!(r#"SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS "known!""#)
        .fetch_one(&mut *connection)
        .await?;
    let applied = if known { connection.list_applied_migrations("_sqlx_migrations").await? } else { Vec::new() };
    if let Some(newer) = applied.iter().find(|migration| !MIGRATIONS.version_exists(migration.version)) {
        return Err(DatabaseError::Newer(newer.version));
    }
    match MIGRATIONS.iter().count() - applied.len() {
        0 => Ok(()),
        missing => Err(DatabaseError::Behind(missing)),
    }
}

async fn is_permitted(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    // Nobody may change the log; its head and everything derived from it change all the time.
    let closed = sqlx::query!(
        r#"SELECT c.relname::text AS "table!", has_table_privilege(c.oid, 'SELECT') AS "reads!"
           FROM pg_class c
           WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname <> '_sqlx_migrations'
             AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid,
               CASE WHEN c.relname = 'log_head' THEN 'UPDATE' ELSE 'INSERT' END))
           ORDER BY c.relname LIMIT 1"#
    )
    .fetch_optional(connection)
    .await?;
    closed.map_or(Ok(()), |closed| {
        let right = if closed.reads { "change" } else { "read" };
        Err(DatabaseError::Forbidden { right, table: closed.table })
    })
}

/// A pooler in transaction mode accepts LISTEN and then never delivers.
async fn wakes(pool: &PgPool) -> Result<(), DatabaseError> {
    let channel = format!("dm_check_{}", Uuid::new_v4().simple());
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(&channel).await?;
    let mut other = pool.acquire().await?;
    other.ping().await?;
    sqlx::query!("SELECT pg_notify($1, '')", channel).execute(&mut *other).await?;
    match timeout(WAKE, listener.recv()).await {
        Ok(heard) => Ok(heard.map(drop)?),
        Err(_) => Err(DatabaseError::Deaf),
    }
}
