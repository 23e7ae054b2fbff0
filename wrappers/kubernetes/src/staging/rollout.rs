//! Follows what was applied until it is ready, until something is final, or until its time is up.
//!
//! It decides by the objects' own statuses; only the newest revision's pods speak. What is merely not ready yet is left to
//! `check`.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::object::Object;
use crate::cluster::pods::{self, Pods, Trouble};
use crate::cluster::workload::{self, Standing, WORKLOADS};
use crate::error::{Error, Result};
use crate::say;
use crate::staging::Staging;

/// Milliseconds between two looks, the last ones from then on.
const PAUSES: [u64; 5] = [100, 200, 400, 1_000, 2_000];

/// How it ended, where it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ready,
    /// With what is missing.
    NotYet(String),
}

/// Why it failed.
struct Final {
    workload: String,
    trouble: Option<Trouble>,
    words: String,
}

/// Follows the workloads of a manifest. `seen` is what is known of them already.
pub(crate) fn follow(staging: &Staging, manifest: &[Object], mut seen: Option<Vec<Object>>) -> Result<Outcome> {
    let wanted: Vec<&Object> = manifest.iter().filter(|object| workload::is_workload(object)).collect();
    if wanted.is_empty() {
        return Ok(Outcome::Ready);
    }
    let deadline = Instant::now() + Duration::from_secs(staging.settings.limits.follow);
    let mut pauses = PAUSES.into_iter();
    let mut followed = Followed { staging, wanted, said: String::new(), unstuck: BTreeSet::new() };
    loop {
        let outcome = match followed.look(seen.take()) {
            Ok(outcome) => outcome,
            // A server that is away for a while says nothing about what runs.
            Err(Error::CannotTell(words)) => {
                followed.say(&format!("no answer, looking again: {words}"));
                Outcome::NotYet(words)
            }
            Err(error) => return Err(error),
        };
        if outcome == Outcome::Ready || Instant::now() >= deadline {
            return Ok(outcome);
        }
        thread::sleep(Duration::from_millis(pauses.next().unwrap_or(PAUSES[4])));
    }
}

struct Followed<'a> {
    staging: &'a Staging,
    wanted: Vec<&'a Object>,
    said: String,
    /// UIDs of pods that were told to go.
    unstuck: BTreeSet<String>,
}

impl Followed<'_> {
    fn look(&mut self, seen: Option<Vec<Object>>) -> Result<Outcome> {
        let is_news = seen.is_none();
        let live = match seen {
            Some(live) => live,
            None => self.staging.kubectl.list(&format!("{WORKLOADS},pods"), &self.staging.selector())?,
        };
        let live: Vec<Object> = live.into_iter().filter(|object| self.is_wanted(object)).collect();
        let waiting: Vec<String> = live.iter().filter_map(is_waited_for).chain(self.absent(&live)).collect();
        if waiting.is_empty() {
            return Ok(Outcome::Ready);
        }
        let words = format!("waiting for {}", waiting.join(", "));
        if !is_news {
            // It was applied a moment ago: its pods have nothing to say yet.
            self.say(&words);
            return Ok(Outcome::NotYet(words));
        }
        let pods = Pods::of(&self.staging.kubectl, &live)?;
        let mut troubles = Vec::new();
        for object in &live {
            match self.judge(object, &pods)? {
                Ok(trouble) => troubles.extend(trouble),
                Err(end) => return Err(Error::Failed(self.told(&end))),
            }
            self.unstick(object, &pods)?;
        }
        let mut words = words;
        for trouble in troubles.into_iter().take(3) {
            words.push_str("; ");
            words.push_str(&trouble.words());
        }
        self.say(&words);
        Ok(Outcome::NotYet(words))
    }

    fn is_wanted(&self, object: &Object) -> bool {
        self.wanted.iter().any(|wanted| wanted.kind() == object.kind() && wanted.name() == object.name())
    }

    /// What the manifest has and the cluster has not. A job may be gone because it has ended.
    fn absent(&self, live: &[Object]) -> Vec<String> {
        let is_there = |wanted: &Object| {
            live.iter().any(|object| object.kind() == wanted.kind() && object.name() == wanted.name())
        };
        let absent = self.wanted.iter().filter(|wanted| wanted.kind() != "Job" && !is_there(wanted));
        absent.map(|wanted| format!("{wanted} (not there)")).collect()
    }

    /// What stands in the way of a workload, if anything does: for good, or for now.
    fn judge(&self, object: &Object, pods: &Pods) -> Result<std::result::Result<Option<Trouble>, Final>> {
        if workload::standing(object).settled {
            return Ok(Ok(None));
        }
        let restarts = self.staging.settings.limits.restarts;
        let mut troubles: Vec<Trouble> = pods.newest(object).filter_map(|pod| pods::trouble(pod, restarts)).collect();
        troubles.sort_by_key(|trouble| !trouble.is_final);
        let first = troubles.into_iter().next();
        let given_up = match workload::given_up(object) {
            Some(words) => Some(words),
            None => self.refused(object, pods)?,
        };
        Ok(match (given_up, first) {
            (Some(words), trouble) => Err(Final { workload: object.to_string(), trouble, words }),
            (None, Some(trouble)) if trouble.is_final => {
                Err(Final { workload: object.to_string(), trouble: Some(trouble), words: String::new() })
            }
            (None, trouble) => Ok(trouble),
        })
    }

    /// Why pods of a set cannot be made at all, which only its events say.
    fn refused(&self, object: &Object, pods: &Pods) -> Result<Option<String>> {
        let is_short = pods.newest(object).count() < usize::try_from(workload::replicas(object)).unwrap_or(0);
        if !is_short || !matches!(object.kind(), "StatefulSet" | "DaemonSet" | "Job") {
            return Ok(None);
        }
        let events = self.staging.kubectl.events_of(object.uid())?;
        let newest = events
            .iter()
            .filter(|event| event.text("/reason") == "FailedCreate")
            .max_by(|a, b| a.text("/lastTimestamp").cmp(b.text("/lastTimestamp")));
        let message = newest.map(|event| event.text("/message")).filter(|message| workload::is_refusal(message));
        Ok(message.map(|message| format!("FailedCreate: {message}")))
    }

    /// A stateful set waits for a pod of an earlier revision to become ready before it replaces it; one that never will is
    /// told to go.
    fn unstick(&mut self, object: &Object, pods: &Pods) -> Result<()> {
        if object.kind() != "StatefulSet" || !object.is_observed() {
            return Ok(());
        }
        for pod in pods.older(object) {
            let Some(trouble) = pods::trouble(pod, 1).filter(|trouble| trouble.is_final) else { continue };
            if self.unstuck.insert(pod.uid().to_owned()) {
                say::step(&format!(
                    "replacing a pod of an earlier revision that never became ready: {}",
                    trouble.words()
                ));
                let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace(), pod.name());
                self.staging.kubectl.delete_uid(&path, pod.uid())?;
            }
        }
        Ok(())
    }

    fn told(&self, end: &Final) -> String {
        let trouble = end.trouble.as_ref().map(|trouble| trouble.told(&self.staging.kubectl)).unwrap_or_default();
        let parts = [end.words.as_str(), trouble.as_str()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{}: {}", end.workload, parts.join("; "))
    }

    /// Says what is new.
    fn say(&mut self, words: &str) {
        if self.said != words {
            words.clone_into(&mut self.said);
            say::step(words);
        }
    }
}

/// What is missing of a workload, in words.
fn is_waited_for(object: &Object) -> Option<String> {
    let Standing { wanted, ready, settled } = workload::standing(object);
    if settled {
        return None;
    }
    Some(match object.kind() {
        "Job" | "Pod" => object.to_string(),
        _ if !object.is_observed() => format!("{object} (just changed)"),
        _ if ready >= wanted => format!("{object} (replacing)"),
        _ => format!("{object} ({ready} of {wanted})"),
    })
}
