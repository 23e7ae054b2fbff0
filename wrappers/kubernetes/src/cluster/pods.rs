//! Pods: whose they are, and why one of them will never run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cluster::object::Object;
use crate::cluster::workload;
use crate::error::Result;
use crate::say;
use crate::tools::kubectl::Kubectl;

/// Characters of the last lines of a log.
const LOG_MAX: usize = 1_000;

/// The pods of some workloads, and what stands between them.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    pods: Vec<Object>,
    replica_sets: Vec<Object>,
}

/// Why a pod does not run, and whether waiting mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) pod: String,
    pub(crate) container: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// Its log is that of a life before.
    pub(crate) restarted: bool,
    pub(crate) is_final: bool,
}

impl Pods {
    /// The pods that these workloads select; one question for all where their selectors have a part in common.
    pub(crate) fn of(kubectl: &Kubectl, workloads: &[Object]) -> Result<Self> {
        let mut found = Self::default();
        // A job has a selector of its own, and nobody asks why one ran that has ended well.
        let (jobs, others): (Vec<&Object>, Vec<&Object>) = workloads.iter().partition(|object| object.kind() == "Job");
        let jobs = jobs.into_iter().filter(|job| !workload::standing(job).settled);
        let mut questions = questions(&others.into_iter().filter_map(selector).collect::<Vec<_>>());
        questions.extend(jobs.filter_map(selector).map(|selector| joined(&selector)));
        for question in questions {
            for object in kubectl.list("pods,replicasets.apps", &question)? {
                if object.kind() == "Pod" { &mut found.pods } else { &mut found.replica_sets }.push(object);
            }
        }
        found.pods.extend(workloads.iter().filter(|object| object.kind() == "Pod").cloned());
        Ok(found)
    }

    /// All pods of a workload, those that are going too.
    pub(crate) fn all<'a>(&'a self, workload: &'a Object) -> impl Iterator<Item = &'a Object> {
        self.pods.iter().filter(|pod| {
            pod.uid() == workload.uid()
                || pod.owners().any(|owner| {
                    let of_set = |set: &Object| set.uid() == owner && set.owners().any(|uid| uid == workload.uid());
                    owner == workload.uid() || self.replica_sets.iter().any(of_set)
                })
        })
    }

    /// The pods of a workload's newest revision that are to stay.
    pub(crate) fn newest<'a>(&'a self, workload: &'a Object) -> impl Iterator<Item = &'a Object> {
        self.all(workload).filter(|pod| !pod.is_dying() && self.is_newest(workload, pod))
    }

    /// The pods of a workload's earlier revisions that nobody has told to go.
    pub(crate) fn older<'a>(&'a self, workload: &'a Object) -> impl Iterator<Item = &'a Object> {
        self.all(workload).filter(|pod| !pod.is_dying() && !self.is_newest(workload, pod))
    }

    fn is_newest(&self, workload: &Object, pod: &Object) -> bool {
        match workload.kind() {
            "Deployment" => {
                let newest = self.newest_set(workload);
                workload.is_observed() && newest.is_some_and(|set| pod.owners().any(|owner| owner == set.uid()))
            }
            "StatefulSet" => {
                let newest = workload.text("/status/updateRevision");
                workload.is_observed() && pod.label("controller-revision-hash") == Some(newest)
            }
            "DaemonSet" => {
                let newest = workload.annotation("deprecated.daemonset.template.generation");
                workload.is_observed() && pod.label("pod-template-generation") == newest
            }
            _ => true,
        }
    }

    /// The replica set of a deployment's newest revision. The deployment itself may still name the one before, when an
    /// earlier version has come back.
    pub(crate) fn newest_set(&self, deployment: &Object) -> Option<&Object> {
        let ours = self.replica_sets.iter().filter(|set| set.owners().any(|owner| owner == deployment.uid()));
        let revision =
            |set: &&Object| -> Option<u64> { set.annotation("deployment.kubernetes.io/revision")?.parse().ok() };
        ours.max_by_key(revision)
    }

    /// Whether pods of a workload are going, and with them what they hold of a quota.
    pub(crate) fn are_leaving(&self, workload: &Object) -> bool {
        self.all(workload).any(Object::is_dying)
    }

    /// Whether a workload has pods of earlier revisions.
    pub(crate) fn are_replaced(&self, workload: &Object) -> bool {
        self.older(workload).next().is_some()
    }

    /// Whether pods of a workload's newest revision are there and not ready.
    pub(crate) fn are_starting(&self, workload: &Object) -> bool {
        self.newest(workload).any(|pod| !workload::standing(pod).settled)
    }
}

fn selector(workload: &Object) -> Option<BTreeMap<&str, &str>> {
    let pairs = workload.0.pointer("/spec/selector/matchLabels")?.as_object()?;
    let pairs: BTreeMap<&str, &str> =
        pairs.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect();
    (!pairs.is_empty()).then_some(pairs)
}

/// One selector for all where they have a part in common, else each of them.
fn questions(selectors: &[BTreeMap<&str, &str>]) -> BTreeSet<String> {
    let Some((first, others)) = selectors.split_first() else { return BTreeSet::new() };
    let is_common = |pair: &(&&str, &&str)| others.iter().all(|other| other.get(*pair.0) == Some(pair.1));
    let common: BTreeMap<&str, &str> = first.iter().filter(is_common).map(|(key, value)| (*key, *value)).collect();
    if common.is_empty() { selectors.iter().map(joined).collect() } else { [joined(&common)].into() }
}

fn joined(pairs: &BTreeMap<&str, &str>) -> String {
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// What keeps a pod from running; nothing if it runs, or just needs time.
pub(crate) fn trouble(pod: &Object, restarts_max: u64) -> Option<Trouble> {
    let containers = pod.list("/status/initContainerStatuses").iter().chain(pod.list("/status/containerStatuses"));
    let mut found: Vec<Trouble> = containers.filter_map(|status| of_container(pod, status, restarts_max)).collect();
    // What is final says more than what may still change.
    found.sort_by_key(|trouble| !trouble.is_final);
    found.into_iter().next().or_else(|| unscheduled(pod))
}

fn of_container(pod: &Object, status: &Value, restarts_max: u64) -> Option<Trouble> {
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let restarts = status["restartCount"].as_u64().unwrap_or(0);
    let reason = text("/state/waiting/reason");
    let message = text("/state/waiting/message");
    let (is_final, message) = match reason {
        "" | "ContainerCreating" | "PodInitializing" => return ended(pod, status, restarts),
        "InvalidImageName" | "ErrImageNeverPull" => (true, message.to_owned()),
        "ErrImagePull" | "ImagePullBackOff" => (is_refused_pull(message), message.to_owned()),
        "CrashLoopBackOff" => {
            let code = status.pointer("/lastState/terminated/exitCode").and_then(Value::as_i64);
            let code = code.map_or_else(String::new, |code| format!(", exit code {code}"));
            (restarts >= restarts_max, format!("restarted {restarts} times{code}"))
        }
        _ => (false, message.to_owned()),
    };
    Some(Trouble {
        pod: pod.name().to_owned(),
        container: text("/name").to_owned(),
        reason: reason.to_owned(),
        message,
        restarted: restarts > 0,
        is_final,
    })
}

/// A container that has ended with an error and is not started again, or not yet.
fn ended(pod: &Object, status: &Value, restarts: u64) -> Option<Trouble> {
    let end = status.pointer("/state/terminated")?;
    let code = end["exitCode"].as_i64().filter(|code| *code != 0)?;
    Some(Trouble {
        pod: pod.name().to_owned(),
        container: status["name"].as_str().unwrap_or_default().to_owned(),
        reason: end["reason"].as_str().unwrap_or("Error").to_owned(),
        message: format!("exit code {code}"),
        restarted: restarts > 0,
        is_final: false,
    })
}

/// Whether a registry has said no, rather than nothing.
fn is_refused_pull(message: &str) -> bool {
    const SIGNS: [&str; 5] = ["not found", "denied", "manifest unknown", "unauthorized", "name unknown"];
    let message = message.to_lowercase();
    SIGNS.iter().any(|sign| message.contains(sign))
}

fn unscheduled(pod: &Object) -> Option<Trouble> {
    let condition = pod.condition("PodScheduled").filter(|condition| condition["status"] == "False")?;
    let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    Some(Trouble {
        pod: pod.name().to_owned(),
        container: String::new(),
        reason: text("reason"),
        message: text("message"),
        restarted: false,
        is_final: false,
    })
}

impl Trouble {
    /// All of it in words, with the last lines of the container's log.
    pub(crate) fn told(&self, kubectl: &Kubectl) -> String {
        let mut words = self.words();
        // Before an image is there, there is no log.
        if self.reason.contains("Image") || self.container.is_empty() {
            return words;
        }
        let log = |previous| kubectl.log(&self.pod, &self.container, previous);
        match log(self.restarted).and_then(|found| found.map_or_else(|| log(!self.restarted), |log| Ok(Some(log)))) {
            Ok(Some(log)) => {
                words.push_str("; its last lines:\n");
                words.push_str(last_of(&log, LOG_MAX));
            }
            Ok(None) => {}
            Err(error) => {
                words.push_str("; its log cannot be read: ");
                words.push_str(&error.to_string());
            }
        }
        words
    }

    pub(crate) fn words(&self) -> String {
        let container =
            if self.container.is_empty() { String::new() } else { format!(", container {}", self.container) };
        let message = if self.message.is_empty() { String::new() } else { format!(": {}", self.message) };
        say::shortened(&format!("pod {}{container}: {}{message}", self.pod, self.reason), 900)
    }
}

/// Whole last lines that fit.
fn last_of(text: &str, bytes: usize) -> &str {
    let mut start = text.len();
    for (at, _) in text.match_indices('\n').collect::<Vec<_>>().into_iter().rev() {
        if text.len() - (at + 1) > bytes {
            return &text[start..];
        }
        start = at + 1;
    }
    if text.len() <= bytes { text } else { &text[start..] }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: &Value) -> Object {
        Object(json!({"kind": "Pod", "metadata": {"name": "web-1"}, "status": {"containerStatuses": [status]}}))
    }

    fn waiting(reason: &str, message: &str, restarts: u64) -> Object {
        pod(
            &json!({"name": "app", "restartCount": restarts, "state": {"waiting": {"reason": reason, "message": message}},
            "lastState": {"terminated": {"exitCode": 7}}}),
        )
    }

    #[test]
    fn only_what_waiting_does_not_mend_is_final() {
        for (pod, is_final) in [
            (waiting("InvalidImageName", "x", 0), true),
            (waiting("ErrImagePull", "manifest for a:1 not found", 0), true),
            (waiting("ImagePullBackOff", "pull access denied", 0), true),
            (waiting("ImagePullBackOff", "dial tcp: i/o timeout", 0), false),
            (waiting("CrashLoopBackOff", "back-off", 3), true),
            (waiting("CrashLoopBackOff", "back-off", 2), false),
            (waiting("CreateContainerConfigError", "secret \"a\" not found", 0), false),
        ] {
            assert_eq!(trouble(&pod, 3).map(|trouble| trouble.is_final), Some(is_final), "{pod:?}");
        }
        assert_eq!(trouble(&waiting("ContainerCreating", "", 0), 3), None);
        assert_eq!(trouble(&pod(&json!({"name": "app", "state": {"running": {}}})), 3), None);
    }

    #[test]
    fn trouble_names_pod_container_and_reason() {
        let trouble = trouble(&waiting("CrashLoopBackOff", "back-off", 4), 3).unwrap();
        assert_eq!(trouble.words(), "pod web-1, container app: CrashLoopBackOff: restarted 4 times, exit code 7");
    }

    #[test]
    fn the_last_lines_are_whole() {
        assert_eq!(last_of("one\ntwo\nthree", 9), "two\nthree");
        assert_eq!(last_of("one\ntwo\nthree", 100), "one\ntwo\nthree");
        assert_eq!(last_of("three", 2), "");
    }
}
