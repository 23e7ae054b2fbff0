//! One file per event type and schema, read into the value that it means and written back to the same JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dm_domain::ids::{Key, Owner, RunId, StagingName, Tag, Version};
use dm_domain::overrides::{Keys, Levels, Sealed, Value, Values};
use dm_domain::staging::event::{
    BecameUnreadable, CheckFailed, CleanupRequested, ConfigurationRequested, DeleteRequested, Event, Failed,
    Interruption, Link, Links, LinksRead, OfAttempt, OfRun, Outcome, RequestWithdrawn, RetryRequested, RunFinished,
    RunInterrupted, RunStarted, Source,
};
use dm_domain::staging::{Reason, Status, Verb};
use serde_json::Value as Json;
use uuid::Uuid;

/// The schema number of every type's payload as the domain has it.
const SCHEMA: u32 = 1;

#[test]
fn every_golden_file_means_its_event_and_every_event_is_written_like_its_file() -> Result<()> {
    for (stem, event) in examples() {
        let text = std::fs::read_to_string(folder().join(format!("{stem}.json"))).with_context(|| stem.clone())?;
        let stored: Json = serde_json::from_str(&text).with_context(|| stem.clone())?;
        let read: Event = serde_json::from_value(stored.clone()).with_context(|| stem.clone())?;
        assert_eq!(read, event, "{stem} is read as another event");
        assert_eq!(serde_json::to_value(&event)?, stored, "{stem} is written in another way");
    }
    Ok(())
}

#[test]
fn every_event_type_has_a_golden_file_and_every_golden_file_is_looked_at() -> Result<()> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).context("a file without a name")?;
        found.insert(stem.to_owned());
    }
    let looked_at: BTreeSet<String> = examples().into_iter().map(|(stem, _)| stem).collect();
    assert_eq!(found, looked_at);
    for name in every_type() {
        ensure!(found.contains(&format!("{name}.{SCHEMA}")), "{name} has no golden file");
    }
    Ok(())
}

#[test]
fn the_name_of_a_type_is_the_one_it_is_stored_under() -> Result<()> {
    for (stem, event) in examples() {
        let stored = serde_json::to_value(&event)?;
        assert_eq!(stored.get("type").and_then(Json::as_str), Some(event.type_name()), "{stem}");
        let type_of_file = stem.split('.').next();
        assert_eq!(type_of_file, Some(event.type_name()), "{stem}");
    }
    Ok(())
}

#[test]
fn every_outcome_reason_verb_and_status_is_stored_under_its_own_name() -> Result<()> {
    let plain = |value: Json| value.as_str().map(str::to_owned).context("not a text");
    for reason in Reason::ALL {
        assert_eq!(plain(serde_json::to_value(reason)?)?, reason.to_string());
    }
    for verb in Verb::ALL {
        assert_eq!(plain(serde_json::to_value(verb)?)?, verb.to_string());
    }
    for status in Status::ALL {
        assert_eq!(plain(serde_json::to_value(status)?)?, status.to_string());
    }
    let outcomes = [
        (Outcome::Exited(7), r#"{"exited":7}"#),
        (Outcome::Signalled(9), r#"{"signalled":9}"#),
        (Outcome::TimeLimit, r#""time_limit""#),
        (Outcome::Cancelled, r#""cancelled""#),
        (Outcome::NotStarted("gone".to_owned()), r#"{"not_started":"gone"}"#),
    ];
    for (outcome, stored) in outcomes {
        assert_eq!(serde_json::to_string(&outcome)?, stored);
        assert_eq!(serde_json::from_str::<Outcome>(stored)?, outcome);
    }
    for (interruption, stored) in
        [(Interruption::OwnerLost, r#""owner_lost""#), (Interruption::Stopping, r#""stopping""#)]
    {
        assert_eq!(serde_json::to_string(&interruption)?, stored);
    }
    Ok(())
}

#[test]
fn a_payload_without_what_it_needs_is_not_read() {
    let of_another_shape = r#"{"type":"RunFinished","data":{"run":"00000000-0000-0000-0000-000000000001"}}"#;
    assert!(serde_json::from_str::<Event>(of_another_shape).is_err());
    assert!(serde_json::from_str::<Event>(r#"{"type":"Exploded","data":{}}"#).is_err());
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/events")
}

/// The names of all types. Written as a match so that a new type does not compile before it stands here.
fn every_type() -> Vec<&'static str> {
    let mut names = BTreeMap::new();
    for (_, event) in examples() {
        let number = match event {
            Event::CreateRequested(_) => 1,
            Event::UpdateRequested(_) => 2,
            Event::RestoreRequested(_) => 3,
            Event::DeleteRequested(_) => 4,
            Event::CleanupRequested(_) => 5,
            Event::RetryRequested(_) => 6,
            Event::RequestWithdrawn(_) => 7,
            Event::CancelRequested(_) => 8,
            Event::RunStarted(_) => 9,
            Event::RunFinished(_) => 10,
            Event::RunInterrupted(_) => 11,
            Event::BecameRunning(_) => 12,
            Event::BecameArchived(_) => 13,
            Event::CleanedUp(_) => 14,
            Event::Failed(_) => 15,
            Event::CheckFailed(_) => 16,
            Event::CheckPassed(_) => 17,
            Event::BecameUnreadable(_) => 18,
            Event::BecameReadable(_) => 19,
            Event::LinksRead(_) => 20,
        };
        names.insert(number, event.type_name());
    }
    assert_eq!(names.keys().copied().collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>(), "a type has no example");
    names.into_values().collect()
}

/// Golden files by their stem, each with the event that it means.
fn examples() -> Vec<(String, Event)> {
    let of_attempt = OfAttempt { run: run(), attempt: 2 };
    let events = [
        Event::CreateRequested(create()),
        Event::UpdateRequested(update()),
        Event::RestoreRequested(restore()),
        Event::DeleteRequested(DeleteRequested { run: run(), status_timeout: Duration::from_mins(5) }),
        Event::CleanupRequested(CleanupRequested { run: run(), force: true }),
        Event::RetryRequested(retry()),
        Event::RequestWithdrawn(RequestWithdrawn {
            run: run(),
            status: Some(Status::Failure),
            reason: Some(Reason::RunFailed),
            configuration_version: Some(Version(6)),
            last_run: Some(RunId(Uuid::from_u128(1))),
        }),
        Event::CancelRequested(OfRun { run: run() }),
        Event::RunStarted(RunStarted {
            run: run(),
            attempt: 2,
            owner: Owner { id: Uuid::from_u128(0xd35), start: 4 },
            executable: "/opt/wrappers/create".to_owned(),
            digest: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned()),
            time_limit: Duration::from_mins(30),
            ask: false,
        }),
        Event::RunFinished(RunFinished { run: run(), attempt: 2, outcome: Outcome::Exited(7) }),
        Event::RunInterrupted(RunInterrupted { run: run(), attempt: 2, reason: Interruption::OwnerLost }),
        Event::BecameRunning(of_attempt.clone()),
        Event::BecameArchived(of_attempt.clone()),
        Event::CleanedUp(of_attempt.clone()),
        Event::Failed(Failed {
            run: run(),
            attempt: 2,
            reason: Reason::PartlyAvailable,
            cause: "1 of 3 pods is ready".to_owned(),
        }),
        Event::CheckFailed(CheckFailed { run: run(), attempt: 2, code: 3, cause: "v1 is running".to_owned() }),
        Event::CheckPassed(of_attempt.clone()),
        Event::BecameUnreadable(BecameUnreadable { run: run(), attempt: 2, cause: "no route to host".to_owned() }),
        Event::BecameReadable(of_attempt),
        Event::LinksRead(LinksRead {
            run: run(),
            attempt: 2,
            links: Links::Found(vec![Link { name: "shop".to_owned(), url: "http://127.0.0.1:4711/".to_owned() }]),
        }),
    ];
    events.into_iter().map(|event| (format!("{}.{SCHEMA}", event.type_name()), event)).collect()
}

fn run() -> RunId {
    RunId(Uuid::from_u128(0x0197_a000_0000_7000_8000_0000_0000_0002))
}

/// Every kind of value, on both levels, with text that would not survive a guess.
fn create() -> ConfigurationRequested {
    let sealed = Sealed {
        key_id: "k1".to_owned(),
        nonce: "bm9uY2U=".to_owned(),
        ciphertext: "Y2lwaGVydGV4dA==".to_owned(),
        tag: "dGFn".to_owned(),
    };
    let set = Values {
        app: BTreeMap::from([
            (key("greeting"), Value::Text(" two\nlines, $HOME and \u{1f980} ".to_owned())),
            (key("password"), Value::Secret(sealed)),
            (key("web.image.build"), Value::Text("58467965".to_owned())),
        ]),
        staging: BTreeMap::from([(key("replicas"), Value::Json("[1,null,{\"a\":1e10}]".to_owned()))]),
    };
    let effective = Values {
        app: [set.app.clone(), BTreeMap::from([(key("log.level"), Value::Text("info".to_owned()))])]
            .into_iter()
            .flatten()
            .collect(),
        staging: set.staging.clone(),
    };
    ConfigurationRequested {
        run: run(),
        tag: tag("58467965"),
        set,
        unset: Levels { app: [key("debug")].into(), ..Keys::default() },
        reset: Keys::default(),
        effective,
        status_timeout: Duration::from_mins(5),
        from: Some(Source { name: StagingName::parse("other").expect("a name"), version: Version(12) }),
    }
}

fn update() -> ConfigurationRequested {
    ConfigurationRequested {
        run: run(),
        tag: tag("v2.0.1"),
        set: Values::default(),
        unset: Keys::default(),
        reset: Levels { staging: [key("replicas")].into(), ..Keys::default() },
        effective: Values::default(),
        status_timeout: Duration::from_millis(1_500),
        from: None,
    }
}

fn restore() -> ConfigurationRequested {
    let set = Values { app: BTreeMap::from([(key("a"), Value::Text(String::new()))]), ..Values::default() };
    ConfigurationRequested {
        run: run(),
        tag: tag("1e10"),
        effective: set.clone(),
        set,
        unset: Keys::default(),
        reset: Keys::default(),
        status_timeout: Duration::from_hours(2),
        from: None,
    }
}

fn retry() -> RetryRequested {
    RetryRequested {
        run: run(),
        verb: Verb::Update,
        tag: tag("v2.0.1"),
        effective: Values { app: BTreeMap::from([(key("a"), Value::Json("1".to_owned()))]), ..Values::default() },
        status_timeout: Duration::from_mins(5),
    }
}

fn key(text: &str) -> Key {
    Key::parse(text).expect("a key")
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).expect("a tag")
}
