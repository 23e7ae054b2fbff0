//! Mends a release that a killed helm has left half done.
//!
//! helm refuses to touch a pending release for ever. The record of a revision of ours is removed, and the next upgrade
//! starts over; what it had made already is adopted by it. One that is not ours is another helm at work.

use std::time::{Duration, Instant};

use crate::cluster::object::{Object, RUN_ANNOTATION, STAGING_LABEL};
use crate::error::{Error, Result};
use crate::say;
use crate::staging::Staging;

/// Between two looks at another helm.
const LOOK: Duration = Duration::from_secs(1);

/// Makes the release ready for an upgrade. True if another helm was at work on it meanwhile.
pub(crate) fn repair(staging: &Staging) -> Result<bool> {
    let pending =
        format!("owner=helm,name={},status in (pending-install,pending-upgrade,pending-rollback)", staging.release());
    let deadline = Instant::now() + Duration::from_secs(staging.settings.limits.other_helm);
    let mut said = false;
    loop {
        let secrets = staging.kubectl.list("secrets", &pending)?;
        let (ours, others): (Vec<_>, Vec<_>) = secrets.into_iter().partition(|secret| is_ours(staging, secret));
        for secret in &ours {
            forget(staging, secret)?;
        }
        let Some(other) = others.first() else { return Ok(said) };
        if Instant::now() >= deadline {
            return Err(Error::Failed(busy(other)));
        }
        if !said {
            say::step("another helm is at work on this release; waiting for it");
            said = true;
        }
        std::thread::sleep(LOOK);
    }
}

/// Each run of ours names itself.
fn is_ours(staging: &Staging, secret: &Object) -> bool {
    secret.label(STAGING_LABEL) == Some(staging.name()) && secret.label(RUN_ANNOTATION).is_some()
}

fn forget(staging: &Staging, secret: &Object) -> Result<()> {
    let run = secret.label(RUN_ANNOTATION).unwrap_or_default();
    let status = secret.label("status").unwrap_or_default();
    say::step(&format!("repairing: helm was killed in run {run} and left the release {status}"));
    let path = format!("/api/v1/namespaces/{}/secrets/{}", secret.namespace(), secret.name());
    staging.kubectl.delete_uid(&path, secret.uid()).map(drop)
}

fn busy(other: &Object) -> String {
    let status = other.label("status").unwrap_or_default();
    format!(
        "another helm, not of DM, is at work on this release, or was killed: {} is {status}; if nobody is at it, delete \
         that Secret and try again",
        other.name()
    )
}
