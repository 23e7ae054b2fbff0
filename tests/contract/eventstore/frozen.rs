//! The link between store and database is half open: nothing passes on it, and nobody says so.

use std::time::Duration;

use dm_domain::ids::Version;
use dm_eventstore::{Config, EventStore, Pool, Position};
use dm_tests::eventually::eventually;
use dm_tests::postgres::Database;
use dm_tests::proxy::Proxy;
use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use super::{LONG, append, hold, stream, until};

/// By when a dead link is noticed.
const NOTICED: Duration = Duration::from_secs(10);

/// By when something is answered, whatever the link does.
const ANSWER: Duration = Duration::from_secs(12);

/// What waits as long as a test holds the log's lock.
const LOCK: &str = "SELECT pg_advisory_xact_lock(4918)";

/// A store of which everything reaches the database through a proxy.
struct Linked {
    database: Database,
    direct: PgPool,
    proxy: Proxy,
    pool: Pool,
    store: EventStore,
}

impl Linked {
    async fn create() -> Self {
        let database = Database::create().await;
        let direct = database.pool().await;
        let (proxy, through) = database.proxied();
        let pool = Pool::new(through.clone(), 4);
        let store = EventStore::start(pool.clone(), &through, &Config::default());
        store.append(append(&stream("a"), 0, 1)).await.unwrap();
        let linked = Self { database, direct, proxy, pool, store };
        until(async || linked.listener().await.is_some()).await;
        linked
    }

    /// The newest connection that listens.
    async fn listener(&self) -> Option<i32> {
        let query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dms listener'
            AND datname = current_database() AND query LIKE 'LISTEN%' ORDER BY backend_start DESC LIMIT 1";
        sqlx::query_scalar(query).fetch_optional(&self.direct).await.unwrap()
    }

    /// Leaves so many connections idle.
    async fn lie_idle(&self, count: usize) {
        let mut links = Vec::new();
        for _ in 0..count {
            links.push(self.pool.link().await.unwrap());
        }
        links.into_iter().for_each(dm_eventstore::Link::give_back);
    }

    async fn answers(&self) {
        sqlx::query("SELECT 1").execute(&self.pool).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_asks_waits_for_one_dead_connection_and_not_for_each_that_lies_idle() {
    let linked = Linked::create().await;
    linked.lie_idle(4).await;
    linked.proxy.forget();
    let asked = Instant::now();
    for _ in 0..4 {
        linked.answers().await;
    }
    assert!(asked.elapsed() < Duration::from_secs(3), "four answers took {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_query_that_is_given_up_takes_its_connection_with_it() {
    let linked = Linked::create().await;
    // What asks for this lock is not answered.
    let holding = hold(&linked.direct).await;
    let patient = linked.pool.patient(Duration::from_millis(300));
    for _ in 0..2 {
        let queries: Vec<_> = (0..4)
            .map(|_| {
                let patient = patient.clone();
                tokio::spawn(async move { sqlx::query(LOCK).execute(&patient).await })
            })
            .collect();
        for query in queries {
            assert!(query.await.unwrap().is_err());
        }
    }
    // Whoever asked does not wait any more.
    for _ in 0..8 {
        let dropped = timeout(Duration::from_millis(50), sqlx::query(LOCK).execute(&linked.pool)).await;
        assert!(dropped.is_err());
    }
    linked.answers().await;
    holding.rollback().await.unwrap();
}

#[tokio::test]
async fn what_the_database_has_against_a_query_costs_no_connection() {
    let linked = Linked::create().await;
    linked.lie_idle(1).await;
    let pid = async || sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(&linked.pool).await.unwrap();
    let before = pid().await;
    assert!(sqlx::query("SELECT 1 / 0").execute(&linked.pool).await.is_err());
    assert_eq!(pid().await, before);
}

#[tokio::test]
async fn on_a_frozen_link_reads_and_appends_fail_in_time_and_go_on_once_it_heals() {
    for forgotten in [false, true] {
        let linked = Linked::create().await;
        linked.lie_idle(4).await;
        let command = append(&stream("a"), 1, 2);
        linked.proxy.freeze();
        let frozen = Instant::now();
        let appended = tokio::spawn({
            let (store, command) = (linked.store.clone(), command.clone());
            async move { store.append(command).await }
        });
        assert!(linked.store.read_all(Position(0), 10).await.is_err());
        assert!(linked.store.head().await.is_err());
        appended.await.unwrap().unwrap_err();
        assert!(frozen.elapsed() < ANSWER, "the last answer came after {:?}", frozen.elapsed());
        assert!(frozen.elapsed() > Duration::from_secs(5), "and not before it was tried");

        if forgotten {
            linked.proxy.forget();
        }
        linked.proxy.heal();
        let healed = Instant::now();
        eventually("reads go on", NOTICED, async || linked.store.head().await.ok()).await;
        let receipt = linked.store.append(command).await.unwrap();
        assert_eq!((receipt.to_version, receipt.position), (Version(3), Position(3)), "it is there once");
        let other = EventStore::start(linked.direct.clone(), &linked.database.options(), &Config::default());
        other.append(append(&stream("a"), 3, 1)).await.unwrap();
        let seen = linked.store.watch().wait_for(|newest| *newest >= Position(4)).await.map(|newest| *newest);
        assert_eq!(seen.unwrap(), Position(4));
        assert!(healed.elapsed() < NOTICED, "it took {:?} to go on", healed.elapsed());
    }
}

#[tokio::test]
async fn a_listener_and_a_writer_on_a_dead_link_are_replaced_within_ten_seconds() {
    let linked = Linked::create().await;
    let before = linked.listener().await;
    linked.proxy.forget();
    let dead = Instant::now();
    let receipt = linked.store.append(append(&stream("a"), 1, 1)).await.unwrap();
    assert_eq!(receipt.position, Position(2));
    assert!(dead.elapsed() < NOTICED, "the append took {:?}", dead.elapsed());
    until(async || linked.listener().await != before).await;
    assert!(dead.elapsed() < NOTICED, "the listener was replaced after {:?}", dead.elapsed());
}

#[tokio::test]
async fn late_answers_lost_requests_and_resets_make_appends_slower_and_never_wrong() {
    let linked = Linked::create().await;
    let mut version = 1;
    // Of each kind of fault: what is told to have happened has, and what is not is told by its id.
    for fault in 0..4 {
        match fault {
            0 => linked.proxy.delay_answers(Duration::from_millis(700)),
            1 => linked.proxy.freeze_requests(),
            2 => linked.proxy.freeze_answers(),
            _ => linked.proxy.reset_each(5),
        }
        let command = append(&stream("a"), version, 1);
        let told = linked.store.append(command.clone()).await;
        linked.proxy.heal();
        let receipt = match told {
            Ok(receipt) => receipt,
            Err(_) => timeout(LONG, linked.store.append(command)).await.unwrap().unwrap(),
        };
        version += 1;
        assert_eq!(receipt.to_version, Version(version), "fault {fault}");
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&linked.direct).await.unwrap();
        assert_eq!(count, version, "fault {fault}: nothing is doubled");
    }
}
