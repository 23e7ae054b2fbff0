//! Rights, quotas and volumes are those of a real cluster.

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Plane, Reclaim, Rules};
use serde_json::json;

use super::{SOON, deploy, is_ready, pod};

const READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
- apiGroups: ['']
  resources: [pods]
  verbs: [get, list]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: sees-nodes}
rules:
- apiGroups: ['']
  resources: [nodes]
  verbs: [list]
";

#[test]
fn somebody_may_do_what_their_rules_say_and_nothing_else() {
    let plane = Plane::shared();
    let (mine, other) = (plane.namespace(), plane.namespace());
    let somebody = plane.with(mine.user("somebody", &Rules::of(READER)));
    assert!(somebody.get("pods", mine.name(), "").is_empty());
    assert!(!somebody.get("nodes", "", "").is_empty());
    let refused = |arguments: &[&str]| {
        let output = somebody.kubectl().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("forbidden"), "{arguments:?}: {said}");
    };
    refused(&["get", "secrets", "-n", mine.name()]);
    refused(&["get", "pods", "-n", other.name()]);
    refused(&["create", "configmap", "x", "-n", mine.name()]);
    refused(&["delete", "node", "node-1"]);
}

#[test]
fn a_quota_refuses_pods() {
    let namespace = Plane::shared().namespace();
    namespace.by_hand(&["create", "quota", "few", "--hard=pods=1"]);
    eventually_blocking("the quota is counted", SOON, || {
        namespace.find("quota", "few")?["status"]["used"]["pods"].is_string().then_some(())
    });
    deploy(&namespace, "one", &[("main", "dm.test/ready:1")]);
    pod(&namespace, "one", "the first is ready", is_ready);
    deploy(&namespace, "two", &[("main", "dm.test/ready:1")]);
    let refusal = eventually_blocking("the second is refused", SOON, || {
        let two = namespace.find("deployment", "two")?;
        let refusal = super::condition(&two, "ReplicaFailure")["message"].as_str()?;
        Some(refusal.to_owned())
    });
    assert!(refusal.contains("exceeded quota: few"), "{refusal}");
}

#[test]
fn a_volume_goes_with_its_claim_or_stays() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let volumes = [("gone", Reclaim::Delete), ("kept", Reclaim::Retain)].map(|(claim, reclaim)| {
        let volume = namespace.volume(claim, "1Gi", reclaim);
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": spec,
        });
        namespace.apply(&claim.to_string());
        volume
    });
    for claim in ["gone", "kept"] {
        eventually_blocking("the claim is bound", SOON, || {
            (namespace.find("pvc", claim)?["status"]["phase"] == "Bound").then_some(())
        });
    }
    namespace.by_hand(&["delete", "pvc", "--all"]);
    eventually_blocking("one is gone", SOON, || plane.find("pv", "", &volumes[0]).is_none().then_some(()));
    let kept = eventually_blocking("one is released", SOON, || {
        plane.find("pv", "", &volumes[1]).filter(|volume| volume["status"]["phase"] == "Released")
    });
    assert_eq!(kept["spec"]["persistentVolumeReclaimPolicy"], "Retain");
}
