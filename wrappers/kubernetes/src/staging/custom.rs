//! Objects of custom kinds that run pods by an operator: the settings say how they are stopped and started.

use serde_json::{Value, json};

use crate::cluster::object::Object;
use crate::cluster::paths::Paths;
use crate::error::{Error, Result};
use crate::say;
use crate::settings::Custom;
use crate::staging::Staging;

/// That we have stopped it.
const ARCHIVED: &str = "dm/archived";

/// Stops what the settings name.
pub(crate) fn archive(staging: &Staging) -> Result<()> {
    for (resource, custom, objects) in named(staging)? {
        for object in objects {
            say::step(&format!("stopping {object}"));
            staging.kubectl.merge(resource, object.name(), &patch(resource, &custom.archive, json!("true"))?)?;
        }
    }
    Ok(())
}

/// Starts what [`archive`] has stopped.
pub(crate) fn restore(staging: &Staging) -> Result<()> {
    for (resource, Custom { restore, .. }, objects) in named(staging)? {
        for object in objects.iter().filter(|object| object.annotation(ARCHIVED).is_some()) {
            say::step(&format!("starting {object}"));
            staging.kubectl.merge(resource, object.name(), &patch(resource, restore, Value::Null)?)?;
        }
    }
    Ok(())
}

/// Pods that what the settings name keeps running.
pub(crate) fn kept(staging: &Staging) -> Result<Vec<Object>> {
    let owners: Vec<Object> = named(staging)?.into_iter().flat_map(|(_, _, objects)| objects).collect();
    Ok(pods(staging, &owners)?.into_iter().map(|(pod, _)| pod).collect())
}

/// The staging's objects of the kinds in the settings. A kind that comes with the chart is not there before the chart.
fn named(staging: &Staging) -> Result<Vec<(&str, &Custom, Vec<Object>)>> {
    let mut found = Vec::new();
    if staging.settings.custom.is_empty() {
        return Ok(found);
    }
    let paths = Paths::find(&staging.kubectl)?;
    for (resource, custom) in &staging.settings.custom {
        if paths.has(resource)? {
            found.push((resource.as_str(), custom, staging.kubectl.list(resource, &staging.selector())?));
        }
    }
    Ok(found)
}

fn patch(resource: &str, text: &str, mark: Value) -> Result<Value> {
    let wrong = |why: &str| Error::misused(format!("custom.{resource}: {why}: {text}"));
    let mut patch: Value = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
    if !patch.is_object() {
        return Err(wrong("a merge patch is a JSON object"));
    }
    patch["metadata"]["annotations"][ARCHIVED] = mark;
    Ok(patch)
}

/// Whether an object is of a kind that a cluster does not have by itself.
pub(crate) fn is_custom(object: &Object) -> bool {
    let group = object.group();
    group.contains('.') && !group.ends_with(".k8s.io")
}

/// Pods that a controller of ours, of a custom kind, keeps running: DM cannot stop them by itself.
pub(crate) fn pods(staging: &Staging, live: &[Object]) -> Result<Vec<(Object, Object)>> {
    let owners: Vec<&Object> = live.iter().filter(|object| is_custom(object)).collect();
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let between = "pods,replicasets.apps,deployments.apps,statefulsets.apps,daemonsets.apps,jobs.batch";
    let all = staging.kubectl.list(between, "")?;
    let mut found = Vec::new();
    for pod in all.iter().filter(|object| object.kind() == "Pod" && is_running(object)) {
        let mut at = pod;
        // Pod, replica set, deployment and its owner: no chain is longer.
        for _ in 0..4 {
            if let Some(owner) = at.owners().find_map(|uid| owners.iter().find(|owner| owner.uid() == uid)) {
                found.push((pod.clone(), (*owner).clone()));
                break;
            }
            let Some(next) = at.owners().find_map(|uid| all.iter().find(|object| object.uid() == uid)) else { break };
            at = next;
        }
    }
    Ok(found)
}

/// Whether a pod still runs something, or is about to.
pub(crate) fn is_running(pod: &Object) -> bool {
    !matches!(pod.text("/status/phase"), "Succeeded" | "Failed")
}
