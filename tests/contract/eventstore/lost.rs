//! The link between store and database breaks, before, during and after an append.

use std::time::Duration;

use dm_domain::ids::Version;
use dm_eventstore::{AppendError, Config, EventStore, Position, TransactError};
use dm_tests::postgres::Database;
use dm_tests::proxy::Proxy;
use sqlx::PgPool;

use super::transact::create;
use super::{LONG, append, repeated, stream, until};

const WRITERS: &str = "FROM pg_stat_activity WHERE application_name = 'dms writer' AND datname = current_database()";

/// A store whose writer reaches the database through a proxy; its pool reaches it directly.
struct Linked {
    _database: Database,
    pool: PgPool,
    proxy: Proxy,
    store: EventStore,
}

impl Linked {
    /// With a first event on `a`, so that the writer has a connection that knows its statement.
    async fn create(patience: Duration) -> Self {
        let database = Database::create().await;
        let pool = database.pool().await;
        let (proxy, through) = database.proxied();
        let config = Config { patience, ..Config::default() };
        let store = EventStore::start(pool.clone(), &through, &config);
        store.append(append(&stream("a"), 0, 1)).await.unwrap();
        Self { _database: database, pool, proxy, store }
    }

    async fn writers(&self) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) {WRITERS}"));
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }

    async fn count(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_not_reported_as_failed() {
    let linked = Linked::create(LONG).await;
    let command = append(&stream("a"), 1, 2);
    linked.proxy.swallow_answers();
    let answer = tokio::spawn({
        let (store, command) = (linked.store.clone(), command.clone());
        async move { store.append(command).await }
    });
    linked.proxy.swallowed().await;
    until(async || linked.count().await == 3).await;
    linked.proxy.heal();

    let receipt = answer.await.unwrap().unwrap();
    assert_eq!((receipt.from_version, receipt.to_version, receipt.position), (Version(1), Version(3), Position(3)));
    assert!(!receipt.repeated, "it is told for the first time");
    assert_eq!(linked.store.append(command).await.unwrap(), repeated(&receipt));
    assert_eq!(linked.count().await, 3, "nothing is doubled");
}

#[tokio::test]
async fn while_nothing_is_answered_the_outcome_is_unknown_and_the_command_id_tells_it_later() {
    let linked = Linked::create(Duration::from_millis(500)).await;
    let command = append(&stream("a"), 1, 2);
    linked.proxy.swallow_answers();
    let unknown = linked.store.append(command.clone()).await.unwrap_err();
    assert!(matches!(unknown, AppendError::Unknown(_)), "{unknown:?}");

    let found = linked.store.find_command(command.command).await.unwrap().expect("it was appended all the same");
    assert_eq!((found.from_version, found.to_version), (Version(1), Version(3)));
    linked.proxy.heal();
    assert_eq!(linked.store.append(command).await.unwrap(), found);
    assert_eq!(linked.count().await, 3, "nothing is doubled");
}

#[tokio::test]
async fn a_command_whose_outcome_is_unknown_gets_its_first_answer_when_it_is_repeated() {
    let linked = Linked::create(Duration::from_millis(500)).await;
    let wanted = create("b");
    linked.proxy.swallow_answers();
    let unknown = linked.store.transact(wanted.clone()).await.unwrap_err();
    assert!(matches!(unknown, TransactError::Unknown(_)), "{unknown:?}");
    linked.proxy.heal();

    let receipt = linked.store.transact(wanted.clone()).await.unwrap();
    assert!(receipt.repeated && !receipt.quiet);
    assert_eq!(receipt.run, Some(wanted.command.run));
    assert_eq!(linked.count().await, 2, "nothing is doubled");
}

#[tokio::test]
async fn every_command_of_a_batch_with_a_lost_answer_learns_its_own_outcome() {
    let linked = Linked::create(LONG).await;
    linked.proxy.swallow_answers();
    let answers: Vec<_> = (0..20)
        .map(|n| {
            // Every second one is a conflict.
            let (store, command) = (linked.store.clone(), append(&stream(&format!("s{n}")), n % 2, 1));
            tokio::spawn(async move { store.append(command).await })
        })
        .collect();
    linked.proxy.swallowed().await;
    linked.proxy.heal();
    for (n, answer) in answers.into_iter().enumerate() {
        let answer = answer.await.unwrap();
        match n % 2 {
            0 => assert_eq!(answer.unwrap().to_version, Version(1)),
            _ => assert!(matches!(answer.unwrap_err(), AppendError::Conflict { actual: Version(0) })),
        }
    }
    assert_eq!(linked.count().await, 11);
}

#[tokio::test]
async fn an_append_that_cannot_be_sent_is_unavailable_and_has_not_happened() {
    let database = Database::create().await;
    let (pool, options) = (database.pool().await, database.options());
    let nowhere = tempfile::tempdir().unwrap();
    let config = Config { patience: Duration::from_millis(200), ..Config::default() };
    let store = EventStore::start(pool, &options.clone().socket(nowhere.path()), &config);

    let command = append(&stream("a"), 0, 1);
    let unavailable = store.append(command.clone()).await.unwrap_err();
    assert!(matches!(unavailable, AppendError::Unavailable(_)), "{unavailable:?}");
    assert_eq!(store.find_command(command.command).await.unwrap(), None);
}

#[tokio::test]
async fn an_append_rides_out_a_short_loss_of_the_database() {
    let linked = Linked::create(LONG).await;
    assert_eq!(linked.writers().await, 1);
    linked.proxy.cut();
    let answer = tokio::spawn({
        let (store, command) = (linked.store.clone(), append(&stream("a"), 1, 1));
        async move { store.append(command).await }
    });
    until(async || linked.writers().await == 0).await;
    linked.proxy.heal();
    assert_eq!(answer.await.unwrap().unwrap().to_version, Version(2));
    assert_eq!(linked.count().await, 2);
}

#[tokio::test]
async fn a_writer_whose_connection_is_terminated_goes_on_with_another_one() {
    let linked = Linked::create(LONG).await;
    for version in 1..=5 {
        let terminate = sqlx::AssertSqlSafe(format!("SELECT pg_terminate_backend(pid) {WRITERS}"));
        assert!(sqlx::query_scalar::<_, bool>(terminate).fetch_one(&linked.pool).await.unwrap());
        let receipt = linked.store.append(append(&stream("a"), version, 1)).await.unwrap();
        assert_eq!(receipt.to_version, Version(version + 1));
    }
    assert_eq!(linked.count().await, 6);
}

#[tokio::test]
async fn more_than_may_wait_is_refused_and_not_appended() {
    let linked = Linked::create(Duration::from_secs(4)).await;
    linked.proxy.cut();
    // Each as large as two thirds of the queue: the first is being sent, the second has no room.
    let large = |name| {
        let mut command = append(&stream(name), 0, 1);
        let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(11 * 1024 * 1024));
        command.events[0].data = serde_json::value::RawValue::from_string(data).unwrap();
        command
    };
    let first = tokio::spawn({
        let (store, command) = (linked.store.clone(), large("first"));
        async move { store.append(command).await }
    });
    tokio::task::yield_now().await;
    let refused = linked.store.append(large("second")).await.unwrap_err();
    assert!(matches!(refused, AppendError::Overloaded), "{refused:?}");
    linked.proxy.heal();
    first.await.unwrap().unwrap();
    assert_eq!(linked.store.read_stream(&stream("second"), Version::NONE, 1).await.unwrap().events.len(), 0);
}
