//! Appends through the store's public interface, beside raw single-row inserts of the same payload by the same library.

use anyhow::{Result, ensure};
use dm_eventstore::{Config, EventStore, Position};
use dm_tests::postgres::Database;
use serde_json::value::RawValue;
use sqlx::PgPool;
use sqlx::postgres::{PgPoolOptions, PgQueryResult};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::Plan;
use crate::payload::{Streams, TYPE, append, metadata, payload};
use crate::table::{Progress, Table};
use crate::window::{Caller, Window, drive, medians, ratios};

/// How many call at the same time, and what the store is to reach then: its rate and its p99 as multiples of raw's.
const CALLERS: [(u32, f64, Option<f64>); 3] = [(1, 0.5, None), (32, 1.2, Some(0.5)), (256, 2.0, None)];
/// Most connections that raw inserts go over.
const POOL: u32 = 32;

/// The table of the raw inserts: what `events` holds, with the least that numbers it and keeps versions unique.
const RAW_TABLE: &str = "CREATE TABLE raw_events (
    position bigserial NOT NULL, stream_id text NOT NULL, version bigint NOT NULL, type text NOT NULL,
    schema smallint NOT NULL, data json NOT NULL, meta json NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (stream_id, version))";
const RAW_INSERT: &str = "INSERT INTO raw_events (stream_id, version, type, schema, data, meta)
    VALUES ($1, $2, $3, $4, $5::json, $6::json)";

/// Appends through the store.
pub(crate) struct StoreCaller {
    store: EventStore,
    streams: Streams,
    data: Box<RawValue>,
}

impl StoreCaller {
    /// Appends an event; where it stands.
    pub(crate) async fn append(&mut self) -> Result<Position> {
        let (stream, version) = self.streams.turn();
        let receipt = self.store.append(append(stream, *version, self.data.clone())).await?;
        *version = receipt.to_version;
        Ok(receipt.position)
    }
}

impl Caller for StoreCaller {
    async fn call(&mut self) -> Result<()> {
        self.append().await?;
        Ok(())
    }
}

/// Callers of a store with streams of their own, whose names begin like this.
pub(crate) fn store_callers(store: &EventStore, callers: u32, prefix: &str) -> Result<Vec<StoreCaller>> {
    let caller = |number| {
        let streams = Streams::new(&format!("{prefix}-{number}"))?;
        Ok(StoreCaller { store: store.clone(), streams, data: payload()? })
    };
    (0..callers).map(caller).collect()
}

/// Inserts a row.
struct RawCaller {
    pool: PgPool,
    streams: Streams,
    data: Box<RawValue>,
}

impl Caller for RawCaller {
    async fn call(&mut self) -> Result<()> {
        let (stream, version) = self.streams.turn();
        let next = version.next();
        let meta = serde_json::to_string(&metadata(Uuid::new_v4()))?;
        let inserted: PgQueryResult = sqlx::query(RAW_INSERT)
            .bind(stream.as_str())
            .bind(next.0)
            .bind(TYPE)
            .bind(1_i16)
            .bind(self.data.get())
            .bind(meta)
            .execute(&self.pool)
            .await?;
        ensure!(inserted.rows_affected() == 1, "a row was not inserted");
        *version = next;
        Ok(())
    }
}

/// The windows of raw inserts and of the store, by turns.
struct Measured {
    callers: u32,
    raw: Vec<Window>,
    store: Vec<Window>,
}

pub(crate) fn measure(runtime: &Runtime, plan: Plan, progress: &Progress, table: &mut Table) -> Result<()> {
    table.part();
    let database = runtime.block_on(Database::create());
    for measured in runtime.block_on(windows(&database, plan, progress))? {
        let (callers, raw, store) = (measured.callers, medians(&measured.raw), medians(&measured.store));
        let ratios = ratios(&measured.store, &measured.raw);
        table.window(&format!("raw INSERT, {callers} at once"), raw, None, &connections(callers));
        table.window(&format!("append, {callers} at once"), store, Some(ratios), &goal(callers, ratios));
    }
    Ok(())
}

fn connections(callers: u32) -> String {
    match callers.min(POOL) {
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    }
}

/// What is to be reached, and whether it was.
fn goal(callers: u32, (rate, p99): (f64, f64)) -> String {
    let Some((_, rate_goal, p99_goal)) = CALLERS.iter().find(|(number, ..)| *number == callers) else {
        return String::new();
    };
    let reached = |reached| if reached { "reached" } else { "not reached" };
    let rate = format!("goal: rate {rate_goal}, {}", reached(rate >= *rate_goal));
    match p99_goal {
        None => rate,
        Some(p99_goal) => format!("{rate}; p99 {p99_goal}, {}", reached(p99 <= *p99_goal)),
    }
}

async fn windows(database: &Database, plan: Plan, progress: &Progress) -> Result<Vec<Measured>> {
    let pool = database.pool().await;
    sqlx::raw_sql(RAW_TABLE).execute(&pool).await?;
    let store = EventStore::start(pool, &database.options(), &Config::default());
    let mut all = Vec::new();
    for (callers, ..) in CALLERS {
        let size = callers.min(POOL);
        // A ping before each insert would double its round trips.
        let options = PgPoolOptions::new().min_connections(size).max_connections(size).test_before_acquire(false);
        let raw_pool = options.connect_with(database.options()).await?;
        let mut measured = Measured { callers, raw: Vec::new(), store: Vec::new() };
        for round in 1..=plan.rounds {
            let prefix = format!("w{callers}-{round}");
            let step = |what| progress.step(&format!("append: {what}, {callers} at once, round {round}"));
            step("raw INSERT");
            let raw = (0..callers).map(|number| {
                let streams = Streams::new(&format!("{prefix}-{number}"))?;
                Ok(RawCaller { pool: raw_pool.clone(), streams, data: payload()? })
            });
            measured.raw.push(drive(raw.collect::<Result<Vec<_>>>()?, plan.span).await?);
            step("store");
            measured.store.push(drive(store_callers(&store, callers, &prefix)?, plan.span).await?);
        }
        raw_pool.close().await;
        all.push(measured);
    }
    store.stop().await;
    Ok(all)
}
