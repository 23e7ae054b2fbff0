//! A slow way to the API server, one that refuses, and none.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dm_tests::kubernetes::{Plane, Rules, run};
use dm_tests::proxy::Proxy;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Scene, assert_cannot_tell, last};
use crate::world::Start;

/// With this much on each answer a check takes its time, and has its answer.
const BIT: Duration = Duration::from_millis(150);
/// With this much it is out of time.
const MUCH: Duration = Duration::from_millis(1_500);

/// A kubeconfig by which somebody goes through a proxy, and the proxy.
fn by_way_of(runtime: &Runtime, kubeconfig: &Path, plane: &Plane) -> (Proxy, PathBuf) {
    let view = ["config", "view", "--raw", "--flatten", "--minify", "-o", "json"];
    let mut config: Value = serde_json::from_str(&run(plane.with(kubeconfig).kubectl().args(view))).unwrap();
    let cluster = &mut config["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().unwrap().trim_start_matches("https://").trim_end_matches('/').to_owned();
    let server = if server.contains(':') { server } else { format!("{server}:443") };
    let address: SocketAddr = server.to_socket_addrs().unwrap().next().unwrap();
    let proxy = runtime.block_on(Proxy::tcp(address));
    cluster["server"] = format!("https://{}", proxy.address()).into();
    cluster["tls-server-name"] = server.rsplit_once(':').unwrap().0.into();
    let path = kubeconfig.with_file_name("by-proxy");
    fs::write(&path, config.to_string()).unwrap();
    (proxy, path)
}

#[test]
fn a_slow_link_and_rights_that_are_taken_away_flip_nothing() {
    let plane = Plane::shared();
    let runtime = Runtime::new().unwrap();
    let start = Start::on(&plane);
    let all =
        Rules { role: vec![json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})], cluster_role: Vec::new() };
    let (proxy, kubeconfig) = by_way_of(&runtime, &start.namespace().user("dm", &all), &plane);
    let scene = Scene::begin(&plane, start.kubeconfig(kubeconfig.clone()));
    let hand = scene.hand.clone().by(kubeconfig);

    proxy.delay_answers(BIT);
    let called = hand.call("check", "steady", "1.0.0");
    assert!(called.code == Some(0) && called.took >= BIT * 3, "{called:?}");
    proxy.delay_answers(MUCH);
    let began = Instant::now();
    assert_cannot_tell(&hand, &["the API server does not answer in time", "the API server cannot be reached"]);
    scene.until_unreadable();
    last(began);
    proxy.heal();
    scene.assert_only_unreadable(1);

    let binding = ["rolebinding", "dm", "-o", "json"];
    let rights = run(scene.world.namespace.kubectl().arg("get").args(binding));
    run(scene.world.namespace.kubectl().args(["delete", "rolebinding", "dm"]));
    assert_cannot_tell(&hand, &["a right is missing"]);
    scene.until_unreadable();
    let mut rights: Value = serde_json::from_str(&rights).unwrap();
    rights["metadata"] = json!({"name": "dm"});
    scene.world.namespace.apply(&rights.to_string());
    scene.assert_only_unreadable(2);

    let nowhere = hand.by("/nowhere/kubeconfig");
    assert_cannot_tell(&nowhere, &["KUBECONFIG names no file that is there: /nowhere/kubeconfig"]);
}
