//! Each right is taken away alone, and a life is led without it until something names it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Namespace, Plane, Reclaim, Rules};
use serde_json::{Value, json};

use super::right::Right;
use super::rules;
use crate::hand::Hand;
use crate::life::own_namespaces::Removed;
use crate::world::SEEN;

/// Nothing here is waited for: the question is what the API server says.
const LIMITS: &str = "[limits]\nfollow = 0\nwake = 0\nremoval = 5\nrestarts = 1\n";

/// What is done, in which the right has to be missed.
struct Steps {
    /// Verbs, each with values for the chart.
    verbs: Vec<(&'static str, Value)>,
    settings: String,
}

fn off(more: &Value) -> Value {
    let off = json!({"enabled": false});
    let mut values = json!({
        "web": off, "db": off, "files": off, "hook": off, "cron": off, "agent": off, "ingress": off,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        values[key] = value.clone();
    }
    values
}

impl Steps {
    /// Whatever ends well. Only a few rights are for what goes wrong.
    fn to(right: &Right) -> Self {
        // Only a job is worth waiting for a hook.
        let everything = json!({
            "hpa": {"enabled": true}, "certificate": {"enabled": true}, "db": {"whenScaled": "Delete"},
            "hook": {"enabled": right.resource == "jobs"},
        });
        let (verbs, mut settings) = match (right.resource.as_str(), right.verb.as_str()) {
            // A container that ends again and again, whose log is the cause.
            ("pods", "get") | ("pods/log", _) => {
                (vec![("create", off(&json!({"web": {"enabled": true, "stage": "crash", "replicas": 1}})))], waiting())
            }
            // A pod that never starts, for which its set waits.
            ("pods", "delete") => {
                let db = |stage| off(&json!({"db": {"enabled": true, "stage": stage}}));
                (vec![("create", db("missing")), ("update", db("ready"))], waiting())
            }
            // Pods that a quota refuses.
            ("events", _) => (vec![("create", off(&json!({"agent": {"enabled": true}})))], waiting()),
            _ => (life(right).map(|verb| (verb, everything.clone())).to_vec(), LIMITS.to_owned()),
        };
        let own = matches!(right.resource.as_str(), "namespaces" | "persistentvolumes");
        if own {
            settings.insert_str(0, "namespace = \"{namespace}-{name}\"\n");
            settings.push_str("[cleanup]\nretained_volumes = true\n");
        }
        Self { verbs, settings }
    }
}

/// Every verb that there is, the one first that is likely to miss the right: that saves most of the time.
fn life(right: &Right) -> [&'static str; 8] {
    let next = match (right.resource.as_str(), right.verb.as_str()) {
        (resource, _) if resource.ends_with("/scale") => "delete",
        ("services" | "ingresses", "list") => "info",
        ("persistentvolumeclaims" | "certificates", "list") | (_, "delete") => "cleanup",
        _ => "check",
    };
    let mut verbs = ["create", "check", "info", "config_check", "delete", "archive_check", "cleanup", "restore"];
    let at = verbs.iter().position(|verb| *verb == next).expect("it is one of them");
    verbs[1..=at].rotate_right(1);
    verbs
}

/// What goes wrong is seen only by who waits for it.
fn waiting() -> String {
    LIMITS.replace("follow = 0", "follow = 60")
}

/// Leads a life without a right. Why it is not needed or not named, if so.
fn lead(plane: &Plane, right: &Right) -> Result<(), String> {
    let Rules { role, cluster_role } = rules();
    let own = Right::all(&cluster_role).contains(right);
    let mut rights = Right::all(&role);
    if own {
        rights.extend(Right::all(&cluster_role));
    }
    let namespace = plane.namespace();
    let home = if own { format!("{}-pr-1", namespace.name()) } else { namespace.name().to_owned() };
    let _removed = own.then(|| Removed(plane, vec![home.clone()]));
    namespace.volume_in(&home, "data-pr-1-db-0", "1Gi", Reclaim::Delete);
    namespace.volume_in(&home, "pr-1-files", "2Gi", Reclaim::Retain);
    if right.resource == "events" {
        quota(&namespace);
    }
    let rules = Right::rules(&rights, right);
    let rules = if own {
        Rules { role: Vec::new(), cluster_role: rules }
    } else {
        Rules { role: rules, cluster_role: Vec::new() }
    };
    let user = namespace.user("dm", &rules);
    let known = if right.resource == "secrets" { "configmaps" } else { "secrets" };
    let asked = plane.with(&user);
    eventually_blocking("the rights are known", SEEN, || {
        let mut ask = asked.kubectl();
        ask.args(["auth", "can-i", "list", known, "-n", namespace.name()]);
        ask.output().expect("kubectl is there").status.success().then_some(())
    });
    // Whose right to look at volumes is missing anyway.
    let volumes = Right::new("", "persistentvolumes", "get");
    let mut told = String::new();
    let steps = Steps::to(right);
    for (verb, values) in &steps.verbs {
        let called = Hand::on(plane, &namespace, "product", values, &steps.settings).by(&user).call(verb, "pr-1", "1");
        let mut named = Right::named(&called.output);
        if !own {
            named.remove(&volumes);
        }
        if let Some(other) = named.iter().find(|named| *named != right) {
            return Err(format!("without \"{right}\" {verb} names \"{other}\": {called:#?}"));
        }
        // Without a look at volumes a cleanup goes well, and says what it has not seen.
        let is_end = called.code != Some(0) || *right == volumes;
        if named.contains(right) && is_end {
            return Ok(());
        }
        let _ = writeln!(told, "--- {verb}: {:?}\n{}", called.code, called.output);
    }
    Err(format!("without \"{right}\" all went well, or it was not named:\n{told}"))
}

fn quota(namespace: &Namespace) {
    namespace.by_hand(&["create", "quota", "none", "--hard=pods=0"]);
    eventually_blocking("the quota is counted", SEEN, || {
        namespace.find("quota", "none")?["status"]["used"]["pods"].is_string().then_some(())
    });
}

/// Takes each right on these resources away in turn, and on what is below them.
fn each_is_needed_and_named(resources: &[&str]) {
    let plane = Plane::shared();
    let Rules { role, cluster_role } = rules();
    let all = Right::all(&role).into_iter().chain(Right::all(&cluster_role));
    let rights: Vec<Right> = all.filter(|right| resources.contains(&right.of())).collect();
    assert!(rights.len() >= resources.len(), "{rights:?}");
    let faults: Vec<String> = rights.iter().filter_map(|right| lead(&plane, right).err()).collect();
    assert!(faults.is_empty(), "{} of {} rights:\n{}", faults.len(), rights.len(), faults.join("\n=====\n"));
}

/// A test for each line, so that several run at once.
macro_rules! needed_and_named {
    ($($name:ident: $resources:expr,)*) => {
        $(#[test]
        fn $name() {
            each_is_needed_and_named(&$resources);
        })*

        #[test]
        fn no_right_is_left_out() {
            let Rules { role, cluster_role } = rules();
            let all = Right::all(&role).into_iter().chain(Right::all(&cluster_role));
            let tried: BTreeSet<&str> = [$(&$resources[..]),*].concat().into_iter().collect();
            let untried: Vec<Right> = all.filter(|right| !tried.contains(right.of())).collect();
            assert_eq!(untried, []);
        }
    };
}

needed_and_named! {
    each_right_on_secrets: ["secrets"],
    each_right_on_config_maps: ["configmaps"],
    each_right_on_services: ["services"],
    each_right_on_claims: ["persistentvolumeclaims"],
    each_right_on_pods_and_what_is_said_of_them: ["pods", "events"],
    each_right_on_deployments: ["deployments", "replicasets"],
    each_right_on_stateful_sets: ["statefulsets"],
    each_right_on_daemon_sets: ["daemonsets"],
    each_right_on_jobs: ["jobs"],
    each_right_on_cron_jobs: ["cronjobs"],
    each_right_on_autoscalers: ["horizontalpodautoscalers"],
    each_right_on_ingresses: ["ingresses"],
    each_right_on_certificates: ["certificates"],
    each_right_on_namespaces: ["namespaces"],
    each_right_on_volumes: ["persistentvolumes"],
}

/// kubedog asks for this one, and does without.
#[test]
fn a_right_that_nobody_needs_is_found() {
    let superfluous = Right::new("", "pods", "watch");
    let fault = lead(&Plane::shared(), &superfluous).unwrap_err();
    assert!(fault.starts_with("without \"watch pods of group \"\"\" all went well"), "{fault}");
    // A life in which nothing is missed is one to its end.
    for ended in ["create", "check", "delete", "archive_check", "cleanup", "restore"] {
        assert!(fault.contains(&format!("--- {ended}: Some(")), "{fault}");
    }
}
