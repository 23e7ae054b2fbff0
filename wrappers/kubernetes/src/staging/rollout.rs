//! Follows what was applied until it is ready, until something is final, or until its time is up.
//!
//! It decides by the objects' own statuses; only the newest revision's pods speak. What is merely not ready yet is left to
//! `check`.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::object::Object;
use crate::cluster::pods::{self, Pods, Trouble};
use crate::cluster::workload::{self, GivenUp, Standing, WORKLOADS};
use crate::error::{Error, Result};
use crate::say;
use crate::staging::{Staging, release};
use crate::tools::helm::Release;

/// Milliseconds between the first looks, and from then on.
const PAUSES: [u64; 9] = [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000, 1_000];
const PAUSE: u64 = 2_000;

/// How long a fault that is older than this revision is watched until it is believed: controllers take back what they have
/// said of an earlier one.
const LINGERS: Duration = Duration::from_secs(10);

/// How long a quota stands in the way, while pods of before may make room in it, until that is believed: a controller that
/// was refused tries again ever more rarely.
const LINGERS_IN_A_QUOTA: Duration = Duration::from_secs(30);

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

/// Follows the workloads of a release. `seen` is what is known of them already.
pub(crate) fn follow(staging: &Staging, release: &Release, mut seen: Option<Vec<Object>>) -> Result<Outcome> {
    let wanted: Vec<&Object> = release.manifest.iter().filter(|object| workload::is_workload(object)).collect();
    if wanted.is_empty() {
        return Ok(Outcome::Ready);
    }
    let deadline = Instant::now() + Duration::from_secs(staging.settings.limits.follow);
    let mut pauses = PAUSES.into_iter();
    let mut followed = Followed {
        staging,
        wanted,
        revision: release.revision,
        begun: OnceCell::new(),
        unsure: BTreeMap::new(),
        said: String::new(),
        unstuck: BTreeSet::new(),
    };
    loop {
        let outcome = match followed.look(seen.take()) {
            Ok(outcome) => outcome,
            // Waiting gives nobody a right.
            Err(error) if error.lacks_right() => return Err(Error::Failed(error.to_string())),
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
        thread::sleep(Duration::from_millis(pauses.next().unwrap_or(PAUSE)));
    }
}

struct Followed<'a> {
    staging: &'a Staging,
    wanted: Vec<&'a Object>,
    revision: i64,
    /// When this revision was begun; asked for when something looks old.
    begun: OnceCell<String>,
    /// Faults that may pass, by workload, and since when they are seen.
    unsure: BTreeMap<String, Instant>,
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
            match self.judge(object, &live, &pods)? {
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
        self.wanted.iter().any(|wanted| wanted.is_same(object))
    }

    /// What the manifest has and the cluster has not. A job may be gone because it has ended.
    fn absent(&self, live: &[Object]) -> Vec<String> {
        let is_there = |wanted: &Object| live.iter().any(|object| object.is_same(wanted));
        let absent = self.wanted.iter().filter(|wanted| wanted.kind() != "Job" && !is_there(wanted));
        absent.map(|wanted| format!("{wanted} (not there)")).collect()
    }

    /// What stands in the way of a workload, if anything does: for good, or for now.
    fn judge(
        &mut self,
        object: &Object,
        live: &[Object],
        pods: &Pods,
    ) -> Result<std::result::Result<Option<Trouble>, Final>> {
        if workload::standing(object).settled {
            self.unsure.remove(object.uid());
            return Ok(Ok(None));
        }
        let restarts = self.staging.settings.limits.restarts;
        let mut troubles: Vec<Trouble> = pods.newest(object).filter_map(|pod| pods::trouble(pod, restarts)).collect();
        troubles.sort_by_key(|trouble| !trouble.is_final);
        let first = troubles.into_iter().next();
        let given_up = match workload::given_up(object) {
            Some(end) => Some(end),
            None => self.refused(object, live, pods)?,
        };
        let believed = match given_up {
            Some(end) if self.is_believed(object, &end, live, pods)? => Some(end.words),
            Some(_) => None,
            None => {
                self.unsure.remove(object.uid());
                None
            }
        };
        Ok(match (believed, first) {
            (Some(words), trouble) => Err(Final { workload: object.to_string(), trouble, words }),
            (None, Some(trouble)) if trouble.is_final => {
                Err(Final { workload: object.to_string(), trouble: Some(trouble), words: String::new() })
            }
            (None, trouble) => Ok(trouble),
        })
    }

    /// Whether a fault is of this revision, and no pod of before may mend it; or has lasted. A job is never changed, so its
    /// end is its own.
    fn is_believed(&mut self, object: &Object, end: &GivenUp, live: &[Object], pods: &Pods) -> Result<bool> {
        let may_be_mended = workload::is_beyond_quota(&end.words) && live.iter().any(|other| pods.are_replaced(other));
        let is_of_now = object.kind() == "Job" || end.at >= *self.begun()?;
        if is_of_now && !may_be_mended {
            return Ok(true);
        }
        let since = *self.unsure.entry(object.uid().to_owned()).or_insert_with(Instant::now);
        Ok(since.elapsed() >= if may_be_mended { LINGERS_IN_A_QUOTA } else { LINGERS })
    }

    fn begun(&self) -> Result<&String> {
        if let Some(begun) = self.begun.get() {
            return Ok(begun);
        }
        let begun = release::begun(self.staging, self.revision)?.unwrap_or_default();
        Ok(self.begun.get_or_init(|| begun))
    }

    /// Why pods of a workload cannot be made at all.
    fn refused(&self, object: &Object, live: &[Object], pods: &Pods) -> Result<Option<GivenUp>> {
        let is_short = pods.newest(object).count() < usize::try_from(workload::pods(object)).unwrap_or(0);
        let refusal = match object.kind() {
            "Deployment" if is_short => pods.newest_set(object).and_then(workload::refused),
            "StatefulSet" | "DaemonSet" | "Job" if is_short => self.refused_by_events(object, pods)?,
            _ => None,
        };
        // Pods of before make room in a quota, whosesoever: those that leave, and others as soon as a new one is ready.
        let makes_room = |one: &Object| pods.are_leaving(one) || (pods.are_replaced(one) && pods.are_starting(one));
        Ok(refusal.filter(|refusal| !workload::is_beyond_quota(&refusal.words) || !live.iter().any(makes_room)))
    }

    /// Sets have no condition for it; only events tell, also of times long past.
    fn refused_by_events(&self, object: &Object, pods: &Pods) -> Result<Option<GivenUp>> {
        let events = self.staging.kubectl.events_of(object.uid())?;
        let told = events.iter().filter(|event| event.text("/reason") == "FailedCreate");
        let Some(newest) = told.max_by_key(|event| happened(event).to_owned()) else { return Ok(None) };
        let (at, message) = (happened(newest), newest.text("/message"));
        let has_passed = pods.newest(object).any(|pod| pod.text("/metadata/creationTimestamp") >= at);
        let is_new = at >= self.begun()?.as_str();
        Ok((is_new && !has_passed && workload::is_refusal(message))
            .then(|| GivenUp { words: format!("FailedCreate: {message}"), at: at.to_owned() }))
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

/// When an event was seen last, by the server's clock.
fn happened(event: &Object) -> &str {
    ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
        .into_iter()
        .map(|pointer| event.text(pointer))
        .find(|time| !time.is_empty())
        .unwrap_or_default()
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
