//! Every stage does what its name says, as the API tells it.

use chrono::{DateTime, Utc};
use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Namespace, Plane, run};
use serde_json::Value;

use super::{SOON, condition, container, deploy, is_ready, job, pod};

fn waiting<'a>(pod: &'a Value, name: &str) -> &'a Value {
    &container(pod, name)["state"]["waiting"]
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().expect("a time").parse().expect("a time")
}

#[test]
fn a_pod_is_ready_whatever_its_tag() {
    let namespace = Plane::shared().namespace();
    for (name, image) in [("a", "dm.test/ready:1e10"), ("b", "dm.test/ready"), ("c", "nginx:1.29")] {
        deploy(&namespace, name, &[("main", image)]);
        let pod = pod(&namespace, name, "a pod is ready", is_ready);
        assert_eq!(container(&pod, "main")["ready"], true);
        assert_eq!(pod["status"]["phase"], "Running");
    }
    eventually_blocking("the Deployment counts it", SOON, || {
        (namespace.find("deployment", "a")?["status"]["availableReplicas"] == 1).then_some(())
    });
}

#[test]
fn a_slow_pod_runs_and_is_ready_five_seconds_later() {
    let namespace = Plane::shared().namespace();
    deploy(&namespace, "slow", &[("main", "dm.test/slow:1")]);
    pod(&namespace, "slow", "it runs and is not ready", |pod| pod["status"]["phase"] == "Running" && !is_ready(pod));
    let ready = pod(&namespace, "slow", "it is ready", is_ready);
    let took = time(&condition(&ready, "Ready")["lastTransitionTime"]) - time(&ready["status"]["startTime"]);
    assert!((4..20).contains(&took.num_seconds()), "it was ready after {took}");
}

#[test]
fn a_pod_that_is_never_ready_runs_beside_its_sidecar() {
    let namespace = Plane::shared().namespace();
    deploy(&namespace, "never", &[("main", "dm.test/never:1"), ("side", "dm.test/ready:1")]);
    // Longer than a slow one would take.
    let began = std::time::Instant::now();
    let seen = pod(&namespace, "never", "it runs for a while", |pod| {
        assert!(!is_ready(pod), "it is ready: {pod}");
        pod["status"]["phase"] == "Running" && began.elapsed().as_secs() > 8
    });
    assert_eq!((&container(&seen, "main")["ready"], &container(&seen, "side")["ready"]), (&false.into(), &true.into()));
}

#[test]
fn an_image_that_cannot_be_pulled_says_why() {
    let namespace = Plane::shared().namespace();
    let causes = [
        ("missing", "not found"),
        ("denied", "pull access denied"),
        ("unreachable", "dial tcp 192.0.2.1:443: i/o timeout"),
    ];
    for (stage, _) in causes {
        deploy(&namespace, stage, &[("main", &format!("dm.test/{stage}:7")), ("side", "dm.test/ready:7")]);
    }
    for (stage, cause) in causes {
        // In turn: a second time after the other.
        for reason in ["ErrImagePull", "ImagePullBackOff", "ErrImagePull"] {
            let seen = pod(&namespace, stage, reason, |pod| waiting(pod, "main")["reason"] == reason);
            let message = waiting(&seen, "main")["message"].as_str().expect("a message").to_owned();
            assert!(message.contains(cause) && message.contains(&format!("dm.test/{stage}:7")), "{message}");
            assert_eq!(message.contains("not found"), stage == "missing", "{message}");
            assert_eq!(seen["status"]["phase"], "Pending");
            assert_eq!(container(&seen, "side")["ready"], true, "each container has its own status");
        }
    }
}

#[test]
fn an_invalid_name_of_an_image_is_told() {
    let namespace = Plane::shared().namespace();
    deploy(&namespace, "invalid", &[("main", "dm.test/invalid:1")]);
    let seen = pod(&namespace, "invalid", "it waits", |pod| waiting(pod, "main")["reason"] == "InvalidImageName");
    assert!(waiting(&seen, "main")["message"].as_str().expect("a message").contains("invalid reference format"));
}

#[test]
fn a_crash_loop_counts_its_restarts() {
    let namespace = Plane::shared().namespace();
    deploy(&namespace, "crash", &[("side", "dm.test/ready:1"), ("main", "dm.test/crash:1")]);
    let restarts = |pod: &Value| container(pod, "main")["restartCount"].as_u64().unwrap_or_default();
    let is_loop = |pod: &Value| waiting(pod, "main")["reason"] == "CrashLoopBackOff";
    let first = pod(&namespace, "crash", "it loops", is_loop);
    let later = pod(&namespace, "crash", "it loops on", |pod| is_loop(pod) && restarts(pod) > restarts(&first) + 1);
    let last = &container(&later, "main")["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&1.into(), &"Error".into()));
    assert_eq!(container(&later, "side")["restartCount"], 0);
    assert!(!is_ready(&later));
    pod(&namespace, "crash", "it runs in between", |pod| container(pod, "main")["state"]["running"].is_object());
}

#[test]
fn jobs_complete_fail_or_go_on() {
    let namespace = Plane::shared().namespace();
    for stage in ["done", "fail", "long"] {
        job(&namespace, stage, &format!("dm.test/{stage}:1"));
    }
    let ended = |name: &str, kind: &str| {
        eventually_blocking("the job ends", SOON, || {
            (condition(&namespace.find("job", name)?, kind)["status"] == "True").then_some(())
        });
    };
    ended("done", "Complete");
    ended("fail", "Failed");
    let failed = pod(&namespace, "fail", "its pod has failed", |pod| pod["status"]["phase"] == "Failed");
    assert_eq!(container(&failed, "main")["state"]["terminated"]["exitCode"], 1);
    let long = namespace.find("job", "long").expect("the job is there");
    assert_eq!((&long["status"]["active"], condition(&long, "Complete")), (&1.into(), &Value::Null));
}

#[test]
fn what_is_deleted_goes_soon_and_what_lingers_later() {
    let namespace = Plane::shared().namespace();
    for stage in ["ready", "lingers", "crash", "missing"] {
        deploy(&namespace, stage, &[("main", &format!("dm.test/{stage}:1"))]);
    }
    for stage in ["ready", "lingers"] {
        pod(&namespace, stage, "it is ready", is_ready);
    }
    namespace.by_hand(&["delete", "deployment", "--all"]);
    let began = std::time::Instant::now();
    let gone = |stage: &str| {
        eventually_blocking("it is gone", SOON, || {
            namespace.get("pods", &format!("app={stage}")).is_empty().then_some(())
        });
    };
    for stage in ["ready", "crash", "missing"] {
        gone(stage);
    }
    pod(&namespace, "lingers", "it is about to go", |pod| pod["metadata"]["deletionTimestamp"].is_string());
    gone("lingers");
    assert!(began.elapsed().as_secs() >= 6, "it lingered for {:?}", began.elapsed());
}

#[test]
fn logs_are_read_now_and_of_the_run_before() {
    let namespace = Plane::shared().namespace();
    deploy(&namespace, "crash", &[("main", "dm.test/crash:1"), ("side", "dm.test/ready:1")]);
    pod(&namespace, "crash", "it loops", |pod| waiting(pod, "main")["reason"] == "CrashLoopBackOff");
    let logs = |namespace: &Namespace, arguments: &[&str]| run(namespace.kubectl().arg("logs").args(arguments));
    assert_eq!(
        logs(&namespace, &["deploy/crash", "-c", "side", "--tail=1"]),
        "cannot open database: connection refused\n"
    );
    let before = logs(&namespace, &["deploy/crash", "-c", "main", "--previous", "--tail=2"]);
    assert_eq!(before, "cannot open database: connection refused\ngiving up after 3 tries\n");
}
