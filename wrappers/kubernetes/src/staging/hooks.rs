//! Looks at hook jobs while helm waits for them: helm would wait for its whole time for a job whose image is not there.

use crate::cluster::object::Object;
use crate::cluster::pods::{self, Trouble};
use crate::cluster::workload;
use crate::error::Result;
use crate::staging::{Staging, release};

/// Why a hook job of the release that helm is at work on will not end well, in words.
pub(crate) fn hopeless(staging: &Staging) -> Result<Option<String>> {
    let kubectl = &staging.kubectl;
    let pending = format!("owner=helm,name={},status in (pending-install,pending-upgrade)", staging.release());
    let Some(begun) = kubectl.list("secrets", &pending)?.first().map(created) else { return Ok(None) };
    let Some(release) = staging.helm.release(staging.release(), None)? else { return Ok(None) };
    let jobs: Vec<&str> = release.hooks.iter().filter(|hook| hook.kind() == "Job").map(Object::name).collect();
    if jobs.is_empty() {
        return Ok(None);
    }
    let selector = format!("batch.kubernetes.io/job-name in ({})", jobs.join(","));
    let pods = kubectl.list("pods", &selector)?;
    // One that was there before helm began is of an earlier run; both times are the server's.
    let pods = pods.iter().filter(|pod| !pod.is_dying() && created(pod) >= begun);
    let restarts = staging.settings.limits.restarts;
    let trouble = pods.filter_map(|pod| pods::trouble(pod, restarts)).find(|trouble| trouble.is_final);
    Ok(trouble.map(|trouble| format!("hook job: {}", trouble.told(kubectl))))
}

/// What became of the hook jobs of a release whose helm has failed, in words.
pub(crate) fn failed(staging: &Staging) -> Result<Option<String>> {
    let kubectl = &staging.kubectl;
    let Some(release) = staging.helm.release(staging.release(), None)? else { return Ok(None) };
    let hooks: Vec<Object> = release.hooks.into_iter().filter(|hook| hook.kind() == "Job").collect();
    // One that is older is of an earlier run, and says nothing of why helm has failed now.
    let Some(begun) = release::begun(staging, release.revision)? else { return Ok(None) };
    let live = kubectl.live(&hooks)?;
    let mut failed =
        live.iter().filter(|job| created(job) >= begun).filter_map(|job| Some((job, workload::given_up(job)?)));
    let Some((job, end)) = failed.next() else { return Ok(None) };
    let pods = kubectl.list("pods", &format!("batch.kubernetes.io/job-name={}", job.name()))?;
    let mut pods: Vec<&Object> = pods.iter().collect();
    pods.sort_by_key(|pod| created(pod));
    let trouble: Option<Trouble> =
        pods.iter().rev().find_map(|pod| pods::trouble(pod, staging.settings.limits.restarts));
    let told = trouble.map(|trouble| format!("; {}", trouble.told(kubectl))).unwrap_or_default();
    Ok(Some(format!("hook {job}: {}{told}", end.words)))
}

fn created(object: &Object) -> String {
    object.text("/metadata/creationTimestamp").to_owned()
}
