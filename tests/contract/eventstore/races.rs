//! Many writers, several replicas, and readers who follow them.

use std::collections::BTreeMap;

use dm_domain::ids::Version;
use dm_eventstore::{AppendError, EventStore, Position, StreamId};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{LONG, Log, append, stream};

/// Appends one event after the other, on whatever version it finds, until `wins` have been appended; returns the
/// versions that were its own.
async fn win(store: EventStore, stream: StreamId, wins: usize) -> Vec<i64> {
    let mut won = Vec::new();
    let mut version = 0;
    while won.len() < wins {
        match store.append(append(&stream, version, 1)).await {
            Ok(receipt) => {
                assert_eq!(receipt.from_version, Version(version));
                assert!(!receipt.repeated);
                version = receipt.to_version.0;
                won.push(version);
            }
            Err(AppendError::Conflict { actual }) => {
                assert_ne!(actual, Version(version), "a conflict names another version");
                version = actual.0;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    won
}

async fn exactly_one_wins_each_version(log: &Log, stores: &[EventStore]) {
    let mut writers = JoinSet::new();
    for n in 0..32 {
        writers.spawn(win(stores[n % stores.len()].clone(), stream("contested"), 5));
    }
    let mut won: Vec<i64> = writers.join_all().await.into_iter().flatten().collect();
    won.sort_unstable();
    assert_eq!(won, (1..=160).collect::<Vec<_>>());
    let versions: Vec<_> = log.whole().await.into_iter().map(|(position, _, version)| (position, version)).collect();
    assert_eq!(versions, (1..=160).map(|n| (n, n)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_writers_on_one_stream_exactly_one_wins_each_version() {
    let log = Log::create().await;
    exactly_one_wins_each_version(&log, std::slice::from_ref(&log.store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_writers_at_three_replicas_exactly_one_wins_each_version() {
    let log = Log::create().await;
    let stores = [log.store.clone(), log.replica().await, log.replica().await];
    exactly_one_wins_each_version(&log, &stores).await;
}

/// Follows the log to a position, from another replica than the writers'.
async fn follow(store: EventStore, to: i64) -> Vec<(i64, String, i64)> {
    let mut seen = Vec::new();
    let mut after = Position(0);
    while after.0 < to {
        store.wait(after, LONG).await.unwrap();
        for event in store.read_all(after, 100).await.unwrap().events {
            after = event.position;
            seen.push((event.position.0, event.stream.to_string(), event.version.0));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_follows_eight_writers_misses_nothing_and_sees_all_in_order() {
    let log = Log::create().await;
    let (writers, streams, appends) = (8_i64, 5_i64, 60_i64);
    let total = writers * appends * 2;
    let stores = [log.store.clone(), log.replica().await];
    let follower = tokio::spawn(follow(log.replica().await, total));

    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let store = stores[usize::try_from(writer).unwrap() % stores.len()].clone();
        tasks.spawn(async move {
            for n in 0..appends {
                let name = format!("w{writer}-s{}", n % streams);
                store.append(append(&stream(&name), n / streams * 2, 2)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;

    let seen = timeout(LONG, follower).await.expect("the reader comes to the end").unwrap();
    assert_eq!(seen.iter().map(|(position, ..)| *position).collect::<Vec<_>>(), (1..=total).collect::<Vec<_>>());
    let mut by_stream = BTreeMap::<_, Vec<i64>>::new();
    for (_, stream, version) in seen {
        by_stream.entry(stream).or_default().push(version);
    }
    assert_eq!(by_stream.len(), usize::try_from(writers * streams).unwrap());
    for versions in by_stream.values() {
        assert_eq!(*versions, (1..=appends / streams * 2).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_at_two_replicas_happens_once() {
    let log = Log::create().await;
    let stores = [log.store.clone(), log.replica().await];
    for round in 0..20 {
        let command = append(&stream(&format!("s{round}")), 0, 1);
        let mut tasks = JoinSet::new();
        for n in 0..8 {
            let (store, command) = (stores[n % 2].clone(), command.clone());
            tasks.spawn(async move { store.append(command).await.unwrap() });
        }
        let receipts = tasks.join_all().await;
        assert_eq!(receipts.iter().filter(|receipt| !receipt.repeated).count(), 1);
        assert!(receipts.iter().all(|receipt| receipt.position == Position(round + 1)));
    }
    assert_eq!(log.whole().await.len(), 20);
}
