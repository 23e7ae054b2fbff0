//! What others have made stays, whatever it is called and whatever it is near to.

use dm_tests::kubernetes::Plane;
use serde_json::{Value, json};

use super::seen::{Seen, uid};
use crate::hand::Hand;

/// Cleanups here do not wait for what somebody holds.
const SOON: &str = "[limits]\nremoval = 1\n";

fn ingress(name: &str, secret: &str, labels: &Value) -> String {
    let backend = json!({"service": {"name": "any", "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "labels": labels},
        "spec": {"defaultBackend": backend, "tls": [{"hosts": ["a.staging.test"], "secretName": secret}]},
    })
    .to_string()
}

fn secret(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"tls.crt": "x"}})
        .to_string()
}

#[test]
fn a_cleanup_leaves_secrets_that_others_need_and_objects_that_others_made_since() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let off = json!({"enabled": false});
    let values = json!({
        "db": off, "files": off, "hook": off, "cron": off, "agent": off, "certificate": {"enabled": true},
    });
    let hand = Hand::on(&plane, &namespace, "product", &values, SOON);
    for name in ["pr-1", "pr-10"] {
        hand.done("create", name, "1");
        namespace.apply(&secret(&format!("{name}-tls")));
    }
    // Two of pr-1 name Secrets of others: of its neighbour, and of nobody that DM knows.
    namespace.apply(&ingress("pr-1-more", "pr-10-tls", &json!({"dm/staging": "pr-1"})));
    namespace.apply(&secret("everybody"));
    namespace.apply(&ingress("pr-1-last", "everybody", &json!({"dm/staging": "pr-1"})));
    namespace.apply(&ingress("somebody", "everybody", &json!({})));
    let hold = |finalizers: Value| {
        let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
        namespace.by_hand(&["patch", "service", "pr-1-web", "--type=merge", "--patch", &patch]);
    };
    hold(json!(["dm.test/hold"]));
    let called = hand.call("cleanup", "pr-1", "1");
    assert_eq!(called.code, Some(1), "{called:#?}");
    assert!(called.cause().contains("service pr-1-web is held by dm.test/hold"), "{called:#?}");

    // The list was written, and all but one of it has gone: now somebody else takes the names.
    assert_eq!(namespace.find("configmap", "pr-1-config"), None);
    let theirs =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pr-1-config"}, "data": {"a": "b"}});
    namespace.apply(&theirs.to_string());
    namespace.apply(&secret("pr-1-tls"));
    let made = |kind: &str, name: &str| uid(&namespace.find(kind, name).expect(name)).to_owned();
    let strangers = || {
        [("configmap", "pr-1-config"), ("secret", "pr-1-tls"), ("secret", "everybody"), ("ingress", "somebody")]
            .map(|(kind, name)| made(kind, name))
    };
    let before = strangers();
    hold(Value::Null);
    let called = hand.done("cleanup", "pr-1", "1");
    assert!(called.output.contains("going on with a cleanup that was interrupted"), "{called:#?}");
    assert_eq!(strangers(), before);
    let mut left = Seen::of(&plane, namespace.name()).left();
    left.retain(|line| !line.contains("pr-10"));
    left.sort();
    assert_eq!(left, ["ConfigMap pr-1-config", "Ingress somebody", "Secret everybody", "Secret pr-1-tls"]);
    made("secret", "pr-10-tls");
    hand.done("check", "pr-10", "1");
}
