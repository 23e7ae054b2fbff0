//! How read models move: once for each event, whoever steps, whatever is poison, damaged or away.

use std::time::Duration;

use dm_domain::ids::Version;
use dm_eventstore::Position;
use dm_projector::runs::Runs;
use dm_projector::stagings::Stagings;
use dm_projector::{Projection, ProjectionError, Projector, Stepped, audit, runs, stagings};

use super::fold::assert_agrees;
use super::rack::{Rack, catch_up, dump, name};

/// Longer than anything here may take, a frozen replica's five seconds included.
const DEADLINE: Duration = Duration::from_secs(20);

const NAMES: [&str; 5] = ["anna", "berta", "clara", "dora", "emma"];

async fn entry(rack: &Rack, of: &str) -> stagings::Entry {
    match stagings::get(&rack.pool, &name(of)).await.unwrap().0 {
        Ok(row) => stagings::Entry::Staging(Box::new(row)),
        Err(gone) => stagings::Entry::Gone(gone),
    }
}

#[tokio::test]
async fn the_read_models_equal_an_independent_fold() {
    let mut rack = Rack::create().await;
    rack.live(&NAMES, 7, 700).await;
    rack.catch_up().await;
    for of in NAMES {
        assert_agrees(Some(&entry(&rack, of).await), rack.state(of));
        let (lines, position) = audit::history(&rack.pool, &name(of), Version::NONE, 200).await.unwrap();
        let versions: Vec<_> = lines.iter().map(|line| line.version.0).collect();
        assert_eq!(versions, (1..=rack.state(of).version().0.min(200)).collect::<Vec<_>>());
        assert_eq!(position, rack.store.head().await.unwrap().position);
    }
}

#[tokio::test]
async fn a_version_of_a_row_holds_until_the_next_one_however_the_log_was_cut_into_batches() {
    let mut rack = Rack::create().await;
    for seed in 0..20 {
        rack.live(&NAMES, seed, 60).await;
        rack.catch_up().await;
    }
    let stepwise = dump(&rack.pool).await;
    for gaps in [
        "SELECT count(*) FROM (SELECT valid_to, lead(position) OVER (PARTITION BY key ORDER BY position) AS next
         FROM stagings) versions WHERE valid_to IS DISTINCT FROM next",
        "SELECT count(*) FROM (SELECT valid_to, lead(position) OVER (PARTITION BY key ORDER BY position) AS next
         FROM runs) versions WHERE valid_to IS DISTINCT FROM next",
    ] {
        assert_eq!(sqlx::query_scalar::<_, i64>(gaps).fetch_one(&rack.pool).await.unwrap(), 0);
    }
    assert!(stepwise[0].len() > 100 && stepwise[1].len() > 50);
    for of in ["stagings", "runs", "audit"] {
        rack.projector.rebuild(of).await.unwrap();
    }
    assert_eq!(dump(&rack.pool).await, stepwise);
}

#[tokio::test]
async fn an_event_counts_once_however_often_and_by_whom_the_log_is_read() {
    let mut rack = Rack::create().await;
    rack.live(&NAMES, 3, 1_500).await;
    let other = Projector::new(rack.store.clone(), rack.database.pool().await);
    tokio::join!(catch_up(&rack.projector), catch_up(&other));
    let together = dump(&rack.pool).await;
    assert_eq!(rack.projector.step().await.unwrap(), Stepped::Done);
    assert_eq!(other.step().await.unwrap(), Stepped::Done);
    assert_eq!(dump(&rack.pool).await, together);
    for of in ["stagings", "runs", "audit"] {
        rack.projector.rebuild(of).await.unwrap();
    }
    assert_eq!(dump(&rack.pool).await, together);
}

#[tokio::test]
async fn a_rebuild_brings_back_what_was_damaged_and_deleted_by_hand() {
    let mut rack = Rack::create().await;
    rack.live(&NAMES, 11, 600).await;
    rack.catch_up().await;
    let whole = dump(&rack.pool).await;
    for damage in [
        r#"UPDATE stagings SET row = '{"name": 5}', status = 'Running' WHERE key = 'anna'"#,
        "DELETE FROM stagings WHERE key = 'berta'",
        "UPDATE runs SET row = '[]' WHERE staging = 'clara'",
        "DELETE FROM audit WHERE staging IN ('dora', 'emma')",
    ] {
        assert!(sqlx::query(damage).execute(&rack.pool).await.unwrap().rows_affected() > 0);
    }
    assert!(matches!(stagings::get(&rack.pool, &name("anna")).await, Err(ProjectionError::Damaged { .. })));
    // People may go on meanwhile; what the read models say of a damaged staging stands still.
    rack.live(&["fiona"], 5, 100).await;
    rack.catch_up().await;
    for of in ["stagings", "runs", "audit"] {
        rack.projector.rebuild(of).await.unwrap();
    }
    let mut mended = dump(&rack.pool).await;
    for rows in &mut mended {
        rows.retain(|row| !row.contains("fiona"));
    }
    assert_eq!(mended, whole);
    assert_agrees(Some(&entry(&rack, "fiona").await), rack.state("fiona"));
    assert!(matches!(rack.projector.rebuild("nothing").await, Err(ProjectionError::Unknown(_))));
}

#[tokio::test]
async fn a_damaged_row_stops_its_staging_until_a_rebuild() {
    let mut rack = Rack::create().await;
    rack.run("bad").await;
    rack.run("good").await;
    rack.catch_up().await;
    sqlx::query("UPDATE stagings SET row = '[]' WHERE key = 'bad'").execute(&rack.pool).await.unwrap();
    rack.roll("bad", 4, 0).await;
    rack.roll("good", 4, 0).await;
    rack.catch_up().await;
    assert_agrees(Some(&entry(&rack, "good").await), rack.state("good"));
    let stopped = rack.projector.quarantined().await.unwrap();
    let named: Vec<_> = stopped.iter().map(|one| (one.projection.as_str(), one.key.as_str())).collect();
    assert_eq!(named, [("stagings", "bad")]);
    let listed = stagings::list(&rack.pool, &stagings::Filter { limit: 9, ..Default::default() }).await.unwrap().rows;
    assert_eq!(listed.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["good"]);
    rack.projector.rebuild("stagings").await.unwrap();
    assert_agrees(Some(&entry(&rack, "bad").await), rack.state("bad"));
    assert_eq!(rack.projector.quarantined().await.unwrap(), []);
}

#[tokio::test]
async fn a_poison_event_stops_its_staging_and_nothing_else() {
    let mut rack = Rack::create().await;
    rack.run("bad").await;
    rack.run("good").await;
    let poison = rack.poison("bad").await;
    rack.roll("good", 4, 0).await;
    rack.catch_up().await;
    let stopped = rack.projector.quarantined().await.unwrap();
    let named: Vec<_> = stopped.iter().map(|one| (one.projection.as_str(), one.key.as_str(), one.position)).collect();
    assert_eq!(named, [("runs", "bad", poison), ("stagings", "bad", poison)]);
    assert!(stopped[0].cause.contains("Enchanted"), "{}", stopped[0].cause);
    assert_agrees(Some(&entry(&rack, "good").await), rack.state("good"));
    assert_agrees(Some(&entry(&rack, "bad").await), rack.state("bad"));
    // The history has no hole where this build cannot read.
    let (lines, _) = audit::history(&rack.pool, &name("bad"), Version::NONE, 200).await.unwrap();
    let last = lines.last().unwrap();
    assert_eq!((last.event_type.as_str(), last.position, last.run), ("Enchanted", poison, None));
    assert!(last.sentence.starts_with("Enchanted happened, which this build cannot read"), "{}", last.sentence);
    let before = dump(&rack.pool).await;
    rack.projector.rebuild("stagings").await.unwrap();
    rack.projector.rebuild("runs").await.unwrap();
    assert_eq!(dump(&rack.pool).await, before);
}

#[tokio::test]
async fn a_raised_version_fills_a_generation_beside_the_one_that_is_read() {
    let mut rack = Rack::create().await;
    rack.live(&NAMES, 13, 2_500).await;
    rack.catch_up().await;
    let whole = dump(&rack.pool).await;
    let head = rack.projector.position().await.unwrap();
    sqlx::query("UPDATE checkpoints SET version = 0").execute(&rack.pool).await.unwrap();
    // Rows of the older generation are read until the new one stands where they do.
    assert!(head > Position(500), "more than a step takes");
    assert_eq!(rack.projector.step().await.unwrap(), Stepped::More);
    assert_eq!(stagings::list(&rack.pool, &stagings::Filter::default()).await.unwrap().position, head);
    assert_eq!(rack.projector.position().await.unwrap(), head);
    rack.catch_up().await;
    assert_eq!(rack.projector.position().await.unwrap(), head);
    let generations: Vec<(i32, i32)> =
        sqlx::query_as("SELECT DISTINCT generation, version FROM checkpoints ORDER BY version")
            .fetch_all(&rack.pool)
            .await
            .unwrap();
    assert_eq!(generations, [(2, Runs::VERSION), (2, Stagings::VERSION)]);
    for of in ["stagings", "runs", "audit"] {
        rack.projector.rebuild(of).await.unwrap();
    }
    assert_eq!(dump(&rack.pool).await, whole);
}

#[tokio::test]
async fn rows_of_a_newer_build_are_left_alone() {
    let mut rack = Rack::create().await;
    rack.run("demo").await;
    rack.catch_up().await;
    let whole = dump(&rack.pool).await;
    sqlx::query("UPDATE checkpoints SET version = 99").execute(&rack.pool).await.unwrap();
    rack.roll("demo", 4, 0).await;
    assert_eq!(rack.projector.step().await.unwrap(), Stepped::NewerBuild);
    assert_eq!(dump(&rack.pool).await, whole);
    // Unless somebody who goes back to this build says so.
    for of in ["stagings", "runs", "audit"] {
        rack.projector.rebuild(of).await.unwrap();
    }
    assert_agrees(Some(&entry(&rack, "demo").await), rack.state("demo"));
}

#[tokio::test]
async fn readers_of_their_own_writes_wait_for_them_and_not_for_ever() {
    let mut rack = Rack::create().await;
    let there = rack.run("demo").await;
    let short = Duration::from_millis(50);
    match rack.projector.reach(there, short).await {
        Err(ProjectionError::Behind { at, wanted }) => assert_eq!((at, wanted), (Position(0), there)),
        other => panic!("{other:?}"),
    }
    let moving = Projector::start(rack.store.clone(), rack.pool.clone());
    moving.reach(there, DEADLINE).await.unwrap();
    // One that only waits sees what another replica did.
    rack.projector.reach(there, short).await.unwrap();
    let next = rack.roll("demo", 4, 0).await;
    moving.reach(next, DEADLINE).await.unwrap();
    let (runs, position) = runs::list(&rack.pool, &name("demo"), None, 1).await.unwrap();
    assert_eq!((runs[0].verb, position), (dm_domain::staging::Verb::Delete, next));
    moving.stop().await;
}

#[tokio::test]
async fn the_loops_go_on_when_the_database_has_been_away() {
    let mut rack = Rack::create().await;
    let moving = Projector::start(rack.store.clone(), rack.pool.clone());
    let there = rack.run("demo").await;
    moving.reach(there, DEADLINE).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(sqlx::query(cut).execute(&rack.pool).await.unwrap().rows_affected() >= 5);
    let next = rack.roll("demo", 4, 0).await;
    moving.reach(next, DEADLINE).await.unwrap();
    moving.stop().await;
}

#[tokio::test]
async fn a_replica_that_freezes_in_a_step_holds_up_the_others_for_five_seconds_at_most() {
    let mut rack = Rack::create().await;
    rack.catch_up().await;
    let mut frozen = rack.database.pool().await.begin().await.unwrap();
    let lock = "SELECT set_config('idle_in_transaction_session_timeout', '5s', true) FROM checkpoints
        WHERE projection = 'stagings' FOR UPDATE SKIP LOCKED";
    sqlx::query(lock).fetch_one(&mut *frozen).await.unwrap();
    let there = rack.run("demo").await;
    assert_eq!(rack.projector.step().await.unwrap(), Stepped::Elsewhere);
    let moving = Projector::start(rack.store.clone(), rack.pool.clone());
    moving.reach(there, Duration::from_secs(8)).await.unwrap();
    moving.stop().await;
}
