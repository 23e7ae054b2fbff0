//! What runs pods and is not of the chart's own making: an operator's, and what somebody has put beside it.

use dm_tests::kubernetes::{Namespace, Plane};
use serde_json::{Value, json};

use super::seen::uid;
use crate::hand::Hand;

fn alone(more: &Value) -> Value {
    let off = json!({"enabled": false});
    let mut values = json!({"db": off, "files": off, "hook": off, "cron": off, "agent": off, "ingress": off});
    for (key, value) in more.as_object().into_iter().flatten() {
        values[key] = value.clone();
    }
    values
}

fn pod_of(namespace: &Namespace, owner: &Value) {
    let meta = |key: &str| owner["metadata"][key].clone();
    let reference = json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta("name"), "uid": meta("uid"),
        "controller": true,
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "solver", "ownerReferences": [reference]},
        "spec": {"containers": [{"name": "main", "image": "dm.test/ready:1"}]},
    });
    namespace.apply(&pod.to_string());
}

#[test]
fn pods_of_an_operator_are_named_and_stopped_where_the_settings_say_how() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let values = alone(&json!({"certificate": {"enabled": true}}));
    let hand = Hand::on(&plane, &namespace, "product", &values, "");
    hand.done("create", "pr-1", "1");
    let certificate = || namespace.find("certificates.certificates.test", "pr-1-web").unwrap();
    pod_of(&namespace, &certificate());
    let called = hand.call("delete", "pr-1", "1");
    assert_eq!(called.code, Some(1), "{called:#?}");
    assert!(
        called.cause().starts_with(
            "an operator keeps these running, and DM does not know how to stop it: pod solver of \
                                    certificate pr-1-web"
        ),
        "{called:#?}"
    );
    assert_eq!(namespace.find("deployment", "pr-1-web").unwrap()["spec"]["replicas"], 0, "all the rest was stopped");

    let settings = "[custom.\"certificates.certificates.test\"]\n\
                    archive = '{\"metadata\": {\"annotations\": {\"solver\": \"stopped\"}}}'\n\
                    restore = '{\"metadata\": {\"annotations\": {\"solver\": null}}}'\n";
    let told = Hand::on(&plane, &namespace, "product", &values, settings);
    told.done("delete", "pr-1", "1");
    assert_eq!(certificate()["metadata"]["annotations"]["solver"], "stopped");
    let looked = told.call("archive_check", "pr-1", "1");
    assert!(looked.code == Some(1) && looked.output.contains("pod solver"), "it has not been obeyed yet: {looked:#?}");
    // What its operator would do.
    namespace.by_hand(&["delete", "pod", "solver"]);
    told.until("archive_check", "pr-1", "1");
    told.done("restore", "pr-1", "2");
    let annotations = &certificate()["metadata"]["annotations"];
    assert_eq!((&annotations["solver"], &annotations["dm/archived"]), (&Value::Null, &Value::Null));
    told.until("check", "pr-1", "2");
}

#[test]
fn what_is_beside_the_chart_sleeps_or_is_named() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let hand = Hand::on(&plane, &namespace, "product", &alone(&json!({})), "");
    hand.done("create", "pr-1", "1");
    let labels = json!({"dm/staging": "pr-1"});
    let template = |restart: &str| {
        json!({"metadata": {"labels": {"app": "beside"}}, "spec": {
            "restartPolicy": restart, "containers": [{"name": "main", "image": "dm.test/ready:1"}],
        }})
    };
    let cron = |name: &str, suspend: bool| {
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "labels": labels}, "spec": {
            "schedule": "0 0 1 1 *", "suspend": suspend, "jobTemplate": {"spec": {"template": template("Never")}},
        }})
    };
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "watcher", "labels": labels},
        "spec": {"selector": {"matchLabels": {"app": "beside"}}, "template": template("Always")},
    });
    for object in [cron("night", false), cron("asleep", true), set] {
        namespace.apply(&object.to_string());
    }
    let sleeps = |name: &str| namespace.find("cronjob", name).unwrap()["spec"]["suspend"] == true;
    let before = ["night", "asleep"].map(|name| uid(&namespace.find("cronjob", name).unwrap()).to_owned());
    let called = hand.done("delete", "pr-1", "1");
    assert!(sleeps("night") && sleeps("asleep"));
    assert!(called.output.contains("left alone, because it is not of the chart: daemon set watcher"), "{called:#?}");
    let looked = hand.call("archive_check", "pr-1", "1");
    assert!(looked.code == Some(1) && looked.output.contains("daemon set watcher"), "{looked:#?}");
    hand.done("delete", "pr-1", "1");
    namespace.by_hand(&["delete", "daemonset", "watcher"]);
    hand.until("archive_check", "pr-1", "1");
    let suspend = |suspend: bool| {
        let patch = json!({"spec": {"suspend": suspend}}).to_string();
        namespace.by_hand(&["patch", "cronjob", "night", "--patch", &patch]);
    };
    suspend(false);
    let looked = hand.call("archive_check", "pr-1", "1");
    assert!(looked.code == Some(1) && looked.output.contains("cron job night, which is not suspended"), "{looked:#?}");
    suspend(true);

    hand.done("restore", "pr-1", "1");
    assert!(!sleeps("night") && sleeps("asleep"), "whoever was asleep before is not woken");
    let after = ["night", "asleep"].map(|name| uid(&namespace.find("cronjob", name).unwrap()).to_owned());
    assert_eq!(after, before);
}

#[test]
fn what_a_failed_update_was_to_drop_is_archived_too() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let agent = |enabled: bool, hook: &str| {
        let hook = json!({"enabled": true, "stage": hook, "when": "pre-install,pre-upgrade"});
        alone(&json!({"agent": {"enabled": enabled}, "hook": hook}))
    };
    Hand::on(&plane, &namespace, "product", &agent(true, "done"), "").done("create", "pr-1", "1");
    let hand = Hand::on(&plane, &namespace, "product", &agent(false, "fail"), "");
    assert_eq!(hand.call("update", "pr-1", "2").code, Some(1));
    assert!(namespace.find("daemonset", "pr-1-agent").is_some(), "helm has failed before it removed what is left out");
    hand.done("delete", "pr-1", "2");
    hand.until("archive_check", "pr-1", "2");
    assert!(namespace.find("daemonset", "pr-1-agent").is_none());
}
