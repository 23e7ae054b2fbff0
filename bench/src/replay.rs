//! Reads a large log from its beginning through the store, and folds every stream with the domain's own types.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Result, ensure};
use dm_domain::Decider;
use dm_domain::ids::Version;
use dm_domain::staging::{Event, Staging, State};
use dm_domain::testing::facts;
use dm_domain::testing::given;
use dm_eventstore::{Config, EventStore, Position, RecordedEvent, StreamId, codec};
use dm_tests::postgres::Database;
use sqlx::PgPool;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::Plan;
use crate::payload::metadata;
use crate::table::{Progress, Table, thousands};
use crate::window::median;

/// How many events each stream has.
const LENGTH: usize = 100;
/// How many streams there are; a tenth when it has to be quick.
const STREAMS: i64 = 10_000;

/// Fills the log in the order in which stagings that live at the same time fill it: the first event of each stream, then
/// the second of each, and so on.
const FILL: &str = "INSERT INTO events (position, stream_id, version, type, schema, data, meta, at)
    SELECT (version - 1) * $1 + stream, 'staging-' || stream, version, type, schema, data::json, $5::json, clock_timestamp()
      FROM unnest($2, $3, $4) WITH ORDINALITY AS history (type, schema, data, version), generate_series(1, $1) AS stream
     ORDER BY version, stream";
const MOVE_HEAD: &str = "UPDATE log_head SET position = (SELECT max(position) FROM events)";

pub(crate) fn measure(runtime: &Runtime, plan: Plan, progress: &Progress, table: &mut Table) -> Result<()> {
    table.part();
    let database = runtime.block_on(Database::create());
    runtime.block_on(replay(&database, plan, progress, table))
}

async fn replay(database: &Database, plan: Plan, progress: &Progress, table: &mut Table) -> Result<()> {
    let streams = if plan.quick { STREAMS / 10 } else { STREAMS };
    let pool = database.pool().await;
    progress.step("replay: fills the log");
    let bytes = fill(&pool, streams).await?;
    let store = EventStore::start(pool, &database.options(), &Config::default());
    let (mut read, mut folded) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        progress.step(&format!("replay: reads, round {round}"));
        read.push(walk(&store, streams, |_| Ok(())).await?);
        progress.step(&format!("replay: reads and folds, round {round}"));
        let mut states = HashMap::<StreamId, State>::new();
        folded.push(
            walk(&store, streams, |event| {
                let recorded = codec::decode(&event)?;
                let state = states.remove(&event.stream).unwrap_or_else(Staging::initial);
                states.insert(event.stream, Staging::evolve(state, &recorded));
                Ok(())
            })
            .await?,
        );
        let whole = states.values().filter(|state| state.version() == newest()).count();
        ensure!(i64::try_from(whole)? == streams, "{whole} of {streams} streams were folded to their end");
    }
    store.stop().await;
    let events = format!("{} events, {bytes} bytes of JSON each on average", thousands(f64::from(count(streams)?)));
    table.rate("replay, read", median(read.iter().copied()), None, &events);
    let ratio = median(folded.iter().zip(&read).map(|(folded, read)| folded / read));
    table.rate("replay, read and folded", median(folded), Some(ratio), "beside reading alone");
    Ok(())
}

/// The version of the newest event of each stream.
fn newest() -> Version {
    (0..LENGTH).fold(Version::NONE, |version, _| version.next())
}

/// How many events so many streams have.
fn count(streams: i64) -> Result<u32> {
    Ok(u32::try_from(streams)? * u32::try_from(LENGTH)?)
}

/// Reads the whole log; events per second.
async fn walk(store: &EventStore, streams: i64, mut take: impl FnMut(RecordedEvent) -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    let mut after = Position(0);
    loop {
        let page = store.read_all(after, EventStore::READ_MAX).await?;
        for event in page.events {
            after = event.position;
            take(event)?;
        }
        if !page.more {
            break;
        }
    }
    let count = count(streams)?;
    ensure!(after.0 == i64::from(count), "the log was read to {after}, and has {count} events");
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// The history of each stream: created, then updated again and again, with a check that fails between two updates.
fn history() -> Vec<Event> {
    let mut events = facts::running();
    for number in 2.. {
        if events.len() >= LENGTH {
            break;
        }
        let set = [("replicas", "3"), ("feature.flags", "search,checkout,recommendations"), ("log.level", "debug")];
        let update = Event::UpdateRequested(facts::configuration(number, &format!("v{number}"), &set));
        events.extend(facts::awaiting(number, update));
        events.extend([Event::BecameRunning(facts::of(number, 1)), facts::links_read(number, 1)]);
        events.extend([facts::check_failed(number, 1, 1, "exit 1"), Event::CheckPassed(facts::of(number, 1))]);
    }
    events.truncate(LENGTH);
    // Refuses a history that cannot happen.
    given(events.clone());
    events
}

/// Fills the log; the average size of a payload.
async fn fill(pool: &PgPool, streams: i64) -> Result<usize> {
    let stored: Vec<_> = history().iter().map(codec::encode).collect();
    let types: Vec<&str> = stored.iter().map(|event| event.event_type).collect();
    let schemas: Vec<i16> = stored.iter().map(|event| event.schema).collect();
    let data: Vec<&str> = stored.iter().map(|event| event.data.get()).collect();
    let meta = serde_json::to_string(&metadata(Uuid::new_v4()))?;
    sqlx::query(FILL).bind(streams).bind(&types).bind(&schemas).bind(&data).bind(meta).execute(pool).await?;
    sqlx::query(MOVE_HEAD).execute(pool).await?;
    sqlx::query("VACUUM ANALYZE events").execute(pool).await?;
    Ok(data.iter().map(|data| data.len()).sum::<usize>() / data.len())
}
