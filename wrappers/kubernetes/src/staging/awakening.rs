//! How an archived staging comes back: what its objects remember, put into effect and then forgotten.

use std::collections::BTreeSet;

use crate::cluster::object::Object;
use crate::cluster::pods::{self, Pods};
use crate::cluster::workload;
use crate::error::{Error, Result};
use crate::say;
use crate::staging::Staging;
use crate::staging::claims;
use crate::staging::memory::{self, Forgotten, Memory};
use crate::staging::record;
use crate::tools::helm::{Applied, Release};
use crate::wait;

/// Where it stands, in the staging's own object, what a run has forgotten.
const FORGOTTEN: &str = "forgotten";

/// Stateful sets first, and awaited: what the chart does before an upgrade may need its database.
///
/// helm must find none with more replicas than the chart asks for now. It would scale that down, and a set that gives its
/// claims away when it is scaled would lose those of pods that are to come back after it.
pub(crate) fn wake(staging: &Staging, before: &[Object], applied: Applied<'_>) -> Result<()> {
    let sets: Vec<(&Object, Memory)> = before
        .iter()
        .filter(|object| object.kind() == "StatefulSet")
        .filter_map(|set| Some((set, Memory::of(set)?)))
        .collect();
    if sets.is_empty() {
        return Ok(());
    }
    // What helm cannot render it says itself, when it is to apply it.
    let manifest = staging.helm.template(applied, true)?.map(|(manifest, _)| manifest).unwrap_or_default();
    let mut guarded = BTreeSet::new();
    for (set, memory) in &sets {
        let wanted = manifest.iter().find(|wanted| wanted.is_same(set));
        let replicas = memory.at_first(wanted);
        if wanted.is_some_and(claims::are_given_away) {
            guarded.insert(set.uid());
        }
        // An earlier attempt has brought it back already.
        if workload::replicas(set) > replicas {
            claims::keep(staging, set)?;
        }
        say::step(&format!("bringing {set} to {replicas} replicas"));
        staging.kubectl.scale(workload::resource(set), set.name(), replicas)?;
    }
    let mut larger = None;
    wait::until(wait::deadline(staging.settings.limits.wake), || {
        let live = staging.kubectl.list("statefulsets.apps", &staging.selector())?;
        let live: Vec<Object> =
            live.into_iter().filter(|object| sets.iter().any(|(set, _)| set.uid() == object.uid())).collect();
        larger =
            live.iter().find(|set| guarded.contains(set.uid()) && workload::is_shrinking(set)).map(Object::to_string);
        let are_ready = live.iter().all(|set| workload::standing(set).settled);
        // One that does not start as it was may well start as it is to become.
        Ok((larger.is_none() && (are_ready || is_hopeless(staging, &live)?)).then_some(()))
    })?;
    larger.map_or(Ok(()), |set| {
        Err(Error::Failed(format!(
            "{set} does not come down to the number that its chart asks for, and helm would give away the claims of the \
             rest; delete the staging, and restore it then"
        )))
    })
}

fn is_hopeless(staging: &Staging, sets: &[Object]) -> Result<bool> {
    let pods = Pods::of(&staging.kubectl, sets)?;
    let restarts = staging.settings.limits.restarts;
    let hopeless = |set: &Object| pods.newest(set).any(|pod| pods::trouble(pod, restarts).is_some_and(|t| t.is_final));
    Ok(sets.iter().any(hopeless))
}

/// Numbers of replicas as they were before the delete, and cron jobs that were suspended by it.
pub(crate) fn bring_back(staging: &Staging, release: &Release, live: &[Object], before: &[Object]) -> Result<()> {
    for object in live.iter().filter(|object| workload::is_scalable(object)) {
        let Some(wanted) = release.manifest.iter().find(|wanted| wanted.is_same(object)) else { continue };
        let memory = before.iter().find(|before| before.uid() == object.uid()).and_then(Memory::of);
        if let Some(replicas) =
            memory::number_after(object, wanted, memory, workload::least(&release.manifest, object).unwrap_or(1))
        {
            say::step(&format!("{object} to {replicas} replicas"));
            staging.kubectl.scale(workload::resource(object), object.name(), replicas)?;
        }
    }
    let is_applied = |object: &Object| live.iter().any(|live| live.uid() == object.uid());
    for (object, memory) in before.iter().filter_map(|object| Some((object, Memory::of(object)?))) {
        // Not of the chart any more, and of the staging still: it ran before.
        if !is_applied(object) {
            say::step(&format!("{object} to {} replicas", memory.replicas));
            staging.kubectl.scale(workload::resource(object), object.name(), memory.replicas)?;
        }
    }
    for job in before.iter().filter(|object| object.kind() == "CronJob" && memory::is_suspended_by_us(object)) {
        staging.kubectl.merge(workload::resource(job), job.name(), &memory::resumed())?;
    }
    Ok(())
}

/// What there is, with what an earlier attempt of this very run has forgotten when it was done.
pub(crate) fn recalled(staging: &Staging, mut before: Vec<Object>) -> Result<Vec<Object>> {
    if let Some(text) = record::text(record::own(staging, &before), FORGOTTEN) {
        let forgotten: Forgotten = serde_json::from_str(text)
            .map_err(|error| Error::failed(format!("what an earlier run has forgotten cannot be read: {error}")))?;
        forgotten.recall(&staging.run, &mut before);
    }
    Ok(before)
}

/// The numbers of the archive are of no more use; they are kept aside for the case that this run is called again.
pub(crate) fn forget(staging: &Staging, before: &[Object]) -> Result<()> {
    let forgotten = Forgotten::of(&staging.run, before);
    if forgotten.workloads.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_string(&forgotten)
        .map_err(|error| Error::failed(format!("what is forgotten cannot be kept: {error}")))?;
    staging.kubectl.apply("dm-restore", &record::object(staging, FORGOTTEN, &text))?;
    for object in before.iter().filter(|object| forgotten.workloads.contains_key(object.uid())) {
        staging.kubectl.merge(workload::resource(object), object.name(), &memory::forgotten())?;
    }
    Ok(())
}
