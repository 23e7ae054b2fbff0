//! `dms rebuild` on a log of ten thousand events, beside a serving `dms` or without one.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::time::Duration;

use dm_domain::Decider;
use dm_domain::ids::CommandId;
use dm_domain::staging::{Staging, State};
use dm_eventstore::{Append, BodyMac, CommandKey, Position, StreamId, codec};
use dm_projector::stagings::{self, Entry};
use dm_tests::dms::executable;
use dm_tests::postgres::Database;
use uuid::Uuid;

use super::fold::assert_agrees;
use super::history::{self, Life};
use super::rack::{Rack, dump, name};

/// How long the log is at least.
const EVENTS: i64 = 10_000;

/// Most events of one append.
const BATCH: usize = 50;

/// Appends the lives of names that are used again and again, in turns.
async fn fill(rack: &Rack) {
    let mut lives: Vec<Life> = (0..20).map(|number| Life::new(&format!("name-{number}"), 100 + number)).collect();
    let mut dice = history::dice(7);
    while rack.store.head().await.unwrap().position < Position(EVENTS) {
        for life in &mut lives {
            let expected = life.state.version();
            let mut events = Vec::new();
            while events.len() < BATCH {
                for event in life.roll(dice.next().unwrap()) {
                    events.push(codec::encode(&event));
                    let recorded = life.record(event, Duration::from_secs(20));
                    life.take(&recorded);
                }
            }
            let id = CommandId(Uuid::new_v4());
            let append = Append {
                stream: StreamId::from(&life.name),
                expected,
                events,
                meta: history::metadata(id),
                command: CommandKey { id, mac: BodyMac([0; 32]) },
                run: None,
                lease: None,
            };
            rack.store.append(append).await.unwrap();
        }
    }
}

/// The domain's own fold of the whole log, staging by staging.
async fn folded(rack: &Rack) -> BTreeMap<String, State> {
    let mut states = BTreeMap::<String, State>::new();
    let mut after = Position(0);
    loop {
        let page = rack.store.read_all(after, 500).await.unwrap();
        let Some(last) = page.events.last() else { return states };
        after = last.position;
        for event in &page.events {
            let state = states.entry(event.stream.to_string()).or_insert_with(Staging::initial);
            *state = Staging::evolve(std::mem::replace(state, Staging::initial()), &codec::decode(event).unwrap());
        }
    }
}

async fn dms(arguments: Vec<String>) -> Output {
    let call = move || {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(executable());
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("DM_HOME", home.path().join("home"));
        command.output().expect("dms was built")
    };
    tokio::task::spawn_blocking(call).await.unwrap()
}

#[tokio::test]
async fn what_was_damaged_and_deleted_by_hand_is_as_the_log_says_after_a_rebuild() {
    let database = Database::empty().await;
    let url = format!("--database-url={}", database.url());
    let migrated = dms(vec!["migrate".to_owned(), url.clone()]).await;
    assert!(migrated.status.success(), "{migrated:?}");
    let rack = Rack::on(database).await;
    fill(&rack).await;
    rack.catch_up().await;
    let whole = dump(&rack.pool).await;
    for statement in [
        "UPDATE stagings SET row = '{}' WHERE key = 'name-3'",
        "UPDATE stagings SET status = 'Running', tag = 'none', due = now(), work = 'run' WHERE key = 'name-4'",
        "DELETE FROM stagings WHERE key IN ('name-5', 'name-6')",
        "UPDATE runs SET row = '[1]' WHERE position % 7 = 0",
        "DELETE FROM runs WHERE position % 5 = 0",
        "DELETE FROM audit WHERE position % 3 = 0",
        "UPDATE audit SET sentence = 'nothing happened' WHERE position % 4 = 0",
    ] {
        let damaged = sqlx::query(statement).execute(&rack.pool).await.unwrap().rows_affected();
        assert!(damaged > 0, "{statement} damages nothing");
    }
    assert_ne!(dump(&rack.pool).await, whole);

    let unknown = dms(vec!["rebuild".to_owned(), url.clone(), "boards".to_owned()]).await;
    assert!(!unknown.status.success());
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("there is no read model boards; there are stagings, runs, audit"), "{said}");
    let rebuilt = dms(vec!["rebuild".to_owned(), url]).await;
    let said = String::from_utf8_lossy(&rebuilt.stderr).into_owned();
    assert!(rebuilt.status.success(), "{said}");
    for of in ["stagings", "runs", "audit"] {
        assert!(said.contains(&format!("{of}: rebuilt from {} events in ", rack.store.head().await.unwrap().position)));
    }

    let again = dump(&rack.pool).await;
    for (table, (again, whole)) in ["stagings", "runs", "audit", "quarantine"].iter().zip(again.iter().zip(&whole)) {
        assert!(again == whole, "{table} is not as it was");
    }
    let states = folded(&rack).await;
    assert_eq!(states.len(), 20);
    for (of, state) in &states {
        let entry = match stagings::get(&rack.pool, &name(of)).await.unwrap().0 {
            Ok(row) => Entry::Staging(Box::new(row)),
            Err(gone) => Entry::Gone(gone),
        };
        assert_agrees(Some(&entry), state);
    }
}
