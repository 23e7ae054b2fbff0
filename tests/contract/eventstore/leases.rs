//! What happens to a staging's lease happens together with the events of the append, or not at all.

use std::time::Duration;

use dm_domain::ids::{Owner, RunId};
use dm_eventstore::{Append, AppendError, EventStore, LeaseOp};
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Log, append, repeated, stream};

/// A lease as the table has it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Lease {
    kind: String,
    run: Uuid,
    attempt: i32,
    owner_id: Uuid,
    owner_start: i32,
}

const RUN: RunId = RunId(Uuid::from_u128(1));
const HOLDER: Owner = Owner { id: Uuid::from_u128(2), start: 5 };
const STRANGER: Owner = Owner { id: Uuid::from_u128(3), start: 9 };

fn held() -> Lease {
    Lease { kind: "run".to_owned(), run: RUN.0, attempt: 2, owner_id: HOLDER.id, owner_start: 5 }
}

/// Puts a lease on `a` that ends in `seconds`.
async fn put(pool: &PgPool, lease: &Lease, seconds: i32) {
    sqlx::query(
        "INSERT INTO leases (staging, kind, run, attempt, owner_id, owner_start, taken_at, expires_at)
         VALUES ('a', $1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp() + $6 * interval '1 second')",
    )
    .bind(&lease.kind)
    .bind(lease.run)
    .bind(lease.attempt)
    .bind(lease.owner_id)
    .bind(lease.owner_start)
    .bind(seconds)
    .execute(pool)
    .await
    .unwrap();
}

/// The lease on `a`.
async fn lease(pool: &PgPool) -> Option<Lease> {
    let query = "SELECT kind, run, attempt, owner_id, owner_start FROM leases WHERE staging = 'a'";
    sqlx::query_as(query).fetch_optional(pool).await.unwrap()
}

fn with(operation: LeaseOp) -> Append {
    Append { lease: Some(operation), ..append(&stream("a"), 0, 1) }
}

fn claim(owner: Owner) -> LeaseOp {
    LeaseOp::Claim { owner, run: RUN, attempt: 2 }
}

async fn refused(store: &EventStore, operation: LeaseOp) {
    let refused = store.append(with(operation.clone())).await;
    assert!(matches!(refused, Err(AppendError::Lease)), "{operation:?}: {refused:?}");
    assert_eq!(store.head().await.unwrap().position.0, 0, "nothing is appended without the lease");
}

#[tokio::test]
async fn a_claim_takes_the_lease_for_as_long_as_the_store_was_told() {
    let log = Log::create().await;
    log.store.append(with(claim(HOLDER))).await.unwrap();
    assert_eq!(lease(&log.pool).await, Some(held()));
    let seconds: f64 = sqlx::query_scalar("SELECT extract(epoch FROM expires_at - taken_at)::float8 FROM leases")
        .fetch_one(&log.pool)
        .await
        .unwrap();
    assert!((seconds - 90.0).abs() < 0.1, "{seconds}");
}

#[tokio::test]
async fn a_claim_is_lost_to_a_living_lease_of_a_run_or_of_a_check() {
    for kind in ["run", "check"] {
        let log = Log::create().await;
        let living = Lease { kind: kind.to_owned(), ..held() };
        put(&log.pool, &living, 60).await;
        refused(&log.store, claim(STRANGER)).await;
        refused(&log.store, claim(HOLDER)).await;
        assert_eq!(lease(&log.pool).await, Some(living));
    }
}

#[tokio::test]
async fn a_claim_replaces_an_expired_lease() {
    let log = Log::create().await;
    put(&log.pool, &Lease { kind: "check".to_owned(), ..held() }, -1).await;
    log.store.append(with(claim(STRANGER))).await.unwrap();
    let expected = Lease { owner_id: STRANGER.id, owner_start: 9, ..held() };
    assert_eq!(lease(&log.pool).await, Some(expected));
}

#[tokio::test]
async fn a_claim_that_loses_the_version_takes_no_lease() {
    let log = Log::create().await;
    log.store.append(append(&stream("a"), 0, 1)).await.unwrap();
    let conflict = log.store.append(with(claim(HOLDER))).await.unwrap_err();
    assert!(matches!(conflict, AppendError::Conflict { .. }), "{conflict:?}");
    assert_eq!(lease(&log.pool).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_claims_at_two_replicas_one_gets_the_lease_and_the_event() {
    let log = Log::create().await;
    let stores = [log.store.clone(), log.replica().await];
    let mut claims = JoinSet::new();
    for n in 0..16 {
        let owner = Owner { id: Uuid::from_u128(100 + n), start: 1 };
        let store = stores[usize::from(n % 2 == 0)].clone();
        claims.spawn(async move { store.append(with(claim(owner))).await.map(|_| owner) });
    }
    let winners: Vec<_> = claims.join_all().await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(lease(&log.pool).await.unwrap().owner_id, winners[0].id);
    assert_eq!(log.whole().await.len(), 1);
}

#[tokio::test]
async fn a_repeated_claim_gets_its_first_answer_whatever_became_of_the_lease() {
    let log = Log::create().await;
    let command = with(claim(HOLDER));
    let first = log.store.append(command.clone()).await.unwrap();
    assert_eq!(log.store.append(command.clone()).await.unwrap(), repeated(&first));
    sqlx::query("DELETE FROM leases").execute(&log.pool).await.unwrap();
    assert_eq!(log.store.append(command).await.unwrap(), repeated(&first));
    assert_eq!(lease(&log.pool).await, None);
}

#[tokio::test]
async fn a_release_gives_back_exactly_what_is_held() {
    let log = Log::create().await;
    put(&log.pool, &held(), 60).await;
    for (owner, run, attempt) in [
        (STRANGER, RUN, 2),
        (Owner { start: 4, ..HOLDER }, RUN, 2),
        (Owner { start: 6, ..HOLDER }, RUN, 2),
        (HOLDER, RunId(Uuid::from_u128(9)), 2),
        (HOLDER, RUN, 1),
        (HOLDER, RUN, 3),
    ] {
        refused(&log.store, LeaseOp::Release { owner, run, attempt }).await;
        assert_eq!(lease(&log.pool).await, Some(held()));
    }
    log.store.append(with(LeaseOp::Release { owner: HOLDER, run: RUN, attempt: 2 })).await.unwrap();
    assert_eq!(lease(&log.pool).await, None);
}

#[tokio::test]
async fn what_is_not_held_any_more_cannot_be_released() {
    let release = LeaseOp::Release { owner: HOLDER, run: RUN, attempt: 2 };
    let log = Log::create().await;
    refused(&log.store, release.clone()).await;
    put(&log.pool, &held(), -1).await;
    refused(&log.store, release.clone()).await;
    assert_eq!(lease(&log.pool).await, Some(held()));

    let log = Log::create().await;
    put(&log.pool, &Lease { kind: "check".to_owned(), ..held() }, 60).await;
    refused(&log.store, release).await;
}

/// Whether a lease that ends in `seconds` is broken by `by`.
async fn breaks(existing: &Lease, seconds: i32, by: Owner) -> bool {
    let log = Log::create().await;
    put(&log.pool, existing, seconds).await;
    match log.store.append(with(LeaseOp::Break { by, run: RUN, attempt: 2 })).await {
        Ok(_) => {
            assert_eq!(lease(&log.pool).await, None);
            assert_eq!(log.whole().await.len(), 1);
            true
        }
        Err(AppendError::Lease) => {
            assert_eq!(lease(&log.pool).await.as_ref(), Some(existing));
            assert_eq!(log.whole().await.len(), 0);
            false
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn only_what_has_expired_or_is_of_an_earlier_start_is_broken() {
    let later = Owner { start: 6, ..HOLDER };
    assert!(!breaks(&held(), 60, STRANGER).await, "a living lease of another owner");
    assert!(!breaks(&held(), 60, HOLDER).await, "of the same start");
    assert!(!breaks(&held(), 60, Owner { start: 4, ..HOLDER }).await, "of a later start");
    assert!(breaks(&held(), 60, later).await, "of an earlier start");
    assert!(breaks(&held(), -1, STRANGER).await, "an expired lease");

    let others = [
        Lease { attempt: 3, ..held() },
        Lease { run: Uuid::from_u128(9), ..held() },
        Lease { kind: "check".to_owned(), ..held() },
    ];
    for other in &others {
        assert!(!breaks(other, 60, later).await, "of something else: {other:?}");
        assert!(breaks(other, -1, later).await, "expired, whatever it was for: {other:?}");
    }
}

#[tokio::test]
async fn where_there_is_no_lease_none_has_to_be_broken() {
    let log = Log::create().await;
    log.store.append(with(LeaseOp::Break { by: STRANGER, run: RUN, attempt: 2 })).await.unwrap();
    assert_eq!(log.whole().await.len(), 1);
}

#[tokio::test]
async fn a_refused_lease_does_not_take_its_neighbours_along() {
    let log = Log::create().await;
    put(&log.pool, &held(), 60).await;
    let mut tasks = JoinSet::new();
    let neighbour = |name| Append {
        lease: Some(LeaseOp::Claim { owner: HOLDER, run: RUN, attempt: 1 }),
        ..append(&stream(name), 0, 1)
    };
    for command in [neighbour("before"), with(claim(STRANGER)), append(&stream("plain"), 0, 1), neighbour("after")] {
        let store = log.store.clone();
        tasks.spawn(async move { (command.stream.to_string(), store.append(command).await) });
    }
    for (name, outcome) in tokio::time::timeout(Duration::from_secs(20), tasks.join_all()).await.unwrap() {
        assert_eq!(outcome.is_ok(), name != "a", "{name}: {outcome:?}");
    }
    assert_eq!(log.whole().await.len(), 3);
    let leases: i64 = sqlx::query_scalar("SELECT count(*) FROM leases").fetch_one(&log.pool).await.unwrap();
    assert_eq!(leases, 3);
}
