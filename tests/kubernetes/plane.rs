//! The control plane of the tests itself: what the other tests rely on.

mod chart;
mod own;
mod people;
mod stages;

use std::time::Duration;

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::Namespace;
use serde_json::{Value, json};

/// By when something has happened that takes a second or two on an idle machine.
const SOON: Duration = Duration::from_mins(1);

/// Makes a Deployment of one pod with these containers, each of a stage.
fn deploy(namespace: &Namespace, name: &str, containers: &[(&str, &str)]) {
    let labels = json!({"app": name});
    let containers: Vec<Value> = containers.iter().map(|(name, image)| json!({"name": name, "image": image})).collect();
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    });
    namespace.apply(&deployment.to_string());
}

/// Makes a Job of one pod that is tried once.
fn job(namespace: &Namespace, name: &str, image: &str) {
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]});
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": name}}, "spec": spec}},
    });
    namespace.apply(&job.to_string());
}

/// The only pod of an app, as soon as it is as it should be.
fn pod(namespace: &Namespace, app: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut last = Vec::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually_blocking(what, SOON, || {
            last = namespace.get("pods", &format!("app={app}"));
            last.iter().find(|pod| is(pod)).cloned()
        })
    }));
    found.unwrap_or_else(|_| panic!("the pods of {app}: {}", json!(last)))
}

/// The status of a container.
fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let statuses = pod["status"]["containerStatuses"].as_array();
    statuses.and_then(|all| all.iter().find(|status| status["name"] == name)).unwrap_or(&Value::Null)
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions.and_then(|all| all.iter().find(|condition| condition["type"] == kind)).unwrap_or(&Value::Null)
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready")["status"] == "True"
}
