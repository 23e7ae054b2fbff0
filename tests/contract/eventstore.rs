//! The log keeps its promises on a real PostgreSQL, races and lost answers included.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod append;
mod frozen;
mod killed;
mod leases;
mod listening;
mod lost;
mod pages;
mod races;
mod transact;

use std::time::Duration;

use dm_domain::ids::{Actor, CommandId, StagingName, Version};
use dm_eventstore::{
    Append, BodyMac, Channel, CommandKey, Config, EventStore, Metadata, NewEvent, Position, Receipt, StreamId,
};
use dm_tests::eventually::eventually;
use dm_tests::postgres::Database;
use serde_json::value::RawValue;
use sqlx::PgPool;
use uuid::Uuid;

/// A log in a database of its own.
struct Log {
    database: Database,
    pool: PgPool,
    store: EventStore,
}

impl Log {
    async fn create() -> Self {
        let database = Database::create().await;
        let pool = database.pool().await;
        let store = EventStore::start(pool.clone(), &database.options(), &Config::default());
        Self { database, pool, store }
    }

    /// Another replica on the same database.
    async fn replica(&self) -> EventStore {
        EventStore::start(self.database.pool().await, &self.database.options(), &Config::default())
    }

    /// The whole log, as its positions, streams and versions.
    async fn whole(&self) -> Vec<(i64, String, i64)> {
        let page = self.store.read_all(Position(0), EventStore::READ_MAX).await.unwrap();
        page.events.iter().map(|e| (e.position.0, e.stream.to_string(), e.version.0)).collect()
    }
}

fn stream(name: &str) -> StreamId {
    StreamId::from(&StagingName::parse(name).unwrap())
}

fn key() -> CommandKey {
    CommandKey { id: CommandId(Uuid::new_v4()), mac: BodyMac([7; 32]) }
}

/// `count` events on top of a version, by a command of their own.
fn append(stream: &StreamId, expected: i64, count: usize) -> Append {
    let command = key();
    Append {
        stream: stream.clone(),
        expected: Version(expected),
        events: (0..count).map(note).collect(),
        meta: Metadata {
            actor: Actor("user/test".to_owned()),
            channel: Channel::Dmc,
            reason: None,
            command_id: command.id,
            correlation_id: command.id.0,
            on_behalf: None,
        },
        command,
        run: None,
        lease: None,
    }
}

/// An event that no build knows; the log keeps it all the same.
fn note(n: usize) -> NewEvent {
    NewEvent { event_type: "Noted", schema: 1, data: RawValue::from_string(format!(r#"{{"n":{n}}}"#)).unwrap() }
}

fn repeated(receipt: &Receipt) -> Receipt {
    Receipt { repeated: true, ..receipt.clone() }
}

/// A deadline that only a broken promise reaches.
const LONG: Duration = Duration::from_secs(20);

/// Waits for a fact.
async fn until(fact: impl AsyncFn() -> bool) {
    eventually("the fact", LONG, || async { fact().await.then_some(()) }).await;
}

/// How many appends wait for the one lock.
async fn waiting(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Holds appends up until it is committed.
async fn hold(pool: &PgPool) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut holding = pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(4918)").execute(&mut *holding).await.unwrap();
    holding
}
