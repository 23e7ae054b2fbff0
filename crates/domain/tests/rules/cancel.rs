//! Cancel, in each phase.

use dm_domain::ids::{Actor, Version};
use dm_domain::staging::event::{Interruption, Outcome, RequestWithdrawn};
use dm_domain::staging::{Event, Reason, Rejection, Status, Verb, Wish};
use dm_domain::testing::facts::{
    archived, archived_after_failed_cleanup, awaiting, became_unreadable, cancel_requested, check_failed,
    cleanup_requested, configuration, create_requested, delete_requested, failed, failure, finished, interrupted,
    requested, restore_requested, retry_requested, run, running, started, update_requested,
};
use dm_domain::testing::wishes::{cancel, finish, interrupt};
use dm_domain::testing::{given, same_but_for_the_version};

#[test]
fn before_the_first_claim_the_request_is_withdrawn() {
    let expected = RequestWithdrawn {
        run: run(2),
        status: Some(Status::Running),
        reason: None,
        configuration_version: Some(Version(1)),
        last_run: Some(run(1)),
    };
    given(running()).and([update_requested(2)]).when(cancel()).then([Event::RequestWithdrawn(expected)]);
}

#[test]
fn a_withdrawal_brings_everything_back_exactly() {
    let in_trouble = [running(), vec![check_failed(1, 1, 1, "down"), became_unreadable(1, 1, "no route")]].concat();
    let of_rest = [
        (running(), vec![Verb::Update, Verb::Delete]),
        (in_trouble, vec![Verb::Update, Verb::Delete]),
        (archived(), vec![Verb::Restore, Verb::Cleanup]),
        (archived_after_failed_cleanup(), vec![Verb::Restore, Verb::Cleanup]),
    ];
    let of_failure = Reason::ALL.map(|reason| (failure(reason), vec![Verb::Update, Verb::Delete, Verb::Cleanup]));
    for (history, verbs) in of_rest.into_iter().chain(of_failure) {
        for verb in verbs {
            let before = given(history.clone());
            let asked = match verb {
                Verb::Update => Event::UpdateRequested(configuration(9, "v9", &[("a", "1")])),
                Verb::Restore => Event::RestoreRequested(configuration(9, "v9", &[("a", "1")])),
                Verb::Create | Verb::Delete | Verb::Cleanup => requested(9, verb),
            };
            let pending = before.clone().and([asked]);
            let withdrawal = pending.when(cancel()).decided().expect("nobody has claimed it");
            assert!(matches!(&withdrawal[..], [Event::RequestWithdrawn(_)]), "{withdrawal:?}");
            let back = pending.and(withdrawal);
            assert!(same_but_for_the_version(before.state(), back.state()), "{before:?} is not {back:?}");
        }
    }
}

#[test]
fn while_the_wrapper_runs_its_owner_is_told() {
    for verb in [Verb::Update, Verb::Delete] {
        let going = given(running()).and([requested(2, verb), started(2, 1)]);
        going.when(cancel()).then([cancel_requested(2)]);
    }
    given([create_requested(1), started(1, 1)]).when(cancel()).then([cancel_requested(1)]);
    given(archived()).and([cleanup_requested(3, false), started(3, 1)]).when(cancel()).then([cancel_requested(3)]);
}

#[test]
fn a_stopped_wrapper_is_a_failure_that_names_who_asked_for_it() {
    let boss = Actor("admin/boss".to_owned());
    let stopping = given(running()).and([update_requested(2), started(2, 1)]).and_by(&boss, [cancel_requested(2)]);
    let end = [finished(2, 1, Outcome::Cancelled), failed(2, 1, Reason::Cancelled, "cancelled by admin/boss")];
    stopping.when(finish(2, 1, Outcome::Cancelled)).then(end.clone());
    let stopped = stopping.and(end);
    assert_eq!(stopped.state().status(), Some(Status::Failure));
    let configuration = stopped.state().configuration().expect("there is one");
    assert_eq!(configuration.tag.as_str(), "v2", "the requested configuration stays");
}

#[test]
fn a_wrapper_that_ended_well_before_the_stop_began_waits_for_no_check() {
    let stopping = given([create_requested(1), started(1, 1), cancel_requested(1)]);
    let cause = "cancelled by user/anna before a check passed";
    stopping
        .when(finish(1, 1, Outcome::Exited(0)))
        .then([finished(1, 1, Outcome::Exited(0)), failed(1, 1, Reason::Unconfirmed, cause)]);
}

#[test]
fn a_wrapper_that_failed_before_the_stop_began_has_its_own_cause() {
    let stopping = given([create_requested(1), started(1, 1), cancel_requested(1)]);
    stopping
        .when(finish(1, 1, Outcome::Exited(7)))
        .then([finished(1, 1, Outcome::Exited(7)), failed(1, 1, Reason::RunFailed, "exit 7")]);
}

#[test]
fn an_attempt_lost_after_the_cancel_is_ended_and_never_due_again() {
    let stopping = given([create_requested(1), started(1, 1), cancel_requested(1)]);
    for reason in [Interruption::OwnerLost, Interruption::Stopping] {
        stopping
            .when(interrupt(1, 1, reason))
            .then([interrupted(1, 1, reason), failed(1, 1, Reason::Cancelled, "cancelled by user/anna")]);
    }
}

#[test]
fn an_attempt_lost_before_the_cancel_and_not_claimed_again_is_ended_at_once() {
    let queued_again = given([create_requested(1), started(1, 1), interrupted(1, 1, Interruption::OwnerLost)]);
    let end = [cancel_requested(1), failed(1, 1, Reason::Cancelled, "cancelled by user/anna")];
    queued_again.when(cancel()).then(end.clone());
    assert_eq!(queued_again.and(end).state().status(), Some(Status::Failure));
}

#[test]
fn waiting_for_a_check_it_is_ended_at_once_and_a_later_pass_still_counts() {
    let waiting = given(awaiting(1, create_requested(1)));
    let end = [cancel_requested(1), failed(1, 1, Reason::Unconfirmed, "cancelled by user/anna before a check passed")];
    waiting.when(cancel()).then(end.clone());
    let ended = waiting.and(end);
    assert_eq!(ended.state().reason(), Some(Reason::Unconfirmed));
    ended
        .when(dm_domain::testing::wishes::check(1, 1, dm_domain::staging::CheckResult::Pass))
        .then([Event::BecameRunning(dm_domain::testing::facts::of(1, 1))]);
}

#[test]
fn asked_again_before_the_stop_ended_it_is_quiet() {
    given([create_requested(1), started(1, 1), cancel_requested(1)]).when(cancel()).quiet();
}

#[test]
fn it_may_name_its_run_and_then_means_no_other() {
    let going = given(running()).and([update_requested(2), started(2, 1)]);
    going.when(Wish::Cancel { run: Some(run(2)) }).then([cancel_requested(2)]);
    let rejection = going.when(Wish::Cancel { run: Some(run(1)) }).rejected("other_run");
    assert_eq!(rejection, Rejection::OtherRun { named: run(1), under_way: run(2) });
    going.and([cancel_requested(2)]).when(Wish::Cancel { run: Some(run(1)) }).rejected("other_run");
}

#[test]
fn where_nothing_is_under_way_there_is_nothing_to_cancel() {
    given([]).when(cancel()).rejected("staging_not_found");
    let at_rest = [running(), archived()].into_iter().chain(Reason::ALL.map(failure));
    for history in at_rest {
        given(history).when(cancel()).rejected("wrong_status");
    }
}

#[test]
fn a_withdrawn_configuration_is_no_base_any_more() {
    let pending = given(running()).and([Event::UpdateRequested(configuration(2, "v2", &[("a", "1")]))]);
    let withdrawal = pending.when(cancel()).decided().expect("nobody has claimed it");
    let back = pending.and(withdrawal);
    let edit = dm_domain::testing::wishes::on_base(dm_domain::testing::wishes::to_tag("v3"), 6);
    back.when(Wish::Update(edit)).rejected("unknown_base");
}

#[test]
fn every_verb_can_be_withdrawn_retries_included() {
    for (pending, number) in [
        (given(archived()).and([restore_requested(3)]), 3),
        (given(running()).and([delete_requested(2)]), 2),
        (given(archived_after_failed_cleanup()).and([retry_requested(4, Verb::Cleanup)]), 4),
        (given(failure(Reason::RunFailed)).and([retry_requested(2, Verb::Create)]), 2),
    ] {
        match &pending.when(cancel()).decided().expect("nobody has claimed it")[..] {
            [Event::RequestWithdrawn(withdrawn)] => assert_eq!(withdrawn.run, run(number)),
            other => panic!("not withdrawn: {other:?}"),
        }
    }
}
