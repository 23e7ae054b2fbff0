//! The charts are installed by the real helm, and become what they say.

use std::time::{Duration, Instant};

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Namespace, Plane, Reclaim, chart, run};
use serde_json::Value;

use super::SOON;

fn install(namespace: &Namespace, name: &str, chart_name: &str, sets: &[&str]) {
    let mut helm = namespace.helm();
    helm.args(["upgrade", "--install", name]).arg(chart(chart_name));
    helm.args(["--server-side=true", "--force-conflicts", "--timeout=60s"]);
    for set in sets {
        helm.args(["--set", set]);
    }
    run(&mut helm);
}

fn replicas(namespace: &Namespace, kind: &str, name: &str) -> Option<(Value, Value)> {
    let found = namespace.find(kind, name)?;
    Some((found["spec"]["replicas"].clone(), found["status"]["readyReplicas"].clone()))
}

#[test]
fn everything_of_a_product_becomes_ready_in_seconds() {
    let namespace = Plane::shared().namespace();
    namespace.volume("data-pr-1-db-0", "1Gi", Reclaim::Delete);
    namespace.volume("pr-1-files", "2Gi", Reclaim::Retain);
    let began = Instant::now();
    install(&namespace, "pr-1", "product", &["certificate.enabled=true", "web.sidecar=ready", "web.init=done"]);
    let ready = |kind: &str, name: &str, count: u64| {
        eventually_blocking(name, SOON, || {
            (replicas(&namespace, kind, name)? == (count.into(), count.into())).then_some(())
        });
    };
    ready("deployment", "pr-1-web", 2);
    ready("statefulset", "pr-1-db", 1);
    eventually_blocking("an agent on each node", SOON, || {
        (namespace.find("daemonset", "pr-1-agent")?["status"]["numberReady"] == 2).then_some(())
    });
    let took = began.elapsed();
    eprintln!("helm and everything ready: {took:?}");
    assert!(took < Duration::from_secs(30), "it took {took:?}");
    for kind in [
        "cronjob/pr-1-cron",
        "ingress/pr-1-web",
        "service/pr-1-web",
        "configmap/pr-1-config",
        "certificate/pr-1-web",
        "pvc/pr-1-files",
        "pvc/data-pr-1-db-0",
        "job/pr-1-migrate",
    ] {
        let (kind, name) = kind.split_once('/').unwrap();
        let found = namespace.find(kind, name).unwrap_or_else(|| panic!("{kind} {name} is there"));
        let labels = &found["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/instance"], "pr-1", "{kind}");
        assert_eq!(labels["app.kubernetes.io/name"], "product", "{kind}");
    }
    let web = namespace.get("pods", "app.kubernetes.io/component=web");
    assert_eq!(web[0]["spec"]["containers"].as_array().map(Vec::len), Some(2));
    assert_eq!(web[0]["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
}

#[test]
fn values_reach_the_pods_as_they_are() {
    let namespace = Plane::shared().namespace();
    let values = namespace.folder().join("values.json");
    std::fs::write(
        &values,
        r#"{"image": {"tag": "58467965"}, "files": {"enabled": false}, "db": {"enabled": false}, "hpa": {"enabled": true},
            "env": {"greeting": " a \"b\" $c\n", "workers": 3, "debug": true, "limits": {"deep": 58467965}}}"#,
    )
    .unwrap();
    let mut helm = namespace.helm();
    run(helm.args(["upgrade", "--install", "x"]).arg(chart("product")).arg("--values").arg(&values));
    let web = namespace.find("deployment", "x-web").unwrap();
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "dm.test/ready:58467965");
    let variable = |name: &str| {
        container["env"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["name"] == name)
            .map(|entry| entry["value"].clone())
    };
    assert_eq!(variable("greeting"), Some(" a \"b\" $c\n".into()));
    assert_eq!(variable("workers"), Some("3".into()));
    assert_eq!(variable("debug"), Some("true".into()));
    assert_eq!(variable("limits_deep"), Some("58467965".into()));
    assert_eq!(variable("features"), Some("[\"search\",\"export\"]".into()));
    assert_eq!(variable("motto"), None);
    eventually_blocking("the autoscaler sets what the chart does not", SOON, || {
        (replicas(&namespace, "deployment", "x-web")? == (2.into(), 2.into())).then_some(())
    });
}

#[test]
fn a_hook_that_fails_fails_the_release() {
    let namespace = Plane::shared().namespace();
    let mut helm = namespace.helm();
    helm.args(["upgrade", "--install", "x"]).arg(chart("product")).args(["--timeout=60s", "--set"]);
    helm.arg("hook.stage=fail,hook.when=pre-install,files.enabled=false,db.enabled=false");
    let output = helm.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("x-migrate"), "{said}");
    assert!(namespace.find("deployment", "x-web").is_none(), "it came before everything else");
}

#[test]
fn the_small_chart_is_one_pod() {
    let namespace = Plane::shared().namespace();
    install(&namespace, "s", "small", &["image.tag=2"]);
    eventually_blocking("it is ready", SOON, || {
        (replicas(&namespace, "deployment", "s-web")? == (1.into(), 1.into())).then_some(())
    });
    assert_eq!(
        namespace.get("pods", "app.kubernetes.io/instance=s")[0]["spec"]["containers"][0]["image"],
        "dm.test/ready:2"
    );
}
