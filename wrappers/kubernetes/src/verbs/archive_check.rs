//! `archive_check`: whether all that ran is gone.

use crate::cluster::object::Object;
use crate::cluster::pods::Pods;
use crate::cluster::workload::{self, WORKLOADS};
use crate::error::Result;
use crate::staging::Staging;
use crate::staging::custom;

/// Pods that are named.
const NAMED: usize = 3;

/// What still runs, in words; none if all is gone.
pub(crate) fn archive_check(staging: &Staging) -> Result<Option<String>> {
    let workloads = staging.kubectl.list(&format!("{WORKLOADS},cronjobs.batch,pods"), &staging.selector())?;
    let mut left: Vec<String> = workloads.iter().filter_map(still_up).collect();
    let pods = Pods::of(&staging.kubectl, &workloads)?;
    let running = |pod: &&Object| custom::is_running(pod);
    let mut names: Vec<String> =
        workloads.iter().flat_map(|object| pods.all(object).filter(running)).map(going).collect();
    names.extend(custom::kept(staging)?.iter().map(going));
    names.sort();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    left.extend(names.into_iter().take(NAMED));
    if more > 0 {
        left.push(format!("and {more} more pods"));
    }
    Ok((!left.is_empty()).then(|| format!("still there: {}", left.join(", "))))
}

fn going(object: &Object) -> String {
    if object.is_dying() { format!("{object} (going)") } else { object.to_string() }
}

/// A workload that would run pods.
fn still_up(object: &Object) -> Option<String> {
    match object.kind() {
        "Deployment" | "StatefulSet" => {
            let replicas = workload::replicas(object);
            (replicas > 0).then(|| format!("{object} with {replicas} replicas"))
        }
        "DaemonSet" => Some(going(object)),
        // It is there until its pods have gone.
        "Job" => object.is_dying().then(|| going(object)),
        "CronJob" if object.is_dying() => Some(going(object)),
        // What an operator has made is that operator's to suspend; its pods are looked at.
        "CronJob" if object.owners().next().is_some() => None,
        "CronJob" => (object.0["spec"]["suspend"] != true).then(|| format!("{object}, which is not suspended")),
        "Pod" => custom::is_running(object).then(|| going(object)),
        _ => None,
    }
}
