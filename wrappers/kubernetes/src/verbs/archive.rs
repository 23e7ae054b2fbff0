//! `delete`: what runs goes, claims and volumes stay, and what `restore` needs is remembered on the objects themselves.

use crate::cluster::object::{Object, STAGING_LABEL};
use crate::cluster::paths::Paths;
use crate::cluster::workload;
use crate::error::{Error, Result};
use crate::say;
use crate::staging::Staging;
use crate::staging::claims;
use crate::staging::custom;
use crate::staging::memory::{self, Memory};
use crate::staging::release;

/// Everything that runs pods or makes them.
const RUNNING: &str = "deployments.apps,statefulsets.apps,daemonsets.apps,jobs.batch,cronjobs.batch,pods,\
                       horizontalpodautoscalers.autoscaling";

/// Archives the staging.
pub(crate) fn delete(staging: &Staging) -> Result<()> {
    release::must_be_free(staging)?;
    let paths = Paths::find(&staging.kubectl)?;
    let release = staging.helm.release(staging.release(), None)?.unwrap_or_default();
    let manifest = made_for(staging, live(staging, &paths, &release.manifest)?);
    let hooks = made_for(staging, live(staging, &paths, &release.hooks)?);
    let (ours, outside) = known(staging, &manifest, &hooks)?;
    if ours.is_empty() && outside.is_empty() {
        say::step(&format!("nothing of {} runs in namespace {}", staging.name(), staging.namespace()));
        return Ok(());
    }
    mark(staging, ours.iter().chain(&outside))?;
    custom::archive(staging)?;
    remove(staging, &paths, &ours, &["HorizontalPodAutoscaler", "CronJob"])?;
    // Those elsewhere no verb of ours can look after; config_check refuses charts that have them.
    let here = || ours.iter().chain(&outside).filter(|object| object.namespace() == staging.namespace());
    for set in here().filter(|object| object.kind() == "StatefulSet") {
        claims::keep(staging, set)?;
    }
    for object in here().filter(|object| workload::is_scalable(object)) {
        stop(staging, object, &release.manifest)?;
    }
    remove(staging, &paths, &ours, &["DaemonSet", "Job", "Pod"])?;
    leave(staging, &outside)?;
    name_operators(staging, &paths, &[manifest, hooks].concat())
}

/// The live objects of a manifest; what is of a kind that the cluster does not have any more is not there.
fn live(staging: &Staging, paths: &Paths, manifest: &[Object]) -> Result<Vec<Object>> {
    let mut current = Vec::new();
    for object in manifest {
        current.extend(paths.current(object.clone())?);
    }
    staging.kubectl.live(&current)
}

/// Marks those that a killed run could not, so that the checks find them.
fn mark<'a>(staging: &Staging, objects: impl Iterator<Item = &'a Object>) -> Result<()> {
    let is_unmarked = |object: &&Object| object.label(STAGING_LABEL).is_none() && !object.is_dying();
    let unmarked: Vec<Object> = objects.filter(is_unmarked).cloned().collect();
    if unmarked.is_empty() { Ok(()) } else { staging.kubectl.merge_into(&unmarked, &staging.mark()).map(drop) }
}

/// Somebody else may have made another object of a name of the release since.
fn made_for(staging: &Staging, live: Vec<Object>) -> Vec<Object> {
    let (name, namespace) = (staging.name(), staging.namespace());
    let ours = |object: &Object| object.is_marked(name, namespace) && !object.is_of_another(name, namespace);
    live.into_iter().filter(ours).collect()
}

/// What makes pods: of the release, and beside it.
fn known(staging: &Staging, manifest: &[Object], hooks: &[Object]) -> Result<(Vec<Object>, Vec<Object>)> {
    let mut of_release: Vec<Object> = manifest.iter().chain(hooks).cloned().collect();
    let mut found = staging.kubectl.list(RUNNING, &staging.selector())?;
    // What a run that was killed before its first mark has left has helm's word only.
    let by_helm = staging.kubectl.list(RUNNING, "app.kubernetes.io/managed-by=Helm")?;
    found.extend(by_helm.into_iter().filter(|object| {
        object.is_of_release(staging.release(), staging.namespace()) && object.label(STAGING_LABEL).is_none()
    }));
    let is_known = |object: &Object| of_release.iter().any(|other| other.uid() == object.uid());
    found.retain(|object| !is_known(object) && object.owners().next().is_none());
    let (earlier, outside) = of_earlier(staging, found)?;
    of_release.extend(earlier);
    Ok((of_release, outside))
}

/// What an earlier manifest of the release has, and the rest: the newest may be of a helm that has failed before it removed
/// what it leaves out. What helm was told to keep is not helm's any more.
fn of_earlier(staging: &Staging, found: Vec<Object>) -> Result<(Vec<Object>, Vec<Object>)> {
    let may_be = |object: &Object| {
        object.is_of_release(staging.release(), staging.namespace())
            && object.annotation("helm.sh/resource-policy") != Some("keep")
    };
    let stored = if found.iter().any(may_be) { release::stored(staging)? } else { Vec::new() };
    let is_named =
        |object: &Object| stored.iter().flat_map(|release| &release.manifest).any(|named| named.is_same(object));
    Ok(found.into_iter().partition(|object| may_be(object) && is_named(object)))
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

/// To 0 replicas, with the number written down before. One that is at 0 already keeps what it remembers.
fn stop(staging: &Staging, object: &Object, manifest: &[Object]) -> Result<()> {
    let replicas = workload::replicas(object);
    if replicas == 0 {
        return Ok(());
    }
    let wanted = manifest.iter().find(|other| other.is_same(object));
    let chart = wanted.and_then(|wanted| wanted.number("/spec/replicas"));
    say::step(&format!("{object} from {replicas} to 0 replicas"));
    let resource = workload::resource(object);
    // What is remembered still is of a restore that did not come to its end: that number is the one to come back.
    let memory = Memory::of(object).unwrap_or(Memory { replicas, chart });
    staging.kubectl.merge(resource, object.name(), &memory.patch())?;
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
            "DaemonSet" | "Job" | "Pod" | "HorizontalPodAutoscaler" => {
                say::line(&format!("left alone, because it is not of the chart: {object}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Pods that an operator would start again are no success.
fn name_operators(staging: &Staging, paths: &Paths, live: &[Object]) -> Result<()> {
    let stopped =
        |owner: &Object| paths.resource(owner).is_some_and(|resource| staging.settings.custom.contains_key(&resource));
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
