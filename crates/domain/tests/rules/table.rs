//! Every reachable situation, each asked for everything that can be asked.
//!
//! A cell is (status, reason, what is under way, how far it is, attempt). The expected outcomes are written as matches
//! without a wildcard over each of them, so that a new status, reason, stage or verb does not compile before its cells
//! are filled.

use dm_domain::staging::event::{Interruption, Outcome};
use dm_domain::staging::{Action, CheckResult, Permit, Reason, Status, Verb, Wish, permits};
use dm_domain::testing::facts::{
    archived, archived_after_failed_cleanup, cancel_requested, cleanup_requested, create_requested, delete_requested,
    failure, finished, interrupted, moment, restore_requested, retry_requested, run, running, started,
    update_requested,
};
use dm_domain::testing::wishes::{
    apply, cancel, check, cleanup, create, delete, finish, interrupt, links, retry, start, to_tag, unchanged,
};
use dm_domain::testing::{Given, given};

/// The run that is under way in busy cells; of a first create it is the first run all the same.
const RUN: u128 = 9;

/// How far the run under way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Queued,
    Running,
    Stopping,
    Waiting,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// None: the name is free.
    status: Option<Status>,
    reason: Option<Reason>,
    under_way: Option<(Verb, Progress, u32)>,
}

/// Everything that can be asked.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Create,
    Update,
    Restore { with_changes: bool },
    ApplySame,
    ApplyOther,
    ApplyAlways,
    Delete,
    Cleanup { force: bool },
    Retry,
    Cancel,
    CancelOther,
    Start,
    Finish(End),
    Interrupt(Interruption),
    Check { result: CheckResult, late: bool },
    Links,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Well,
    Badly,
    Stopped,
}

/// What is to come of it: these types of events, or a refusal with this code.
type Outcomes = Result<Vec<&'static str>, &'static str>;

#[test]
fn every_cell_of_the_table_has_its_outcome() {
    let mut cells: usize = 0;
    for (cell, given) in cells_reached() {
        assert_eq!(given.state().status(), cell.status, "{cell:?} was not reached");
        assert_eq!(given.state().reason(), cell.reason, "{cell:?} was not reached");
        for ask in asks() {
            cells += 1;
            let (now, wish) = wish(&given, ask);
            let decided = given.when_at(moment(now), wish).decided();
            let actual: Outcomes = match &decided {
                Ok(events) => Ok(events.iter().map(dm_domain::staging::Event::type_name).collect()),
                Err(rejection) => Err(rejection.code()),
            };
            assert_eq!(actual, expected(cell, ask), "{cell:?} asked for {ask:?}");
        }
    }
    // At rest 12; four verbs with 3 + 2 + 2 + 2 each; a cleanup, which awaits no check, from ten conditions.
    let situations = 12 + 4 * 9 + 10 * 7;
    assert_eq!(cells, situations * asks().len(), "a situation is not reached any more, or is not counted here");
}

#[test]
fn who_shows_what_may_be_asked_says_what_decide_does() {
    for (cell, given) in cells_reached() {
        let Some(situation) = given.state().situation() else { continue };
        for ask in asks() {
            let Some(action) = action(ask) else { continue };
            let (now, wish) = wish(&given, ask);
            let decided = given.when_at(moment(now), wish).decided();
            match permits(&situation, action) {
                Ok(Permit::Go) => assert!(decided.is_ok_and(|events| !events.is_empty()), "{cell:?} {ask:?}"),
                Ok(Permit::Quiet) => assert_eq!(decided, Ok(vec![]), "{cell:?} {ask:?}"),
                Err(rejection) => assert_eq!(decided, Err(rejection), "{cell:?} {ask:?}"),
            }
        }
    }
}

fn expected(cell: Cell, ask: Ask) -> Outcomes {
    match (cell.status, cell.under_way) {
        (None, _) => expected_of_a_free_name(ask),
        (Some(_), Some((verb, progress, attempt))) => expected_while_busy(verb, progress, attempt, ask),
        (Some(Status::Running), None) => expected_while_running(ask),
        (Some(Status::Failure), None) => expected_of_a_failure(cell.reason, ask),
        (Some(Status::Archived), None) => expected_while_archived(cell.reason, ask),
        (Some(Status::CreatePending | Status::UpdatePending | Status::DeletePending), None) => {
            panic!("{cell:?}: a pending status without a run cannot be")
        }
    }
}

fn expected_of_a_free_name(ask: Ask) -> Outcomes {
    match ask {
        Ask::Create | Ask::ApplySame | Ask::ApplyOther | Ask::ApplyAlways => Ok(vec!["CreateRequested"]),
        Ask::Update
        | Ask::Restore { .. }
        | Ask::Delete
        | Ask::Cleanup { .. }
        | Ask::Retry
        | Ask::Cancel
        | Ask::CancelOther => Err("staging_not_found"),
        Ask::Start | Ask::Finish(_) | Ask::Interrupt(_) => Err("stale_run"),
        Ask::Check { .. } | Ask::Links => Ok(vec![]),
    }
}

fn expected_while_running(ask: Ask) -> Outcomes {
    match ask {
        Ask::Create => Err("staging_exists"),
        Ask::Update | Ask::ApplyOther | Ask::ApplyAlways => Ok(vec!["UpdateRequested"]),
        Ask::ApplySame | Ask::Links => Ok(vec![]),
        Ask::Delete => Ok(vec!["DeleteRequested"]),
        Ask::Restore { .. } | Ask::Cleanup { .. } | Ask::Retry | Ask::Cancel | Ask::CancelOther => Err("wrong_status"),
        Ask::Start | Ask::Finish(_) | Ask::Interrupt(_) => Err("stale_run"),
        Ask::Check { result, .. } => Ok(match result {
            CheckResult::Pass => vec![],
            CheckResult::Failing | CheckResult::PartlyAvailable | CheckResult::TagMismatch => vec!["CheckFailed"],
            CheckResult::CannotTell => vec!["BecameUnreadable"],
        }),
    }
}

fn expected_of_a_failure(reason: Option<Reason>, ask: Ask) -> Outcomes {
    let reason = reason.expect("a failure has a reason");
    match ask {
        Ask::Create => Err("staging_exists"),
        Ask::Update | Ask::ApplySame | Ask::ApplyOther | Ask::ApplyAlways => Ok(vec!["UpdateRequested"]),
        Ask::Delete => Ok(vec!["DeleteRequested"]),
        Ask::Cleanup { force: true } => Ok(vec!["CleanupRequested"]),
        Ask::Restore { .. } | Ask::Cleanup { force: false } | Ask::Cancel | Ask::CancelOther => Err("wrong_status"),
        Ask::Retry => match reason {
            Reason::CleanupFailed => Err("forced_cleanup"),
            Reason::RunFailed
            | Reason::Interrupted
            | Reason::Cancelled
            | Reason::Unconfirmed
            | Reason::CheckFailed
            | Reason::PartlyAvailable
            | Reason::TagMismatch => Ok(vec!["RetryRequested"]),
        },
        Ask::Start | Ask::Finish(_) | Ask::Interrupt(_) => Err("stale_run"),
        Ask::Links => Ok(vec![]),
        Ask::Check { result, .. } => Ok(match reason {
            Reason::RunFailed | Reason::Interrupted | Reason::Cancelled | Reason::CleanupFailed => vec![],
            Reason::Unconfirmed | Reason::CheckFailed | Reason::PartlyAvailable | Reason::TagMismatch => match result {
                CheckResult::Pass => vec!["BecameRunning"],
                CheckResult::Failing | CheckResult::PartlyAvailable | CheckResult::TagMismatch => vec![],
                CheckResult::CannotTell => vec!["BecameUnreadable"],
            },
        }),
    }
}

fn expected_while_archived(reason: Option<Reason>, ask: Ask) -> Outcomes {
    match ask {
        Ask::Create => Err("staging_exists"),
        Ask::Restore { .. } | Ask::ApplySame | Ask::ApplyOther | Ask::ApplyAlways => Ok(vec!["RestoreRequested"]),
        Ask::Cleanup { .. } => Ok(vec!["CleanupRequested"]),
        Ask::Retry if reason == Some(Reason::CleanupFailed) => Ok(vec!["RetryRequested"]),
        Ask::Update | Ask::Retry | Ask::Cancel | Ask::CancelOther => Err("wrong_status"),
        Ask::Start | Ask::Finish(_) | Ask::Interrupt(_) => Err("stale_run"),
        Ask::Delete | Ask::Check { .. } | Ask::Links => Ok(vec![]),
    }
}

fn expected_while_busy(verb: Verb, progress: Progress, attempt: u32, ask: Ask) -> Outcomes {
    let stopping = progress == Progress::Stopping;
    let quiet_for = |same: bool| if same && !stopping { Ok(vec![]) } else { Err("busy") };
    match ask {
        Ask::Create
        | Ask::Update
        | Ask::Restore { with_changes: true }
        | Ask::ApplyOther
        | Ask::ApplyAlways
        | Ask::Retry => Err("busy"),
        Ask::Restore { with_changes: false } => quiet_for(verb == Verb::Restore),
        Ask::Delete => quiet_for(verb == Verb::Delete),
        Ask::Cleanup { .. } => quiet_for(verb == Verb::Cleanup),
        Ask::ApplySame => quiet_for(match verb {
            Verb::Create | Verb::Update | Verb::Restore => true,
            Verb::Delete | Verb::Cleanup => false,
        }),
        Ask::CancelOther => Err("other_run"),
        Ask::Cancel => Ok(match progress {
            Progress::Queued if attempt == 0 => vec!["RequestWithdrawn"],
            Progress::Queued | Progress::Waiting => vec!["CancelRequested", "Failed"],
            Progress::Running => vec!["CancelRequested"],
            Progress::Stopping => vec![],
        }),
        Ask::Start => match progress {
            Progress::Queued => Ok(vec!["RunStarted"]),
            Progress::Running | Progress::Stopping | Progress::Waiting => Err("stale_run"),
        },
        Ask::Finish(end) => expected_end(verb, progress, end),
        Ask::Interrupt(_) => match progress {
            Progress::Running => Ok(vec!["RunInterrupted"]),
            Progress::Stopping => Ok(vec!["RunInterrupted", "Failed"]),
            Progress::Queued | Progress::Waiting => Err("stale_run"),
        },
        Ask::Check { result, late } => Ok(match progress {
            Progress::Queued | Progress::Running | Progress::Stopping => vec![],
            Progress::Waiting => expected_check(verb, result, late),
        }),
        Ask::Links => Ok(vec![]),
    }
}

fn expected_end(verb: Verb, progress: Progress, end: End) -> Outcomes {
    let well = match verb {
        Verb::Cleanup => vec!["RunFinished", "CleanedUp"],
        Verb::Create | Verb::Update | Verb::Restore | Verb::Delete if progress == Progress::Running => {
            vec!["RunFinished"]
        }
        Verb::Create | Verb::Update | Verb::Restore | Verb::Delete => vec!["RunFinished", "Failed"],
    };
    match (progress, end) {
        (Progress::Queued | Progress::Waiting, _) => Err("stale_run"),
        (Progress::Running | Progress::Stopping, End::Well) => Ok(well),
        (Progress::Running | Progress::Stopping, End::Badly | End::Stopped) => Ok(vec!["RunFinished", "Failed"]),
    }
}

fn expected_check(verb: Verb, result: CheckResult, late: bool) -> Vec<&'static str> {
    match (result, verb) {
        (CheckResult::Pass, Verb::Delete) => vec!["BecameArchived"],
        (CheckResult::Pass, Verb::Create | Verb::Update | Verb::Restore | Verb::Cleanup) => vec!["BecameRunning"],
        (CheckResult::Failing | CheckResult::PartlyAvailable | CheckResult::TagMismatch, _) if late => vec!["Failed"],
        (CheckResult::Failing | CheckResult::PartlyAvailable | CheckResult::TagMismatch, _) => vec![],
        (CheckResult::CannotTell, _) if late => vec!["BecameUnreadable", "Failed"],
        (CheckResult::CannotTell, _) => vec!["BecameUnreadable"],
    }
}

/// All combinations that a history can lead to, each with such a history.
fn cells_reached() -> Vec<(Cell, Given)> {
    let statuses = [None].into_iter().chain(Status::ALL.map(Some));
    let reasons = || [None].into_iter().chain(Reason::ALL.map(Some));
    let progresses = [Progress::Queued, Progress::Running, Progress::Stopping, Progress::Waiting];
    let under_way: Vec<_> = Verb::ALL
        .into_iter()
        .flat_map(|verb| progresses.map(|progress| (verb, progress)))
        .flat_map(|(verb, progress)| (0..=2).map(move |attempt| Some((verb, progress, attempt))))
        .chain([None])
        .collect();
    let mut cells = vec![];
    for status in statuses {
        for reason in reasons() {
            for &under_way in &under_way {
                let cell = Cell { status, reason, under_way };
                cells.extend(reach(cell).map(|given| (cell, given)));
            }
        }
    }
    cells
}

/// A history that leads to a cell; none where no history does.
fn reach(cell: Cell) -> Option<Given> {
    let Some((verb, progress, attempt)) = cell.under_way else { return at_rest(cell) };
    let asked = match (cell.status?, cell.reason, verb) {
        (Status::CreatePending, None, Verb::Create) => given([create_requested(RUN)]),
        (Status::CreatePending, None, Verb::Restore) => given(archived()).and([restore_requested(RUN)]),
        (Status::UpdatePending, None, Verb::Update) => given(running()).and([update_requested(RUN)]),
        (Status::DeletePending, None, Verb::Delete) => given(running()).and([delete_requested(RUN)]),
        (Status::Archived, None, Verb::Cleanup) => given(archived()).and([cleanup_requested(RUN, false)]),
        (Status::Archived, Some(Reason::CleanupFailed), Verb::Cleanup) => {
            given(archived_after_failed_cleanup()).and([retry_requested(RUN, Verb::Cleanup)])
        }
        (Status::Failure, Some(reason), Verb::Cleanup) => given(failure(reason)).and([cleanup_requested(RUN, true)]),
        (
            Status::Running
            | Status::Failure
            | Status::Archived
            | Status::CreatePending
            | Status::UpdatePending
            | Status::DeletePending,
            _,
            _,
        ) => return None,
    };
    let lost = |attempt| [started(RUN, attempt), interrupted(RUN, attempt, Interruption::Stopping)];
    let again = |given: Given, times: u32| (1..=times).fold(given, |given, attempt| given.and(lost(attempt)));
    match (progress, attempt, verb) {
        (Progress::Queued, _, _) => Some(again(asked, attempt)),
        (Progress::Running | Progress::Stopping | Progress::Waiting, 0, _) | (Progress::Waiting, _, Verb::Cleanup) => {
            None
        }
        (Progress::Running, _, _) => Some(again(asked, attempt - 1).and([started(RUN, attempt)])),
        (Progress::Stopping, _, _) => {
            Some(again(asked, attempt - 1).and([started(RUN, attempt), cancel_requested(RUN)]))
        }
        (Progress::Waiting, _, Verb::Create | Verb::Update | Verb::Restore | Verb::Delete) => {
            let end = [started(RUN, attempt), finished(RUN, attempt, Outcome::Exited(0))];
            Some(again(asked, attempt - 1).and(end))
        }
    }
}

fn at_rest(cell: Cell) -> Option<Given> {
    match (cell.status, cell.reason) {
        (None, None) => Some(given([])),
        (Some(Status::Running), None) => Some(given(running())),
        (Some(Status::Failure), Some(reason)) => Some(given(failure(reason))),
        (Some(Status::Archived), None) => Some(given(archived())),
        (Some(Status::Archived), Some(Reason::CleanupFailed)) => Some(given(archived_after_failed_cleanup())),
        (None | Some(Status::Running | Status::Archived), Some(_))
        | (Some(Status::Failure), None)
        | (Some(Status::CreatePending | Status::UpdatePending | Status::DeletePending), _) => None,
    }
}

fn asks() -> Vec<Ask> {
    let results = [
        CheckResult::Pass,
        CheckResult::Failing,
        CheckResult::PartlyAvailable,
        CheckResult::TagMismatch,
        CheckResult::CannotTell,
    ];
    let checks = results.into_iter().flat_map(|result| [false, true].map(|late| Ask::Check { result, late }));
    let others = [
        Ask::Create,
        Ask::Update,
        Ask::Restore { with_changes: false },
        Ask::Restore { with_changes: true },
        Ask::ApplySame,
        Ask::ApplyOther,
        Ask::ApplyAlways,
        Ask::Delete,
        Ask::Cleanup { force: false },
        Ask::Cleanup { force: true },
        Ask::Retry,
        Ask::Cancel,
        Ask::CancelOther,
        Ask::Start,
        Ask::Finish(End::Well),
        Ask::Finish(End::Badly),
        Ask::Finish(End::Stopped),
        Ask::Interrupt(Interruption::OwnerLost),
        Ask::Interrupt(Interruption::Stopping),
        Ask::Links,
    ];
    others.into_iter().chain(checks).collect()
}

/// What people can ask, as the gate knows it.
fn action(ask: Ask) -> Option<Action> {
    match ask {
        Ask::Create => Some(Action::Create),
        Ask::Update => Some(Action::Update),
        Ask::Restore { with_changes } => Some(Action::Restore { with_changes }),
        Ask::Delete => Some(Action::Delete),
        Ask::Cleanup { force } => Some(Action::Cleanup { force }),
        Ask::Retry => Some(Action::Retry),
        Ask::Cancel => Some(Action::Cancel { run: None }),
        Ask::CancelOther => Some(Action::Cancel { run: Some(run(77)) }),
        Ask::ApplySame
        | Ask::ApplyOther
        | Ask::ApplyAlways
        | Ask::Start
        | Ask::Finish(_)
        | Ask::Interrupt(_)
        | Ask::Check { .. }
        | Ask::Links => None,
    }
}

/// The wish for an ask, about the run and attempt that the staging is at, and when it comes.
fn wish(given: &Given, ask: Ask) -> (i64, Wish) {
    let last = given.state().last_run();
    let (number, attempt) = last.map_or((RUN, 1), |last| (last.run.0.as_u128(), last.attempt));
    let verb = last.map_or(Verb::Create, |last| last.verb);
    let same = given.state().configuration().map_or("v1".to_owned(), |configuration| configuration.tag.to_string());
    let soon = given.state().version().0 + 1;
    let wish = match ask {
        Ask::Create => create("v1", &[]),
        Ask::Update => Wish::Update(unchanged()),
        Ask::Restore { with_changes: false } => Wish::Restore(unchanged()),
        Ask::Restore { with_changes: true } => Wish::Restore(to_tag("v3")),
        Ask::ApplySame => apply(to_tag(&same)),
        Ask::ApplyOther => apply(to_tag("v3")),
        Ask::ApplyAlways => Wish::Apply { change: to_tag(&same), always: true },
        Ask::Delete => delete(),
        Ask::Cleanup { force } => cleanup(force),
        Ask::Retry => retry(&[]),
        Ask::Cancel => cancel(),
        Ask::CancelOther => Wish::Cancel { run: Some(run(77)) },
        Ask::Start => start(number, attempt + 1, verb),
        Ask::Finish(End::Well) => finish(number, attempt, Outcome::Exited(0)),
        Ask::Finish(End::Badly) => finish(number, attempt, Outcome::Exited(7)),
        Ask::Finish(End::Stopped) => finish(number, attempt, Outcome::Cancelled),
        Ask::Interrupt(reason) => interrupt(number, attempt, reason),
        Ask::Check { result, .. } => check(number, attempt, result),
        Ask::Links => links(number, attempt),
    };
    let late = matches!(ask, Ask::Check { late: true, .. });
    (if late { soon + 10_000 } else { soon }, wish)
}
