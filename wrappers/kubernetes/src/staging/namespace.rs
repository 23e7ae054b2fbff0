//! The namespace of a staging, where each has one of its own.

use serde_json::json;

use crate::cluster::object::{Object, STAGING_LABEL};
use crate::error::Result;
use crate::say;
use crate::staging::Staging;

/// Makes it, if stagings have namespaces of their own and it is not there.
pub(crate) fn ensure(staging: &Staging) -> Result<()> {
    if !staging.has_own_namespace() || find(staging)?.is_some() {
        return Ok(());
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
