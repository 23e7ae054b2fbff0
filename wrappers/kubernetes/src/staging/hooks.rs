//! Looks at hook jobs while helm waits for them: helm would wait for its whole time for a job whose image is not there, or
//! for one that waits for pods which will never run.

use crate::cluster::object::Object;
use crate::cluster::pods::{self, Pods, Trouble};
use crate::cluster::workload;
use crate::error::Result;
use crate::staging::{Staging, record, release};
use crate::tools::helm::Release;

/// Why a hook job of the release that helm is at work on will not end well, or why what helm has made will not, in words.
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
    match trouble {
        Some(trouble) => Ok(Some(format!("hook job: {}", trouble.told(kubectl)))),
        None => made(staging, &release, &begun),
    }
}

/// Why a pod that has come of what this helm has applied will never run. One of before says nothing, and neither does one
/// of an earlier version that was made anew meanwhile.
fn made(staging: &Staging, release: &Release, begun: &str) -> Result<Option<String>> {
    let is_followed = |object: &&Object| workload::is_workload(object) && object.kind() != "Job";
    let wanted: Vec<Object> = release.manifest.iter().filter(is_followed).cloned().collect();
    let live = staging.kubectl.live(&wanted)?;
    let pods = Pods::of(&staging.kubectl, &live)?;
    for object in &live {
        let Some(images) = wanted.iter().find(|wanted| wanted.is_same(object)).map(record::images) else { continue };
        let fresh = pods.newest(object).filter(|pod| created(pod).as_str() >= begun && record::images(pod) == images);
        let mut troubles = fresh.filter_map(|pod| pods::trouble(pod, staging.settings.limits.restarts));
        if let Some(trouble) = troubles.find(|trouble| trouble.is_final) {
            return Ok(Some(format!("{object}: {}", trouble.told(&staging.kubectl))));
        }
    }
    Ok(None)
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
