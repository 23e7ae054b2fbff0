//! The namespace of a staging, where each has one of its own.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::object::{Object, STAGING_LABEL};
use crate::error::{Error, Result};
use crate::say;
use crate::staging::Staging;

/// Between two looks at one that is going.
const LOOK: Duration = Duration::from_secs(1);

/// Makes it, if stagings have namespaces of their own and it is not there. One that is going is waited for.
pub(crate) fn ensure(staging: &Staging) -> Result<()> {
    if !staging.has_own_namespace() {
        return Ok(());
    }
    let deadline = Instant::now() + Duration::from_secs(staging.settings.limits.removal);
    while let Some(namespace) = find(staging)? {
        if !namespace.is_dying() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::Failed(format!("namespace {} is still going; try again later", namespace.name())));
        }
        std::thread::sleep(LOOK);
    }
    say::step(&format!("creating namespace {}", staging.namespace()));
    staging.kubectl.apply(
        "dm",
        &json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": staging.namespace(), "labels": {STAGING_LABEL: staging.name()}},
        }),
    )
}

/// The namespace, if it is there.
pub(crate) fn find(staging: &Staging) -> Result<Option<Object>> {
    staging.kubectl.named("namespaces", staging.namespace())
}

/// The namespace, if we have made it for this staging: only then it may go with it.
pub(crate) fn ours(staging: &Staging) -> Result<Option<Object>> {
    if !staging.has_own_namespace() {
        return Ok(None);
    }
    Ok(find(staging)?.filter(|namespace| namespace.label(STAGING_LABEL) == Some(staging.name())))
}
