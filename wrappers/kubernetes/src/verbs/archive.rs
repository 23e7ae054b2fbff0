//! `delete`: what runs goes, claims and volumes stay, and what `restore` needs is remembered on the objects themselves.

use serde_json::json;

use crate::cluster::object::Object;
use crate::cluster::paths::Paths;
use crate::cluster::workload;
use crate::error::{Error, Result};
use crate::say;
use crate::staging::custom;
use crate::staging::memory::{self, Memory};
use crate::staging::{Staging, release};

/// Everything that runs pods or makes them.
const RUNNING: &str = "deployments.apps,statefulsets.apps,daemonsets.apps,jobs.batch,cronjobs.batch,pods,\
                       horizontalpodautoscalers.autoscaling";

/// Archives the staging.
pub(crate) fn delete(staging: &Staging) -> Result<()> {
    release::must_be_ours(staging)?;
    let release = staging.helm.release(staging.release(), None)?.unwrap_or_default();
    let manifest = unmade(staging, &release.manifest)?;
    let hooks = made_for(staging, staging.kubectl.live(&release.hooks)?);
    let (ours, outside) = known(staging, &manifest, &hooks)?;
    if ours.is_empty() && outside.is_empty() {
        say::step(&format!("nothing of {} runs in namespace {}", staging.name(), staging.namespace()));
        return Ok(());
    }
    custom::archive(staging)?;
    let paths = Paths::find(staging)?;
    remove(staging, &paths, &ours, &["HorizontalPodAutoscaler", "CronJob"])?;
    for set in ours.iter().chain(&outside).filter(|object| object.kind() == "StatefulSet") {
        keep_claims(staging, set)?;
    }
    for object in ours.iter().chain(&outside).filter(|object| workload::is_scalable(object)) {
        stop(staging, object, &release.manifest)?;
    }
    remove(staging, &paths, &ours, &["DaemonSet", "Job", "Pod"])?;
    leave(staging, &outside)?;
    name_operators(staging, &manifest)
}

/// The live objects of a manifest. Those that a killed run could not mark get their mark, so that the checks find them.
fn unmade(staging: &Staging, manifest: &[Object]) -> Result<Vec<Object>> {
    let live = made_for(staging, staging.kubectl.live(manifest)?);
    let unmarked: Vec<Object> = live
        .iter()
        .filter(|object| object.label(crate::cluster::object::STAGING_LABEL).is_none() && !object.is_dying())
        .cloned()
        .collect();
    if !unmarked.is_empty() {
        staging.kubectl.merge_into(&unmarked, &staging.mark())?;
    }
    Ok(live)
}

/// Somebody else may have made another object of a name of the release since.
fn made_for(staging: &Staging, live: Vec<Object>) -> Vec<Object> {
    let (name, release, namespace) = (staging.name(), staging.release(), staging.namespace());
    let ours =
        |object: &Object| object.is_marked(name, release, namespace) && !object.is_of_another(name, release, namespace);
    live.into_iter().filter(ours).collect()
}

/// What makes pods: of the release, and beside it.
fn known(staging: &Staging, manifest: &[Object], hooks: &[Object]) -> Result<(Vec<Object>, Vec<Object>)> {
    let of_release: Vec<Object> = manifest.iter().chain(hooks).cloned().collect();
    let labelled = staging.kubectl.list(RUNNING, &staging.selector())?;
    let is_of_release = |object: &Object| of_release.iter().any(|other| other.uid() == object.uid());
    let outside: Vec<Object> =
        labelled.into_iter().filter(|object| !is_of_release(object) && object.owners().next().is_none()).collect();
    Ok((of_release, outside))
}

/// Deletes objects of these kinds; helm makes them again.
fn remove(staging: &Staging, paths: &Paths, objects: &[Object], kinds: &[&str]) -> Result<()> {
    for object in objects.iter().filter(|object| kinds.contains(&object.kind()) && !object.is_dying()) {
        if staging.kubectl.delete_uid(&paths.of(object)?, object.uid())? {
            say::step(&format!("removed {object}"));
        }
    }
    Ok(())
}

/// A set that gives its claims away when it is scaled to 0 must not, while it is archived.
fn keep_claims(staging: &Staging, set: &Object) -> Result<()> {
    if set.text("/spec/persistentVolumeClaimRetentionPolicy/whenScaled") != "Delete" {
        return Ok(());
    }
    say::step(&format!("keeping the claims of {set}"));
    let patch = json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Retain"}}});
    staging.kubectl.merge(workload::resource(set), set.name(), &patch)
}

/// To 0 replicas, with the number written down before. One that is at 0 already keeps what it remembers.
fn stop(staging: &Staging, object: &Object, manifest: &[Object]) -> Result<()> {
    let replicas = workload::replicas(object);
    if replicas == 0 {
        return Ok(());
    }
    let wanted = manifest.iter().find(|other| other.kind() == object.kind() && other.name() == object.name());
    let chart = wanted.and_then(|wanted| wanted.number("/spec/replicas"));
    say::step(&format!("{object} from {replicas} to 0 replicas"));
    let resource = workload::resource(object);
    staging.kubectl.merge(resource, object.name(), &Memory { replicas, chart }.patch())?;
    staging.kubectl.scale(resource, object.name(), 0)
}

/// What is of the staging and not of its release cannot be made again by helm: cron jobs sleep, the rest is named.
fn leave(staging: &Staging, outside: &[Object]) -> Result<()> {
    for object in outside {
        match object.kind() {
            "CronJob" if !memory::is_suspended_by_us(object) && object.0["spec"]["suspend"] != true => {
                say::step(&format!("suspending {object}, which is not of the chart"));
                staging.kubectl.merge(workload::resource(object), object.name(), &memory::suspended())?;
            }
            "DaemonSet" | "Job" | "Pod" => say::line(&format!("left alone, because it is not of the chart: {object}")),
            _ => {}
        }
    }
    Ok(())
}

/// Pods that an operator would start again are no success.
fn name_operators(staging: &Staging, live: &[Object]) -> Result<()> {
    let stopped = |owner: &Object| {
        staging
            .settings
            .custom
            .keys()
            .any(|resource| resource.split_once('.').is_some_and(|(_, group)| group == owner.group()))
    };
    let pods = custom::pods(staging, live)?;
    let left: Vec<String> =
        pods.iter().filter(|(_, owner)| !stopped(owner)).map(|(pod, owner)| format!("{pod} of {owner}")).collect();
    if left.is_empty() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "an operator keeps these running, and DM does not know how to stop it: {}; say so in the settings below [custom]",
        left.join(", ")
    )))
}
