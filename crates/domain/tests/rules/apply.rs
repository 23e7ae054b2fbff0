//! Apply.

use dm_domain::overrides::Edit;
use dm_domain::staging::event::ConfigurationRequested;
use dm_domain::staging::{Event, Reason, Verb, Wish};
use dm_domain::testing::facts::{
    app, app_keys, archived, awaiting, cancel_requested, cleanup_requested, configuration, create_requested,
    delete_requested, failure, of, requested, restore_requested, retry_requested, running, started, tag,
};
use dm_domain::testing::story::NEW_RUN;
use dm_domain::testing::wishes::{apply, edit, on_base, over_defaults, setting, to_tag, unchanged};
use dm_domain::testing::{Given, given};

#[test]
fn a_free_name_is_created() {
    let change = edit(Edit { tag: Some(tag("v1")), set: app(&[("a", "1")]), ..Edit::default() });
    given([]).when(apply(change)).then([Event::CreateRequested(configuration(NEW_RUN, "v1", &[("a", "1")]))]);
}

#[test]
fn without_a_tag_a_free_name_is_not_found() {
    given([]).when(apply(setting(&[("a", "1")]))).rejected("staging_not_found");
}

#[test]
fn what_runs_with_just_that_stays_quiet() {
    let up = with_override();
    up.when(apply(to_tag("v1"))).quiet();
    up.when(apply(setting(&[("a", "1")]))).quiet();
    up.when(apply(unchanged())).quiet();
}

#[test]
fn what_comes_out_counts_and_not_how_it_was_said() {
    let up = with_override();
    let the_default_said_aloud = over_defaults(setting(&[("a", "1")]), &[("a", "1")]);
    up.when(apply(the_default_said_aloud)).quiet();
    let dropped_for_an_equal_default = edit(Edit { reset: app_keys(&["a"]), ..Edit::default() });
    up.when(apply(over_defaults(dropped_for_an_equal_default, &[("a", "1")]))).quiet();
}

#[test]
fn anything_else_is_an_update_that_leaves_what_it_does_not_name() {
    let up = with_override();
    let expected = ConfigurationRequested { effective: app(&[("a", "1")]), ..configuration(NEW_RUN, "v2", &[]) };
    up.when(apply(to_tag("v2"))).then([Event::UpdateRequested(expected)]);
    let both = app(&[("a", "1"), ("b", "2")]);
    let expected = ConfigurationRequested { effective: both, ..configuration(NEW_RUN, "v1", &[("b", "2")]) };
    up.when(apply(setting(&[("b", "2")]))).then([Event::UpdateRequested(expected)]);
}

#[test]
fn other_defaults_are_a_change() {
    let up = with_override();
    let expected =
        ConfigurationRequested { effective: app(&[("a", "1"), ("new", "0")]), ..configuration(NEW_RUN, "v1", &[]) };
    up.when(apply(over_defaults(to_tag("v1"), &[("new", "0")]))).then([Event::UpdateRequested(expected)]);
}

#[test]
fn always_starts_a_run_whatever_is_there() {
    let expected = Event::UpdateRequested(configuration(NEW_RUN, "v1", &[]));
    given(running()).when(Wish::Apply { change: to_tag("v1"), always: true }).then([expected]);
}

#[test]
fn a_failure_is_updated_and_what_is_archived_restored() {
    for reason in Reason::ALL {
        let update = Event::UpdateRequested(configuration(NEW_RUN, "v1", &[]));
        given(failure(reason)).when(apply(to_tag("v1"))).then([update]);
    }
    given(archived()).when(apply(to_tag("v1"))).then([restore_requested(NEW_RUN)]);
}

#[test]
fn exactly_what_is_on_its_way_is_quiet_in_every_stage() {
    for bringing in [
        given([create_requested(1)]),
        given([create_requested(1), started(1, 1)]),
        given(awaiting(1, create_requested(1))),
        given(running()).and([Event::UpdateRequested(configuration(2, "v1", &[]))]),
        given(archived()).and([restore_requested(3)]),
        given(failure(Reason::RunFailed)).and([retry_requested(2, Verb::Create)]),
    ] {
        bringing.when(apply(to_tag("v1"))).quiet();
        bringing.when(apply(over_defaults(to_tag("v1"), &[("new", "0")]))).quiet();
        bringing.when(apply(to_tag("v2"))).rejected("busy");
        bringing.when(apply(setting(&[("a", "1")]))).rejected("busy");
        bringing.when(Wish::Apply { change: to_tag("v1"), always: true }).rejected("busy");
    }
}

#[test]
fn what_is_being_stopped_or_taken_away_is_not_on_its_way() {
    let stopping = given([create_requested(1), started(1, 1), cancel_requested(1)]);
    stopping.when(apply(to_tag("v1"))).rejected("busy");
    given(running()).and([delete_requested(2)]).when(apply(to_tag("v1"))).rejected("busy");
    given(archived()).and([cleanup_requested(3, false)]).when(apply(to_tag("v1"))).rejected("busy");
    for verb in [Verb::Delete, Verb::Update] {
        let other = given(running()).and([requested(2, verb)]);
        other.when(apply(to_tag("v1"))).rejected("busy");
    }
}

#[test]
fn an_edit_that_cannot_be_is_refused_before_anything_else_about_it() {
    let twice = || edit(Edit { set: app(&[("a", "1")]), reset: app_keys(&["a"]), ..Edit::default() });
    given(running()).when(apply(twice())).rejected("key_twice");
    given([create_requested(1)]).when(apply(twice())).rejected("key_twice");
}

#[test]
fn a_base_is_looked_at_before_it_is_known_whether_anything_is_to_be_changed() {
    let up = with_override();
    up.when(apply(on_base(to_tag("v1"), 3))).rejected("unknown_base");
    up.when(apply(on_base(to_tag("v2"), 3))).rejected("unknown_base");
    up.when(apply(on_base(to_tag("v1"), 1))).quiet();
}

/// Running with tag `v1` and `a=1`.
fn with_override() -> Given {
    let create = Event::CreateRequested(configuration(1, "v1", &[("a", "1")]));
    given(awaiting(1, create)).and([Event::BecameRunning(of(1, 1))])
}
