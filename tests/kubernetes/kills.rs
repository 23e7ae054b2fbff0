//! What is killed in the middle of its work, and what the next run makes of it.

mod changes;
mod moments;
mod servers;
mod stops;

use std::collections::{BTreeMap, BTreeSet};

use dm_tests::kubernetes::Namespace;
use serde_json::Value;

/// Everything that a chart of the tests makes, and what DM puts beside it.
const KINDS: &str = "deployments,statefulsets,daemonsets,cronjobs,jobs,services,ingresses,configmaps,secrets,pvc,\
                     certificates.certificates.test,horizontalpodautoscalers";

/// The Secrets in which helm keeps a release.
fn revisions(namespace: &Namespace, name: &str) -> Vec<Value> {
    namespace.get("secrets", &format!("owner=helm,name={name}"))
}

/// The status of each revision that is kept.
fn statuses(namespace: &Namespace, name: &str) -> Vec<String> {
    let status = |secret: &Value| secret["metadata"]["labels"]["status"].as_str().expect("helm's label").to_owned();
    revisions(namespace, name).iter().map(status).collect()
}

/// Whether a helm that was killed has left the release as nobody may touch it.
pub(crate) fn is_pending(namespace: &Namespace, name: &str) -> bool {
    statuses(namespace, name).iter().any(|status| status.starts_with("pending-"))
}

/// One revision is deployed, and none is half done.
pub(crate) fn assert_one_release(namespace: &Namespace, name: &str) {
    let statuses = statuses(namespace, name);
    assert_eq!(statuses.iter().filter(|status| *status == "deployed").count(), 1, "{name}: {statuses:?}");
    assert!(statuses.iter().all(|status| !status.starts_with("pending-")), "{name}: {statuses:?}");
}

/// Kinds and names of what there is, but for what helm keeps for itself and what every namespace has.
fn objects(namespace: &Namespace) -> BTreeSet<(String, String)> {
    versions(namespace, "").into_keys().collect()
}

/// The same with their resource versions, of those that a selector takes.
fn versions(namespace: &Namespace, selector: &str) -> BTreeMap<(String, String), String> {
    let all = namespace.get(KINDS, selector);
    let others = all
        .iter()
        .filter(|object| object["type"] != "helm.sh/release.v1" && object["metadata"]["name"] != "kube-root-ca.crt");
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    others
        .map(|object| {
            let name = (text(object, "/kind"), text(object, "/metadata/name"));
            (name, text(object, "/metadata/resourceVersion"))
        })
        .collect()
}
