//! Delete.

use dm_domain::staging::{Event, Reason, Rejection, Status, Verb, Wish};
use dm_domain::testing::facts::{
    anna, archived, archived_after_failed_cleanup, awaiting, cancel_requested, create_requested, delete_requested,
    failed, failure, moment, of, retry_requested, run, running, started, update_requested,
};
use dm_domain::testing::story::NEW_RUN;
use dm_domain::testing::wishes::{delete, unchanged};
use dm_domain::testing::{Given, given};

#[test]
fn what_runs_or_has_failed_can_be_deleted() {
    given(running()).when(delete()).then([delete_requested(NEW_RUN)]);
    for reason in Reason::ALL {
        given(failure(reason)).when(delete()).then([delete_requested(NEW_RUN)]);
    }
}

#[test]
fn what_is_archived_already_stays_quiet_also_after_a_failed_cleanup() {
    given(archived()).when(delete()).quiet();
    given(archived_after_failed_cleanup()).when(delete()).quiet();
}

#[test]
fn what_is_not_there_is_not_found() {
    given([]).when(delete()).rejected("staging_not_found");
}

#[test]
fn a_delete_asked_again_while_it_is_under_way_is_quiet_in_every_stage() {
    for deleting in [
        given(running()).and([delete_requested(2)]),
        given(running()).and([delete_requested(2), started(2, 1)]),
        given(running()).and(awaiting(2, delete_requested(2))),
        given(unconfirmed_delete()).and([retry_requested(3, Verb::Delete)]),
    ] {
        deleting.when(delete()).quiet();
        assert!(deleting.state().run_under_way().is_some(), "a quiet answer has a run to name");
    }
}

#[test]
fn a_delete_is_not_quiet_once_its_cancel_is_requested() {
    let rejection =
        given(running()).and([delete_requested(2), started(2, 1), cancel_requested(2)]).when(delete()).rejected("busy");
    assert_eq!(rejection, Rejection::Busy { run: run(2), verb: Verb::Delete, by: anna(), since: moment(6) });
}

#[test]
fn any_other_run_under_way_refuses_it() {
    given([create_requested(1)]).when(delete()).rejected("busy");
    given(running()).and([update_requested(2)]).when(delete()).rejected("busy");
}

#[test]
fn a_delete_is_pending_until_an_archive_check_passes() {
    let waiting = given(running()).and(awaiting(2, delete_requested(2)));
    assert_eq!(waiting.state().status(), Some(Status::DeletePending));
    let down = waiting.and([Event::BecameArchived(of(2, 1))]);
    assert_eq!(down.state().status(), Some(Status::Archived));
    assert_eq!(down.state().archived_at(), Some(moment(9)));
}

#[test]
fn an_unconfirmed_delete_can_be_deleted_again_but_not_restored() {
    let unconfirmed: Given = given(unconfirmed_delete());
    unconfirmed.when(delete()).then([delete_requested(NEW_RUN)]);
    let rejection = unconfirmed.when(Wish::Restore(unchanged())).rejected("wrong_status");
    assert_eq!(rejection.hint(), Some("update it"));
}

fn unconfirmed_delete() -> Vec<Event> {
    [running(), awaiting(2, delete_requested(2)), vec![failed(2, 1, Reason::Unconfirmed, "not in time")]].concat()
}
