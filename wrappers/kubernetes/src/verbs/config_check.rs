//! `config_check`: whether the cluster would take the chart with this configuration, without changing anything.
//!
//! helm's own dry run takes everything; the API server's does not.

use serde_json::Value;

use crate::cluster::object::Object;
use crate::cluster::paths::Paths;
use crate::cluster::workload;
use crate::error::{Error, Result};
use crate::refusals::{self, Asked};
use crate::staging::Staging;
use crate::staging::chart::{self, Chart};
use crate::staging::namespace;
use crate::staging::release::Revisions;
use crate::tools::both::both;
use crate::tools::helm::Applied;

/// What the names of hooks have at their end while they are asked for.
const RENAMED: &str = "-dm-check";

/// Characters of a job's name, which is also a label of its pods.
const NAME_MAX: usize = 63;

/// What is wrong, a sentence each; nothing if all is fine.
pub(crate) fn config_check(staging: &Staging) -> Result<Vec<String>> {
    let chart = chart::find(&staging.settings, &staging.helm, chart::LOOKING)?;
    let values = match chart.values(staging)? {
        Ok(values) => values.to_string(),
        Err(refusals) => return Ok(refusals),
    };
    let revisions = Revisions::of(staging)?;
    if let Some(words) = revisions.foreign() {
        return Ok(vec![words]);
    }
    let applied = Applied { release: staging.release(), chart: &chart.folder, values: &values };
    let layout = staging.settings.layout()?;
    let asked = Asked {
        layout: &layout,
        tag: &staging.given.tag,
        app_overrides: &staging.given.app_overrides,
        staging_overrides: &staging.given.staging_overrides,
    };
    let (manifest, hooks) = match staging.helm.template(applied, !revisions.is_empty())? {
        Ok(rendered) => rendered,
        Err(said) => return Ok(refusals::in_words(&said, &asked, &[])),
    };
    let blank = refusals::blank_images(&asked, manifest.iter().chain(&hooks));
    if !blank.is_empty() {
        return Ok(blank);
    }
    let elsewhere = not_here(staging, &manifest);
    if !elsewhere.is_empty() {
        return Ok(elsewhere);
    }
    let manifest = without_what_comes(staging, &chart, manifest)?;
    by_the_cluster(staging, &asked, manifest, hooks)
}

/// Objects of kinds that come with the chart itself cannot be asked for before helm has made these kinds.
fn without_what_comes(staging: &Staging, chart: &Chart, manifest: Vec<Object>) -> Result<Vec<Object>> {
    let defined = chart.defined()?;
    if defined.is_empty() {
        return Ok(manifest);
    }
    let paths = Paths::find(&staging.kubectl)?;
    let comes = |object: &Object| {
        defined.contains(&(object.group().to_owned(), object.kind().to_owned())) && paths.resource(object).is_none()
    };
    Ok(manifest.into_iter().filter(|object| !comes(object)).collect())
}

/// What the API server says to these objects.
fn by_the_cluster(
    staging: &Staging,
    asked: &Asked<'_>,
    manifest: Vec<Object>,
    hooks: Vec<Object>,
) -> Result<Vec<String>> {
    let absent = staging.has_own_namespace() && namespace::find(staging)?.is_none();
    // A namespace that comes with the staging cannot be asked before it is there.
    let manifest = if absent { elsewhere(staging, manifest) } else { manifest };
    let renamed = hooks.into_iter().map(renamed).collect();
    let hooks = if absent { elsewhere(staging, renamed) } else { renamed };
    let kubectl = if absent { staging.kubectl.in_namespace(&staging.given.namespace) } else { staging.kubectl.clone() };
    let (of_manifest, of_hooks) = both(|| kubectl.refusal(&manifest), || kubectl.refusal(&hooks))?;
    let mut refused = Vec::new();
    for (said, objects) in [(of_manifest, &manifest), (of_hooks, &hooks)] {
        let Some(said) = said else { continue };
        if said.contains("namespaces \"") && said.contains("not found") {
            if absent {
                // Then there is nobody to ask, and what the chart itself says has to do.
                return Ok(Vec::new());
            }
            return Err(Error::cannot_tell(format!("the namespace {} is missing", kubectl.namespace)));
        }
        let sentences = refusals::in_words(&said, asked, objects);
        refused.extend(sentences.into_iter().map(|sentence| sentence.replace(RENAMED, "")));
    }
    Ok(refused)
}

/// Workloads that no verb could look after.
fn not_here(staging: &Staging, manifest: &[Object]) -> Vec<String> {
    let is_elsewhere = |object: &&Object| !object.namespace().is_empty() && object.namespace() != staging.namespace();
    let workloads = manifest.iter().filter(|object| workload::is_workload(object)).filter(is_elsewhere);
    workloads
        .map(|object| {
            format!(
                "the chart puts {object} into namespace {}; what runs must be in that of the staging, {}",
                object.namespace(),
                staging.namespace()
            )
        })
        .collect()
}

/// An existing hook job could not be changed, which says nothing of the configuration.
fn renamed(mut hook: Object) -> Object {
    let kept: String = hook.name().chars().take(NAME_MAX - RENAMED.len()).collect();
    let name = format!("{kept}{RENAMED}");
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
