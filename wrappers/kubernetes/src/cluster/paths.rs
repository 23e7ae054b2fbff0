//! Where an object is in the API, by its kind.

use serde_json::Value;

use crate::cluster::object::Object;
use crate::error::{Error, Result};
use crate::tools::kubectl::Kubectl;

/// The kinds of the cluster.
#[derive(Debug)]
pub(crate) struct Paths {
    kinds: Vec<Value>,
    /// Why some may be missing.
    incomplete: Option<String>,
}

impl Paths {
    /// Asks the cluster what kinds it has.
    pub(crate) fn find(kubectl: &Kubectl) -> Result<Self> {
        let (kinds, incomplete) = kubectl.kinds()?;
        Ok(Self { kinds, incomplete })
    }

    fn kind(&self, object: &Object) -> Option<&Value> {
        let is_same = |kind: &&Value| {
            kind["kind"] == object.kind() && kind["group"].as_str().unwrap_or_default() == object.group()
        };
        self.kinds.iter().find(is_same)
    }

    /// `deployments.apps`, if the cluster has such a kind.
    pub(crate) fn resource(&self, object: &Object) -> Option<String> {
        self.kind(object).and_then(resource)
    }

    /// Whether the cluster has a resource, as `databases.example.com`.
    pub(crate) fn has(&self, name: &str) -> Result<bool> {
        let has = self.kinds.iter().filter_map(resource).any(|resource| resource == name);
        match &self.incomplete {
            Some(why) if !has => Err(Error::cannot_tell(format!("{name}: {why}"))),
            Some(_) | None => Ok(has),
        }
    }

    /// The same object by the version of its kind that the cluster has now. Nothing if it has no such kind, and so no such
    /// object.
    pub(crate) fn current(&self, mut object: Object) -> Result<Option<Object>> {
        let Some(kind) = self.kind(&object) else {
            return match &self.incomplete {
                Some(why) => Err(Error::cannot_tell(format!("{object}: {why}"))),
                None => Ok(None),
            };
        };
        let version = kind["version"].as_str().unwrap_or("v1");
        let group = object.group();
        let version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        object.0["apiVersion"] = version.into();
        Ok(Some(object))
    }

    /// The path of a live object.
    pub(crate) fn of(&self, object: &Object) -> Result<String> {
        let kind = self.kind(object).ok_or_else(|| {
            let why = self.incomplete.as_deref().unwrap_or("the cluster has no such kind any more");
            Error::failed(format!("{object} cannot be removed: {why}"))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(incomplete: Option<&str>) -> Paths {
        let deployment = json!({"kind": "Deployment", "group": "apps", "version": "v1", "name": "deployments"});
        let secret = json!({"kind": "Secret", "version": "v1", "name": "secrets"});
        Paths { kinds: vec![deployment, secret], incomplete: incomplete.map(str::to_owned) }
    }

    fn object(version: &str, kind: &str) -> Object {
        Object(json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a", "namespace": "n"}}))
    }

    #[test]
    fn a_path_is_made_of_version_namespace_and_resource() {
        let paths = paths(None);
        let deployment = paths.of(&object("apps/v1", "Deployment")).unwrap();
        assert_eq!(deployment, "/apis/apps/v1/namespaces/n/deployments/a");
        assert_eq!(paths.of(&object("v1", "Secret")).unwrap(), "/api/v1/namespaces/n/secrets/a");
        assert_eq!(paths.resource(&object("apps/v1", "Deployment")).as_deref(), Some("deployments.apps"));
    }

    #[test]
    fn an_object_of_a_kind_that_is_gone_is_gone_too() {
        let old = paths(None).current(object("apps/v1beta2", "Deployment")).unwrap().unwrap();
        assert_eq!(old.text("/apiVersion"), "apps/v1");
        assert_eq!(paths(None).current(object("example.com/v1", "Database")).unwrap(), None);
        let silent = paths(Some("a part of the API does not answer"));
        let unknown = silent.current(object("example.com/v1", "Database"));
        assert!(matches!(unknown, Err(Error::CannotTell(_))));
        assert!(paths(None).has("deployments.apps").unwrap() && silent.has("secrets").unwrap());
        assert!(!paths(None).has("databases.example.com").unwrap());
        assert!(matches!(silent.has("databases.example.com"), Err(Error::CannotTell(_))));
    }
}
