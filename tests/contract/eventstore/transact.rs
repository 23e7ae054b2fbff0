//! Commands carried out on folded streams, against other commands and other replicas.

use std::time::Duration;

use chrono::Utc;
use dm_domain::ids::{Actor, CommandId, RunId, StagingName, Tag, Version};
use dm_domain::overrides::Values;
use dm_domain::staging::{Command, Create, Rejection, Status, Wish};
use dm_eventstore::{
    BodyMac, Channel, DecodeError, EventStore, Metadata, Position, ReadError, Receipt, TransactError, Transaction,
    codec,
};
use sqlx::AssertSqlSafe;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use super::{Log, append, hold, repeated, stream, until, waiting};

const TIMEOUT: Duration = Duration::from_mins(5);

pub(super) fn name(text: &str) -> StagingName {
    StagingName::parse(text).unwrap()
}

/// A command with a key of its own.
fn command(staging: &str, wish: Wish) -> Transaction {
    let actor = Actor("user/test".to_owned());
    let id = Uuid::new_v4();
    Transaction {
        staging: name(staging),
        command: Command { now: Utc::now(), actor: actor.clone(), run: RunId(Uuid::new_v4()), wish },
        meta: Metadata {
            actor,
            channel: Channel::Dmc,
            reason: None,
            command_id: CommandId(id),
            correlation_id: id,
            on_behalf: None,
        },
        mac: BodyMac([7; 32]),
        lease: None,
    }
}

/// A staging is wanted, by a command with a key of its own.
pub(super) fn create(staging: &str) -> Transaction {
    let wish = Wish::Create(Create {
        tag: Tag::parse("v1").unwrap(),
        set: Values::default(),
        unset: dm_domain::overrides::Keys::default(),
        defaults: Values::default(),
        status_timeout: TIMEOUT,
        from: None,
    });
    command(staging, wish)
}

pub(super) fn cancel(staging: &str) -> Transaction {
    command(staging, Wish::Cancel { run: None })
}

fn start(store: &EventStore, transaction: Transaction) -> JoinHandle<Result<Receipt, TransactError>> {
    let store = store.clone();
    tokio::spawn(async move { store.transact(transaction).await })
}

#[tokio::test]
async fn a_command_becomes_events_and_its_receipt_names_the_run() {
    let log = Log::create().await;
    let wanted = create("a");
    let receipt = log.store.transact(wanted.clone()).await.unwrap();
    assert_eq!(receipt.run, Some(wanted.command.run));
    assert_eq!((receipt.from_version, receipt.to_version, receipt.position), (Version(0), Version(1), Position(1)));

    let loaded = log.store.load(&name("a")).await.unwrap();
    assert_eq!((loaded.state.status(), loaded.version), (Some(Status::CreatePending), Version(1)));
    let events = log.store.read_stream(&stream("a"), Version::NONE, 10).await.unwrap().events;
    assert_eq!(events[0].event_type, "CreateRequested");
    assert_eq!(codec::meta(&events[0]).unwrap(), wanted.meta);
}

#[tokio::test]
async fn the_same_key_gives_the_first_answer_also_after_the_state_has_changed() {
    let log = Log::create().await;
    let wanted = create("a");
    let first = log.store.transact(wanted.clone()).await.unwrap();
    assert_eq!(log.store.transact(wanted.clone()).await.unwrap(), repeated(&first), "busy by itself");
    log.store.transact(cancel("a")).await.unwrap();
    assert_eq!(log.store.load(&name("a")).await.unwrap().state.status(), None);
    assert_eq!(log.store.transact(wanted).await.unwrap(), repeated(&first), "free again");
    assert_eq!(log.whole().await.len(), 2);
}

#[tokio::test]
async fn the_same_key_for_another_request_is_refused() {
    let log = Log::create().await;
    let wanted = create("a");
    log.store.transact(wanted.clone()).await.unwrap();
    for staging in ["a", "b"] {
        let other = Transaction { mac: BodyMac([8; 32]), staging: name(staging), ..wanted.clone() };
        let refused = log.store.transact(other).await.unwrap_err();
        assert!(matches!(refused, TransactError::KeyReused), "{refused:?}");
    }
    assert_eq!(log.whole().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_sixteen_times_at_once_at_two_replicas_gives_one_answer() {
    let log = Log::create().await;
    let stores = [log.store.clone(), log.replica().await];
    for round in 0..10 {
        let wanted = create(&format!("a{round}"));
        let mut tasks = JoinSet::new();
        for n in 0..16 {
            let (store, wanted) = (stores[n % 2].clone(), wanted.clone());
            tasks.spawn(async move { store.transact(wanted).await.unwrap() });
        }
        let receipts = tasks.join_all().await;
        assert_eq!(receipts.iter().filter(|receipt| !receipt.repeated).count(), 1);
        assert!(receipts.iter().all(|receipt| receipt.run == Some(wanted.command.run)));
    }
    assert_eq!(log.whole().await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creates_at_once_one_is_accepted_and_the_others_are_told_why_not() {
    let log = Log::create().await;
    let stores = [log.store.clone(), log.replica().await];
    let mut tasks = JoinSet::new();
    for n in 0..32 {
        let store = stores[n % 2].clone();
        tasks.spawn(async move { store.transact(create("a")).await });
    }
    let mut accepted = 0;
    for outcome in tasks.join_all().await {
        match outcome {
            Ok(_) => accepted += 1,
            Err(TransactError::Rejected(rejection)) => {
                assert!(matches!(*rejection, Rejection::Exists { .. } | Rejection::Busy { .. }), "{rejection:?}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(accepted, 1);
    assert_eq!(log.whole().await.len(), 1);
}

#[tokio::test]
async fn a_quiet_command_is_remembered_and_names_the_run_under_way() {
    let log = Log::create().await;
    let asked = create("a");
    log.store.transact(asked.clone()).await.unwrap();
    // Two replicas decide on the same version: the second is decided again, and is quiet by then.
    let other = log.replica().await;
    other.load(&name("a")).await.unwrap();
    claim(&log, &asked).await;

    let holding = hold(&log.pool).await;
    let first = start(&log.store, cancel("a"));
    until(async || waiting(&log.pool).await == 1).await;
    let late = cancel("a");
    let second = start(&other, late.clone());
    until(async || waiting(&log.pool).await == 2).await;
    holding.commit().await.unwrap();

    assert!(!first.await.unwrap().unwrap().quiet);
    let quiet = second.await.unwrap().unwrap();
    assert!(quiet.quiet);
    assert_eq!(quiet.run, Some(asked.command.run));
    assert_eq!((quiet.from_version, quiet.to_version), (Version(3), Version(3)));
    assert_eq!(other.transact(late).await.unwrap(), repeated(&quiet));
}

/// The run that `asked` has opened is started.
async fn claim(log: &Log, asked: &Transaction) {
    let wish = Wish::StartRun(dm_domain::staging::StartRun {
        run: asked.command.run,
        attempt: 1,
        owner: dm_domain::ids::Owner { id: Uuid::from_u128(1), start: 1 },
        verb: dm_domain::staging::Verb::Create,
        executable: "/wrappers/create".to_owned(),
        digest: None,
        time_limit: TIMEOUT,
        ask: false,
    });
    log.store.transact(command(asked.staging.as_str(), wish)).await.unwrap();
}

#[tokio::test]
async fn a_command_that_lost_a_race_is_decided_again_and_may_be_refused_then() {
    let log = Log::create().await;
    let other = log.replica().await;
    let holding = hold(&log.pool).await;
    let first = start(&log.store, create("a"));
    until(async || waiting(&log.pool).await == 1).await;
    let second = start(&other, create("a"));
    until(async || waiting(&log.pool).await == 2).await;
    holding.commit().await.unwrap();

    let run = first.await.unwrap().unwrap().run.unwrap();
    let Err(TransactError::Rejected(rejection)) = second.await.unwrap() else { panic!("both were accepted") };
    assert!(matches!(*rejection, Rejection::Busy { run: named, .. } if named == run), "{rejection:?}");
}

#[tokio::test]
async fn a_rejection_knows_what_another_replica_has_appended() {
    let log = Log::create().await;
    let other = log.replica().await;
    log.store.transact(create("a")).await.unwrap();
    other.load(&name("a")).await.unwrap();
    log.store.transact(cancel("a")).await.unwrap();

    let Err(TransactError::Rejected(rejection)) = other.transact(cancel("a")).await else { panic!("accepted") };
    assert!(matches!(*rejection, Rejection::NotFound { .. }), "{rejection:?}");
    other.transact(create("a")).await.unwrap();
}

#[tokio::test]
async fn what_is_kept_of_a_stream_that_was_put_back_is_dropped() {
    // What is kept says that the name is free: it accepts a create, and refuses a cancel.
    for (last, next) in [(0, create("a")), (1, cancel("a"))] {
        let log = Log::create().await;
        log.store.transact(create("a")).await.unwrap();
        log.store.transact(cancel("a")).await.unwrap();
        let put_back = format!(
            "ALTER TABLE events DISABLE TRIGGER USER;
             DELETE FROM events WHERE version > {last};
             UPDATE log_head SET position = {last}"
        );
        sqlx::raw_sql(AssertSqlSafe(put_back)).execute(&log.pool).await.unwrap();
        assert_eq!(log.store.transact(next).await.unwrap().from_version, Version(last));
    }
}

#[tokio::test]
async fn a_command_that_loses_again_and_again_is_given_up_after_three_new_decisions() {
    let log = Log::create().await;
    let hostile = "SELECT 'CREATE SEQUENCE decided; '
        || replace(pg_get_functiondef('append_batch'::regproc), 'newest.version <> c.expects', 'nextval(''decided'') > 0')";
    let statements: String = sqlx::query_scalar(hostile).fetch_one(&log.pool).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&log.pool).await.unwrap();

    let given_up = log.store.transact(create("a")).await.unwrap_err();
    assert!(matches!(given_up, TransactError::Contended), "{given_up:?}");
    let decided: i64 = sqlx::query_scalar("SELECT last_value FROM decided").fetch_one(&log.pool).await.unwrap();
    assert_eq!(decided, 4);
}

#[tokio::test]
async fn on_a_stream_with_an_event_that_this_build_does_not_know_nothing_is_decided() {
    let log = Log::create().await;
    log.store.transact(create("a")).await.unwrap();
    log.store.append(append(&stream("a"), 1, 1)).await.unwrap();

    let refused = log.store.transact(cancel("a")).await.unwrap_err();
    let TransactError::Unreadable(DecodeError::UnknownType { position, event_type, schema }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((position, event_type.as_str(), schema), (Position(2), "Noted", 1));
    assert!(matches!(log.store.load(&name("a")).await, Err(ReadError::Decode(_))));
    log.store.transact(create("b")).await.unwrap();
    assert_eq!(log.whole().await.len(), 3, "the log itself stays readable");
}

#[tokio::test]
async fn a_known_type_in_a_shape_that_this_build_does_not_know_is_not_guessed() {
    let log = Log::create().await;
    log.store.transact(create("a")).await.unwrap();
    let mut newer = append(&stream("a"), 1, 1);
    newer.events[0].event_type = "BecameRunning";
    newer.events[0].schema = 2;
    log.store.append(newer).await.unwrap();
    let refused = log.store.transact(cancel("a")).await.unwrap_err();
    let unknown = matches!(refused, TransactError::Unreadable(DecodeError::UnknownType { schema: 2, .. }));
    assert!(unknown, "{refused:?}");
}

#[tokio::test]
async fn a_damaged_payload_is_named() {
    let log = Log::create().await;
    let mut damaged = append(&stream("a"), 0, 1);
    damaged.events[0].event_type = "BecameRunning";
    log.store.append(damaged).await.unwrap();
    let refused = log.store.transact(create("a")).await.unwrap_err();
    let named = matches!(refused, TransactError::Unreadable(DecodeError::Damaged { position: Position(1), .. }));
    assert!(named, "{refused:?}");
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_nothing_locked() {
    let log = Log::create().await;
    let holding = hold(&log.pool).await;
    let gone = start(&log.store, create("a"));
    until(async || waiting(&log.pool).await == 1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let next = start(&log.store, cancel("a"));
    holding.commit().await.unwrap();
    // It may be judged before what the caller has left behind is appended, or after; but it is judged.
    let outcome = next.await.unwrap();
    assert!(matches!(outcome, Ok(_) | Err(TransactError::Rejected(_))), "{outcome:?}");
    until(async || !log.whole().await.is_empty()).await;
}

#[tokio::test]
async fn a_long_stream_is_folded_to_its_end() {
    let log = Log::create().await;
    let pairs = i64::from(EventStore::READ_MAX) / 2 + 1;
    for _ in 0..pairs {
        log.store.transact(create("a")).await.unwrap();
        log.store.transact(cancel("a")).await.unwrap();
    }
    log.store.transact(create("a")).await.unwrap();
    let fresh = log.replica().await;
    let loaded = fresh.load(&name("a")).await.unwrap();
    assert_eq!(loaded.version, Version(2 * pairs + 1));
    assert_eq!(loaded.state, log.store.load(&name("a")).await.unwrap().state);
}
