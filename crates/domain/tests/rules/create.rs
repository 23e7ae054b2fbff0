//! Create.

use dm_domain::staging::command::Create;
use dm_domain::staging::event::{ConfigurationRequested, OfAttempt, Outcome, RequestWithdrawn, Source};
use dm_domain::staging::{Event, Reason, Rejection, Status, Verb, Wish};
use dm_domain::testing::facts::{
    app, app_keys, archived, awaiting, cleanup_requested, configuration, create_requested, failure, finished, moment,
    of, run, running, started,
};
use dm_domain::testing::story::NEW_RUN;
use dm_domain::testing::{given, wishes};

#[test]
fn a_free_name_is_asked_for_with_the_configuration_frozen() {
    let wish = Wish::Create(Create {
        set: app(&[("a", "1")]),
        unset: app_keys(&["b"]),
        defaults: app(&[("a", "0"), ("b", "0"), ("c", "0")]),
        from: Some(Source { name: "other".parse().expect("a name"), version: dm_domain::ids::Version(7) }),
        ..plain("v1")
    });
    let expected = ConfigurationRequested {
        unset: app_keys(&["b"]),
        effective: app(&[("a", "1"), ("c", "0")]),
        from: Some(Source { name: "other".parse().expect("a name"), version: dm_domain::ids::Version(7) }),
        ..configuration(NEW_RUN, "v1", &[("a", "1")])
    };
    given([]).when(wish).then([Event::CreateRequested(expected)]);
}

#[test]
fn a_name_is_free_again_after_cleanup_and_begins_a_new_incarnation() {
    let cleaned_up = given(archived()).and([
        cleanup_requested(3, false),
        started(3, 1),
        finished(3, 1, Outcome::Exited(0)),
        Event::CleanedUp(of(3, 1)),
    ]);
    assert_eq!(cleaned_up.state().status(), None);
    assert_eq!(cleaned_up.state().cleaned_up_at(), Some(moment(13)));
    assert_eq!(cleaned_up.state().incarnation(), None);
    cleaned_up.when(wishes::create("v1", &[])).then([Event::CreateRequested(configuration(NEW_RUN, "v1", &[]))]);

    let second = cleaned_up.and([create_requested(4)]);
    assert_eq!(second.state().incarnation().map(|version| version.0), Some(14));
    assert_eq!(second.state().cleaned_up_at(), None);
}

#[test]
fn a_taken_name_is_refused_and_an_archived_one_can_be_restored() {
    for (history, status) in
        [(running(), Status::Running), (failure(Reason::RunFailed), Status::Failure), (archived(), Status::Archived)]
    {
        let rejection = given(history).when(wishes::create("v1", &[])).rejected("staging_exists");
        assert_eq!(rejection, Rejection::Exists { status });
        assert_eq!(rejection.hint() == Some("restore it"), status == Status::Archived);
    }
}

#[test]
fn a_create_under_way_makes_the_name_busy() {
    let rejection = given([create_requested(1)]).when(wishes::create("v1", &[])).rejected("busy");
    let expected =
        Rejection::Busy { run: run(1), verb: Verb::Create, by: dm_domain::testing::facts::anna(), since: moment(1) };
    assert_eq!(rejection, expected);
}

#[test]
fn a_create_is_pending_until_a_check_passes() {
    let waiting = given(awaiting(1, create_requested(1)));
    assert_eq!(waiting.state().status(), Some(Status::CreatePending));
    let up = waiting.and([Event::BecameRunning(OfAttempt { run: run(1), attempt: 1 })]);
    assert_eq!(up.state().status(), Some(Status::Running));
}

#[test]
fn a_first_create_withdrawn_is_gone_and_the_name_remembers_its_last_cleanup() {
    let withdrawn = |number| {
        Event::RequestWithdrawn(RequestWithdrawn {
            run: run(number),
            status: None,
            reason: None,
            configuration_version: None,
            last_run: None,
        })
    };
    let never_used = given([create_requested(1)]);
    never_used.when(wishes::cancel()).then([withdrawn(1)]);
    assert_eq!(never_used.and([withdrawn(1)]).state().cleaned_up_at(), None);

    let used = given(archived()).and([cleanup_requested(3, false), started(3, 1), Event::CleanedUp(of(3, 1))]);
    let before = used.state().cleaned_up_at();
    let after = used.and([create_requested(4), withdrawn(4)]);
    assert_eq!(after.state().cleaned_up_at(), before);
    let rejection = after.when(wishes::delete()).rejected("staging_not_found");
    assert_eq!(rejection, Rejection::NotFound { cleaned_up_at: before });
}

#[test]
fn a_configuration_that_cannot_be_is_refused_before_anything_is_asked_for() {
    let twice = Wish::Create(Create { set: app(&[("a", "1")]), unset: app_keys(&["a"]), ..plain("v1") });
    given([]).when(twice).rejected("key_twice");
    given([]).when(wishes::create("v1", &[("a", "1"), ("a.b", "2")])).rejected("key_conflict");
}

fn plain(tag: &str) -> Create {
    let Wish::Create(create) = wishes::create(tag, &[]) else { panic!("a create is a create") };
    create
}
