//! The folds of the read models, without a database: they agree with the domain's, fact by fact.

use std::collections::BTreeSet;
use std::time::Duration;

use dm_domain::staging::event::Outcome;
use dm_domain::staging::{CheckResult, Event, Reason, State, Status, Verb, Wish};
use dm_projector::audit::Audit;
use dm_projector::runs::{self, RunState, Runs};
use dm_projector::stagings::{Entry, Gone, Phase, Row, Stagings};
use dm_projector::{Fact, Projection};
use proptest::prelude::*;

use super::history::{self, Life};

/// A life with the rows that the folds make of it.
struct Folded {
    life: Life,
    position: i64,
    staging: Option<Entry>,
    run: Option<runs::Row>,
    line: Option<dm_projector::audit::Row>,
}

impl Folded {
    fn new() -> Self {
        Self { life: Life::new("demo", 1), position: 0, staging: None, run: None, line: None }
    }

    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            self.position += 1;
            let recorded = self.life.record(event, Duration::from_millis(1_500));
            let fact = Fact::read(history::stored(&self.life.name, self.position, &recorded));
            self.life.take(&recorded);
            self.staging = evolved::<Stagings>(self.staging.take(), &fact);
            self.run = evolved::<Runs>(self.run.take(), &fact);
            self.line = evolved::<Audit>(self.line.take(), &fact);
        }
    }

    fn ask(&mut self, wish: Wish) {
        let events = self.life.ask(wish);
        assert!(!events.is_empty(), "the domain refuses what this test stands on");
        self.take(events);
    }

    fn start(&mut self) {
        let wish = self.life.start(1);
        self.ask(wish);
    }

    fn finish(&mut self, outcome: Outcome) {
        let wish = self.life.finish(outcome);
        self.ask(wish);
    }

    fn check(&mut self, result: CheckResult, before: Option<CheckResult>) {
        let wish = self.life.check(result, before);
        self.ask(wish);
    }

    /// A staging that runs.
    fn running() -> Self {
        let mut folded = Self::new();
        folded.take_dice(0, 1);
        folded.start();
        folded.finish(Outcome::Exited(0));
        folded.check(CheckResult::Pass, None);
        folded
    }

    fn take_dice(&mut self, pick: u8, about: u8) {
        let events = self.life.roll((pick, about));
        assert!(!events.is_empty(), "the domain refuses what this test stands on");
        self.take(events);
    }

    fn row(&self) -> &Row {
        match self.staging.as_ref().unwrap() {
            Entry::Staging(row) => row,
            Entry::Gone(_) => panic!("the staging is gone"),
        }
    }
}

fn evolved<P: Projection>(row: Option<P::Row>, fact: &Fact) -> Option<P::Row> {
    P::evolve(row.as_ref(), fact).unwrap().or(row)
}

/// Everything that the row and the domain's state both know.
pub(super) fn assert_agrees(entry: Option<&Entry>, state: &State) {
    let row = match entry {
        None => return assert_eq!((state.status(), state.cleaned_up_at()), (None, None)),
        Some(Entry::Gone(gone)) => {
            return assert_eq!((state.status(), state.cleaned_up_at()), (None, gone.cleaned_up_at));
        }
        Some(Entry::Staging(row)) => row,
    };
    assert_eq!(Some(row.situation()), state.situation());
    assert_eq!(row.version, state.version());
    assert_eq!(Some(row.incarnation), state.incarnation());
    assert_eq!(row.trouble().map(|(_, cause)| cause), state.cause());
    assert_eq!(row.archived_at(), state.archived_at());
    assert_eq!(row.unreadable_since().is_some(), state.is_unreadable());
    assert_eq!(row.links_due(), state.links_due());
    let (last, expected) = (row.last_run(), state.last_run().unwrap());
    assert_eq!((last.run, last.attempt), (expected.run, expected.attempt));
    let expected = state.configuration().unwrap();
    assert_eq!((&row.configuration().tag, row.configuration().version), (&expected.tag, expected.version));
    assert_eq!(row.configuration().overrides(), expected.overrides.app.len() + expected.overrides.staging.len());
    let started = row.request().and_then(|request| match request.phase {
        Phase::Started { attempt, owner, at, .. } => Some((attempt, owner, at)),
        Phase::Queued { .. } | Phase::Awaiting { .. } => None,
    });
    assert_eq!(started, state.started().map(|started| (started.attempt, started.owner, started.at)));
}

proptest! {
    #[test]
    fn rows_agree_with_the_domain_over_any_history(dice in proptest::collection::vec(any::<(u8, u8)>(), 1..120)) {
        let mut folded = Folded::new();
        for dice in dice {
            for event in folded.life.roll(dice) {
                folded.take(vec![event]);
                assert_agrees(folded.staging.as_ref(), &folded.life.state);
            }
            let state = &folded.life.state;
            if let (Some(run), Some(last)) = (&folded.run, state.last_run()) && run.id == last.run {
                prop_assert_eq!(run.attempt, last.attempt);
                prop_assert_eq!(run.state.is_over(), state.run_under_way().is_none());
                prop_assert_eq!(&run.tag, &state.configuration().unwrap().tag);
            }
        }
    }
}

#[test]
fn generated_histories_know_every_event() {
    let mut folded = Folded::new();
    let mut seen = BTreeSet::new();
    for dice in history::dice(1).take(5_000) {
        for event in folded.life.roll(dice) {
            seen.insert(event.type_name());
            folded.take(vec![event]);
        }
    }
    assert_eq!(seen.len(), 20, "{seen:?}");
}

#[test]
fn a_withdrawn_request_leaves_everything_as_it_was_before() {
    let mut folded = Folded::running();
    folded.check(CheckResult::Failing, None);
    let before = folded.row().clone();
    assert!(before.check_failure().is_some());
    folded.take_dice(2, 4);
    assert_eq!(folded.row().status(), Status::UpdatePending);
    assert_ne!(folded.row().configuration(), before.configuration());
    folded.ask(Wish::Cancel { run: None });
    let after = Row { version: before.version, ..folded.row().clone() };
    assert_eq!(after, before);
    assert_eq!(folded.run.unwrap().state, RunState::Withdrawn);
}

#[test]
fn a_withdrawn_first_create_leaves_the_name_as_it_was_before() {
    let mut folded = Folded::running();
    folded.take_dice(4, 0);
    folded.start();
    folded.finish(Outcome::Exited(0));
    folded.check(CheckResult::Pass, None);
    folded.take_dice(5, 1);
    folded.start();
    folded.finish(Outcome::Exited(0));
    let gone = folded.staging.clone();
    assert!(matches!(gone, Some(Entry::Gone(Gone { cleaned_up_at: Some(_) }))));
    folded.take_dice(0, 1);
    folded.ask(Wish::Cancel { run: None });
    assert_eq!(folded.staging, gone);
}

#[test]
fn a_retry_freezes_a_configuration_without_becoming_the_base_of_edits() {
    let mut folded = Folded::running();
    folded.take_dice(2, 1);
    let update = folded.row().version;
    folded.start();
    folded.finish(Outcome::Exited(7));
    folded.take_dice(6, 0);
    assert_eq!(folded.row().configuration().version, update);
    assert_eq!(folded.row().configuration().frozen_version, folded.row().version);
}

#[test]
fn the_tag_of_a_delete_is_the_one_that_was_there() {
    let mut folded = Folded::running();
    let tag = folded.row().configuration().tag.clone();
    folded.take_dice(2, 4);
    assert_ne!(folded.run.as_ref().unwrap().tag, tag);
    folded.ask(Wish::Cancel { run: None });
    folded.take_dice(4, 0);
    let run = folded.run.unwrap();
    assert_eq!((run.verb, run.tag), (Verb::Delete, tag));
}

#[test]
fn a_later_failed_check_says_nothing_about_the_run_that_had_succeeded() {
    let mut folded = Folded::running();
    let run = folded.run.clone();
    assert_eq!(run.as_ref().unwrap().state, RunState::Succeeded);
    folded.check(CheckResult::Failing, None);
    folded.check(CheckResult::Failing, Some(CheckResult::Failing));
    assert_eq!(folded.row().status(), Status::Failure);
    assert_eq!(folded.run, run);
}

#[test]
fn an_interrupted_run_keeps_its_place_in_the_queue() {
    let mut folded = Folded::new();
    folded.take_dice(0, 1);
    let since = folded.row().request().unwrap().since;
    folded.start();
    folded.take_dice(14, 0);
    let request = folded.row().request().unwrap();
    assert_eq!((request.since, &request.phase), (since, &Phase::Queued { attempts: 1 }));
}

#[test]
fn a_whole_life_reads_as_sentences() {
    let mut folded = Folded::new();
    let mut sentences = Vec::new();
    for dice in [(0, 1), (8, 0), (11, 0), (15, 0), (19, 1), (2, 1), (8, 0), (13, 0), (4, 0), (7, 0)] {
        for event in folded.life.roll(dice) {
            folded.take(vec![event]);
            sentences.push(folded.line.as_ref().unwrap().line().unwrap().sentence.clone());
        }
    }
    insta::assert_snapshot!(sentences.join("\n"));
}

#[test]
fn links_stay_until_they_are_read_anew_or_the_staging_is_archived() {
    let mut folded = Folded::running();
    assert_eq!((folded.row().links().len(), folded.row().links_due()), (0, true));
    folded.take_dice(19, 1);
    assert_eq!((folded.row().links().len(), folded.row().links_due()), (1, false));
    folded.take_dice(2, 1);
    folded.start();
    folded.finish(Outcome::Exited(0));
    folded.check(CheckResult::Pass, None);
    assert_eq!((folded.row().links().len(), folded.row().links_due()), (1, true));
    folded.take_dice(19, 5);
    assert!(folded.row().links()[0].url.ends_with("/5"));
    folded.take_dice(4, 0);
    folded.start();
    folded.finish(Outcome::Exited(0));
    assert_eq!(folded.row().links().len(), 1);
    folded.check(CheckResult::Pass, None);
    assert_eq!((folded.row().status(), folded.row().links().len()), (Status::Archived, 0));
}

#[test]
fn links_that_could_not_be_read_are_none() {
    let mut folded = Folded::running();
    folded.take_dice(19, 1);
    folded.take_dice(2, 1);
    folded.start();
    folded.finish(Outcome::Exited(0));
    folded.check(CheckResult::Pass, None);
    folded.take_dice(19, 4);
    assert_eq!((folded.row().links().len(), folded.row().links_due()), (0, false));
}

#[test]
fn the_time_of_a_change_is_that_of_another_status_not_of_another_reason() {
    let mut folded = Folded::new();
    folded.take_dice(0, 1);
    let created = folded.row().created_at;
    assert_eq!(folded.row().changed_at(), created);
    folded.start();
    folded.finish(Outcome::Exited(0));
    assert_eq!(folded.row().changed_at(), created);
    folded.check(CheckResult::Pass, None);
    let up = folded.row().changed_at();
    assert!(up > created);
    folded.check(CheckResult::Failing, None);
    assert_eq!(folded.row().changed_at(), up);
    folded.check(CheckResult::Failing, Some(CheckResult::Failing));
    let down = folded.row().changed_at();
    assert!(down > up);
    folded.check(CheckResult::TagMismatch, Some(CheckResult::TagMismatch));
    assert_eq!(folded.row().trouble().unwrap().0, Reason::TagMismatch);
    assert_eq!(folded.row().changed_at(), down);
    folded.take_dice(5, 0);
    assert_eq!((folded.row().status(), folded.row().changed_at()), (Status::Failure, down));
    folded.start();
    folded.finish(Outcome::Exited(7));
    assert_eq!((folded.row().trouble().unwrap().0, folded.row().changed_at()), (Reason::CleanupFailed, down));
    folded.take_dice(2, 1);
    let asked = folded.row().changed_at();
    assert_eq!(Some(asked), folded.row().request().map(|request| request.since));
    folded.start();
    folded.finish(Outcome::Exited(7));
    assert!(folded.row().changed_at() > asked);
}

#[test]
fn a_run_that_was_not_confirmed_in_time_has_failed_whatever_a_later_check_says() {
    let mut folded = Folded::new();
    folded.take_dice(0, 1);
    folded.start();
    folded.finish(Outcome::Exited(0));
    assert_eq!(folded.run.as_ref().unwrap().state, RunState::WaitingForCheck);
    folded.life.pass(Duration::from_mins(6));
    folded.check(CheckResult::CannotTell, None);
    let run = folded.run.clone().unwrap();
    assert_eq!((run.state, run.reason), (RunState::Failed, Some(Reason::Unconfirmed)));
    folded.check(CheckResult::Pass, None);
    assert_eq!(folded.row().status(), Status::Running);
    assert_eq!(folded.run, Some(run));
}
