//! The namespace of a staging, where each has one of its own.

use serde_json::json;

use crate::cluster::object::{Object, STAGING_LABEL};
use crate::error::{Error, Result};
use crate::say;
use crate::staging::Staging;
use crate::wait;

/// Makes it, if stagings have namespaces of their own and it is not there. One that is going is waited for.
pub(crate) fn ensure(staging: &Staging) -> Result<()> {
    if !staging.has_own_namespace() {
        return Ok(());
    }
    let there = wait::until(wait::deadline(staging.settings.limits.removal), || {
        let found = find(staging)?;
        Ok(found.as_ref().is_none_or(|namespace| !namespace.is_dying()).then_some(found.is_some()))
    })?;
    match there {
        Some(true) => return Ok(()),
        Some(false) => {}
        None => {
            return Err(Error::Failed(format!("namespace {} is still going; try again later", staging.namespace())));
        }
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
