//! An object of the API server, and what can be read off any of them.

use std::fmt;

use serde_json::Value;

use crate::yaml;

/// The label that says whose an object is: the staging's name.
pub(crate) const STAGING_LABEL: &str = "dm/staging";

/// Annotations that a run leaves on what it has applied.
pub(crate) const RUN_ANNOTATION: &str = "dm/run";
/// The label of a release's revision that names the one call of helm that has made it.
pub(crate) const CALL_LABEL: &str = "dm/call";
pub(crate) const TAG_ANNOTATION: &str = "dm/tag";

/// What helm writes on each object of a release.
const RELEASE_NAME: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// An object as JSON, live or of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object(pub(crate) Value);

/// Kind and name, for people: `deployment web`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", words(self.kind()), self.name())
    }
}

/// `StatefulSet` is `stateful set` in a sentence.
pub(crate) fn words(kind: &str) -> String {
    match kind {
        "StatefulSet" => "stateful set".to_owned(),
        "DaemonSet" => "daemon set".to_owned(),
        "CronJob" => "cron job".to_owned(),
        "PersistentVolumeClaim" => "claim".to_owned(),
        "PersistentVolume" => "volume".to_owned(),
        "HorizontalPodAutoscaler" => "autoscaler".to_owned(),
        "Deployment" | "Job" | "Pod" | "Secret" | "Ingress" | "Service" | "Certificate" => kind.to_lowercase(),
        other => other.to_owned(),
    }
}

impl Object {
    /// The text at a path, empty if there is none.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The number at a path.
    pub(crate) fn number(&self, pointer: &str) -> Option<i64> {
        self.0.pointer(pointer).and_then(Value::as_i64)
    }

    /// The list at a path, empty if there is none.
    pub(crate) fn list(&self, pointer: &str) -> &[Value] {
        self.0.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `apps`, and nothing for the core.
    pub(crate) fn group(&self) -> &str {
        self.text("/apiVersion").split_once('/').map_or("", |(group, _)| group)
    }

    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    pub(crate) fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    pub(crate) fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.0["metadata"]["labels"][key].as_str()
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.0["metadata"]["annotations"][key].as_str()
    }

    /// Whether it is being deleted.
    pub(crate) fn is_dying(&self) -> bool {
        !self.text("/metadata/deletionTimestamp").is_empty()
    }

    /// Whether it has the kind and the name of another, as a live object has those of its manifest.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.kind(), self.group(), self.name()) == (other.kind(), other.group(), other.name())
    }

    /// UIDs of what it belongs to.
    pub(crate) fn owners(&self) -> impl Iterator<Item = &str> {
        self.list("/metadata/ownerReferences").iter().filter_map(|owner| owner["uid"].as_str())
    }

    /// Whether helm made it for this release.
    pub(crate) fn is_of_release(&self, release: &str, namespace: &str) -> bool {
        self.annotation(RELEASE_NAME) == Some(release) && self.annotation(RELEASE_NAMESPACE) == Some(namespace)
    }

    /// Whether it says of itself that it belongs to another staging or another release.
    pub(crate) fn is_of_another(&self, staging: &str, namespace: &str) -> bool {
        self.label(STAGING_LABEL).is_some_and(|other| other != staging)
            || (self.annotation(RELEASE_NAME).is_some() && !self.is_of_release(staging, namespace))
    }

    /// Whether it says of itself that it was made for this staging: by our label, by helm, or as a hook, which helm does not
    /// annotate with its release.
    pub(crate) fn is_marked(&self, staging: &str, namespace: &str) -> bool {
        self.label(STAGING_LABEL) == Some(staging)
            || self.is_of_release(staging, namespace)
            || self.annotation("helm.sh/hook").is_some()
    }

    /// A condition of its status that has this type.
    pub(crate) fn condition(&self, kind: &str) -> Option<&Value> {
        self.list("/status/conditions").iter().find(|condition| condition["type"] == kind)
    }

    /// Whether its controller has seen its newest specification.
    pub(crate) fn is_observed(&self) -> bool {
        self.number("/status/observedGeneration") >= self.number("/metadata/generation")
    }
}

/// The objects in what `kubectl get -o json` prints: a list, one object, or nothing.
pub(crate) fn parse(json: &[u8]) -> Result<Vec<Object>, serde_json::Error> {
    if json.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    let mut value: Value = serde_json::from_slice(json)?;
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items.into_iter().map(Object).collect()),
        Some(_) | None => Ok(vec![Object(value)]),
    }
}

/// The objects of a manifest: YAML documents, empty ones left out, lists opened.
pub(crate) fn manifest(text: &str) -> Result<Vec<Object>, String> {
    let mut objects = Vec::new();
    for document in yaml::documents(text)? {
        match document {
            Value::Null => {}
            Value::Object(mut fields) => match fields.remove("items") {
                Some(Value::Array(items)) => objects.extend(items.into_iter().map(Object)),
                Some(items) => {
                    fields.insert("items".to_owned(), items);
                    objects.push(Object(Value::Object(fields)));
                }
                None => objects.push(Object(Value::Object(fields))),
            },
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err("a document of the manifest is no object".to_owned());
            }
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_kubectl_prints_is_a_list_of_objects() {
        assert_eq!(parse(b" \n").unwrap(), []);
        let one = json!({"kind": "Pod", "metadata": {"name": "a"}});
        assert_eq!(parse(one.to_string().as_bytes()).unwrap(), [Object(one.clone())]);
        assert_eq!(parse(json!({"kind": "List", "items": [one]}).to_string().as_bytes()).unwrap(), [Object(one)]);
        assert!(parse(b"<html>").is_err());
    }

    #[test]
    fn a_manifest_is_read_as_helm_prints_it() {
        let yaml = "---\n# Source: a\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec: {replicas: 3}\n---\n\n---\n# nothing\n---\nkind: List\nitems:\n- kind: Secret\n  metadata: {name: b}\n";
        let objects = manifest(yaml).unwrap();
        assert_eq!(objects.iter().map(ToString::to_string).collect::<Vec<_>>(), ["deployment web", "secret b"]);
        assert_eq!((objects[0].group(), objects[0].number("/spec/replicas")), ("apps", Some(3)));
        assert_eq!(manifest("").unwrap(), []);
        assert!(manifest("a: [").is_err());
    }

    #[test]
    fn what_names_another_staging_or_release_is_not_ours() {
        let object = |labels: Value, annotations: Value| {
            Object(json!({"metadata": {"labels": labels, "annotations": annotations}}))
        };
        let release = |name: &str, namespace: &str| json!({RELEASE_NAME: name, RELEASE_NAMESPACE: namespace});
        assert!(!object(json!({}), json!({})).is_of_another("pr-1", "n"));
        assert!(!object(json!({STAGING_LABEL: "pr-1"}), release("pr-1", "n")).is_of_another("pr-1", "n"));
        assert!(object(json!({STAGING_LABEL: "pr-10"}), json!({})).is_of_another("pr-1", "n"));
        assert!(object(json!({}), release("pr-1", "other")).is_of_another("pr-1", "n"));
    }

    #[test]
    fn only_what_says_so_was_made_for_a_staging() {
        let is_marked = |labels: Value, annotations: Value| {
            Object(json!({"metadata": {"labels": labels, "annotations": annotations}})).is_marked("pr-1", "n")
        };
        let release = |name: &str| json!({RELEASE_NAME: name, RELEASE_NAMESPACE: "n"});
        assert!(is_marked(json!({STAGING_LABEL: "pr-1"}), json!({})) && is_marked(json!({}), release("pr-1")));
        assert!(is_marked(json!({}), json!({"helm.sh/hook": "post-install"})));
        assert!(!is_marked(json!({}), json!({})) && !is_marked(json!({}), release("pr-10")));
    }
}
