//! Numbers of replicas come back as they were, and claims are there still.

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Namespace, Plane, Reclaim};
use serde_json::{Value, json};

use super::seen::uid;
use crate::hand::Hand;
use crate::world::SEEN;

/// The product without what is not asked about.
fn only(more: &Value) -> Value {
    let off = json!({"enabled": false});
    let mut values = json!({"db": off, "files": off, "hook": off, "cron": off, "agent": off, "ingress": off, "web": {"replicas": 2}});
    for (key, value) in more.as_object().into_iter().flatten() {
        values[key] = value.clone();
    }
    values
}

/// What it is asked for and what is ready, as soon as these are the same.
fn settles_at(namespace: &Namespace, kind: &str, name: &str) -> i64 {
    eventually_blocking("as many are ready as are wanted", SEEN, || {
        let found = namespace.find(kind, name)?;
        let wanted = found["spec"]["replicas"].as_i64()?;
        (found["status"]["readyReplicas"].as_i64().unwrap_or(0) == wanted).then_some(wanted)
    })
}

fn archived(hand: &Hand, namespace: &Namespace) -> (Value, Value) {
    hand.done("delete", "pr-1", "1");
    hand.until("archive_check", "pr-1", "1");
    let web = namespace.find("deployment", "pr-1-web").unwrap();
    (web["spec"]["replicas"].clone(), web["metadata"]["annotations"]["dm/replicas"].clone())
}

#[test]
fn what_was_scaled_by_hand_comes_back_unless_the_chart_asks_for_another_number() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let hand = Hand::on(&plane, &namespace, "product", &only(&json!({})), "");
    let web = |what: &str, number| assert_eq!(settles_at(&namespace, "deployment", "pr-1-web"), number, "{what}");
    hand.done("create", "pr-1", "1");
    namespace.scale("pr-1-web", 4);
    assert_eq!(archived(&hand, &namespace), (json!(0), json!("4")));
    // A second delete finds 0 and must not write that down.
    assert_eq!(archived(&hand, &namespace), (json!(0), json!("4")));
    let check = hand.call("check", "pr-1", "1");
    assert!(check.code == Some(1) && check.output.contains("deployment pr-1-web is archived (it had 4)"), "{check:?}");
    hand.done("restore", "pr-1", "2");
    web("the number of before, not that of the chart", 4);
    hand.done("restore", "pr-1", "2");
    hand.until("check", "pr-1", "2");
    let forgotten = namespace.find("deployment", "pr-1-web").unwrap()["metadata"]["annotations"]["dm/replicas"].clone();
    assert_eq!(forgotten, Value::Null);

    namespace.scale("pr-1-web", 4);
    archived(&hand, &namespace);
    let other = Hand::on(&plane, &namespace, "product", &only(&json!({"web": {"replicas": 3}})), "");
    other.done("restore", "pr-1", "2");
    web("the chart asks for another number now", 3);
}

#[test]
fn an_autoscaler_begins_where_it_was() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let hand = Hand::on(&plane, &namespace, "product", &only(&json!({"hpa": {"enabled": true}})), "");
    hand.done("create", "pr-1", "1");
    namespace.scale("pr-1-web", 4);
    assert_eq!(archived(&hand, &namespace), (json!(0), json!("4")));
    assert_eq!(namespace.get("hpa", ""), Vec::<Value>::new(), "it would not let them rest");
    hand.done("restore", "pr-1", "2");
    assert_eq!(settles_at(&namespace, "deployment", "pr-1-web"), 4);
    assert_eq!(namespace.get("hpa", "dm/staging=pr-1").len(), 1);
    hand.until("check", "pr-1", "2");
}

#[test]
fn a_set_that_gives_its_claims_away_keeps_them_while_it_is_archived() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    for ordinal in 0..2 {
        namespace.volume(&format!("data-pr-1-db-{ordinal}"), "1Gi", Reclaim::Delete);
    }
    let db = json!({"enabled": true, "replicas": 2, "whenScaled": "Delete"});
    let hand = Hand::on(&plane, &namespace, "product", &only(&json!({"db": db})), "");
    let claims = || -> Vec<String> { namespace.get("pvc", "").iter().map(|claim| uid(claim).to_owned()).collect() };
    let when_scaled = || {
        namespace.find("statefulset", "pr-1-db").unwrap()["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"]
            .clone()
    };
    hand.done("create", "pr-1", "1");
    assert_eq!(settles_at(&namespace, "statefulset", "pr-1-db"), 2);
    let before = claims();
    assert_eq!((before.len(), when_scaled()), (2, json!("Delete")));
    archived(&hand, &namespace);
    assert_eq!((claims(), when_scaled()), (before.clone(), json!("Retain")));
    hand.done("restore", "pr-1", "2");
    assert_eq!(settles_at(&namespace, "statefulset", "pr-1-db"), 2);
    assert_eq!((claims(), when_scaled()), (before.clone(), json!("Delete")));

    // The chart asks for fewer now: the other was asleep, and nobody has scaled it down since.
    archived(&hand, &namespace);
    let db = json!({"enabled": true, "replicas": 1, "whenScaled": "Delete"});
    Hand::on(&plane, &namespace, "product", &only(&json!({"db": db})), "").done("restore", "pr-1", "2");
    assert_eq!(settles_at(&namespace, "statefulset", "pr-1-db"), 1);
    assert_eq!(claims(), before);
}

#[test]
fn a_volume_that_its_storage_cannot_delete_is_waited_for_and_named_with_the_reason() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let volume = namespace.volume("pr-1-files", "2Gi", Reclaim::Fail);
    let hand = Hand::on(&plane, &namespace, "product", &only(&json!({"files": {"enabled": true}})), "");
    hand.done("create", "pr-1", "1");
    archived(&hand, &namespace);
    let hurried = hand.clone().variable("DM_WRAPPER_LIMITS__REMOVAL", "5");
    let called = hurried.call("cleanup", "pr-1", "1");
    assert!(called.code == Some(1) && called.has_step(&format!("waiting for volume {volume} to go")), "{called:#?}");
    let words = format!("volume {volume} is to be deleted by its storage, and is still there: host_path deleter only");
    assert!(called.cause().contains(&words), "{called:#?}");
    // What its storage cannot do, somebody does.
    namespace.by_hand(&["delete", "persistentvolume", &volume]);
    let called = hand.done("cleanup", "pr-1", "1");
    assert!(called.has_step("nothing of pr-1 is left"), "{called:#?}");
}
