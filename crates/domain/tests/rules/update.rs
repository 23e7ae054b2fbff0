//! Update.

use dm_domain::staging::event::ConfigurationRequested;
use dm_domain::staging::{Event, Reason, Status, Wish};
use dm_domain::testing::facts::{
    app, archived, awaiting, configuration, create_requested, failing, failure, requested, running, tag,
    update_requested,
};
use dm_domain::testing::given;
use dm_domain::testing::story::NEW_RUN;
use dm_domain::testing::wishes::{over_defaults, setting, to_tag, unchanged};

#[test]
fn another_tag_is_asked_for_and_overrides_stay() {
    let update = Event::UpdateRequested(configuration(2, "v1", &[("a", "1")]));
    let up = [running(), awaiting(2, update), vec![Event::BecameRunning(dm_domain::testing::facts::of(2, 1))]].concat();
    let expected = ConfigurationRequested { effective: app(&[("a", "1")]), ..configuration(NEW_RUN, "v2", &[]) };
    given(up).when(Wish::Update(to_tag("v2"))).then([Event::UpdateRequested(expected)]);
}

#[test]
fn an_update_without_a_change_starts_a_run_all_the_same() {
    given(running()).when(Wish::Update(unchanged())).then([Event::UpdateRequested(configuration(NEW_RUN, "v1", &[]))]);
}

#[test]
fn defaults_are_those_of_this_moment() {
    let expected = ConfigurationRequested {
        effective: app(&[("a", "1"), ("new", "0")]),
        ..configuration(NEW_RUN, "v1", &[("a", "1")])
    };
    given(running())
        .when(Wish::Update(over_defaults(setting(&[("a", "1")]), &[("new", "0")])))
        .then([Event::UpdateRequested(expected)]);
}

#[test]
fn a_failure_of_any_reason_can_be_updated() {
    for reason in Reason::ALL {
        given(failure(reason)).when(Wish::Update(to_tag("v2"))).then([Event::UpdateRequested(configuration(
            NEW_RUN,
            "v2",
            &[],
        ))]);
    }
}

#[test]
fn what_is_archived_has_to_be_restored_and_what_is_not_there_is_not_found() {
    let rejection = given(archived()).when(Wish::Update(to_tag("v2"))).rejected("wrong_status");
    assert_eq!(rejection.hint(), Some("restore it"));
    given([]).when(Wish::Update(to_tag("v2"))).rejected("staging_not_found");
}

#[test]
fn it_is_never_quiet_about_a_run_under_way() {
    for verb in [dm_domain::staging::Verb::Update, dm_domain::staging::Verb::Delete] {
        given(running()).and([requested(2, verb)]).when(Wish::Update(unchanged())).rejected("busy");
    }
    given([create_requested(1)]).when(Wish::Update(unchanged())).rejected("busy");
}

#[test]
fn the_requested_configuration_stays_when_the_run_fails() {
    let failed = given([running(), failing(2, update_requested(2), Reason::RunFailed)].concat());
    assert_eq!(failed.state().status(), Some(Status::Failure));
    assert_eq!(failed.state().reason(), Some(Reason::RunFailed));
    assert_eq!(failed.state().cause(), Some("exit 7"));
    let configuration = failed.state().configuration().expect("there is one");
    assert_eq!((&configuration.tag, configuration.version.0), (&tag("v2"), 6));
}

#[test]
fn a_pending_update_shows_what_is_asked_for() {
    let pending = given(running()).and([update_requested(2)]);
    assert_eq!(pending.state().status(), Some(Status::UpdatePending));
    assert_eq!(pending.state().reason(), None);
    assert_eq!(pending.state().configuration().map(|it| it.tag.clone()), Some(tag("v2")));
}
