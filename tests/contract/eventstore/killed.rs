//! PostgreSQL is killed, with all its processes, while many append.

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dm_eventstore::{Append, AppendError, Config, EventStore, Pool, Receipt};
use dm_tests::cluster::Cluster;
use dm_tests::eventually::eventually;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;

use super::{append, stream};

/// How many append, each to a stream of its own.
const CALLERS: usize = 32;

/// How often PostgreSQL is killed, and how many appends are acknowledged before each time.
const KILLS: usize = 3;
const BETWEEN: usize = 300;

/// By when it is up again, on a busy machine.
const SOON: Duration = Duration::from_mins(1);

/// What all callers together have been told.
#[derive(Debug, Default)]
struct Told {
    acknowledged: AtomicUsize,
    unknown: AtomicUsize,
    unavailable: AtomicUsize,
    enough: AtomicBool,
}

/// Appends one by one until it is enough. What is not acknowledged is asked again by its id.
async fn call(store: EventStore, told: Arc<Told>, number: usize) -> Vec<(Append, Receipt)> {
    let (stream, mut done) = (stream(&format!("s{number}")), Vec::new());
    while !told.enough.load(Ordering::Relaxed) {
        let command = append(&stream, i64::try_from(done.len()).unwrap(), 1);
        let receipt = loop {
            match store.append(command.clone()).await {
                Ok(receipt) => break receipt,
                Err(AppendError::Unknown(_)) => told.unknown.fetch_add(1, Ordering::Relaxed),
                Err(AppendError::Unavailable(_)) => told.unavailable.fetch_add(1, Ordering::Relaxed),
                Err(error) => panic!("{number}: {error:?}"),
            };
        };
        told.acknowledged.fetch_add(1, Ordering::Relaxed);
        done.push((command, receipt));
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_postgresql_that_is_killed_under_load_nothing_acknowledged_is_lost() {
    // It waits for its disk, as that of an operator does. A kill leaves what the kernel has; a power cut is not tried here.
    let cluster = tokio::task::spawn_blocking(|| Cluster::with(&["fsync=on"])).await.unwrap();
    let options = PgConnectOptions::from_str(&cluster.url()).unwrap();
    let direct = sqlx::PgPool::connect_with(options.clone()).await.unwrap();
    let migrations =
        Migrator::new(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations")).await.unwrap();
    migrations.run(&direct).await.unwrap();
    direct.close().await;
    // Short, so that some outcomes stay unknown until they are asked for again.
    let config = Config { patience: Duration::from_millis(100), ..Config::default() };
    let store = EventStore::start(Pool::new(options.clone(), 4), &options, &config);

    let told = Arc::new(Told::default());
    let callers: Vec<_> = (0..CALLERS).map(|n| tokio::spawn(call(store.clone(), told.clone(), n))).collect();
    let cluster = Arc::new(cluster);
    for kills in 1..=KILLS {
        let enough = kills * BETWEEN;
        let acknowledged = async || (told.acknowledged.load(Ordering::Relaxed) >= enough).then_some(());
        eventually("enough appends are acknowledged", SOON, acknowledged).await;
        let cluster = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || {
            cluster.kill();
            cluster.again();
        })
        .await
        .unwrap();
    }
    let after = told.acknowledged.load(Ordering::Relaxed);
    eventually("appends go on", SOON, async || {
        (told.acknowledged.load(Ordering::Relaxed) > after + CALLERS).then_some(())
    })
    .await;
    told.enough.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for caller in callers {
        acknowledged.extend(caller.await.unwrap());
    }

    let direct = sqlx::PgPool::connect_with(options).await.unwrap();
    for (command, receipt) in &acknowledged {
        let found: Option<(i64, i64)> = sqlx::query_as(
            "SELECT c.position, e.version FROM commands c JOIN events e USING (position)
             WHERE command_id = $1 AND e.stream_id = $2 AND e.meta->>'command_id' = $1::text",
        )
        .bind(command.command.id.0)
        .bind(command.stream.as_str())
        .fetch_optional(&direct)
        .await
        .unwrap();
        assert_eq!(found, Some((receipt.position.0, receipt.to_version.0)), "{command:?}");
    }
    let count = i64::try_from(acknowledged.len()).unwrap();
    let log: (i64, i64, i64) =
        sqlx::query_as("SELECT count(*), min(position), max(position) FROM events").fetch_one(&direct).await.unwrap();
    assert_eq!(log, (count, 1, count), "neither a gap nor an event that nobody was told of");
    println!(
        "{KILLS} kills: {count} acknowledged, 0 lost; {} unknown and {} unavailable, all told by their id",
        told.unknown.load(Ordering::Relaxed),
        told.unavailable.load(Ordering::Relaxed)
    );
    assert!(told.unknown.load(Ordering::Relaxed) + told.unavailable.load(Ordering::Relaxed) > 0, "no kill was noticed");
}
