//! What there is in a namespace, a line for each object: everything that matters of it, and nothing that chance decides.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dm_tests::kubernetes::{Client, run};
use serde_json::Value;

/// Kinds that the cluster makes for what is there, with names that nobody has chosen.
const DERIVED: [&str; 4] = ["ReplicaSet", "ControllerRevision", "EndpointSlice", "Endpoints"];

/// All objects of a namespace, but events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(pub(crate) Vec<Value>);

impl Seen {
    /// Looks; a namespace that is not there has nothing. What the test itself has made to ask as somebody else is left out.
    pub(crate) fn of(client: &Client, namespace: &str) -> Self {
        let kinds = run(client.kubectl().args(["api-resources", "--namespaced", "--verbs=list", "--output=name"]));
        let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
        let objects = client.get(&kinds.join(","), namespace, "").into_iter();
        Self(objects.filter(|object| object["metadata"]["labels"]["dm.test/namespace"].is_null()).collect())
    }

    /// A line for each object, in order. `run` is replaced by that word where it is the run of a mark.
    pub(crate) fn lines(&self, runs: &BTreeMap<String, String>) -> Vec<String> {
        let mut lines: Vec<String> = self
            .0
            .iter()
            .filter(|object| !DERIVED.contains(&text(object, "/kind")) && !is_of_the_cluster(object))
            .map(|object| line(object, runs))
            .collect();
        lines.sort();
        lines
    }

    /// What is left beside that which each namespace has: kinds and names.
    pub(crate) fn left(&self) -> Vec<String> {
        let left = self.0.iter().filter(|object| !is_of_the_cluster(object));
        left.map(|object| format!("{} {}", text(object, "/kind"), name(object))).collect()
    }

    /// UIDs and resource versions of everything of these stagings, by kind and name. The conditions of an autoscaler are
    /// written anew by the cluster whenever it looks, so of that only what it is to do counts.
    pub(crate) fn versions(&self, stagings: &[&str]) -> BTreeMap<String, (String, String)> {
        let ours = |object: &&Value| {
            stagings.iter().any(|staging| {
                let label = |key: &str| object["metadata"]["labels"][key] == *staging;
                label("dm/staging") || label("app.kubernetes.io/instance") || is_named_for(object, staging)
            })
        };
        let key = |object: &Value| format!("{} {}", text(object, "/kind"), name(object));
        let version = |object: &Value| match text(object, "/kind") {
            "HorizontalPodAutoscaler" => object["spec"].to_string(),
            _ => text(object, "/metadata/resourceVersion").to_owned(),
        };
        let found = self.0.iter().filter(ours);
        found.map(|object| (key(object), (uid(object).to_owned(), version(object)))).collect()
    }
}

/// The text at a path, empty if there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// What is called `NAME-tls` or `data-NAME-db-0` has no label of anybody. `pr-1` is not `pr-10`, and `pr-1-a` is not it either.
fn is_named_for(object: &Value, staging: &str) -> bool {
    [format!("{staging}-tls"), format!("data-{staging}-db-0")].iter().any(|other| other == name(object))
}

/// What every namespace has.
fn is_of_the_cluster(object: &Value) -> bool {
    matches!((text(object, "/kind"), name(object)), ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt"))
}

fn line(object: &Value, runs: &BTreeMap<String, String>) -> String {
    let kind = text(object, "/kind");
    let mut line = match kind {
        // Its own name ends by chance.
        "Pod" => format!("Pod of {} {}", instance(object), component(object)),
        _ => format!("{kind} {}", name(object)),
    };
    if !text(object, "/metadata/deletionTimestamp").is_empty() {
        line.push_str(" (going)");
    }
    let label = |key: &str| object["metadata"]["labels"][key].as_str();
    let annotation = |key: &str| object["metadata"]["annotations"][key].as_str();
    if let Some(staging) = label("dm/staging") {
        let _ = write!(line, " dm/staging={staging}");
    }
    if let Some(tag) = annotation("dm/tag") {
        let _ = write!(line, " dm/tag={tag}");
    }
    if let Some(marked) = annotation("dm/run").or_else(|| label("dm/run")) {
        let known = runs.iter().find(|(_, run)| *run == marked).map(|(name, _)| name.as_str());
        let _ = write!(line, " dm/run={}", known.unwrap_or("another"));
    }
    if let Some(replicas) = annotation("dm/replicas") {
        let _ = write!(line, " remembers {replicas}");
    }
    line + &state(object, kind)
}

fn instance(object: &Value) -> &str {
    object["metadata"]["labels"]["app.kubernetes.io/instance"].as_str().unwrap_or("nobody")
}

fn component(object: &Value) -> &str {
    object["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap_or_else(|| name(object))
}

/// How it is, by its kind.
fn state(object: &Value, kind: &str) -> String {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let image = |spec: &str| text(object, &format!("{spec}/containers/0/image")).to_owned();
    match kind {
        "Deployment" | "StatefulSet" => {
            let (wanted, ready) = (number("/spec/replicas"), number("/status/readyReplicas"));
            format!(" {ready}/{wanted} {}", image("/spec/template/spec"))
        }
        "DaemonSet" => {
            let (wanted, ready) = (number("/status/desiredNumberScheduled"), number("/status/numberReady"));
            format!(" {ready}/{wanted} {}", image("/spec/template/spec"))
        }
        "Job" => format!(" {} done {}", number("/status/succeeded"), image("/spec/template/spec")),
        "CronJob" => {
            let suspended = if object["spec"]["suspend"] == true { " suspended" } else { "" };
            format!("{suspended} {}", image("/spec/jobTemplate/spec/template/spec"))
        }
        "Pod" => format!(" {} {}", text(object, "/status/phase"), image("/spec")),
        "PersistentVolumeClaim" => format!(" {}", text(object, "/status/phase")),
        "HorizontalPodAutoscaler" => format!(" {}-{}", number("/spec/minReplicas"), number("/spec/maxReplicas")),
        "Secret" => object["metadata"]["labels"]["status"].as_str().map(|s| format!(" {s}")).unwrap_or_default(),
        _ => String::new(),
    }
}
