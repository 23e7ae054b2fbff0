//! What a state calls for, and until when.

use dm_domain::ids::Version;
use dm_domain::staging::event::Interruption;
use dm_domain::staging::{Event, Reason, Verb, Work, next_deadline, pending_work};
use dm_domain::testing::facts::{
    archived, archived_after_failed_cleanup, awaiting, cancel_requested, cleanup_requested, create_requested,
    delete_requested, failed, failure, interrupted, links_read, moment, of, requested, restore_requested,
    retry_requested, run, running, started,
};
use dm_domain::testing::{Given, given};

#[test]
fn a_request_is_to_be_run_by_its_verb() {
    let due = |given: Given, number, verb| {
        let expected = Some(Work::Run { run: run(number), attempt: 1, verb });
        assert_eq!(pending_work(given.state()), expected);
    };
    due(given([create_requested(1)]), 1, Verb::Create);
    for verb in [Verb::Update, Verb::Delete] {
        due(given(running()).and([requested(2, verb)]), 2, verb);
    }
    due(given(archived()).and([restore_requested(3)]), 3, Verb::Restore);
    due(given(archived()).and([cleanup_requested(3, false)]), 3, Verb::Cleanup);
    due(given(archived_after_failed_cleanup()).and([retry_requested(4, Verb::Cleanup)]), 4, Verb::Cleanup);
}

#[test]
fn a_lost_run_is_due_again_as_its_next_attempt() {
    let lost = given([create_requested(1), started(1, 1), interrupted(1, 1, Interruption::OwnerLost)]);
    assert_eq!(pending_work(lost.state()), Some(Work::Run { run: run(1), attempt: 2, verb: Verb::Create }));
}

#[test]
fn while_the_wrapper_runs_there_is_nothing_to_do_but_stop_it() {
    let going = given([create_requested(1), started(1, 1)]);
    assert_eq!(pending_work(going.state()), None);
    let stopping = going.and([cancel_requested(1)]);
    assert_eq!(pending_work(stopping.state()), Some(Work::Stop { run: run(1), attempt: 1 }));
}

#[test]
fn a_pass_is_awaited_from_the_wrappers_end_for_as_long_as_was_frozen() {
    let waiting = given(awaiting(1, create_requested(1)));
    let awaited = |number, archived, since| Work::Check {
        incarnation: Version(1),
        run: run(number),
        attempt: 1,
        archived,
        awaited_since: Some(moment(since)),
    };
    assert_eq!(pending_work(waiting.state()), Some(awaited(1, false, 3)));
    assert_eq!(next_deadline(waiting.state()), Some(moment(3 + 300)));
    let deleting = given(running()).and(awaiting(2, delete_requested(2)));
    assert_eq!(pending_work(deleting.state()), Some(awaited(2, true, 8)));
    assert_eq!(next_deadline(deleting.state()), Some(moment(8 + 300)));
}

#[test]
fn links_are_read_before_the_next_check() {
    let up = given(awaiting(1, create_requested(1))).and([Event::BecameRunning(of(1, 1))]);
    assert_eq!(pending_work(up.state()), Some(Work::Links { run: run(1), attempt: 1 }));
    assert_eq!(pending_work(up.and([links_read(1, 1)]).state()), Some(checked(1, false)));
}

#[test]
fn what_checks_can_still_change_is_checked_for_ever() {
    assert_eq!(pending_work(given(running()).state()), Some(checked(1, false)));
    for reason in Reason::ALL {
        let expected = match reason {
            Reason::Unconfirmed | Reason::CheckFailed | Reason::PartlyAvailable | Reason::TagMismatch => {
                Some(checked(1, false))
            }
            Reason::RunFailed | Reason::Interrupted | Reason::Cancelled | Reason::CleanupFailed => None,
        };
        assert_eq!(pending_work(given(failure(reason)).state()), expected, "{reason}");
    }
    let unconfirmed_delete =
        given(running()).and(awaiting(2, delete_requested(2))).and([failed(2, 1, Reason::Unconfirmed, "late")]);
    assert_eq!(pending_work(unconfirmed_delete.state()), Some(checked(2, true)));
}

#[test]
fn what_is_archived_or_not_there_calls_for_nothing() {
    for given in [given([]), given(archived()), given(archived_after_failed_cleanup())] {
        assert_eq!(pending_work(given.state()), None);
    }
}

#[test]
fn only_a_wait_for_a_pass_has_a_deadline() {
    let at_rest = [given([]), given(running()), given(archived()), given(failure(Reason::Unconfirmed))];
    let busy = [given([create_requested(1)]), given([create_requested(1), started(1, 1)])];
    for given in at_rest.into_iter().chain(busy) {
        assert_eq!(next_deadline(given.state()), None);
    }
}

fn checked(number: u128, archived: bool) -> Work {
    Work::Check { incarnation: Version(1), run: run(number), attempt: 1, archived, awaited_since: None }
}
