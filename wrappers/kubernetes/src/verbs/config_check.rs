//! `config_check`: whether the cluster would take the chart with this configuration, without changing anything.
//!
//! helm's own dry run takes everything; the API server's does not.

use serde_json::Value;

use crate::cluster::object::Object;
use crate::error::{Error, Result};
use crate::staging::Staging;
use crate::staging::chart;
use crate::staging::namespace;
use crate::staging::release::Revisions;
use crate::tools::both::both;
use crate::tools::helm::Applied;
use crate::verbs::apply;

/// What is wrong, a sentence each; nothing if all is fine.
pub(crate) fn config_check(staging: &Staging) -> Result<Vec<String>> {
    let chart = chart::find(&staging.settings, &staging.helm)?;
    let values = match apply::compose(staging, &chart)? {
        Ok(values) => values.to_string(),
        Err(refusals) => return Ok(refusals),
    };
    let revisions = Revisions::of(staging)?;
    if let Some(words) = revisions.foreign() {
        return Ok(vec![words]);
    }
    let applied = Applied { release: staging.release(), chart: &chart.folder, values: &values };
    let is_upgrade = !revisions.is_empty();
    let (manifest, hooks) = match staging.helm.template(applied, is_upgrade) {
        Ok(rendered) => rendered,
        Err(Error::Failed(words)) => return Ok(vec![format!("the chart refuses this configuration: {words}")]),
        Err(error) => return Err(error),
    };
    let absent = staging.has_own_namespace() && namespace::find(staging)?.is_none();
    // A namespace that comes with the staging cannot be asked before it is there.
    let asked = if absent { elsewhere(staging, manifest) } else { manifest };
    let renamed = hooks.into_iter().map(renamed).collect();
    let asked_hooks = if absent { elsewhere(staging, renamed) } else { renamed };
    let kubectl = if absent { staging.kubectl.in_namespace(&staging.given.namespace) } else { staging.kubectl.clone() };
    let (of_manifest, of_hooks) = both(|| kubectl.refusal(&asked), || kubectl.refusal(&asked_hooks))?;
    let mut refusals = Vec::new();
    for words in [of_manifest, of_hooks].into_iter().flatten() {
        if words.contains("namespaces \"") && words.contains("not found") {
            return Err(Error::CannotTell(format!("the namespace is missing: {words}")));
        }
        refusals.push(format!("the cluster refuses this configuration: {words}"));
    }
    Ok(refusals)
}

/// An existing hook job could not be changed, which says nothing of the configuration.
fn renamed(mut hook: Object) -> Object {
    let name = format!("{}-dm-check", hook.name());
    hook.0["metadata"]["name"] = Value::String(name);
    hook
}

fn elsewhere(staging: &Staging, mut objects: Vec<Object>) -> Vec<Object> {
    for object in &mut objects {
        if object.namespace() == staging.namespace() {
            object.0["metadata"]["namespace"] = Value::String(staging.given.namespace.clone());
        }
    }
    objects
}
