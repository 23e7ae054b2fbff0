//! `check`: whether the staging runs, with the tag that it should have.
//!
//! It asks the API server once when all is well. It never uses helm or kubedog, and never guesses: no answer is 4.

use crate::cluster::object::{self, Object};
use crate::cluster::pods::{self, Pods};
use crate::cluster::workload::{self, AUTOSCALERS, WORKLOADS};
use crate::error::Result;
use crate::staging::Staging;
use crate::staging::memory::Memory;
use crate::staging::record::{self, Record, Workload};

/// What a check has found, with the words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Running(String),
    Failing(String),
    PartlyAvailable(String),
    OtherTag(String),
}

/// How one workload of the record is.
enum Found {
    Ready,
    /// It has nothing to serve with, and is well: a job, or one whose chart wants no pods.
    Idle,
    Partly(String),
    Down(String),
}

/// Looks.
pub(crate) fn check(staging: &Staging) -> Result<Verdict> {
    let tag = staging.given.needs_tag()?;
    let kinds = format!("configmaps,{WORKLOADS},pods,{AUTOSCALERS}");
    let objects = staging.kubectl.list(&kinds, &staging.selector())?;
    let Some(record) = Record::read(record::own(staging, &objects))? else {
        let words = format!("nothing of {} was applied in namespace {}", staging.name(), staging.namespace());
        return Ok(Verdict::Failing(words));
    };
    let live =
        |wanted: &Workload| objects.iter().find(|object| object.kind() == wanted.kind && object.name() == wanted.name);
    let (mut bad, mut serving) = (Vec::new(), 0);
    for wanted in &record.workloads {
        let least = live(wanted).and_then(|live| workload::least(&objects, live));
        match found(wanted, live(wanted), least) {
            Found::Ready => serving += 1,
            Found::Idle => {}
            Found::Partly(words) => {
                serving += 1;
                bad.push((words, live(wanted)));
            }
            Found::Down(words) => bad.push((words, live(wanted))),
        }
    }
    if serving == 0 && !bad.is_empty() {
        return Ok(Verdict::Failing(told(staging, &bad)?));
    }
    if record.tag != tag {
        return Ok(Verdict::OtherTag(format!("tag {} is running instead of {tag}", record.tag)));
    }
    if let Some(words) = record.workloads.iter().find_map(|wanted| other_image(wanted, live(wanted)?)) {
        return Ok(Verdict::OtherTag(words));
    }
    if bad.is_empty() {
        return Ok(Verdict::Running(format!("{} runs with tag {tag}", staging.name())));
    }
    Ok(Verdict::PartlyAvailable(told(staging, &bad)?))
}

/// `least` is what an autoscaler wants at least: what it adds beyond that may take its time.
fn found(wanted: &Workload, live: Option<&Object>, least: Option<i64>) -> Found {
    let Some(live) = live else {
        // A job that has ended may have been removed since.
        return if wanted.kind == "Job" {
            Found::Idle
        } else {
            Found::Down(format!("{} {} is not there", object::words(&wanted.kind), wanted.name))
        };
    };
    let standing = workload::standing(live);
    if let Some(end) = workload::given_up(live) {
        // What was there before, or as much as there may be, still serves.
        return if standing.ready > 0 && live.kind() != "Job" {
            Found::Partly(format!("{live}: {} of {} ready; {}", standing.ready, standing.wanted, end.words))
        } else {
            Found::Down(format!("{live}: {}", end.words))
        };
    }
    if live.kind() == "Job" {
        return Found::Idle;
    }
    if let Some(memory) = Memory::of(live).filter(|_| workload::replicas(live) == 0) {
        return Found::Down(format!("{live} is archived (it had {})", memory.replicas));
    }
    if workload::is_scalable(live) && standing.wanted == 0 && wanted.replicas != Some(0) {
        return Found::Down(format!("{live} was scaled to 0"));
    }
    let grows = least.is_some_and(|least| workload::is_growing(live, least));
    match (standing.settled || grows, standing.ready) {
        (true, 0) => Found::Idle,
        (true, _) => Found::Ready,
        (false, 0) => Found::Down(format!("{live}: 0 of {} ready", standing.wanted)),
        (false, ready) if ready < standing.wanted => {
            Found::Partly(format!("{live}: {ready} of {} ready", standing.wanted))
        }
        (false, _) => Found::Partly(format!("{live} is still being replaced")),
    }
}

fn other_image(wanted: &Workload, live: &Object) -> Option<String> {
    let images = record::images(live);
    let other = wanted.images.iter().find_map(|(name, image)| {
        let found = images.iter().find(|(other, _)| other == name)?;
        (found.1 != *image).then_some((name, image, &found.1))
    });
    other.map(|(name, image, found)| format!("{live}, container {name}: {found} is running instead of {image}"))
}

/// What is bad, with what the pods say of it.
fn told(staging: &Staging, bad: &[(String, Option<&Object>)]) -> Result<String> {
    let mut words: Vec<String> = bad.iter().map(|(words, _)| words.clone()).collect();
    let live: Vec<Object> = bad.iter().filter_map(|(_, live)| live.cloned()).collect();
    let pods = Pods::of(&staging.kubectl, &live)?;
    let restarts = staging.settings.limits.restarts;
    let mut troubles: Vec<pods::Trouble> =
        live.iter().flat_map(|object| pods.newest(object)).filter_map(|pod| pods::trouble(pod, restarts)).collect();
    troubles.sort_by_key(|trouble| !trouble.is_final);
    words.extend(troubles.first().map(|trouble| trouble.told(&staging.kubectl)));
    words.extend(live.iter().filter_map(|object| Some(workload::refused(pods.newest_set(object)?)?.words)));
    Ok(words.join("; "))
}
