//! What the runner reports of checks and of `info`.

use dm_domain::ids::Version;
use dm_domain::staging::event::{Failed, Interruption};
use dm_domain::staging::{CheckResult, Event, Reason, Status, Wish};
use dm_domain::testing::facts::{
    archived, awaiting, became_unreadable, check_failed, cleanup_requested, create_requested, delete_requested, failed,
    failure, interrupted, links_read, moment, of, running, started, update_requested,
};
use dm_domain::testing::wishes::{check, check_after, links};
use dm_domain::testing::{Given, given};

const TROUBLE: [(CheckResult, i32, Reason); 3] = [
    (CheckResult::Failing, 1, Reason::CheckFailed),
    (CheckResult::PartlyAvailable, 2, Reason::PartlyAvailable),
    (CheckResult::TagMismatch, 3, Reason::TagMismatch),
];

#[test]
fn a_pass_that_was_awaited_makes_it_running_or_archived() {
    given(awaiting(1, create_requested(1))).when(check(1, 1, CheckResult::Pass)).then([Event::BecameRunning(of(1, 1))]);
    given(running())
        .and(awaiting(2, delete_requested(2)))
        .when(check(2, 1, CheckResult::Pass))
        .then([Event::BecameArchived(of(2, 1))]);
}

#[test]
fn before_its_time_is_over_a_failed_check_decides_nothing() {
    let waiting = given(awaiting(1, create_requested(1)));
    for (result, _, _) in TROUBLE {
        waiting.when_at(moment(3 + 299), check(1, 1, result)).quiet();
    }
    waiting.when_at(moment(3 + 299), check(1, 1, CheckResult::CannotTell)).then([became_unreadable(1, 1, "down")]);
}

#[test]
fn the_first_check_that_ends_after_the_time_decides() {
    let waiting = given(awaiting(1, create_requested(1)));
    let late = moment(3 + 300);
    let end = failed(1, 1, Reason::Unconfirmed, "no check passed in time: down");
    for (result, _, _) in TROUBLE {
        waiting.when_at(late, check(1, 1, result)).then([end.clone()]);
    }
    waiting.when_at(late, check(1, 1, CheckResult::CannotTell)).then([became_unreadable(1, 1, "down"), end.clone()]);
    waiting.when_at(late, check(1, 1, CheckResult::Pass)).then([Event::BecameRunning(of(1, 1))]);
    given(running())
        .and(awaiting(2, delete_requested(2)))
        .when_at(moment(8 + 300), check(2, 1, CheckResult::Failing))
        .then([failed(2, 1, Reason::Unconfirmed, "no check passed in time: down")]);
}

#[test]
fn a_pass_after_the_time_makes_up_for_it() {
    let unconfirmed = given(failure(Reason::Unconfirmed));
    unconfirmed.when(check(1, 1, CheckResult::Pass)).then([Event::BecameRunning(of(1, 1))]);
    given(unconfirmed_delete()).when(check(2, 1, CheckResult::Pass)).then([Event::BecameArchived(of(2, 1))]);
}

#[test]
fn an_unconfirmed_failure_keeps_its_reason_until_a_pass() {
    for (result, _, _) in TROUBLE {
        let unconfirmed = given(failure(Reason::Unconfirmed));
        unconfirmed.when(check_after(1, 1, Some(result), result)).quiet();
        given(unconfirmed_delete()).when(check_after(2, 1, Some(result), result)).quiet();
    }
}

#[test]
fn one_failed_check_while_it_runs_changes_no_status() {
    for (result, code, _) in TROUBLE {
        given(running()).when(check(1, 1, result)).then([check_failed(1, 1, code, "down")]);
    }
    let once = given(running()).and([check_failed(1, 1, 1, "down")]);
    assert_eq!(once.state().status(), Some(Status::Running));
}

#[test]
fn any_two_in_a_row_are_a_failure_for_the_reason_of_the_second() {
    for (_, first, _) in TROUBLE {
        for (result, _, reason) in TROUBLE {
            let once = given(running()).and([check_failed(1, 1, first, "down")]);
            once.when(check(1, 1, result)).then([failed(1, 1, reason, "down")]);
        }
    }
}

#[test]
fn a_pass_between_two_failed_checks_takes_the_first_one_back() {
    let once = given(running()).and([check_failed(1, 1, 1, "down")]);
    once.when(check(1, 1, CheckResult::Pass)).then([Event::CheckPassed(of(1, 1))]);
    let well = once.and([Event::CheckPassed(of(1, 1))]);
    well.when(check(1, 1, CheckResult::Pass)).quiet();
    well.when(check(1, 1, CheckResult::Failing)).then([check_failed(1, 1, 1, "down")]);
}

#[test]
fn cannot_tell_neither_counts_nor_resets() {
    let once = given(running()).and([check_failed(1, 1, 1, "down")]);
    once.when(check(1, 1, CheckResult::CannotTell)).then([became_unreadable(1, 1, "down")]);
    let unreadable = once.and([became_unreadable(1, 1, "down")]);
    unreadable.when(check(1, 1, CheckResult::CannotTell)).quiet();
    unreadable
        .when(check(1, 1, CheckResult::Failing))
        .then([Event::BecameReadable(of(1, 1)), failed(1, 1, Reason::CheckFailed, "down")]);
}

#[test]
fn that_checks_can_tell_again_is_said_once() {
    let unreadable = given(running()).and([became_unreadable(1, 1, "no route")]);
    assert!(unreadable.state().is_unreadable());
    unreadable.when(check(1, 1, CheckResult::Pass)).then([Event::BecameReadable(of(1, 1))]);
    let readable = unreadable.and([Event::BecameReadable(of(1, 1))]);
    assert!(!readable.state().is_unreadable());
    readable.when(check(1, 1, CheckResult::Pass)).quiet();

    let waiting = given(awaiting(1, create_requested(1))).and([became_unreadable(1, 1, "no route")]);
    waiting.when(check(1, 1, CheckResult::CannotTell)).quiet();
    waiting.when(check(1, 1, CheckResult::Failing)).then([Event::BecameReadable(of(1, 1))]);
    waiting
        .when(check(1, 1, CheckResult::Pass))
        .then([Event::BecameReadable(of(1, 1)), Event::BecameRunning(of(1, 1))]);
}

#[test]
fn what_could_not_be_read_while_pending_stays_so_at_rest() {
    let waiting = given(awaiting(1, create_requested(1))).and([became_unreadable(1, 1, "no route")]);
    let ended = waiting.and([failed(1, 1, Reason::Unconfirmed, "late")]);
    assert!(ended.state().is_unreadable());
    ended.when(check(1, 1, CheckResult::Pass)).then([Event::BecameReadable(of(1, 1)), Event::BecameRunning(of(1, 1))]);
}

#[test]
fn a_request_clears_what_checks_have_said() {
    let in_trouble = given(running()).and([check_failed(1, 1, 1, "down"), became_unreadable(1, 1, "no route")]);
    let updated = in_trouble.and(awaiting(2, update_requested(2)));
    assert!(!updated.state().is_unreadable());
    let up = updated.and([Event::BecameRunning(of(2, 1))]);
    up.when(check(2, 1, CheckResult::Failing)).then([check_failed(2, 1, 1, "down")]);
}

#[test]
fn a_failure_for_a_reason_of_checks_ends_with_a_pass() {
    for (_, _, reason) in TROUBLE {
        given(failure(reason)).when(check(1, 1, CheckResult::Pass)).then([Event::BecameRunning(of(1, 1))]);
    }
}

#[test]
fn two_in_a_row_of_another_code_change_the_reason() {
    for (known, _, reason) in TROUBLE {
        let down = given(failure(reason));
        for (result, _, other) in TROUBLE {
            down.when(check(1, 1, result)).quiet();
            down.when(check_after(1, 1, Some(known), result)).quiet();
            let twice = down.when(check_after(1, 1, Some(result), result));
            if other == reason {
                twice.quiet();
            } else {
                twice.then([failed(1, 1, other, "down")]);
            }
        }
        down.when(check(1, 1, CheckResult::CannotTell)).then([became_unreadable(1, 1, "down")]);
    }
}

#[test]
fn where_a_check_has_no_say_it_says_nothing() {
    let of_runs = [Reason::RunFailed, Reason::Interrupted, Reason::Cancelled, Reason::CleanupFailed];
    let at_rest = of_runs.into_iter().map(|reason| given(failure(reason))).chain([given(archived()), given([])]);
    let busy = [
        given([create_requested(1)]),
        given([create_requested(1), started(1, 1)]),
        given([create_requested(1), started(1, 1), interrupted(1, 1, Interruption::OwnerLost)]),
        given(archived()).and([cleanup_requested(3, false)]),
    ];
    for given in at_rest.chain(busy) {
        let (number, attempt) = last(&given);
        for result in [CheckResult::Pass, CheckResult::Failing, CheckResult::CannotTell] {
            given.when_at(moment(10_000), check_after(number, attempt, Some(result), result)).quiet();
        }
    }
}

#[test]
fn a_check_of_another_incarnation_run_or_attempt_is_dropped() {
    let up = given(running());
    up.when(check(2, 1, CheckResult::Failing)).quiet();
    up.when(check(1, 2, CheckResult::Failing)).quiet();
    let Wish::ReportCheck(report) = check(1, 1, CheckResult::Failing) else { panic!("a check is a check") };
    up.when(Wish::ReportCheck(dm_domain::staging::ReportCheck { incarnation: Version(2), ..report })).quiet();
    let updating = up.and(awaiting(2, update_requested(2)));
    updating.when(check(1, 1, CheckResult::Pass)).quiet();
}

#[test]
fn a_check_that_says_nothing_gets_words_for_its_code() {
    for (result, _, reason) in TROUBLE {
        let Wish::ReportCheck(report) = check(1, 1, result) else { panic!("a check is a check") };
        let silent = Wish::ReportCheck(dm_domain::staging::ReportCheck { cause: String::new(), ..report });
        let once = given(running()).and([check_failed(1, 1, 1, "down")]);
        match &once.when(silent).decided().expect("checks are never refused")[..] {
            [Event::Failed(Failed { reason: given, cause, .. })] => {
                assert_eq!(*given, reason);
                assert!(!cause.is_empty(), "{reason} needs words");
            }
            other => panic!("not a failure: {other:?}"),
        }
    }
}

#[test]
fn links_are_read_once_for_each_time_it_became_running() {
    let up = given(awaiting(1, create_requested(1))).and([Event::BecameRunning(of(1, 1))]);
    assert!(up.state().links_due());
    up.when(links(1, 1)).then([links_read(1, 1)]);
    up.when(links(1, 2)).quiet();
    up.when(links(2, 1)).quiet();
    let read = up.and([links_read(1, 1)]);
    assert!(!read.state().links_due());
    read.when(links(1, 1)).quiet();

    let down = read.and([check_failed(1, 1, 1, "down"), failed(1, 1, Reason::CheckFailed, "down")]);
    assert!(!down.state().links_due());
    assert!(down.and([Event::BecameRunning(of(1, 1))]).state().links_due(), "they may be others by then");
}

#[test]
fn links_that_come_while_something_is_under_way_are_dropped() {
    let up = given(awaiting(1, create_requested(1))).and([Event::BecameRunning(of(1, 1)), update_requested(2)]);
    assert!(!up.state().links_due());
    up.when(links(1, 1)).quiet();
    given([]).when(links(1, 1)).quiet();
}

fn last(given: &Given) -> (u128, u32) {
    given.state().last_run().map_or((1, 1), |last| (last.run.0.as_u128(), last.attempt))
}

fn unconfirmed_delete() -> Vec<Event> {
    [running(), awaiting(2, delete_requested(2)), vec![failed(2, 1, Reason::Unconfirmed, "late")]].concat()
}
