//! Roll-outs that go well and those that do not, through `dmc`: what ends them, when, and what people read of it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use dm_tests::eventually::eventually_blocking;
use serde_json::Value;

use crate::world::{Ended, SEEN, SOON, World};

mod beside;
mod finals;
mod hooks;
mod looking;
mod turns;
mod waiting;

/// The product's chart with nothing but its web, and one pod of that.
const LEAN: [&str; 7] = [
    "db.enabled=false",
    "files.enabled=false",
    "hook.enabled=false",
    "cron.enabled=false",
    "agent.enabled=false",
    "ingress.enabled=false",
    "web.replicas=1",
];

/// From the status of a pod to the end of the run. Times of the cluster are whole seconds, cut off.
const AT_ONCE: Duration = Duration::from_secs(5 + 1);

/// A write of `dmc` with overrides of the level `staging`, of which the last one for a key counts, followed to its end. One
/// whose value is no text has a `:=`.
fn ask(world: &World, verb: &str, name: &str, tag: &str, overrides: &[&str]) -> Ended {
    let flag = |one: &&str| match one.split_once(":=") {
        Some((key, json)) => (key.to_owned(), format!("--staging-json={key}={json}")),
        None => (one.split('=').next().unwrap_or_default().to_owned(), format!("--staging={one}")),
    };
    let flags: BTreeMap<String, String> = overrides.iter().map(flag).collect();
    let tag = format!("--tag={tag}");
    let mut arguments = vec![verb, name, &tag, "--wait", "--timeout", SOON, "-y"];
    arguments.extend(flags.values().map(String::as_str));
    world.dmc(&arguments)
}

/// The same, which ends well.
#[track_caller]
fn is_done(world: &World, verb: &str, name: &str, tag: &str, overrides: &[&str]) {
    let ended = ask(world, verb, name, tag, overrides);
    assert_eq!(ended.code, 0, "{verb} {name}: {ended:?}\n{}", world.dmc(&["logs", name]).stdout);
    // What people read follows the log, and may be a moment behind.
    eventually_blocking("it is Running", SEEN, || (world.status(name) == "Running").then_some(()));
}

/// The same, which ends in a `Failure` for this reason: the cause, as `dmc info` shows it.
#[track_caller]
fn is_failure(world: &World, verb: &str, name: &str, tag: &str, overrides: &[&str], reason: &str) -> String {
    let ended = ask(world, verb, name, tag, overrides);
    assert_eq!(ended.code, 1, "{verb} {name}: {ended:?}\n{}", world.dmc(&["logs", name]).stdout);
    let info = eventually_blocking("it is a Failure", SEEN, || {
        Some(world.info(name)).filter(|info| info["status"] == "Failure")
    });
    assert_eq!(info["reason"], reason, "{info}");
    info["cause"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn holds(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

/// Types of all that has happened to a staging.
fn types(world: &World, name: &str) -> Vec<String> {
    world.events(name).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

/// When the last run of a staging ended.
fn finished(world: &World, name: &str) -> DateTime<Utc> {
    let events = world.events(name);
    let last = events.iter().rev().find(|event| event["type"] == "RunFinished").expect("a run has ended");
    time(&last["at"])
}

fn time(text: &Value) -> DateTime<Utc> {
    let text = text.as_str().unwrap_or_else(|| panic!("{text} is no time"));
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

/// The pods of a staging's part: `web`, `db`, `migrate` and so on.
fn pods(world: &World, name: &str, component: &str) -> Vec<Value> {
    let selector = format!("app.kubernetes.io/instance={name},app.kubernetes.io/component={component}");
    world.namespace.get("pods", &selector)
}

/// When a condition of an object came about.
fn since(object: &Value, condition: &str) -> DateTime<Utc> {
    let conditions = object["status"]["conditions"].as_array().expect("it has conditions");
    let found = conditions.iter().find(|one| one["type"] == condition);
    time(&found.unwrap_or_else(|| panic!("no {condition} in {conditions:?}"))["lastTransitionTime"])
}
