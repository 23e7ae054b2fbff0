//! Any sequence of commands, held against the reference model and against what is true of every history.

use std::collections::BTreeSet;

use dm_domain::Decider;
use dm_domain::ids::Actor;
use dm_domain::overrides::Values;
use dm_domain::staging::event::{Links, Outcome, Timestamp};
use dm_domain::staging::{
    CheckResult, Command, Event, Recorded, ReportCheck, Staging, State, Status, Wish, Work, next_deadline, pending_work,
};
use dm_domain::testing::facts::{moment, run};
use dm_domain::testing::model::{Model, Outcomes};
use dm_domain::testing::strategy::{Step, steps};
use dm_domain::testing::{fits, same_but_for_the_version, wishes};
use proptest::prelude::*;

/// A sequence as it was taken: the fold, the model beside it, and the history so far.
#[derive(Debug, Clone)]
struct Course {
    state: State,
    model: Model,
    history: Vec<Recorded>,
    now: Timestamp,
    opened: u128,
}

/// A command, what it met, and what came of it.
struct Taken {
    command: Command,
    before: State,
    events: Result<Vec<Event>, &'static str>,
    expected: Outcomes,
}

impl Course {
    fn begin() -> Self {
        Self { state: Staging::initial(), model: Model::default(), history: vec![], now: moment(0), opened: 0 }
    }

    fn take(&mut self, step: &Step) -> Taken {
        self.opened += 1;
        let command = step.command(&self.state, self.now, self.opened);
        self.take_command(command)
    }

    fn take_command(&mut self, command: Command) -> Taken {
        self.now = command.now;
        let before = self.state.clone();
        let decided = Staging::decide(&before, &command).map_err(|rejection| rejection.code());
        let expected = self.model.step(&command);
        for event in decided.iter().flatten() {
            let version = self.state.version().next();
            let (at, actor, event) = (command.now, command.actor.clone(), event.clone());
            let recorded = Recorded { version, at, actor, event };
            assert!(fits(&self.state, &recorded), "{recorded:?} does not fit on {:?}", self.state);
            self.state = Staging::evolve(self.state.clone(), &recorded);
            self.history.push(recorded);
        }
        Taken { command, before, events: decided, expected }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_comes_out_as_the_reference_model_says(steps in steps(80)) {
        let mut course = Course::begin();
        for step in &steps {
            let Taken { command, events, expected, .. } = course.take(step);
            let types = events.map(|events| events.iter().map(Event::type_name).collect::<Vec<_>>());
            prop_assert_eq!(types, expected, "{:?} after {:?}", command, course.history);
            prop_assert_eq!(course.state.status(), course.model.status());
            prop_assert_eq!(course.state.reason(), course.model.reason());
            prop_assert_eq!(course.state.activity().map(|activity| activity.stage), course.model.stage());
            prop_assert_eq!(course.state.cause().is_some(), course.state.reason().is_some());
            let configuration = course.state.configuration().map(|it| (it.tag.as_str(), &it.effective.app));
            prop_assert_eq!(configuration, course.model.configuration());
        }
    }

    #[test]
    fn what_was_accepted_is_quiet_or_refused_when_asked_again(steps in steps(40)) {
        let mut course = Course::begin();
        for step in &steps {
            let Taken { command, events, .. } = course.take(step);
            // A second look at the cluster is another fact than the first one.
            let look = matches!(command.wish, Wish::ReportCheck(_));
            if events.is_ok() && !look {
                let again = Staging::decide(&course.state, &command);
                prop_assert!(again.as_ref().map_or(true, Vec::is_empty), "{:?} led twice to {:?}", command, again);
            }
        }
    }

    #[test]
    fn a_status_changes_only_by_events_that_say_so(steps in steps(40)) {
        let mut course = Course::begin();
        for step in &steps {
            let before = course.history.len();
            let mut state = course.state.clone();
            course.take(step);
            for recorded in &course.history[before..] {
                let status = state.status();
                state = Staging::evolve(state, recorded);
                prop_assert!(status == state.status() || may_change_status(&recorded.event), "{:?}", recorded);
            }
        }
    }

    #[test]
    fn at_most_one_run_is_open_and_at_most_one_attempt_goes_on(steps in steps(40)) {
        let mut course = Course::begin();
        for step in &steps {
            course.take(step);
        }
        one_run_at_a_time(&course.history)?;
    }

    #[test]
    fn a_withdrawal_brings_back_exactly_what_was_before(steps in steps(40)) {
        let mut course = Course::begin();
        let mut before_request = course.state.clone();
        for step in &steps {
            let Taken { before, events, .. } = course.take(step);
            match events.as_deref() {
                Ok([Event::RequestWithdrawn(_)]) => {
                    prop_assert!(same_but_for_the_version(&course.state, &before_request));
                }
                Ok(_) | Err(_) if before.run_under_way().is_none() && course.state.run_under_way().is_some() => {
                    before_request = before;
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    #[test]
    fn a_fact_that_does_not_fit_changes_nothing(steps in steps(20)) {
        let mut course = Course::begin();
        let mut misfits = 0;
        for step in &steps {
            course.take(step);
            for old in &course.history {
                let again = Recorded { version: course.state.version().next(), ..old.clone() };
                if !fits(&course.state, &again) {
                    misfits += 1;
                    prop_assert!(same_but_for_the_version(&Staging::evolve(course.state.clone(), &again), &course.state));
                }
            }
        }
        prop_assert!(misfits > 0 || course.history.is_empty(), "what opened the last run does not fit twice");
    }

    #[test]
    fn every_event_survives_being_stored(steps in steps(40)) {
        let mut course = Course::begin();
        for step in &steps {
            course.take(step);
        }
        for Recorded { event, .. } in &course.history {
            let stored = serde_json::to_string(event).expect("an event can be written");
            let read: Event = serde_json::from_str(&stored).expect("what was written can be read");
            prop_assert_eq!(&read, event);
        }
    }

    #[test]
    fn a_cheap_look_over_no_defaults_refuses_nothing_that_is_then_accepted(steps in steps(40)) {
        let mut course = Course::begin();
        for step in &steps {
            let Taken { command, before, events, .. } = course.take(step);
            let cheap = Staging::decide(&before, &without_defaults(command.clone()));
            prop_assert!(events.is_err() || cheap.is_ok(), "{:?}: {:?}", command, cheap);
        }
    }

    #[test]
    fn a_runner_that_does_what_is_due_brings_everything_to_rest(steps in steps(40)) {
        let mut course = Course::begin();
        for step in &steps {
            course.take(step);
        }
        // Claim, end, check, links: no state is further from rest than that.
        for _ in 0..4 {
            let Some(wish) = next_report(&course.state) else { break };
            course.opened += 1;
            let (now, run) = (course.now, run(course.opened));
            let Taken { events, .. } = course.take_command(Command { now, wish, run, actor: Actor::system() });
            prop_assert!(events.is_ok(), "what is due was refused: {:?}", events);
        }
        prop_assert_eq!(course.state.activity(), None);
        prop_assert_eq!(next_deadline(&course.state), None);
        let left = pending_work(&course.state);
        prop_assert!(matches!(left, None | Some(Work::Check { awaited_since: None, .. })), "{:?} is left", left);
    }

    #[test]
    fn a_history_read_in_two_parts_is_the_history(steps in steps(40), cut in any::<prop::sample::Index>()) {
        let mut course = Course::begin();
        for step in &steps {
            course.take(step);
        }
        let (first, second) = course.history.split_at(cut.index(course.history.len() + 1));
        let half = dm_domain::fold::<Staging>(Staging::initial(), first);
        prop_assert_eq!(dm_domain::fold::<Staging>(half, second), course.state);
    }
}

/// The sequences that are made up have to come somewhere, or all of the above would hold of nothing.
#[test]
fn made_up_sequences_come_to_every_status_and_every_type_of_event() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut statuses, mut types) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..256 {
        let steps = steps(80).new_tree(&mut runner).expect("steps can be made up").current();
        let mut course = Course::begin();
        for step in &steps {
            course.take(step);
            statuses.extend(course.state.status());
        }
        types.extend(course.history.iter().map(|recorded| recorded.event.type_name()));
    }
    assert_eq!(statuses, BTreeSet::from(Status::ALL));
    assert_eq!(types.len(), 20, "{types:?}");
}

fn may_change_status(event: &Event) -> bool {
    match event {
        Event::CreateRequested(_)
        | Event::UpdateRequested(_)
        | Event::RestoreRequested(_)
        | Event::DeleteRequested(_)
        | Event::RetryRequested(_)
        | Event::RequestWithdrawn(_)
        | Event::BecameRunning(_)
        | Event::BecameArchived(_)
        | Event::CleanedUp(_)
        | Event::Failed(_) => true,
        // The status stays while a cleanup is under way.
        Event::CleanupRequested(_)
        | Event::CancelRequested(_)
        | Event::RunStarted(_)
        | Event::RunFinished(_)
        | Event::RunInterrupted(_)
        | Event::CheckFailed(_)
        | Event::CheckPassed(_)
        | Event::BecameUnreadable(_)
        | Event::BecameReadable(_)
        | Event::LinksRead(_) => false,
    }
}

/// Judged from the events alone.
fn one_run_at_a_time(history: &[Recorded]) -> Result<(), TestCaseError> {
    let (mut open, mut going) = (None, None);
    for Recorded { event, .. } in history {
        match event {
            Event::CreateRequested(of) | Event::UpdateRequested(of) | Event::RestoreRequested(of) => {
                prop_assert_eq!(open.replace(of.run), None, "two runs are open");
            }
            Event::DeleteRequested(of) => prop_assert_eq!(open.replace(of.run), None, "two runs are open"),
            Event::CleanupRequested(of) => prop_assert_eq!(open.replace(of.run), None, "two runs are open"),
            Event::RetryRequested(of) => prop_assert_eq!(open.replace(of.run), None, "two runs are open"),
            Event::CancelRequested(of) => prop_assert_eq!(open, Some(of.run), "another run is cancelled"),
            Event::RunStarted(of) => {
                prop_assert_eq!(open, Some(of.run), "a run without a request");
                prop_assert_eq!(going.replace((of.run, of.attempt)), None, "two attempts go on");
            }
            Event::RunFinished(of) => prop_assert_eq!(going.take(), Some((of.run, of.attempt))),
            Event::RunInterrupted(of) => prop_assert_eq!(going.take(), Some((of.run, of.attempt))),
            Event::RequestWithdrawn(of) => prop_assert_eq!(open.take(), Some(of.run)),
            Event::Failed(_) | Event::BecameRunning(_) | Event::BecameArchived(_) | Event::CleanedUp(_) => {
                prop_assert_eq!(going, None, "it came to an end beside its wrapper");
                open = None;
            }
            Event::CheckFailed(_)
            | Event::CheckPassed(_)
            | Event::BecameUnreadable(_)
            | Event::BecameReadable(_)
            | Event::LinksRead(_) => prop_assert_eq!(going, None, "a check beside a run"),
        }
    }
    Ok(())
}

fn without_defaults(mut command: Command) -> Command {
    match &mut command.wish {
        Wish::Create(create) => create.defaults = Values::default(),
        Wish::Update(change) | Wish::Restore(change) | Wish::Apply { change, .. } => {
            change.defaults = Values::default();
        }
        Wish::Retry { defaults, .. } => *defaults = Values::default(),
        Wish::Delete { .. }
        | Wish::Cleanup { .. }
        | Wish::Cancel { .. }
        | Wish::StartRun(_)
        | Wish::FinishRun { .. }
        | Wish::InterruptRun { .. }
        | Wish::ReportCheck(_)
        | Wish::ReportLinks { .. } => {}
    }
    command
}

/// What comes next from a runner for which everything goes well; nothing once all is at rest.
fn next_report(state: &State) -> Option<Wish> {
    let finish = |outcome| {
        let (run, attempt) = (state.run_under_way()?, state.started()?.attempt);
        Some(Wish::FinishRun { run, attempt, outcome, cause: None })
    };
    match pending_work(state) {
        Some(Work::Run { run, attempt, verb }) => Some(Wish::StartRun(wishes::claim(run, attempt, verb))),
        Some(Work::Stop { .. }) => finish(Outcome::Cancelled),
        Some(Work::Check { incarnation, run, attempt, awaited_since: Some(_), .. }) => {
            let (result, before, cause) = (CheckResult::Pass, None, String::new());
            Some(Wish::ReportCheck(ReportCheck { incarnation, run, attempt, result, before, cause }))
        }
        Some(Work::Check { awaited_since: None, .. }) => None,
        Some(Work::Links { run, attempt }) => {
            Some(Wish::ReportLinks { run, attempt, links: Links::Unknown("no info wrapper".to_owned()) })
        }
        None => finish(Outcome::Exited(0)),
    }
}
