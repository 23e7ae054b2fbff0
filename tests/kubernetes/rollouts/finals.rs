//! What waiting does not mend: the run ends at once, and its cause is what pod and cluster say.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use dm_tests::kubernetes::{Plane, Reclaim};

use super::{AT_ONCE, LEAN, finished, holds, is_done, is_failure, pods, since, time};
use crate::world::{Start, World};

/// Little is left in this namespace: more than 10 CPUs are beyond its quota, and more than 50 beyond its rules.
const LIMITS: &str = r"
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ResourceQuota
  metadata: {name: few}
  spec: {hard: {requests.cpu: '10'}}
- apiVersion: v1
  kind: LimitRange
  metadata: {name: small}
  spec: {limits: [{type: Container, default: {cpu: 10m}, defaultRequest: {cpu: 10m}, max: {cpu: '50'}}]}
";

/// A roll-out that cannot succeed.
struct Case {
    name: &'static str,
    overrides: &'static [&'static str],
    /// What its cause says.
    says: &'static [&'static str],
    /// When the cluster knew, seen from after its end.
    known: fn(&World, &str) -> DateTime<Utc>,
}

const CASES: [Case; 9] = [
    Case {
        name: "missing",
        overrides: &["web.stage=missing"],
        says: &[
            "deployment missing-web: pod missing-web-",
            ", container web: ",
            "ImagePull",
            "dm.test/missing:1",
            "not found",
        ],
        known: pod_was_not_ready,
    },
    Case {
        name: "denied",
        overrides: &["web.stage=denied"],
        says: &["pod denied-web-", ", container web: ", "pull access denied"],
        known: pod_was_not_ready,
    },
    Case {
        name: "invalid",
        overrides: &["web.stage=invalid"],
        says: &["pod invalid-web-", ", container web: InvalidImageName: ", "invalid reference format"],
        known: pod_was_not_ready,
    },
    Case {
        name: "crash",
        overrides: &["web.stage=crash"],
        says: &[
            "deployment crash-web: pod crash-web-",
            ", container web: CrashLoopBackOff: restarted ",
            " times, exit code 1; its last lines:\n",
            "cannot open database: connection refused\ngiving up after 3 tries",
        ],
        known: third_restart,
    },
    Case {
        name: "job",
        overrides: &["job.enabled=true", "job.stage=fail"],
        says: &[
            "job job-once: BackoffLimitExceeded: ",
            "pod job-once-",
            ", container once: Error: exit code 1; its last lines:\n",
            "cannot open database: connection refused",
        ],
        known: |world, name| since(&world.namespace.find("job", &format!("{name}-once")).unwrap(), "Failed"),
    },
    Case {
        name: "hook",
        overrides: &["hook.enabled=true", "hook.stage=fail"],
        says: &[
            "hook job hook-migrate: BackoffLimitExceeded: ",
            "pod hook-migrate-",
            ", container migrate: Error: exit code 1; its last lines:\n",
            "cannot open database: connection refused",
        ],
        known: |world, name| since(&world.namespace.find("job", &format!("{name}-migrate")).unwrap(), "Failed"),
    },
    Case {
        name: "quota",
        overrides: &[r#"web.resources:={"requests":{"cpu":"20"},"limits":{"cpu":"20"}}"#],
        says: &["deployment quota-web: FailedCreate: ", "exceeded quota: few, requested: requests.cpu=20"],
        known: deployment_was_refused,
    },
    Case {
        name: "rule",
        overrides: &[r#"web.resources:={"requests":{"cpu":"60"},"limits":{"cpu":"60"}}"#],
        says: &["deployment rule-web: FailedCreate: ", "maximum cpu usage per Container is 50, but limit is 60"],
        known: deployment_was_refused,
    },
    Case {
        name: "set",
        overrides: &[
            "web.enabled=false",
            "db.enabled=true",
            r#"db.resources:={"requests":{"cpu":"20"},"limits":{"cpu":"20"}}"#,
        ],
        says: &["stateful set set-db: FailedCreate: ", "exceeded quota: few, requested: requests.cpu=20"],
        known: |world, _| {
            let events = world.namespace.get("events", "");
            let refused = |event: &&serde_json::Value| {
                event["reason"] == "FailedCreate" && event["involvedObject"]["kind"] == "StatefulSet"
            };
            time(&events.iter().find(refused).expect("an event tells of it")["firstTimestamp"])
        },
    },
];

#[test]
fn what_waiting_does_not_mend_ends_the_run_at_once_with_its_cause() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    start.namespace().apply(LIMITS);
    start.namespace().volume("data-set-db-0", "1Gi", Reclaim::Delete);
    let world = start.start();
    // Two at a time: more would measure how busy this machine is.
    let cases = std::sync::Mutex::new(CASES.iter());
    let judge = || {
        while let Some(case) = { cases.lock().unwrap().next() } {
            let overrides = [&LEAN, case.overrides].concat();
            let cause = is_failure(&world, "create", case.name, "1", &overrides, "run_failed");
            holds(&cause, case.says);
            let took = finished(&world, case.name) - (case.known)(&world, case.name);
            eprintln!("{}: {} ms after the cluster knew", case.name, took.num_milliseconds());
            assert!(took.to_std().is_ok_and(|took| took <= AT_ONCE), "{}: {took}", case.name);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(judge);
        }
    });
}

#[test]
fn what_refuses_the_pods_of_an_update_ends_it_though_that_of_before_serves() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    start.namespace().apply(LIMITS);
    let world = start.start();
    let cpus = |cpus: u32| format!(r#"web.resources:={{"requests":{{"cpu":"{cpus}"}},"limits":{{"cpu":"{cpus}"}}}}"#);
    // A pod of before might make room in a quota, so that has to last.
    let lasts = Duration::from_secs(30);
    for (name, asked, says, within) in [
        ("rule", 60, "maximum cpu usage per Container is 50, but limit is 60", Duration::ZERO..=AT_ONCE),
        (
            "quota",
            7,
            "exceeded quota: few, requested: requests.cpu=7, used: requests.cpu=8",
            lasts..=lasts + 2 * AT_ONCE,
        ),
    ] {
        is_done(&world, "create", name, "1", &[&LEAN[..], &[&cpus(4)]].concat());
        let cause = is_failure(&world, "update", name, "2", &[&LEAN[..], &[&cpus(asked)]].concat(), "run_failed");
        holds(&cause, &[&format!("deployment {name}-web: FailedCreate: "), says]);
        let took = finished(&world, name) - deployment_was_refused(&world, name);
        eprintln!("{name}: {} ms after the cluster knew", took.num_milliseconds());
        assert!(took.to_std().is_ok_and(|took| within.contains(&took)), "{name}: {took}");
        let web = world.namespace.find("deployment", &format!("{name}-web")).unwrap();
        assert_eq!(web["status"]["readyReplicas"], 1, "{web}");
    }
}

fn pod_was_not_ready(world: &World, name: &str) -> DateTime<Utc> {
    since(&pods(world, name, "web")[0], "Ready")
}

fn deployment_was_refused(world: &World, name: &str) -> DateTime<Utc> {
    since(&world.namespace.find("deployment", &format!("{name}-web")).unwrap(), "ReplicaFailure")
}

/// Since then it may have been restarted more often, each time after half a second of running and two of waiting.
fn third_restart(world: &World, name: &str) -> DateTime<Utc> {
    let pod = &pods(world, name, "web")[0];
    let status = &pod["status"]["containerStatuses"][0];
    let later = i32::try_from(status["restartCount"].as_i64().unwrap() - 3).unwrap();
    time(&status["lastState"]["terminated"]["finishedAt"]) - TimeDelta::milliseconds(2500) * later
}
