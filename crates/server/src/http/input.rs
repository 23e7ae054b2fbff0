//! From wire types to wishes of the domain, with a pointer for every fault.
//!
//! Checks form only. Whether a wish is fulfilled is the domain's decision; `Places` says which field of the request
//! its refusal is about.

use std::collections::BTreeMap;
use std::time::Duration;

use dm_api::{OverrideKey, OverrideSet, Violation};
use dm_domain::ids::{Comment, Key, OnBehalf, RunId, StagingName, Tag, Version};
use dm_domain::overrides::{Edit, Keys, Level, Value, Values};
use dm_domain::staging::{Change, Create, Rejection, Wish};

use crate::http::json;
use crate::http::violations::{SECRETS_RULE, Violations};

/// The longest age that can be asked for, in seconds: a hundred years.
const AGE_MAX: u64 = 3_153_600_000;

/// A wish as it came in: well formed, not yet judged.
#[derive(Debug)]
pub(crate) struct Draft {
    /// For which staging.
    pub(crate) staging: StagingName,
    /// The wish, with empty defaults where it needs them.
    pub(crate) wish: Wish,
    /// What its author says about it.
    pub(crate) said: Said,
    /// Where in the request its keys are.
    pub(crate) places: Places,
}

/// What the author of a wish says about it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Why it is wished.
    pub(crate) reason: Option<Comment>,
    /// For whom.
    pub(crate) on_behalf: Option<OnBehalf>,
}

/// Where in a request each key is named.
#[derive(Debug, Default)]
pub(crate) struct Places(BTreeMap<(Level, Key), String>);

/// Body of a create.
pub(crate) fn create(body: dm_api::Create, status_timeout: Duration, violations: &mut Violations) -> Option<Draft> {
    let staging = violations.take("/name", StagingName::parse(&body.name));
    let tag = violations.take("/tag", Tag::parse(&body.tag));
    let said = Said::parse(body.reason, body.on_behalf, violations);
    let (edit, places) = edit(body.set, &body.unset, &[], violations);
    let Edit { tag: _, set, unset, reset: _ } = edit;
    let wish = Wish::Create(Create { tag: tag?, set, unset, defaults: Values::default(), status_timeout, from: None });
    Some(Draft { staging: staging?, wish, said, places })
}

/// Body of an update or a restore; `wish` says which.
pub(crate) fn change(
    staging: Option<StagingName>,
    body: dm_api::Update,
    status_timeout: Duration,
    wish: fn(Change) -> Wish,
    violations: &mut Violations,
) -> Option<Draft> {
    let tag = body.tag.and_then(|tag| violations.take("/tag", Tag::parse(&tag)));
    let said = Said::parse(body.reason, body.on_behalf, violations);
    let (edit, places) = edit(body.set, &body.unset, &body.reset, violations);
    let change = Change {
        edit: Edit { tag, ..edit },
        base: body.base.map(Version),
        defaults: Values::default(),
        status_timeout,
        from: None,
    };
    Some(Draft { staging: staging?, wish: wish(change), said, places })
}

/// Body of an apply.
pub(crate) fn apply(
    staging: Option<StagingName>,
    body: dm_api::Apply,
    status_timeout: Duration,
    violations: &mut Violations,
) -> Option<Draft> {
    let dm_api::Apply { tag, set, unset, reset, always, base, reason, on_behalf } = body;
    let update = dm_api::Update { tag: Some(tag), set, unset, reset, base, reason, on_behalf };
    let Draft { staging, wish, said, places } = change(staging, update, status_timeout, Wish::Update, violations)?;
    let Wish::Update(change) = wish else { return None };
    Some(Draft { staging, wish: Wish::Apply { change, always }, said, places })
}

/// Body of a cleanup. Force is for what is in trouble, so whoever uses it says why.
pub(crate) fn cleanup(
    staging: Option<StagingName>,
    body: dm_api::Cleanup,
    violations: &mut Violations,
) -> Option<Draft> {
    let dm_api::Cleanup { force, archived_for, reason, on_behalf } = body;
    if force && reason.is_none() {
        violations.add("/reason", "reason_required", "must be given with force");
    }
    if force && archived_for.is_some() {
        violations.add("/archived_for", "not_with_force", "must not be given with force");
    }
    if archived_for.is_some_and(|seconds| seconds > AGE_MAX) {
        violations.add("/archived_for", "archived_for_range", format!("must be 0 to {AGE_MAX}"));
    }
    let wish = Wish::Cleanup { force, archived_for: archived_for.map(Duration::from_secs) };
    plain(staging, wish, reason, on_behalf, violations)
}

/// Body of a cancel.
pub(crate) fn cancel(staging: Option<StagingName>, body: dm_api::Cancel, violations: &mut Violations) -> Option<Draft> {
    plain(staging, Wish::Cancel { run: body.run.map(RunId) }, body.reason, body.on_behalf, violations)
}

/// A wish without settings.
pub(crate) fn plain(
    staging: Option<StagingName>,
    wish: Wish,
    reason: Option<String>,
    on_behalf: Option<String>,
    violations: &mut Violations,
) -> Option<Draft> {
    let said = Said::parse(reason, on_behalf, violations);
    Some(Draft { staging: staging?, wish, said, places: Places::default() })
}

impl Said {
    fn parse(reason: Option<String>, on_behalf: Option<String>, violations: &mut Violations) -> Self {
        let reason = reason.and_then(|reason| violations.take("/reason", Comment::parse(&reason)));
        let on_behalf = on_behalf.and_then(|name| violations.take("/on_behalf", OnBehalf::parse(&name)));
        Self { reason, on_behalf }
    }
}

/// The wire's words for the two levels, and the domain's.
pub(crate) fn level(level: dm_api::Level) -> Level {
    match level {
        dm_api::Level::App => Level::App,
        dm_api::Level::Staging => Level::Staging,
    }
}

fn edit(
    set: Vec<OverrideSet>,
    unset: &[OverrideKey],
    reset: &[OverrideKey],
    violations: &mut Violations,
) -> (Edit, Places) {
    let mut edit = Edit::default();
    let mut places = Places::default();
    for (index, item) in set.into_iter().enumerate() {
        let pointer = format!("/set/{index}");
        let key = places.note(item.level, &item.key, &pointer, violations);
        let at = level(item.level);
        let value = value(item, &pointer, violations);
        if let (Some(key), Some(value)) = (key, value) {
            edit.set.at_mut(at).insert(key, value);
        }
    }
    keys(unset, "unset", &mut edit.unset, &mut places, violations);
    keys(reset, "reset", &mut edit.reset, &mut places, violations);
    (edit, places)
}

fn keys(items: &[OverrideKey], list: &str, keys: &mut Keys, places: &mut Places, violations: &mut Violations) {
    for (index, item) in items.iter().enumerate() {
        if let Some(key) = places.note(item.level, &item.key, &format!("/{list}/{index}"), violations) {
            keys.at_mut(level(item.level)).insert(key);
        }
    }
}

fn value(item: OverrideSet, pointer: &str, violations: &mut Violations) -> Option<Value> {
    if item.secret {
        violations.add(format!("{pointer}/secret"), SECRETS_RULE, "this dms cannot seal secrets yet, so it takes none");
        return None;
    }
    let (value, field) = match (item.text, item.json) {
        (Some(text), None) => (Value::Text(text), "text"),
        (None, Some(raw)) => match json::shortest(raw.get()) {
            Ok(short) => (Value::Json(short), "json"),
            Err(fault) => {
                violations.add(format!("{pointer}/json"), fault.rule(), fault.detail());
                return None;
            }
        },
        (Some(_), Some(_)) | (None, None) => {
            violations.add(pointer, "text_or_json", "must have exactly one of text and json");
            return None;
        }
    };
    violations.take(format!("{pointer}/{field}"), value.check())?;
    Some(value)
}

impl Places {
    /// Reads a key and notes where it is; a key that was named before breaks a rule.
    fn note(&mut self, at: dm_api::Level, text: &str, pointer: &str, violations: &mut Violations) -> Option<Key> {
        let key = violations.take(format!("{pointer}/key"), Key::parse(text))?;
        let pointer = format!("{pointer}/key");
        if self.0.contains_key(&(level(at), key.clone())) {
            let twice = Rejection::KeyTwice { level: level(at), key };
            violations.add(pointer, twice.code(), twice.to_string());
            return None;
        }
        self.0.insert((level(at), key.clone()), pointer);
        Some(key)
    }

    /// The fields of the request that a refusal is about.
    pub(crate) fn of(&self, rejection: &Rejection) -> Vec<Violation> {
        let key = |level: Level, key: &Key| self.0.get(&(level, key.clone())).cloned();
        let pointers: Vec<Option<String>> = match rejection {
            Rejection::KeyConflict { level, parent, child } => vec![key(*level, parent), key(*level, child)],
            Rejection::KeyTwice { level, key: twice } => vec![key(*level, twice)],
            Rejection::InvalidValue { level, key: of, .. } => vec![key(*level, of)],
            Rejection::TooManyOverrides { .. } | Rejection::ConfigurationTooLarge { .. } => {
                vec![Some("/set".to_owned())]
            }
            Rejection::UnknownBase { .. } => vec![Some("/base".to_owned())],
            Rejection::NotFound { .. }
            | Rejection::Exists { .. }
            | Rejection::WrongStatus { .. }
            | Rejection::Busy { .. }
            | Rejection::OtherRun { .. }
            | Rejection::ForcedCleanup
            | Rejection::TooYoung { .. }
            | Rejection::EditConflict { .. }
            | Rejection::Stale { .. } => Vec::new(),
        };
        let violation =
            |pointer| Violation { pointer, rule: rejection.code().to_owned(), detail: rejection.to_string() };
        pointers.into_iter().flatten().map(violation).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};
    use uuid::Uuid;

    use super::*;

    const TIMEOUT: Duration = Duration::from_mins(5);

    fn understood(body: &Json) -> Create {
        let mut violations = Violations::default();
        let body = serde_json::from_str(&body.to_string()).expect("the shape is right");
        let draft = create(body, TIMEOUT, &mut violations);
        violations.done().expect("nothing is wrong");
        let Wish::Create(create) = draft.expect("nothing is wrong").wish else { panic!("a create is no other wish") };
        create
    }

    /// The code, and the pointer and rule of each fault.
    fn refused(body: &Json) -> (String, Vec<(String, String)>) {
        let mut violations = Violations::default();
        let body = serde_json::from_str(&body.to_string()).expect("the shape is right");
        create(body, TIMEOUT, &mut violations);
        let problem = violations.done().expect_err("it is refused").problem(Uuid::nil());
        (problem.code, problem.errors.into_iter().map(|error| (error.pointer, error.rule)).collect())
    }

    #[test]
    fn texts_come_through_byte_for_byte() {
        for text in ["", " two blanks  ", "a\nb\r\n", "$HOME `x` \"'\\", "\u{1F600}", "58467965", "1e10", "null"] {
            let create = understood(&json!({
                "name": "web", "tag": "58467965", "set": [{"level": "app", "key": "k", "text": text}]
            }));
            assert_eq!(create.set.app.get(&Key::parse("k").expect("it is a key")), Some(&Value::Text(text.to_owned())));
            assert_eq!(create.tag.as_str(), "58467965");
        }
    }

    #[test]
    fn json_comes_through_in_its_shortest_form() {
        let body = r#"{"name":"web","tag":"1e10","set":[{"level":"staging","key":"k","json": { "n" : 12345678901234567890.10 }}]}"#;
        let body = serde_json::from_str(body).expect("the shape is right");
        let draft = create(body, TIMEOUT, &mut Violations::default()).expect("nothing is wrong");
        let Wish::Create(create) = draft.wish else { panic!("a create is no other wish") };
        let value = Value::Json(r#"{"n":12345678901234567890.10}"#.to_owned());
        assert_eq!(create.set.staging.get(&Key::parse("k").expect("it is a key")), Some(&value));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let (code, faults) = refused(&json!({
            "name": "Web", "tag": "a b", "reason": "",
            "set": [
                {"level": "app", "key": "a=b", "text": "x"},
                {"level": "app", "key": "both", "text": "x", "json": 1},
                {"level": "app", "key": "neither"},
                {"level": "app", "key": "nul", "text": "\u{0}"},
                {"level": "app", "key": "jsonnul", "json": "\u{0}"},
                {"level": "app", "key": "long", "text": "x".repeat(Value::LENGTH_MAX + 1)},
            ],
            "unset": [{"level": "app", "key": "both"}, {"level": "staging", "key": "both"}, {"level": "app", "key": ""}],
        }));
        assert_eq!(code, "invalid_request");
        let expected = [
            ("/name", "name_format"),
            ("/tag", "tag_format"),
            ("/reason", "reason_empty"),
            ("/set/0/key", "key_format"),
            ("/set/1", "text_or_json"),
            ("/set/2", "text_or_json"),
            ("/set/3/text", "nul"),
            ("/set/4/json", "nul"),
            ("/set/5/text", "value_length"),
            ("/unset/0/key", "key_twice"),
            ("/unset/2/key", "key_empty"),
        ];
        assert_eq!(faults, expected.map(|(pointer, rule)| (pointer.to_owned(), rule.to_owned())));
    }

    #[test]
    fn a_secret_is_refused_until_it_can_be_sealed() {
        let (code, faults) = refused(
            &json!({"name": "web", "tag": "1", "set": [{"level": "app", "key": "k", "text": "x", "secret": true}]}),
        );
        assert_eq!(code, "secrets_unavailable");
        assert_eq!(faults, [("/set/0/secret".to_owned(), "secrets_unavailable".to_owned())]);
    }

    #[test]
    fn a_refusal_of_the_domain_names_the_fields_it_is_about() {
        let body = json!({"name": "web", "tag": "1", "set": [{"level": "app", "key": "a.b", "text": "x"}]});
        let body = serde_json::from_str(&body.to_string()).expect("the shape is right");
        let draft = create(body, TIMEOUT, &mut Violations::default()).expect("nothing is wrong");
        let rejection = Rejection::KeyConflict {
            level: Level::App,
            parent: Key::parse("a").expect("it is a key"),
            child: Key::parse("a.b").expect("it is a key"),
        };
        let faults = draft.places.of(&rejection);
        assert_eq!(faults.len(), 1);
        assert_eq!((faults[0].pointer.as_str(), faults[0].rule.as_str()), ("/set/0/key", "key_conflict"));
    }
}
