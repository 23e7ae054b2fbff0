//! Whoever cannot look does not refuse: without an answer of the cluster, nothing is accepted, and nothing is called wrong.

use std::fs;
use std::net::TcpListener;

use dm_tests::kubernetes::{Plane, Rules};
use serde_json::json;

use super::LEAN;
use crate::world::Start;

#[test]
fn no_answer_is_no_refusal() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    let read_only = Rules {
        role: vec![json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]})],
        ..Rules::default()
    };
    let person = start.namespace().user("reader", &read_only);
    let kubeconfig = start.namespace().folder().join("kubeconfig");
    let admin = fs::read_to_string(plane.kubeconfig()).expect("it is there");
    fs::write(&kubeconfig, &admin).expect("the folder is ours");
    let world = start.kubeconfig(kubeconfig.clone()).start();
    let arguments = [&["create", "web", "--tag=1"], &LEAN[..]].concat();

    // Nobody listens where somebody has just stopped to.
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it listens");
    let nobody = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "none",
        "clusters": [{"name": "none", "cluster": {"server": format!("https://{closed}")}}],
        "users": [{"name": "none", "user": {}}],
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    });
    for (config, says) in [
        (nobody.to_string(), &["the API server cannot be reached"][..]),
        (fs::read_to_string(person).expect("it is there"), &["a right is missing", "patch"]),
    ] {
        fs::write(&kubeconfig, config).expect("the folder is ours");
        let ended = world.dmc(&[&arguments[..], &["-y", "--wait", "--timeout=1s"]].concat());
        eprintln!("{}", ended.stderr.trim_end());
        // It is asked again as long as it may wait.
        assert!(ended.code == 6 && ended.stderr.contains("config_check: exited with 4: "), "{ended:?}");
        for word in says {
            assert!(ended.stderr.contains(word), "{word} is not in {ended:?}");
        }
        assert!(!ended.stderr.contains("refuse"), "{ended:?}");
        assert_eq!(world.dmc(&["history", "web"]).code, 7, "the log knows nothing of it");
    }
    fs::write(&kubeconfig, admin).expect("the folder is ours");
    world.done(&arguments);
}
