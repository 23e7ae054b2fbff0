//! Cleanup.

use std::time::Duration;

use dm_domain::staging::event::{Interruption, Outcome};
use dm_domain::staging::{Event, Reason, Rejection, Status, Wish};
use dm_domain::testing::facts::{
    archived, archived_after_failed_cleanup, cancel_requested, cleanup_requested, delete_requested, failed, failing,
    failure, finished, interrupted, moment, of, running, started,
};
use dm_domain::testing::given;
use dm_domain::testing::story::NEW_RUN;
use dm_domain::testing::wishes::{cancel, cleanup, cleanup_after, finish, interrupt};

#[test]
fn what_is_archived_can_be_cleaned_up_and_its_status_stays_meanwhile() {
    given(archived()).when(cleanup(false)).then([cleanup_requested(NEW_RUN, false)]);
    let cleaning = given(archived()).and([cleanup_requested(3, false), started(3, 1)]);
    assert_eq!(cleaning.state().status(), Some(Status::Archived));
    assert!(cleaning.state().activity().is_some(), "it is busy all the same");
}

#[test]
fn force_is_recorded_only_where_it_was_needed() {
    given(archived()).when(cleanup(true)).then([cleanup_requested(NEW_RUN, false)]);
    for reason in Reason::ALL {
        given(failure(reason)).when(cleanup(true)).then([cleanup_requested(NEW_RUN, true)]);
    }
}

#[test]
fn what_is_not_archived_is_refused_with_what_to_do() {
    let hint = |history, force| given(history).when(cleanup(force)).rejected("wrong_status").hint();
    assert_eq!(hint(running(), false), Some("delete it first"));
    assert_eq!(hint(running(), true), Some("delete it first"));
    for reason in Reason::ALL {
        assert_eq!(hint(failure(reason), false), Some("delete it first, or ask with force"));
    }
    given([]).when(cleanup(true)).rejected("staging_not_found");
}

#[test]
fn an_age_is_judged_from_when_it_became_archived() {
    let old_for_60_s = moment(9 + 60);
    let given_archived = given(archived());
    let rejection = given_archived.when_at(moment(9 + 59), cleanup_after(60)).rejected("too_young");
    assert_eq!(rejection, Rejection::TooYoung { archived_at: moment(9), wanted: Duration::from_mins(1) });
    given_archived.when_at(old_for_60_s, cleanup_after(60)).then([cleanup_requested(NEW_RUN, false)]);
    given(archived_after_failed_cleanup())
        .when_at(old_for_60_s, cleanup_after(60))
        .then([cleanup_requested(NEW_RUN, false)]);
    given_archived.when(Wish::Cleanup { force: false, archived_for: Some(Duration::MAX) }).rejected("too_young");
}

#[test]
fn with_an_age_force_has_no_say() {
    let forced = Wish::Cleanup { force: true, archived_for: Some(Duration::from_secs(1)) };
    given(failure(Reason::RunFailed)).when(forced).rejected("wrong_status");
}

#[test]
fn asked_again_while_it_is_under_way_it_is_quiet_until_a_cancel_is_requested() {
    let cleaning = given(archived()).and([cleanup_requested(3, false), started(3, 1)]);
    cleaning.when(cleanup(false)).quiet();
    cleaning.when(cleanup(true)).quiet();
    cleaning.when(cleanup_after(60)).quiet();
    cleaning.and([cancel_requested(3)]).when(cleanup(false)).rejected("busy");
    given(running()).and([delete_requested(2)]).when(cleanup(true)).rejected("busy");
}

#[test]
fn its_exit_0_frees_the_name_without_any_check() {
    let end = [finished(3, 1, Outcome::Exited(0)), Event::CleanedUp(of(3, 1))];
    let cleaning = given(archived()).and([cleanup_requested(3, false), started(3, 1)]);
    cleaning.when(finish(3, 1, Outcome::Exited(0))).then(end.clone());
    cleaning.and([cancel_requested(3)]).when(finish(3, 1, Outcome::Exited(0))).then(end);
}

#[test]
fn whatever_ends_it_otherwise_leaves_the_status_and_has_one_reason() {
    let cleaning = given(archived()).and([cleanup_requested(3, false), started(3, 1)]);
    let ends = [Outcome::Exited(7), Outcome::Signalled(9), Outcome::TimeLimit, Outcome::NotStarted("gone".to_owned())];
    for (outcome, cause) in ends.into_iter().zip(["exit 7", "signal 9", "time limit of 30 s exceeded", "gone"]) {
        let end = [finished(3, 1, outcome.clone()), failed(3, 1, Reason::CleanupFailed, cause)];
        cleaning.when(finish(3, 1, outcome)).then(end.clone());
        let after = cleaning.clone().and(end);
        assert_eq!(after.state().status(), Some(Status::Archived));
        assert_eq!(after.state().reason(), Some(Reason::CleanupFailed));
        assert_eq!(after.state().cause(), Some(cause));
        assert_eq!(after.state().archived_at(), Some(moment(9)));
    }
}

#[test]
fn cancelled_it_keeps_the_status_and_says_who() {
    let stopping = given(archived()).and([cleanup_requested(3, false), started(3, 1), cancel_requested(3)]);
    let end = failed(3, 1, Reason::CleanupFailed, "cancelled by user/anna");
    stopping.when(finish(3, 1, Outcome::Cancelled)).then([finished(3, 1, Outcome::Cancelled), end.clone()]);
    stopping
        .when(interrupt(3, 1, Interruption::Stopping))
        .then([interrupted(3, 1, Interruption::Stopping), end.clone()]);
    let waiting_again =
        given(archived()).and([cleanup_requested(3, false), started(3, 1), interrupted(3, 1, Interruption::OwnerLost)]);
    waiting_again.when(cancel()).then([cancel_requested(3), end]);
}

#[test]
fn a_forced_cleanup_that_fails_leaves_a_failure_with_the_reason_of_the_cleanup() {
    let after = given(failure(Reason::CheckFailed)).and(failing(2, cleanup_requested(2, true), Reason::CleanupFailed));
    assert_eq!(after.state().status(), Some(Status::Failure));
    assert_eq!(after.state().reason(), Some(Reason::CleanupFailed));
    after.when(cleanup(true)).then([cleanup_requested(NEW_RUN, true)]);
}
