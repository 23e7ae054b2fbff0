//! How far one workload is, by what its own status says.

use crate::cluster::object::Object;

/// The resources that run pods, as `kubectl get` wants them.
pub(crate) const WORKLOADS: &str = "deployments.apps,statefulsets.apps,daemonsets.apps,jobs.batch";

/// What sets numbers of replicas by itself.
pub(crate) const AUTOSCALERS: &str = "horizontalpodautoscalers.autoscaling";

/// Whether a manifest's object runs pods.
pub(crate) fn is_workload(object: &Object) -> bool {
    matches!(
        (object.group(), object.kind()),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet") | ("batch", "Job") | ("", "Pod")
    )
}

/// Whether it has a number of replicas that can be set.
pub(crate) fn is_scalable(object: &Object) -> bool {
    matches!((object.group(), object.kind()), ("apps", "Deployment" | "StatefulSet"))
}

/// The name of its kind for `kubectl`.
pub(crate) fn resource(object: &Object) -> &'static str {
    match (object.group(), object.kind()) {
        ("apps", "Deployment") => "deployments.apps",
        ("apps", "StatefulSet") => "statefulsets.apps",
        ("apps", "DaemonSet") => "daemonsets.apps",
        ("batch", "Job") => "jobs.batch",
        ("batch", "CronJob") => "cronjobs.batch",
        ("autoscaling", "HorizontalPodAutoscaler") => "horizontalpodautoscalers.autoscaling",
        _ => "pods",
    }
}

/// Where the spec of its pods is, as a JSON pointer.
pub(crate) fn pod_spec(object: &Object) -> &'static str {
    match object.kind() {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    }
}

/// Replicas that are wanted: 1 where nothing is said.
pub(crate) fn replicas(object: &Object) -> i64 {
    object.number("/spec/replicas").unwrap_or(1)
}

/// The least number of replicas that an autoscaler among these objects wants for a workload; none without one.
pub(crate) fn least(objects: &[Object], workload: &Object) -> Option<i64> {
    let scalers = objects.iter().filter(|object| {
        object.kind() == "HorizontalPodAutoscaler"
            && object.text("/spec/scaleTargetRef/kind") == workload.kind()
            && object.text("/spec/scaleTargetRef/name") == workload.name()
    });
    scalers.map(|scaler| scaler.number("/spec/minReplicas").unwrap_or(1)).max()
}

/// Whether all that is missing are pods beyond the least number, of the newest revision.
pub(crate) fn is_growing(deployment: &Object, least: i64) -> bool {
    deployment.kind() == "Deployment"
        && deployment.is_observed()
        && deployment.number("/status/replicas") == deployment.number("/status/updatedReplicas")
        && deployment.number("/status/availableReplicas") >= Some(least.max(1))
}

/// Whether it has, or may have, more pods than are wanted.
pub(crate) fn is_shrinking(set: &Object) -> bool {
    !set.is_observed() || set.number("/status/replicas").unwrap_or(0) > replicas(set)
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) wanted: i64,
    pub(crate) ready: i64,
    /// All that is wanted is ready, of the newest revision, and nothing older is left.
    pub(crate) settled: bool,
}

/// How far it is, from its own status. Of a job: whether it has ended well.
pub(crate) fn standing(object: &Object) -> Standing {
    let number = |pointer: &str| object.number(pointer).unwrap_or(0);
    let (wanted, ready, updated) = match object.kind() {
        "Deployment" => {
            let wanted = replicas(object);
            let updated = number("/status/updatedReplicas") == wanted && number("/status/replicas") == wanted;
            (wanted, number("/status/availableReplicas"), updated)
        }
        "StatefulSet" => {
            let wanted = replicas(object);
            let rolls = object.text("/spec/updateStrategy/type") != "OnDelete"
                && number("/spec/updateStrategy/rollingUpdate/partition") == 0;
            let newest = object.text("/status/updateRevision") == object.text("/status/currentRevision")
                || number("/status/updatedReplicas") == wanted;
            (wanted, number("/status/readyReplicas"), (newest || !rolls) && number("/status/replicas") == wanted)
        }
        "DaemonSet" => {
            let wanted = number("/status/desiredNumberScheduled");
            (wanted, number("/status/numberAvailable"), number("/status/updatedNumberScheduled") == wanted)
        }
        "Job" => (1, i64::from(is_true(object, "Complete")), true),
        _ => {
            let done = object.text("/status/phase") == "Succeeded" || is_true(object, "Ready");
            (1, i64::from(done), true)
        }
    };
    let seen = object.is_observed() || !matches!(object.kind(), "Deployment" | "StatefulSet" | "DaemonSet");
    // An older, larger number does not count as more than all.
    Standing { wanted, ready: ready.min(wanted), settled: seen && updated && ready >= wanted }
}

fn is_true(object: &Object, condition: &str) -> bool {
    object.condition(condition).is_some_and(|condition| condition["status"] == "True")
}

/// Why a controller has given a workload up, in words, and when it said so last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenUp {
    pub(crate) words: String,
    pub(crate) at: String,
}

impl GivenUp {
    fn of(condition: &serde_json::Value) -> Self {
        let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        let [updated, changed] = ["lastUpdateTime", "lastTransitionTime"].map(text);
        Self { words: format!("{}: {}", text("reason"), text("message")), at: updated.max(changed) }
    }
}

/// Whether its controller has given it up: a deployment past its deadline, a job that has failed.
pub(crate) fn given_up(object: &Object) -> Option<GivenUp> {
    let condition = match object.kind() {
        "Deployment" if object.is_observed() => {
            object.condition("Progressing").filter(|condition| condition["reason"] == "ProgressDeadlineExceeded")
        }
        "Job" => object.condition("Failed").filter(|condition| condition["status"] == "True"),
        _ => None,
    };
    condition.map(GivenUp::of)
}

/// Whether pods of a replica set cannot be made at all.
pub(crate) fn refused(replica_set: &Object) -> Option<GivenUp> {
    let condition = replica_set.condition("ReplicaFailure").filter(|condition| condition["status"] == "True")?;
    is_refusal(condition["message"].as_str().unwrap_or_default()).then(|| GivenUp::of(condition))
}

/// Pods that are wanted at the same time.
pub(crate) fn pods(object: &Object) -> i64 {
    match object.kind() {
        "DaemonSet" => object.number("/status/desiredNumberScheduled").unwrap_or(0),
        "Job" => object.number("/spec/parallelism").unwrap_or(1),
        _ => replicas(object),
    }
}

/// Whether what was refused is beyond a quota, which somebody else's end makes room in.
pub(crate) fn is_beyond_quota(words: &str) -> bool {
    words.contains("exceeded quota")
}

/// Whether the API server refused to make something, by quota or by a rule of its own; nothing but a change mends that.
pub(crate) fn is_refusal(message: &str) -> bool {
    const SIGNS: [&str; 4] = ["exceeded quota", "is forbidden", "denied the request", "is invalid"];
    // In a new namespace the account comes a moment after it.
    let is_early = message.contains("error looking up service account");
    !is_early && SIGNS.iter().any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(status: &Value) -> Object {
        Object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "generation": 2},
            "spec": {"replicas": 3}, "status": status,
        }))
    }

    #[test]
    fn a_deployment_is_settled_when_all_is_new_and_available() {
        let ready = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3});
        assert_eq!(standing(&deployment(&ready)), Standing { wanted: 3, ready: 3, settled: true });
        for (key, value) in
            [("observedGeneration", 1), ("replicas", 4), ("updatedReplicas", 2), ("availableReplicas", 2)]
        {
            let mut status = ready.clone();
            status[key] = value.into();
            assert!(!standing(&deployment(&status)).settled, "{key} {value}");
        }
        assert_eq!(standing(&deployment(&json!({}))), Standing { wanted: 3, ready: 0, settled: false });
    }

    #[test]
    fn a_stateful_set_is_settled_when_its_newest_revision_runs() {
        let set = |current: &str, updated: i64| {
            Object(json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"generation": 1}, "spec": {"replicas": 2},
                "status": {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "currentRevision": current,
                    "updateRevision": "b", "updatedReplicas": updated},
            }))
        };
        assert!(standing(&set("b", 0)).settled && standing(&set("a", 2)).settled);
        assert!(!standing(&set("a", 1)).settled);
    }

    #[test]
    fn what_a_controller_gives_up_is_said_in_its_words() {
        let late = json!({"observedGeneration": 2, "conditions": [{
            "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too late",
            "lastUpdateTime": "2026-11-30T03:00:02Z", "lastTransitionTime": "2026-11-30T03:00:01Z",
        }]});
        let words = "ProgressDeadlineExceeded: too late".to_owned();
        let at = "2026-11-30T03:00:02Z".to_owned();
        assert_eq!(given_up(&deployment(&late)), Some(GivenUp { words, at }));
        let mut old = late;
        old["observedGeneration"] = 1.into();
        assert_eq!(given_up(&deployment(&old)), None, "what was said of an older generation");
    }

    #[test]
    fn as_many_pods_are_wanted_as_the_kind_says() {
        let of = |kind: &str, spec: Value, status: Value| {
            pods(&Object(json!({"kind": kind, "spec": spec, "status": status})))
        };
        assert_eq!(of("StatefulSet", json!({"replicas": 3}), json!({})), 3);
        assert_eq!(of("DaemonSet", json!({}), json!({"desiredNumberScheduled": 2})), 2);
        assert_eq!(of("Job", json!({"parallelism": 4}), json!({})), 4);
        assert_eq!(of("Job", json!({}), json!({})), 1);
    }

    #[test]
    fn a_set_that_has_not_heard_yet_may_shrink() {
        let set = |wanted: i64, heard: i64, replicas: i64| {
            Object(json!({"kind": "StatefulSet", "metadata": {"generation": 2}, "spec": {"replicas": wanted},
                "status": {"observedGeneration": heard, "replicas": replicas}}))
        };
        assert!(is_shrinking(&set(1, 2, 3)) && is_shrinking(&set(1, 1, 1)));
        assert!(!is_shrinking(&set(1, 2, 1)) && !is_shrinking(&set(3, 2, 1)));
    }

    #[test]
    fn a_refusal_is_what_only_a_change_mends() {
        let refusal = |message: &str| {
            let condition =
                json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message});
            refused(&Object(json!({"kind": "ReplicaSet", "status": {"conditions": [condition]}})))
        };
        let quota = "pods \"a\" is forbidden: exceeded quota: q";
        assert_eq!(refusal(quota).map(|refusal| refusal.words), Some(format!("FailedCreate: {quota}")));
        for passing in [
            "the server is busy",
            "pods \"a\" is forbidden: error looking up service account n/default: serviceaccount \"default\" not found",
        ] {
            assert_eq!(refusal(passing), None, "{passing}");
        }
    }
}
