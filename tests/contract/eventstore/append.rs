//! One writer: what an append answers and what the log then holds.

use std::collections::BTreeSet;

use dm_domain::ids::{RunId, Version};
use dm_eventstore::{AppendError, BodyMac, CommandKey, Position, codec};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{Log, append, hold, key, repeated, stream, until, waiting};

#[tokio::test]
async fn events_get_the_next_positions_and_versions() {
    let log = Log::create().await;
    let (a, b) = (stream("a"), stream("b"));

    let first = log.store.append(append(&a, 0, 2)).await.unwrap();
    assert_eq!((first.from_version, first.to_version, first.position), (Version(0), Version(2), Position(2)));
    assert!(!first.quiet && !first.repeated);
    log.store.append(append(&b, 0, 1)).await.unwrap();
    log.store.append(append(&a, 2, 1)).await.unwrap();

    let whole = log.whole().await;
    let expected = [(1, "a", 1), (2, "a", 2), (3, "b", 1), (4, "a", 3)];
    assert_eq!(whole, expected.map(|(position, stream, version)| (position, stream.to_owned(), version)));
    assert_eq!(log.store.head().await.unwrap().position, Position(4));
}

#[tokio::test]
async fn an_event_is_read_back_as_it_was_written() {
    let log = Log::create().await;
    let written = append(&stream("a"), 0, 1);
    log.store.append(written.clone()).await.unwrap();

    let read = log.store.read_stream(&stream("a"), Version::NONE, 10).await.unwrap().events;
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].event_type, written.events[0].event_type);
    assert_eq!(read[0].schema, written.events[0].schema);
    assert_eq!(read[0].data.get(), written.events[0].data.get());
    assert_eq!(codec::meta(&read[0]).unwrap(), written.meta);
}

#[tokio::test]
async fn a_page_ends_at_its_limit_and_goes_on_after_its_last_event() {
    let log = Log::create().await;
    log.store.append(append(&stream("a"), 0, 5)).await.unwrap();

    let page = log.store.read_stream(&stream("a"), Version(1), 2).await.unwrap();
    assert_eq!(page.events.iter().map(|e| e.version.0).collect::<Vec<_>>(), [2, 3]);
    assert!(page.more);
    let page = log.store.read_all(Position(3), 10).await.unwrap();
    assert_eq!(page.events.iter().map(|e| e.position.0).collect::<Vec<_>>(), [4, 5]);
    assert!(!page.more);
    let page = log.store.read_all(Position(5), 10).await.unwrap();
    assert!(page.events.is_empty() && !page.more);
}

#[tokio::test]
async fn an_append_at_another_version_changes_nothing_and_names_the_newest() {
    let log = Log::create().await;
    log.store.append(append(&stream("a"), 0, 3)).await.unwrap();

    for wrong in [0, 2, 4] {
        let refused = log.store.append(append(&stream("a"), wrong, 1)).await.unwrap_err();
        assert!(matches!(refused, AppendError::Conflict { actual: Version(3) }), "{refused:?}");
    }
    assert_eq!(log.whole().await.len(), 3);
}

#[tokio::test]
async fn a_repeated_command_gets_its_first_answer() {
    let log = Log::create().await;
    let mut command = append(&stream("a"), 0, 2);
    command.run = Some(RunId(Uuid::new_v4()));
    let first = log.store.append(command.clone()).await.unwrap();
    assert_eq!(first.run, command.run);
    log.store.append(append(&stream("a"), 2, 1)).await.unwrap();

    assert_eq!(log.store.append(command.clone()).await.unwrap(), repeated(&first));
    assert_eq!(log.store.find_command(command.command).await.unwrap(), Some(repeated(&first)));
    assert_eq!(log.whole().await.len(), 3);
}

#[tokio::test]
async fn a_command_repeated_sixteen_times_at_once_happens_once() {
    let log = Log::create().await;
    let command = append(&stream("a"), 0, 2);

    let answers: Vec<_> = (0..16)
        .map(|_| {
            let (store, command) = (log.store.clone(), command.clone());
            tokio::spawn(async move { store.append(command).await.unwrap() })
        })
        .collect();
    let mut first = 0;
    for answer in answers {
        let receipt = answer.await.unwrap();
        assert_eq!((receipt.to_version, receipt.position), (Version(2), Position(2)));
        first += usize::from(!receipt.repeated);
    }
    assert_eq!(first, 1);
    assert_eq!(log.whole().await.len(), 2);
}

#[tokio::test]
async fn a_key_that_was_used_for_another_request_is_refused() {
    let log = Log::create().await;
    let command = append(&stream("a"), 0, 1);
    log.store.append(command.clone()).await.unwrap();
    let other = CommandKey { id: command.command.id, mac: BodyMac([8; 32]) };

    let mut reused = append(&stream("b"), 0, 1);
    reused.command = other;
    assert!(matches!(log.store.append(reused).await.unwrap_err(), AppendError::KeyReused));
    assert!(matches!(log.store.find_command(other).await.unwrap_err(), AppendError::KeyReused));
    assert_eq!(log.store.find_command(key()).await.unwrap(), None);
    assert_eq!(log.whole().await.len(), 1);
}

#[tokio::test]
async fn a_quiet_command_is_remembered() {
    let log = Log::create().await;
    log.store.append(append(&stream("a"), 0, 3)).await.unwrap();
    let mut quiet = append(&stream("a"), 3, 0);
    quiet.run = Some(RunId(Uuid::new_v4()));

    let receipt = log.store.append(quiet.clone()).await.unwrap();
    assert!(receipt.quiet);
    assert_eq!(receipt.run, quiet.run);
    assert_eq!((receipt.from_version, receipt.to_version, receipt.position), (Version(3), Version(3), Position(3)));
    log.store.append(append(&stream("a"), 3, 1)).await.unwrap();
    assert_eq!(log.store.append(quiet).await.unwrap(), repeated(&receipt));
}

#[tokio::test]
async fn a_quiet_command_on_an_old_version_is_a_conflict() {
    let log = Log::create().await;
    log.store.append(append(&stream("a"), 0, 3)).await.unwrap();
    let refused = log.store.append(append(&stream("a"), 2, 0)).await.unwrap_err();
    assert!(matches!(refused, AppendError::Conflict { actual: Version(3) }));
}

#[tokio::test]
async fn a_command_that_the_database_refuses_does_not_take_its_neighbours_along() {
    let log = Log::create().await;
    // Neighbours of one batch: all wait for the lock that this transaction holds.
    let holding = hold(&log.pool).await;
    let spawn = |append| {
        let store = log.store.clone();
        tokio::spawn(async move { store.append(append).await })
    };
    let ahead = spawn(append(&stream("ahead"), 0, 1));
    until(async || waiting(&log.pool).await == 1).await;
    let mut bad = append(&stream("bad"), 0, 1);
    bad.events[0].event_type = "\0";
    let (before, bad, after) = (spawn(append(&stream("before"), 0, 1)), spawn(bad), spawn(append(&stream("c"), 0, 1)));
    holding.commit().await.unwrap();

    ahead.await.unwrap().unwrap();
    before.await.unwrap().unwrap();
    after.await.unwrap().unwrap();
    let refused = bad.await.unwrap().unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable(_)), "{refused:?}");
    assert_eq!(log.whole().await.len(), 3);
}

#[tokio::test]
async fn the_log_refuses_to_be_changed() {
    let log = Log::create().await;
    log.store.append(append(&stream("a"), 0, 1)).await.unwrap();
    let before = log.whole().await;

    for table in ["events", "commands"] {
        for statement in [
            format!("UPDATE {table} SET stream_id = 'b'"),
            format!("DELETE FROM {table}"),
            format!("DELETE FROM {table} WHERE false"),
            format!("TRUNCATE {table}"),
            format!("SET session_replication_role = replica; DELETE FROM {table}"),
        ] {
            let refused = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&log.pool).await.unwrap_err();
            assert!(refused.to_string().contains("the log is only ever appended to"), "{statement}: {refused}");
        }
    }
    assert_eq!(log.whole().await, before);
}

#[tokio::test]
async fn time_never_goes_back() {
    let log = Log::create().await;
    log.store.append(append(&stream("a"), 0, 1)).await.unwrap();
    // A clock that was an hour fast has been set right.
    let fast: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("UPDATE log_head SET at = at + interval '1 hour' RETURNING at")
            .fetch_one(&log.pool)
            .await
            .unwrap();

    log.store.append(append(&stream("a"), 1, 1)).await.unwrap();
    log.store.append(append(&stream("b"), 0, 2)).await.unwrap();
    let at: Vec<_> = log.store.read_all(Position(1), 10).await.unwrap().events.iter().map(|event| event.at).collect();
    assert_eq!(at, [fast; 3]);
}

#[tokio::test]
async fn the_epoch_of_the_head_stays_until_it_is_changed() {
    let log = Log::create().await;
    let before = log.store.head().await.unwrap();
    log.store.append(append(&stream("a"), 0, 1)).await.unwrap();
    let after = log.store.head().await.unwrap();
    assert_eq!(before.epoch, after.epoch);
    assert!(after.now > before.now);

    let adopted = Uuid::new_v4();
    sqlx::query("UPDATE log_head SET epoch = $1").bind(adopted).execute(&log.pool).await.unwrap();
    assert_eq!(log.store.head().await.unwrap().epoch, adopted);
}

#[tokio::test]
async fn a_batch_of_many_streams_is_gapless() {
    let log = Log::create().await;
    let names: Vec<_> = (0..200).map(|n| format!("s{n}")).collect();
    let tasks: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, name)| {
            let (store, append) = (log.store.clone(), append(&stream(name), 0, n % 4));
            tokio::spawn(async move { store.append(append).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let whole = log.whole().await;
    assert_eq!(whole.iter().map(|(position, ..)| *position).collect::<Vec<_>>(), (1..=300).collect::<Vec<_>>());
    assert_eq!(whole.iter().map(|(_, stream, version)| (stream, version)).collect::<BTreeSet<_>>().len(), 300);
}

#[tokio::test]
async fn a_stopped_store_finishes_what_waits_and_takes_no_more() {
    let log = Log::create().await;
    let waiting: Vec<_> = (0..20)
        .map(|n| {
            let (store, append) = (log.store.clone(), append(&stream(&format!("s{n}")), 0, 1));
            tokio::spawn(async move { store.append(append).await })
        })
        .collect();
    log.store.stop().await;
    let mut appended = 0;
    for task in waiting {
        match task.await.unwrap() {
            Ok(_) => appended += 1,
            Err(error) => assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}"),
        }
    }
    assert_eq!(log.whole().await.len(), appended);
    let refused = log.store.append(append(&stream("late"), 0, 1)).await.unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable(_)), "{refused:?}");
}
