//! Retry.

use dm_domain::staging::event::{RequestWithdrawn, RetryRequested};
use dm_domain::staging::{Event, Reason, Status, Verb};
use dm_domain::testing::facts::{
    STATUS_TIMEOUT, app, archived, archived_after_failed_cleanup, awaiting, configuration, create_requested,
    delete_requested, failed, failing, failure, of, restore_requested, retry_requested, run, running, started, tag,
    update_requested,
};
use dm_domain::testing::story::NEW_RUN;
use dm_domain::testing::wishes::{cancel, cleanup, retry};
use dm_domain::testing::{Given, given};

#[test]
fn the_verb_of_the_last_run_runs_again() {
    let after = |verb, request: Event| {
        let history = if verb == Verb::Restore { archived() } else { running() };
        let failing = given([history, failing(3, request, Reason::RunFailed)].concat());
        let decided = failing.when(retry(&[])).decided().expect("a failure can be retried");
        match &decided[..] {
            [Event::RetryRequested(requested)] => assert_eq!(requested.verb, verb),
            other => panic!("not a retry: {other:?}"),
        }
    };
    after(Verb::Update, update_requested(3));
    after(Verb::Restore, restore_requested(3));
    after(Verb::Delete, delete_requested(3));
    given(failure(Reason::RunFailed)).when(retry(&[])).then([retry_requested(NEW_RUN, Verb::Create)]);
}

#[test]
fn a_failure_of_any_reason_but_a_forced_cleanup_can_be_retried() {
    for reason in Reason::ALL {
        let failure = given(failure(reason));
        match reason {
            Reason::CleanupFailed => {
                let rejection = failure.when(retry(&[])).rejected("forced_cleanup");
                assert_eq!(rejection.hint(), Some("ask for the cleanup again, with force"));
                failure.when(cleanup(true)).decided().expect("as the hint says");
            }
            Reason::RunFailed
            | Reason::Interrupted
            | Reason::Cancelled
            | Reason::Unconfirmed
            | Reason::CheckFailed
            | Reason::PartlyAvailable
            | Reason::TagMismatch => failure.when(retry(&[])).then([retry_requested(NEW_RUN, Verb::Create)]),
        }
    }
}

#[test]
fn it_takes_the_latest_configuration_over_the_defaults_of_this_moment() {
    let update = Event::UpdateRequested(configuration(2, "v2", &[("a", "1")]));
    let failed = given([running(), failing(2, update, Reason::RunFailed)].concat());
    let expected = RetryRequested {
        run: run(NEW_RUN),
        verb: Verb::Update,
        tag: tag("v2"),
        effective: app(&[("a", "1"), ("new", "0")]),
        status_timeout: STATUS_TIMEOUT,
    };
    failed.when(retry(&[("a", "0"), ("new", "0")])).then([Event::RetryRequested(expected.clone())]);
    let again = failed.and([Event::RetryRequested(expected)]);
    let configuration = again.state().configuration().expect("there is one");
    assert_eq!(configuration.effective, app(&[("a", "1"), ("new", "0")]));
    assert_eq!(configuration.version.0, 6, "a retry sets nothing, so it is no base");
}

#[test]
fn a_retried_delete_or_cleanup_uses_what_was_frozen_last() {
    let failed = given([running(), failing(2, delete_requested(2), Reason::RunFailed)].concat());
    failed.when(retry(&[("new", "0")])).then([retry_requested(NEW_RUN, Verb::Delete)]);
    given(archived_after_failed_cleanup()).when(retry(&[("new", "0")])).then([retry_requested(NEW_RUN, Verb::Cleanup)]);
}

#[test]
fn only_what_has_failed_can_be_retried() {
    given([]).when(retry(&[])).rejected("staging_not_found");
    given(running()).when(retry(&[])).rejected("wrong_status");
    given(archived()).when(retry(&[])).rejected("wrong_status");
    given([create_requested(1)]).when(retry(&[])).rejected("busy");
}

#[test]
fn a_retry_under_way_is_pending_as_its_verb_is() {
    let status = |given: Given| given.state().status();
    let failed_create = given(failure(Reason::RunFailed)).and([retry_requested(2, Verb::Create)]);
    assert_eq!(status(failed_create), Some(Status::CreatePending));
    let failed_cleanup = given(archived_after_failed_cleanup()).and([retry_requested(4, Verb::Cleanup)]);
    assert_eq!(failed_cleanup.state().reason(), Some(Reason::CleanupFailed), "until it has ended");
    assert_eq!(status(failed_cleanup), Some(Status::Archived));
}

#[test]
fn a_retried_create_withdrawn_goes_back_to_its_failure() {
    let failure = given(failure(Reason::RunFailed));
    let withdrawn = Event::RequestWithdrawn(RequestWithdrawn {
        run: run(2),
        status: Some(Status::Failure),
        reason: Some(Reason::RunFailed),
        configuration_version: Some(dm_domain::ids::Version(1)),
        last_run: Some(run(1)),
    });
    let retried = failure.clone().and([retry_requested(2, Verb::Create)]);
    retried.when(cancel()).then([withdrawn.clone()]);
    let back = retried.and([withdrawn]);
    assert_eq!(back.state().status(), Some(Status::Failure));
    assert_eq!(back.state().cause(), failure.state().cause());
}

#[test]
fn a_retry_ends_like_the_run_it_repeats() {
    let waiting = given(archived_unconfirmed()).and(awaiting(3, retry_requested(3, Verb::Delete)));
    let down = waiting.and([Event::BecameArchived(of(3, 1))]);
    assert_eq!(down.state().status(), Some(Status::Archived));
    let cleaned = given(archived_after_failed_cleanup()).and([
        retry_requested(4, Verb::Cleanup),
        started(4, 1),
        Event::CleanedUp(of(4, 1)),
    ]);
    assert_eq!(cleaned.state().status(), None);
}

fn archived_unconfirmed() -> Vec<Event> {
    [running(), awaiting(2, delete_requested(2)), vec![failed(2, 1, Reason::Unconfirmed, "late")]].concat()
}
