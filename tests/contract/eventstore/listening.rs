//! Readers are woken: by notification, and when that is lost, by polling.

use std::time::Duration;

use dm_eventstore::{Config, EventStore, Position};
use tokio::time::{Instant, timeout};

use super::{LONG, Log, append, stream, until};

const LISTENERS: &str = "FROM pg_stat_activity WHERE application_name = 'dms listener' AND datname = current_database()
                          AND query LIKE 'LISTEN%'";

async fn listeners(log: &Log) -> i64 {
    let query = sqlx::AssertSqlSafe(format!("SELECT count(*) {LISTENERS}"));
    sqlx::query_scalar(query).fetch_one(&log.pool).await.unwrap()
}

#[tokio::test]
async fn who_waits_is_woken_by_an_append_through_another_replica() {
    let log = Log::create().await;
    let other = log.replica().await;
    until(async || listeners(&log).await == 2).await;

    let started = Instant::now();
    for position in 1..=20 {
        let waiting = tokio::spawn({
            let store = log.store.clone();
            async move { store.wait(Position(position - 1), LONG).await.unwrap() }
        });
        other.append(append(&stream("a"), position - 1, 1)).await.unwrap();
        assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap(), Position(position));
    }
    // Polling alone would take half a second for each.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn who_asks_for_what_is_there_does_not_wait() {
    let log = Log::create().await;
    log.store.append(append(&stream("a"), 0, 3)).await.unwrap();
    let other = log.replica().await;
    assert_eq!(timeout(LONG, other.wait(Position(2), LONG * 2)).await.unwrap().unwrap(), Position(3));
}

#[tokio::test]
async fn a_wait_ends_at_its_deadline() {
    let log = Log::create().await;
    log.store.append(append(&stream("a"), 0, 3)).await.unwrap();
    let position = timeout(LONG, log.store.wait(Position(3), Duration::from_millis(50))).await.unwrap().unwrap();
    assert_eq!(position, Position(3));
}

#[tokio::test]
async fn without_a_listener_a_new_event_is_seen_within_about_a_second() {
    let log = Log::create().await;
    let nowhere = tempfile::tempdir().unwrap();
    let options = log.database.options().socket(nowhere.path());
    let deaf = EventStore::start(log.pool.clone(), &options, &Config::default());
    let waiting = tokio::spawn(async move { deaf.wait(Position(0), LONG).await.unwrap() });

    log.store.append(append(&stream("a"), 0, 1)).await.unwrap();
    let appended = Instant::now();
    assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap(), Position(1));
    assert!(appended.elapsed() < Duration::from_secs(3), "{:?}", appended.elapsed());
}

#[tokio::test]
async fn when_the_listener_is_cut_off_a_new_event_is_seen_within_about_a_second() {
    let log = Log::create().await;
    let other = log.replica().await;
    until(async || listeners(&log).await == 2).await;
    let waiting = tokio::spawn({
        let store = log.store.clone();
        async move { store.wait(Position(0), LONG).await.unwrap() }
    });
    let terminate = sqlx::AssertSqlSafe(format!("SELECT pg_terminate_backend(pid) {LISTENERS}"));
    sqlx::query(terminate).execute(&log.pool).await.unwrap();
    other.append(append(&stream("a"), 0, 1)).await.unwrap();
    let appended = Instant::now();
    assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap(), Position(1));
    assert!(appended.elapsed() < Duration::from_secs(3), "{:?}", appended.elapsed());
}

#[tokio::test]
async fn a_listener_that_was_cut_off_listens_again() {
    let log = Log::create().await;
    until(async || listeners(&log).await == 1).await;
    let pid =
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'dms listener' AND datname = current_database()";
    let before: i32 = sqlx::query_scalar(pid).fetch_one(&log.pool).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend($1)").bind(before).execute(&log.pool).await.unwrap();
    until(async || {
        sqlx::query_scalar(pid).fetch_optional(&log.pool).await.unwrap().is_some_and(|pid: i32| pid != before)
    })
    .await;
}
