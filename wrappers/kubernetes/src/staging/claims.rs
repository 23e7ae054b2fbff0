//! Claims of stateful sets: a set that gives them away when it is scaled down must not, while DM scales it.

use serde_json::json;

use crate::cluster::object::Object;
use crate::cluster::workload;
use crate::error::Result;
use crate::say;
use crate::staging::Staging;

/// Whether a set gives away the claims of pods that go.
pub(crate) fn are_given_away(set: &Object) -> bool {
    set.text("/spec/persistentVolumeClaimRetentionPolicy/whenScaled") == "Delete"
}

/// Makes a set keep them. What the chart says of it comes back when it is applied.
pub(crate) fn keep(staging: &Staging, set: &Object) -> Result<()> {
    if !are_given_away(set) {
        return Ok(());
    }
    say::step(&format!("keeping the claims of {set}"));
    let patch = json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Retain"}}});
    staging.kubectl.merge(workload::resource(set), set.name(), &patch)
}
