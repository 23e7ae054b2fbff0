//! What the runner reports of runs: claims, ends, lost owners.

use dm_domain::staging::event::{Interruption, Outcome, RunStarted};
use dm_domain::staging::{Event, Reason, Stage, Status, Verb, Wish};
use dm_domain::testing::facts::{
    awaiting, cancel_requested, create_requested, delete_requested, failed, finished, interrupted, moment, owner, run,
    running, started, update_requested,
};
use dm_domain::testing::wishes::{claim, finish, interrupt, start, start_ask};
use dm_domain::testing::{Given, given};

#[test]
fn a_claim_fixes_what_this_attempt_is() {
    let queued = given([create_requested(1)]);
    queued.when(start(1, 1, Verb::Create)).then([started(1, 1)]);
    let going = queued.and([started(1, 1)]);
    let fixed = going.state().started().expect("its wrapper runs");
    assert_eq!((fixed.attempt, fixed.owner, fixed.at), (1, owner(), moment(2)));
    assert_eq!(going.state().activity().map(|activity| activity.stage), Some(Stage::Running));
}

#[test]
fn a_missing_executable_is_claimed_all_the_same_and_fails_at_once() {
    let queued = given([create_requested(1)]);
    let wish = Wish::StartRun(dm_domain::staging::StartRun { digest: None, ..claim(run(1), 1, Verb::Create) });
    let claimed = queued.when(wish).decided().expect("it is due");
    assert!(matches!(&claimed[..], [Event::RunStarted(RunStarted { digest: None, .. })]), "{claimed:?}");
    let outcome = Outcome::NotStarted("no such file".to_owned());
    queued
        .and(claimed)
        .when(finish(1, 1, outcome.clone()))
        .then([finished(1, 1, outcome), failed(1, 1, Reason::RunFailed, "no such file")]);
}

#[test]
fn a_claim_for_anything_but_what_is_due_is_stale() {
    let queued = given([create_requested(1)]);
    queued.when(start(2, 1, Verb::Create)).rejected("stale_run");
    queued.when(start(1, 2, Verb::Create)).rejected("stale_run");
    queued.when(start(1, 1, Verb::Update)).rejected("stale_run");
    given([]).when(start(1, 1, Verb::Create)).rejected("stale_run");
    given(running()).when(start(1, 1, Verb::Create)).rejected("stale_run");
    queued.clone().and([started(1, 1)]).when(start(1, 1, Verb::Create)).rejected("stale_run");
    given(awaiting(1, create_requested(1))).when(start(1, 2, Verb::Create)).rejected("stale_run");
}

#[test]
fn exit_0_leaves_it_pending_until_a_check_agrees() {
    for (history, number) in [
        (vec![create_requested(1), started(1, 1)], 1),
        ([running(), vec![update_requested(2), started(2, 1)]].concat(), 2),
        ([running(), vec![delete_requested(2), started(2, 1)]].concat(), 2),
    ] {
        let given = given(history);
        let status = given.state().status();
        let end = [finished(number, 1, Outcome::Exited(0))];
        given.when(finish(number, 1, Outcome::Exited(0))).then(end.clone());
        let waiting = given.and(end);
        assert_eq!(waiting.state().status(), status);
        assert_eq!(waiting.state().activity().map(|activity| activity.stage), Some(Stage::WaitingForCheck));
    }
}

#[test]
fn any_other_end_is_a_failure_at_once_with_its_cause_in_words() {
    let going = given([create_requested(1), started(1, 1)]);
    let causes = [
        (Outcome::Exited(7), "exit 7"),
        (Outcome::Signalled(9), "signal 9"),
        (Outcome::TimeLimit, "time limit of 30 s exceeded"),
        (Outcome::NotStarted("no such file".to_owned()), "no such file"),
    ];
    for (outcome, cause) in causes {
        let end = [finished(1, 1, outcome.clone()), failed(1, 1, Reason::RunFailed, cause)];
        going.when(finish(1, 1, outcome)).then(end);
    }
}

#[test]
fn what_the_wrapper_said_is_the_better_cause() {
    let going = given([create_requested(1), started(1, 1)]);
    let say = |cause: &str| Wish::FinishRun {
        run: run(1),
        attempt: 1,
        outcome: Outcome::Exited(7),
        cause: Some(cause.to_owned()),
    };
    let end = |cause| [finished(1, 1, Outcome::Exited(7)), failed(1, 1, Reason::RunFailed, cause)];
    going.when(say("image not found")).then(end("image not found"));
    going.when(say("")).then(end("exit 7"));
}

#[test]
fn a_stop_that_nobody_asked_for_is_a_cancel_without_a_name() {
    given([create_requested(1), started(1, 1)])
        .when(finish(1, 1, Outcome::Cancelled))
        .then([finished(1, 1, Outcome::Cancelled), failed(1, 1, Reason::Cancelled, "cancelled")]);
}

#[test]
fn an_end_of_anything_but_the_attempt_that_runs_is_stale() {
    let second = given([create_requested(1), started(1, 1), interrupted(1, 1, Interruption::OwnerLost), started(1, 2)]);
    let both = |given: &Given, number, attempt| {
        given.when(finish(number, attempt, Outcome::Exited(0))).rejected("stale_run");
        given.when(interrupt(number, attempt, Interruption::OwnerLost)).rejected("stale_run");
    };
    both(&second, 1, 1);
    both(&second, 2, 2);
    both(&given([]), 1, 1);
    both(&given([create_requested(1)]), 1, 0);
    both(&given(awaiting(1, create_requested(1))), 1, 1);
    both(&given(running()), 1, 1);
}

#[test]
fn a_lost_owner_makes_the_run_due_again_and_the_third_one_is_a_failure() {
    let mut going = given([create_requested(1), started(1, 1)]);
    for attempt in 1..=2 {
        let lost = [interrupted(1, attempt, Interruption::OwnerLost)];
        going.when(interrupt(1, attempt, Interruption::OwnerLost)).then(lost.clone());
        going = going.and(lost);
        assert_eq!(going.state().activity().map(|it| (it.stage, it.attempt)), Some((Stage::Queued, attempt)));
        going.when(start(1, attempt + 1, Verb::Create)).then([started(1, attempt + 1)]);
        going = going.and([started(1, attempt + 1)]);
    }
    going.when(interrupt(1, 3, Interruption::OwnerLost)).then([
        interrupted(1, 3, Interruption::OwnerLost),
        failed(1, 3, Reason::Interrupted, "interrupted: lost its dms 3 times"),
    ]);
}

#[test]
fn an_owner_that_stopped_in_good_order_does_not_count() {
    let stopped = |attempt| [started(1, attempt), interrupted(1, attempt, Interruption::Stopping)];
    let mut going = given([create_requested(1)]).and([started(1, 1), interrupted(1, 1, Interruption::OwnerLost)]);
    for attempt in 2..=9 {
        going = going.and(stopped(attempt));
    }
    let going = going.and([started(1, 10)]);
    going.when(interrupt(1, 10, Interruption::Stopping)).then([interrupted(1, 10, Interruption::Stopping)]);
    going.when(interrupt(1, 10, Interruption::OwnerLost)).then([interrupted(1, 10, Interruption::OwnerLost)]);
    assert_eq!(going.state().status(), Some(Status::CreatePending));
}

#[test]
fn a_wrapper_that_may_not_be_repeated_is_not() {
    let queued = given([create_requested(1)]);
    let claimed = queued.when(start_ask(1, 1, Verb::Create)).decided().expect("it is due");
    let going = queued.and(claimed);
    for reason in [Interruption::OwnerLost, Interruption::Stopping] {
        let cause = "interrupted, and create may not be repeated without asking";
        going.when(interrupt(1, 1, reason)).then([interrupted(1, 1, reason), failed(1, 1, Reason::Interrupted, cause)]);
    }
    going
        .and([cancel_requested(1)])
        .when(interrupt(1, 1, Interruption::OwnerLost))
        .then([interrupted(1, 1, Interruption::OwnerLost), failed(1, 1, Reason::Cancelled, "cancelled by user/anna")]);
}
