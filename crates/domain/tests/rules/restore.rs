//! Restore.

use dm_domain::overrides::Edit;
use dm_domain::staging::event::ConfigurationRequested;
use dm_domain::staging::{Event, Reason, Status, Wish};
use dm_domain::testing::facts::{
    app, archived, archived_after_failed_cleanup, awaiting, cancel_requested, configuration, create_requested,
    delete_requested, failing, failure, of, restore_requested, running, started, tag,
};
use dm_domain::testing::given;
use dm_domain::testing::story::NEW_RUN;
use dm_domain::testing::wishes::{edit, over_defaults, setting, to_tag, unchanged};

#[test]
fn what_is_archived_comes_back_with_its_latest_configuration() {
    let create = Event::CreateRequested(configuration(1, "v7", &[("a", "1")]));
    let gone = [
        awaiting(1, create),
        vec![Event::BecameRunning(of(1, 1))],
        awaiting(2, delete_requested(2)),
        vec![Event::BecameArchived(of(2, 1))],
    ];
    let expected =
        ConfigurationRequested { effective: app(&[("a", "1"), ("new", "0")]), ..configuration(NEW_RUN, "v7", &[]) };
    given(gone.concat())
        .when(Wish::Restore(over_defaults(unchanged(), &[("new", "0")])))
        .then([Event::RestoreRequested(expected)]);
}

#[test]
fn it_may_take_another_tag_and_other_overrides() {
    let change = edit(Edit { tag: Some(tag("v2")), set: app(&[("a", "1")]), ..Edit::default() });
    given(archived()).when(Wish::Restore(change)).then([Event::RestoreRequested(configuration(
        NEW_RUN,
        "v2",
        &[("a", "1")],
    ))]);
}

#[test]
fn a_failed_cleanup_does_not_stand_in_its_way() {
    given(archived_after_failed_cleanup()).when(Wish::Restore(unchanged())).then([restore_requested(NEW_RUN)]);
}

#[test]
fn what_is_not_archived_is_refused_and_a_failure_can_be_updated() {
    let hint = |history| given(history).when(Wish::Restore(unchanged())).rejected("wrong_status").hint();
    assert_eq!(hint(running()), None);
    for reason in Reason::ALL {
        assert_eq!(hint(failure(reason)), Some("update it"));
    }
    given([]).when(Wish::Restore(unchanged())).rejected("staging_not_found");
}

#[test]
fn asked_again_without_changes_it_is_quiet_and_with_changes_it_is_busy() {
    for restoring in [
        given(archived()).and([restore_requested(3)]),
        given(archived()).and([restore_requested(3), started(3, 1)]),
        given(archived()).and(awaiting(3, restore_requested(3))),
    ] {
        restoring.when(Wish::Restore(unchanged())).quiet();
        restoring.when(Wish::Restore(to_tag("v1"))).rejected("busy");
        restoring.when(Wish::Restore(setting(&[("a", "1")]))).rejected("busy");
    }
    let stopping = given(archived()).and([restore_requested(3), started(3, 1), cancel_requested(3)]);
    stopping.when(Wish::Restore(unchanged())).rejected("busy");
}

#[test]
fn a_create_under_way_is_no_restore_though_both_are_shown_alike() {
    given([create_requested(1)]).when(Wish::Restore(unchanged())).rejected("busy");
    let restoring = given(archived()).and([restore_requested(3)]);
    assert_eq!(restoring.state().status(), Some(Status::CreatePending));
    assert_eq!(restoring.state().archived_at(), None);
}

#[test]
fn a_restore_that_fails_is_a_failure_and_not_archived_any_more() {
    let failed = given(archived()).and(failing(3, restore_requested(3), Reason::RunFailed));
    assert_eq!(failed.state().status(), Some(Status::Failure));
    assert_eq!(failed.state().archived_at(), None);
}
