//! Edits on a base, limits, and what makes a configuration impossible.

use std::collections::BTreeMap;

use dm_domain::ids::{Key, Version};
use dm_domain::overrides::{
    CONFIGURATION_BYTES_MAX, Edit, Level, OVERRIDES_MAX, Override, Overrides, Sealed, Value, Values, public_values,
    resolve,
};
use dm_domain::staging::command::{Change, Create};
use dm_domain::staging::event::ConfigurationRequested;
use dm_domain::staging::{Event, Rejection, Wish};
use dm_domain::testing::facts::{
    app, app_keys, archived, awaiting, configuration, create_requested, key, of, run, running, tag,
};
use dm_domain::testing::story::NEW_RUN;
use dm_domain::testing::wishes::{edit, on_base, over_defaults, setting, to_tag, unchanged};
use dm_domain::testing::{Given, given, wishes};

#[test]
fn disjoint_edits_of_one_base_merge() {
    let changed = edited(&setting(&[("b", "2")]));
    changed.when(Wish::Update(on_base(setting(&[("c", "3")]), 1))).decided().expect("c was not touched");
    changed.when(Wish::Update(on_base(to_tag("v2"), 1))).decided().expect("the tag was not touched");
    changed.when(Wish::Update(on_base(setting(&[("b", "3")]), 6))).decided().expect("they saw the change of b");
}

#[test]
fn the_same_key_changed_meanwhile_is_refused_and_names_their_event() {
    let conflict = |what: &str| Rejection::EditConflict { what: what.to_owned(), theirs: Version(6) };
    let changed = edited(&setting(&[("b", "2")]));
    for mine in [
        setting(&[("b", "3")]),
        setting(&[("b", "2")]),
        edit(Edit { unset: app_keys(&["b"]), ..Edit::default() }),
        edit(Edit { reset: app_keys(&["b"]), ..Edit::default() }),
    ] {
        let rejection = changed.when(Wish::Update(on_base(mine, 1))).rejected("edit_conflict");
        assert_eq!(rejection, conflict("app key b"));
    }
    let retagged = edited(&to_tag("v2"));
    let rejection = retagged.when(Wish::Update(on_base(to_tag("v3"), 1))).rejected("edit_conflict");
    assert_eq!(rejection, conflict("tag"));
}

#[test]
fn a_key_of_the_other_level_is_another_key() {
    let changed = edited(&setting(&[("b", "2")]));
    let set = Values { staging: app(&[("b", "3")]).app, ..Values::default() };
    let mine = edit(Edit { set, ..Edit::default() });
    changed.when(Wish::Update(on_base(mine, 1))).decided().expect("app and staging are told apart");
}

#[test]
fn saying_again_what_is_so_changes_nothing() {
    let once = edited(&setting(&[("b", "2")]));
    let again = and_edited(once, 3, &setting(&[("b", "2")]));
    again.when(Wish::Update(on_base(setting(&[("b", "4")]), 6))).decided().expect("b is as it was at 6");
}

#[test]
fn a_dropped_override_is_a_change_of_its_key() {
    let set = edited(&setting(&[("b", "2")]));
    let dropped = and_edited(set, 3, &edit(Edit { reset: app_keys(&["b"]), ..Edit::default() }));
    let rejection = dropped.when(Wish::Update(on_base(setting(&[("b", "4")]), 6))).rejected("edit_conflict");
    assert_eq!(rejection, Rejection::EditConflict { what: "app key b".to_owned(), theirs: Version(10) });
}

#[test]
fn a_base_has_to_be_a_configuration_event_of_this_incarnation() {
    let changed = edited(&setting(&[("b", "2")]));
    for base in [0, 2, 7, 99] {
        let rejection = changed.when(Wish::Update(on_base(to_tag("v2"), base))).rejected("unknown_base");
        assert_eq!(rejection, Rejection::UnknownBase { base: Version(base) });
    }
    given(archived()).when(Wish::Restore(on_base(unchanged(), 3))).rejected("unknown_base");
    given(archived()).when(Wish::Restore(on_base(to_tag("v2"), 1))).decided().expect("the create is a base");
}

#[test]
fn without_a_base_the_last_writer_wins() {
    let changed = edited(&setting(&[("b", "2")]));
    changed.when(Wish::Update(setting(&[("b", "3")]))).decided().expect("nobody said what they saw");
}

#[test]
fn a_key_named_twice_is_refused_whatever_is_said_about_it() {
    let edits = [
        Edit { set: app(&[("a", "1")]), unset: app_keys(&["a"]), ..Edit::default() },
        Edit { set: app(&[("a", "1")]), reset: app_keys(&["a"]), ..Edit::default() },
        Edit { unset: app_keys(&["a"]), reset: app_keys(&["a"]), ..Edit::default() },
    ];
    for twice in edits {
        let rejection = given(running()).when(Wish::Update(edit(twice))).rejected("key_twice");
        assert_eq!(rejection, Rejection::KeyTwice { level: Level::App, key: key("a") });
        assert!(rejection.is_invalid_input(), "no state would make it right");
    }
}

#[test]
fn a_value_on_a_branch_is_refused_among_overrides_and_against_defaults() {
    let refused = |change: Change, parent: &str, child: &str| {
        let rejection = given(running()).when(Wish::Update(change)).rejected("key_conflict");
        let expected = Rejection::KeyConflict { level: Level::App, parent: key(parent), child: key(child) };
        assert_eq!(rejection, expected);
    };
    refused(setting(&[("a", "1"), ("a.b.c", "2")]), "a", "a.b.c");
    refused(setting(&[("a", "1"), ("a-b", "2"), ("a.b", "3")]), "a", "a.b");
    refused(over_defaults(setting(&[("a", "1")]), &[("a.b", "2")]), "a", "a.b");
    refused(over_defaults(setting(&[("a.b", "1")]), &[("a", "2")]), "a", "a.b");
    let fine = setting(&[("a", "1"), ("ab", "2"), ("a-b.c", "3")]);
    given(running()).when(Wish::Update(fine)).decided().expect("these only look alike");
}

#[test]
fn hiding_the_default_makes_room_for_a_branch() {
    let change = edit(Edit { set: app(&[("a.b", "1")]), unset: app_keys(&["a"]), ..Edit::default() });
    let expected = ConfigurationRequested { unset: app_keys(&["a"]), ..configuration(NEW_RUN, "v1", &[("a.b", "1")]) };
    given(running()).when(Wish::Update(over_defaults(change, &[("a", "2")]))).then([Event::UpdateRequested(expected)]);
}

#[test]
fn the_number_of_overrides_has_a_limit_that_is_named() {
    let numbered = |count: usize| -> Values {
        let entries = (0..count).map(|n| (key(&format!("k{n}")), Value::Text(String::new())));
        Values { app: entries.collect(), ..Values::default() }
    };
    let Wish::Create(plain) = wishes::create("v1", &[]) else { panic!("a create is a create") };
    let create = |count| Wish::Create(Create { set: numbered(count), ..plain.clone() });
    given([]).when(create(OVERRIDES_MAX)).decided().expect("exactly as many as may be");
    let rejection = given([]).when(create(OVERRIDES_MAX + 1)).rejected("too_many_overrides");
    assert_eq!(rejection, Rejection::TooManyOverrides { count: 501, max: 500 });
}

#[test]
fn hidden_defaults_count_as_overrides_and_both_levels_count_together() {
    let hidden = |count: usize| (0..count).map(|n| (key(&format!("k{n}")), Override::Unset)).collect();
    let overrides = Overrides { app: hidden(250), staging: hidden(251) };
    assert!(matches!(resolve(&overrides, &Values::default()), Err(Rejection::TooManyOverrides { count: 501, .. })));
}

#[test]
fn the_size_of_a_configuration_has_a_limit_that_counts_keys_values_and_defaults() {
    let big = |length: usize| Value::Text("x".repeat(length));
    let of_size = |size: usize| -> Values {
        // Eight keys of one byte each, whose values make up the rest.
        let each = size / 8 - 1;
        Values { app: (0..8).map(|n| (key(&n.to_string()), big(each))).collect(), ..Values::default() }
    };
    let no_overrides = Overrides::default();
    assert!(resolve(&no_overrides, &of_size(CONFIGURATION_BYTES_MAX)).is_ok());
    let one_more = Values { staging: BTreeMap::from([(key("k"), big(0))]), ..of_size(CONFIGURATION_BYTES_MAX) };
    let expected = Rejection::ConfigurationTooLarge { size: 512 * 1024 + 1, max: 512 * 1024 };
    assert_eq!(resolve(&no_overrides, &one_more), Err(expected));
}

#[test]
fn a_value_has_a_limit_and_no_nul() {
    let set = |text: String| {
        let set = Values { app: BTreeMap::from([(key("a"), Value::Text(text))]), ..Values::default() };
        Wish::Update(edit(Edit { set, ..Edit::default() }))
    };
    given(running()).when(set("x".repeat(Value::LENGTH_MAX))).decided().expect("exactly as long as may be");
    for (text, code) in [("x".repeat(Value::LENGTH_MAX + 1), "value_length"), ("a\0b".to_owned(), "nul")] {
        let rejection = given(running()).when(set(text)).rejected("invalid_value");
        let Rejection::InvalidValue { key: named, invalid, .. } = rejection else { panic!("not about the value") };
        assert_eq!((named, invalid.code), (key("a"), code));
    }
}

#[test]
fn values_are_kept_byte_for_byte() {
    let odd = [("a", "line\nbreak"), ("b", "$HOME"), ("c", " both ends "), ("d", "58467965"), ("e", "\"'\u{1f980}")];
    given(running())
        .when(Wish::Update(setting(&odd)))
        .then([Event::UpdateRequested(configuration(NEW_RUN, "v1", &odd))]);
}

#[test]
fn a_cheap_look_over_no_defaults_refuses_nothing_that_real_defaults_allow() {
    let defaults = [("a", "0"), ("b", "0")];
    let stale = on_base(to_tag("v1"), 3);
    for change in [unchanged(), to_tag("v2"), setting(&[("a", "1")]), setting(&[("c", "1")]), stale] {
        for history in [running(), archived(), awaiting(1, create_requested(1)), vec![]] {
            let given = given(history);
            for wish in [Wish::Update, Wish::Restore, wishes::apply] {
                let real = given.when(wish(over_defaults(change.clone(), &defaults))).decided();
                let cheap = given.when(wish(change.clone())).decided();
                assert!(real.is_err() || cheap.is_ok(), "{change:?}: {cheap:?} over nothing, {real:?} over defaults");
            }
        }
    }
}

#[test]
fn a_secret_is_compared_by_its_tag_and_is_no_argument() {
    let sealed = |nonce: &str, tag: &str| {
        Value::Secret(Sealed {
            key_id: "k1".to_owned(),
            nonce: nonce.to_owned(),
            ciphertext: nonce.to_owned(),
            tag: tag.to_owned(),
        })
    };
    assert_eq!(sealed("n1", "t1"), sealed("n2", "t1"));
    assert_ne!(sealed("n1", "t1"), sealed("n1", "t2"));

    let set = |value| Values { app: BTreeMap::from([(key("password"), value)]), ..Values::default() };
    let create = Event::CreateRequested(ConfigurationRequested {
        set: set(sealed("n1", "t1")),
        effective: set(sealed("n1", "t1")),
        ..configuration(1, "v1", &[])
    });
    let up = given(awaiting(1, create)).and([Event::BecameRunning(of(1, 1))]);
    let again = edit(Edit { set: set(sealed("n2", "t1")), ..Edit::default() });
    up.when(wishes::apply(again)).quiet();
    let other = edit(Edit { set: set(sealed("n2", "t2")), ..Edit::default() });
    assert_eq!(up.when(wishes::apply(other)).decided().map(|events| events.len()), Ok(1));
    assert_eq!(
        up.state().configuration().map(dm_domain::staging::Configuration::public_overrides),
        Some(Values::default())
    );
}

#[test]
fn wrappers_receive_as_arguments_what_is_set_and_public() {
    let overrides = Overrides {
        app: BTreeMap::from([
            (key("text"), Override::Set(Value::Text("1".to_owned()))),
            (key("json"), Override::Set(Value::Json("1".to_owned()))),
            (key("hidden"), Override::Unset),
        ]),
        staging: BTreeMap::<Key, Override>::new(),
    };
    let public: Vec<String> = public_values(&overrides).app.keys().map(Key::to_string).collect();
    assert_eq!(public, ["json", "text"]);
}

/// Created, then edited by run 2, whose request has version 6.
fn edited(change: &Change) -> Given {
    and_edited(given(running()), 2, change)
}

/// Edited by a run whose request has the next version; running again three events later.
fn and_edited(given: Given, number: u128, change: &Change) -> Given {
    let configuration = given.state().configuration().expect("there is one");
    let edit = &change.edit;
    let request = ConfigurationRequested {
        run: run(number),
        tag: edit.tag.clone().unwrap_or_else(|| configuration.tag.clone()),
        set: edit.set.clone(),
        unset: edit.unset.clone(),
        reset: edit.reset.clone(),
        ..configuration_of(&tag("v1"))
    };
    given.and(awaiting(number, Event::UpdateRequested(request))).and([Event::BecameRunning(of(number, 1))])
}

fn configuration_of(tag: &dm_domain::ids::Tag) -> ConfigurationRequested {
    configuration(0, tag.as_str(), &[])
}
