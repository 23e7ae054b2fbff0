//! Where an object is in the API, by its kind.

use serde_json::Value;

use crate::cluster::object::Object;
use crate::error::{Error, Result};
use crate::staging::Staging;

/// The kinds of the cluster.
#[derive(Debug)]
pub(crate) struct Paths {
    kinds: Vec<Value>,
}

impl Paths {
    /// Asks the cluster what kinds it has.
    pub(crate) fn find(staging: &Staging) -> Result<Self> {
        Ok(Self { kinds: staging.kubectl.kinds()? })
    }

    /// The path of a live object.
    pub(crate) fn of(&self, object: &Object) -> Result<String> {
        let kind = self
            .kinds
            .iter()
            .find(|kind| kind["kind"] == object.kind() && kind["group"].as_str().unwrap_or_default() == object.group());
        let kind = kind.ok_or_else(|| {
            Error::failed(format!("the cluster has no kind {} any more, so {object} cannot be removed", object.kind()))
        })?;
        let resource = kind["name"].as_str().unwrap_or_default();
        let version = object.text("/apiVersion");
        let root = if object.group().is_empty() { format!("/api/{version}") } else { format!("/apis/{version}") };
        let namespace = match object.namespace() {
            "" => String::new(),
            namespace => format!("/namespaces/{namespace}"),
        };
        Ok(format!("{root}{namespace}/{resource}/{}", object.name()))
    }

    /// The resources of objects in namespaces that can be listed and deleted, as `kubectl get` wants them.
    pub(crate) fn listed(&self) -> Vec<String> {
        let can =
            |kind: &Value, verb: &str| kind["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|v| v == verb));
        self.kinds
            .iter()
            .filter(|kind| kind["namespaced"] == true && can(kind, "list") && can(kind, "delete"))
            // Made by controllers all the time, and nobody's.
            .filter(|kind| !matches!(kind["kind"].as_str(), Some("Event" | "Endpoints" | "EndpointSlice" | "Lease")))
            .filter_map(resource)
            .collect()
    }
}

/// `deployments.apps`.
fn resource(kind: &Value) -> Option<String> {
    let name = kind["name"].as_str()?;
    Some(match kind["group"].as_str().filter(|group| !group.is_empty()) {
        Some(group) => format!("{name}.{group}"),
        None => name.to_owned(),
    })
}
