//! What people and the runner ask of the read models.

use dm_domain::ids::{RunId, Version};
use dm_domain::staging::event::Outcome;
use dm_domain::staging::{CheckResult, Status, Verb, Wish};
use dm_eventstore::{Pool, Position};
use dm_projector::runs::RunState;
use dm_projector::stagings::{DueWork, Filter, Gone, Page, Sort, SortBy};
use dm_projector::{audit, runs, stagings};
use uuid::Uuid;

use super::history;
use super::rack::{Rack, name};

async fn names(pool: &Pool, filter: Filter) -> Vec<String> {
    let page = stagings::list(pool, &Filter { limit: 200, ..filter }).await.unwrap();
    page.rows.into_iter().map(|row| row.name.to_string()).collect()
}

/// The whole listing, in pages of one.
async fn by_ones(pool: &Pool, filter: Filter) -> Vec<String> {
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = stagings::list(pool, &Filter { after, limit: 1, ..filter.clone() }).await.unwrap();
        listed.extend(page.rows.into_iter().map(|row| row.name.to_string()));
        after = page.next;
        if after.is_none() || listed.len() > 100 {
            return listed;
        }
    }
}

/// Brings a running staging away.
async fn archive(rack: &mut Rack, of: &str) {
    rack.ask(of, |_| Wish::Delete { status_timeout: std::time::Duration::from_mins(1) }).await;
    rack.ask(of, |life| life.start(1)).await;
    rack.ask(of, |life| life.finish(Outcome::Exited(0))).await;
    rack.ask(of, |life| life.check(CheckResult::Pass, None)).await;
}

/// Brings a staging from running to gone.
async fn remove(rack: &mut Rack, of: &str) -> Position {
    archive(rack, of).await;
    rack.ask(of, |_| Wish::Cleanup { force: false, archived_for: None }).await;
    rack.ask(of, |life| life.start(1)).await;
    rack.ask(of, |life| life.finish(Outcome::Exited(0))).await
}

#[tokio::test]
async fn before_the_first_step_everything_is_empty_and_at_the_start() {
    let rack = Rack::create().await;
    let never = Gone { cleaned_up_at: None };
    assert_eq!(stagings::get(&rack.pool, &name("demo")).await.unwrap(), (Err(never), Position(0)));
    assert_eq!(stagings::list(&rack.pool, &Filter::default()).await.unwrap(), Page::default());
    assert_eq!(runs::get(&rack.pool, RunId(Uuid::nil())).await.unwrap(), (None, Position(0)));
    assert_eq!(runs::list(&rack.pool, &name("demo"), None, 1).await.unwrap(), (vec![], Position(0)));
    let (lines, position) = audit::history(&rack.pool, &name("demo"), Version::NONE, 1).await.unwrap();
    assert_eq!((lines.len(), position), (0, Position(0)));
    assert_eq!(rack.projector.position().await.unwrap(), Position(0));
}

#[tokio::test]
async fn a_listing_is_filtered_by_status_archived_and_text() {
    let mut rack = Rack::create().await;
    rack.run("running").await;
    rack.roll("new", 0, 3).await;
    rack.run("away").await;
    archive(&mut rack, "away").await;
    rack.run("gone").await;
    let end = remove(&mut rack, "gone").await;
    rack.catch_up().await;
    let text = |text: &str| Filter { text: Some(text.to_owned()), archived: true, ..Filter::default() };

    let page = stagings::list(&rack.pool, &Filter { limit: 200, ..Filter::default() }).await.unwrap();
    assert_eq!((page.rows.len(), page.position), (2, end));
    assert_eq!(names(&rack.pool, Filter::default()).await, ["new", "running"]);
    assert_eq!(names(&rack.pool, Filter { archived: true, ..Filter::default() }).await, ["away", "new", "running"]);
    let statuses = vec![Status::CreatePending];
    assert_eq!(names(&rack.pool, Filter { statuses, ..Filter::default() }).await, ["new"]);
    let statuses = vec![Status::Archived];
    assert_eq!(names(&rack.pool, Filter { statuses, ..Filter::default() }).await, ["away"]);
    assert_eq!(names(&rack.pool, text("NN")).await, ["running"]);
    assert_eq!(names(&rack.pool, text("1.2.3")).await, ["new"]);
    for nothing in ["%", "_", "\\", "1_2", "gone", "\0"] {
        assert_eq!(names(&rack.pool, text(nothing)).await, [""; 0], "{nothing}");
    }
}

#[tokio::test]
async fn a_listing_is_sorted_by_what_is_asked_for_and_paged_in_that_order() {
    let mut rack = Rack::create().await;
    for of in ["b", "a", "d", "c"] {
        rack.run(of).await;
    }
    for of in ["d", "a"] {
        archive(&mut rack, of).await;
    }
    rack.roll("e", 0, 1).await;
    rack.catch_up().await;
    let sorted = async |by, descending| {
        let sort = Sort { by, descending };
        let filter = Filter { archived: true, sort, ..Filter::default() };
        let whole = names(&rack.pool, filter.clone()).await;
        assert_eq!(by_ones(&rack.pool, filter).await, whole, "{sort:?}");
        whole.concat()
    };
    assert_eq!(sorted(SortBy::Name, false).await, "abcde");
    assert_eq!(sorted(SortBy::Name, true).await, "edcba");
    // Running, CreatePending, Archived; among equals by name.
    assert_eq!(sorted(SortBy::Status, false).await, "bcead");
    assert_eq!(sorted(SortBy::Status, true).await, "adebc");
    assert_eq!(sorted(SortBy::Created, false).await, "badce");
    assert_eq!(sorted(SortBy::Created, true).await, "ecdab");
    assert_eq!(sorted(SortBy::Changed, false).await, "bcdae");
    // What is not archived has no place in this order, so it comes last.
    assert_eq!(sorted(SortBy::Archived, false).await, "dabce");
    assert_eq!(sorted(SortBy::Archived, true).await, "adbce");

    let since = |row: &stagings::Row| row.archived_at().expect("it is archived");
    let d = since(&stagings::get(&rack.pool, &name("d")).await.unwrap().0.unwrap());
    let a = since(&stagings::get(&rack.pool, &name("a")).await.unwrap().0.unwrap());
    let before = |moment| Filter { archived: true, archived_before: Some(moment), ..Filter::default() };
    assert_eq!(names(&rack.pool, before(d)).await, ["d"]);
    assert_eq!(names(&rack.pool, before(a)).await, ["a", "d"]);
    assert_eq!(names(&rack.pool, before(d - chrono::TimeDelta::microseconds(1))).await, [""; 0]);
}

#[tokio::test]
async fn pages_follow_each_other_without_gaps_or_repetitions() {
    let mut rack = Rack::create().await;
    let all = ["a", "a-1", "b", "c"];
    for of in all {
        rack.roll(of, 0, 1).await;
    }
    rack.ask("a", |_| Wish::Cancel { run: None }).await;
    rack.roll("a", 0, 1).await;
    rack.catch_up().await;
    assert_eq!(by_ones(&rack.pool, Filter::default()).await, all);
    // A limit outside of the bounds is brought inside.
    assert_eq!(stagings::list(&rack.pool, &Filter::default()).await.unwrap().rows.len(), 1);

    let (newest, _) = runs::list(&rack.pool, &name("a"), None, 1).await.unwrap();
    let (older, _) = runs::list(&rack.pool, &name("a"), Some(newest[0].version), 200).await.unwrap();
    assert_eq!((newest[0].state, older[0].state, older.len()), (RunState::Queued, RunState::Withdrawn, 1));
    assert_eq!(runs::get(&rack.pool, older[0].id).await.unwrap().0.as_ref(), older.first());

    let (first, _) = audit::history(&rack.pool, &name("a"), Version::NONE, 2).await.unwrap();
    let (rest, _) = audit::history(&rack.pool, &name("a"), first[1].version, 200).await.unwrap();
    assert_eq!((first.len(), rest.len()), (2, 1));
    assert_eq!(rest[0].sentence, first[0].sentence);
}

#[tokio::test]
async fn what_was_cleaned_up_says_when_and_keeps_its_runs_and_its_history() {
    let mut rack = Rack::create().await;
    rack.run("demo").await;
    let end = remove(&mut rack, "demo").await;
    rack.catch_up().await;
    let log = rack.store.read_all(Position(end.0 - 1), 1).await.unwrap().events;
    let gone = Gone { cleaned_up_at: Some(log[0].at) };
    assert_eq!(stagings::get(&rack.pool, &name("demo")).await.unwrap(), (Err(gone), end));
    let (kept, _) = runs::list(&rack.pool, &name("demo"), None, 200).await.unwrap();
    let verbs: Vec<_> = kept.iter().map(|run| (run.verb, run.state)).collect();
    let succeeded = RunState::Succeeded;
    assert_eq!(verbs, [(Verb::Cleanup, succeeded), (Verb::Delete, succeeded), (Verb::Create, succeeded)]);
    rack.run("demo").await;
    rack.catch_up().await;
    let (next, _) = stagings::get(&rack.pool, &name("demo")).await.unwrap();
    let next = next.unwrap();
    let (lines, _) = audit::history(&rack.pool, &name("demo"), Version::NONE, 200).await.unwrap();
    assert_eq!((next.version, i64::try_from(lines.len()).unwrap()), (lines.last().unwrap().version, next.version.0));
    assert!(next.incarnation > Version(1));
}

#[tokio::test]
async fn a_staging_can_be_read_as_it_was_at_any_position() {
    let mut rack = Rack::create().await;
    rack.roll("other", 0, 1).await;
    let up = rack.run("demo").await;
    let asked = rack.roll("demo", 2, 4).await;
    let end = remove_after_update(&mut rack).await;
    rack.catch_up().await;
    let at = async |position: i64| {
        let (entry, reached) = stagings::get_at(&rack.pool, &name("demo"), Position(position)).await.unwrap();
        assert_eq!(reached, end);
        entry.map(|entry| entry.map(|row| row.status()))
    };
    assert_eq!(at(1).await, Some(Err(Gone { cleaned_up_at: None })));
    assert_eq!(at(2).await, Some(Ok(Status::CreatePending)));
    assert_eq!(at(up.0).await, Some(Ok(Status::Running)));
    assert_eq!(at(asked.0).await, Some(Ok(Status::UpdatePending)));
    assert_eq!(at(end.0 - 1).await, Some(Ok(Status::Archived)));
    assert!(matches!(at(end.0).await, Some(Err(Gone { cleaned_up_at: Some(_) }))));
    assert_eq!(at(end.0 + 1).await, None);
}

async fn remove_after_update(rack: &mut Rack) -> Position {
    rack.ask("demo", |_| Wish::Cancel { run: None }).await;
    remove(rack, "demo").await
}

#[tokio::test]
async fn the_runner_finds_what_is_due_and_what_is_to_be_checked() {
    let mut rack = Rack::create().await;
    for of in ["third", "first", "second"] {
        rack.roll(of, 0, 1).await;
    }
    rack.run("up").await;
    rack.catch_up().await;
    let due = stagings::due(&rack.pool, 10).await.unwrap();
    let found: Vec<_> = due.iter().map(|due| (due.staging.as_str(), due.work)).collect();
    let run = DueWork::Run;
    assert_eq!(found, [("third", run), ("first", run), ("second", run), ("up", DueWork::Links)]);
    let ahead = stagings::queued_ahead(&rack.pool, &[name("second"), name("third"), name("up")]).await.unwrap();
    assert_eq!(ahead.into_iter().collect::<Vec<_>>(), [(name("second"), 2), (name("third"), 0)]);
    assert_eq!(stagings::due(&rack.pool, 1).await.unwrap().len(), 1);

    rack.ask("first", |life| life.start(2)).await;
    rack.ask("third", |life| life.start(2)).await;
    rack.ask("third", |life| life.finish(Outcome::Exited(0))).await;
    rack.ask("first", |_| Wish::Cancel { run: None }).await;
    rack.catch_up().await;
    assert_eq!(stagings::running(&rack.pool).await.unwrap(), 1);
    let due = stagings::due(&rack.pool, 10).await.unwrap();
    let works: Vec<_> = due.iter().map(|due| (due.staging.as_str(), due.work)).collect();
    assert_eq!(works, [("second", run), ("up", DueWork::Links), ("first", DueWork::Stop)]);
    let checked = stagings::checked(&rack.pool).await.unwrap();
    let found: Vec<_> = checked.iter().map(|one| (one.staging.as_str(), one.deadline)).collect();
    let deadline = dm_domain::staging::next_deadline(rack.state("third"));
    assert!(deadline.is_some());
    assert_eq!(found, [("third", deadline), ("up", None)]);
}

#[tokio::test]
async fn hints_agree_with_the_work_that_states_call_for() {
    use dm_domain::staging::Work;
    let mut rack = Rack::create().await;
    let names = ["anna", "berta", "clara"];
    for seed in 0..40 {
        rack.live(&names, seed, 9).await;
        rack.catch_up().await;
        let due = stagings::due(&rack.pool, 10).await.unwrap();
        let checked = stagings::checked(&rack.pool).await.unwrap();
        for of in names {
            let hinted = due.iter().find(|due| due.staging == name(of)).map(|due| due.work);
            let is_checked = checked.iter().any(|one| one.staging == name(of));
            match dm_domain::staging::pending_work(rack.state(of)) {
                None => assert_eq!((hinted, is_checked), (None, false)),
                Some(Work::Run { .. }) => assert_eq!((hinted, is_checked), (Some(DueWork::Run), false)),
                Some(Work::Stop { .. }) => assert_eq!((hinted, is_checked), (Some(DueWork::Stop), false)),
                Some(Work::Links { .. }) => assert_eq!((hinted, is_checked), (Some(DueWork::Links), true)),
                Some(Work::Check { .. }) => assert_eq!((hinted, is_checked), (None, true)),
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_history_says_who_did_what_and_keeps_the_payload_as_stored() {
    let mut rack = Rack::create().await;
    rack.run("demo").await;
    rack.catch_up().await;
    let log = rack.store.read_all(Position(0), 1).await.unwrap().events;
    let (lines, _) = audit::history(&rack.pool, &name("demo"), Version::NONE, 200).await.unwrap();
    assert_eq!(lines[0].data.get(), log[0].data.get());
    assert_eq!((&lines[0].actor, lines[0].at), (&history::actor(), log[0].at));
    assert_eq!(lines[0].on_behalf.as_deref(), Some("the \u{fffd} team"));
    assert_eq!(lines[0].run, rack.state("demo").last_run().map(|last| last.run));
    assert!(lines[0].sentence.starts_with("anna asked for a new staging with tag 1.2.1"), "{}", lines[0].sentence);
}
