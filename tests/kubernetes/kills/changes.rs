//! A wrapper killed after each change that it makes to the cluster: every next run makes one change more, until one comes to
//! its end. What it does between two changes leaves no trace, so these are all the points at which it can be killed.

use std::fs;
use std::path::Path;

use dm_tests::dms::executable_file;
use dm_tests::kubernetes::{Namespace, Plane, Reclaim};
use dm_tests::processes::Process;
use serde_json::{Value, json};

use super::{assert_one_release, objects, revisions, versions};
use crate::hand::{Hand, run_id};

/// Changes of one verb, at most.
const CHANGES_MAX: usize = 60;

/// In place of kubectl and helm. A change that was not made before is made, and whoever has called is killed.
const STAND_IN: &str = r#"#!/bin/bash
real=$DM_TEST_TOOLS/${0##*/}
case " $* " in
  *" patch "* | *" scale "* | *" delete "* | *" apply "* | " upgrade "*) ;;
  *) exec "$real" "$@" ;;
esac
change=${*//dm\/call=*/}
if grep -qxF -e "$change" "$DM_TEST_CHANGES"; then exec "$real" "$@"; fi
echo "$change" >> "$DM_TEST_CHANGES"
"$real" "$@"
code=$?
kill -9 $PPID
exit $code
"#;

/// A caller whose wrappers are killed.
struct Killer<'a> {
    hand: Hand,
    namespace: &'a Namespace,
}

impl<'a> Killer<'a> {
    fn new(hand: &Hand, plane: &Plane, namespace: &'a Namespace) -> Self {
        let folder = namespace.folder();
        let mut hand =
            hand.clone().variable("DM_TEST_TOOLS", plane.tools()).variable("DM_TEST_CHANGES", Self::file(folder));
        for name in ["kubectl", "helm"] {
            let path = folder.join(name);
            executable_file(&path, STAND_IN.as_bytes());
            hand = hand.variable(&format!("DM_WRAPPER_TOOLS__{}", name.to_uppercase()), path);
        }
        Self { hand, namespace }
    }

    fn file(folder: &Path) -> std::path::PathBuf {
        folder.join("changes")
    }

    /// Calls a verb until it is not killed, and `between` after each kill: how often it was.
    fn call(&self, verb: &str, name: &str, tag: &str, mut between: impl FnMut()) -> usize {
        fs::write(Self::file(self.namespace.folder()), "").unwrap();
        let run = run_id();
        for kills in 0..CHANGES_MAX {
            let called = self.hand.begin(verb, name, tag, &run).end();
            // As `dms` does with what a wrapper leaves.
            self.hand.processes(name).iter().for_each(Process::kill);
            match called.code {
                Some(0) => return kills,
                None => between(),
                Some(_) => panic!("{verb} after {kills} kills: {called:?}"),
            }
        }
        panic!("{verb} has no end: {}", fs::read_to_string(Self::file(self.namespace.folder())).unwrap());
    }
}

/// One of everything but an autoscaler, with a set that would give its claims away.
fn values() -> Value {
    let on = json!({"enabled": "true"});
    json!({"certificate": on, "db": {"replicas": "2", "whenScaled": "Delete"}, "ingress": {"domain": "staging.test"}})
}

fn volumes(namespace: &Namespace, name: &str) {
    for claim in ["data-NAME-db-0", "data-NAME-db-1", "data-NAME-db-2", "NAME-files"] {
        let size = if claim.ends_with("files") { "2Gi" } else { "1Gi" };
        namespace.volume(&claim.replace("NAME", name), size, Reclaim::Delete);
    }
}

/// Names, UIDs and phases of claims, but for those of a neighbour.
fn claims(namespace: &Namespace) -> Vec<(String, String, String)> {
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let all = namespace.get("pvc", "");
    let all = all
        .iter()
        .map(|claim| (text(claim, "/metadata/name"), text(claim, "/metadata/uid"), text(claim, "/status/phase")));
    all.filter(|(name, ..)| !name.contains("pr-10")).collect()
}

/// How many replicas a workload has, and how many it remembers.
fn replicas(namespace: &Namespace, kind: &str, name: &str) -> (i64, Option<String>) {
    let found = namespace.find(kind, name).unwrap_or_else(|| panic!("there is no {kind} {name}"));
    let remembered = found["metadata"]["annotations"]["dm/replicas"].as_str().map(str::to_owned);
    (found["spec"]["replicas"].as_i64().unwrap(), remembered)
}

#[test]
fn a_delete_and_a_restore_that_are_killed_after_any_change_keep_claims_and_bring_numbers_back() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let hand = Hand::on(&plane, &namespace, "product", &values(), "");
    volumes(&namespace, "pr-1");
    hand.done("create", "pr-1", "1.0.0");
    hand.until("check", "pr-1", "1.0.0");
    let killer = Killer::new(&hand, &plane, &namespace);
    // By hand, so that the numbers are nobody's but the archive's: helm scales down to those of the chart.
    namespace.by_hand(&["scale", "deployment", "pr-1-web", "--replicas=4"]);
    namespace.by_hand(&["scale", "statefulset", "pr-1-db", "--replicas=3"]);
    hand.until("check", "pr-1", "1.0.0");
    let whole = objects(&namespace);
    let held = claims(&namespace);
    assert!(held.len() == 4 && held.iter().all(|(.., phase)| phase == "Bound"), "{held:?}");

    let deleted = killer.call("delete", "pr-1", "1.0.0", || ());
    hand.until("archive_check", "pr-1", "1.0.0");
    assert_eq!(replicas(&namespace, "deployment", "pr-1-web"), (0, Some("4".to_owned())));
    assert_eq!(replicas(&namespace, "statefulset", "pr-1-db"), (0, Some("3".to_owned())));
    assert_eq!(claims(&namespace), held);

    let restored = killer.call("restore", "pr-1", "2.0.0", || ());
    hand.until("check", "pr-1", "2.0.0");
    assert_eq!(replicas(&namespace, "deployment", "pr-1-web"), (4, None));
    assert_eq!(replicas(&namespace, "statefulset", "pr-1-db"), (3, None));
    assert_eq!((claims(&namespace), objects(&namespace)), (held, whole));
    assert_one_release(&namespace, "pr-1");
    eprintln!("killed in delete {deleted} and in restore {restored} times");
    assert!(deleted >= 7 && restored >= 7, "there is more to it than that");
}

#[test]
fn a_cleanup_that_is_killed_after_any_removal_goes_on_where_it_was() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let hand = Hand::on(&plane, &namespace, "product", &values(), "");
    for name in ["pr-1", "pr-10"] {
        volumes(&namespace, name);
        hand.done("create", name, "1.0.0");
    }
    hand.until("check", "pr-10", "1.0.0");
    let neighbour = versions(&namespace, "dm/staging=pr-10");
    assert!(neighbour.len() > 8, "{neighbour:?}");
    let removed = cleaned_up(&Killer::new(&hand, &plane, &namespace), &namespace);
    assert_eq!(versions(&namespace, "dm/staging=pr-10"), neighbour);
    eprintln!("killed {removed} times");
    assert!(removed >= 10, "there is more to it than that");
}

/// Killed after every removal, while somebody makes a service anew under a name that has become free.
fn cleaned_up(killer: &Killer<'_>, namespace: &Namespace) -> usize {
    let mut anew = None;
    let removed = killer.call("cleanup", "pr-1", "1.0.0", || {
        if anew.is_none() && namespace.find("service", "pr-1-web").is_none() {
            let service = json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "pr-1-web"},
                "spec": {"ports": [{"port": 80}], "selector": {"app": "of-somebody-else"}},
            });
            namespace.apply(&service.to_string());
            anew = namespace.find("service", "pr-1-web");
        }
    });
    let anew = anew.expect("the service went before the cleanup was done");
    let is_of_another = |(_, name): &&(String, String)| name.split(['-', '.']).any(|part| part == "10");
    let all = objects(namespace);
    let left: Vec<_> = all.iter().filter(|object| !is_of_another(object)).collect();
    assert_eq!(left, [&("Service".to_owned(), "pr-1-web".to_owned())]);
    assert_eq!(namespace.find("service", "pr-1-web").unwrap()["metadata"]["uid"], anew["metadata"]["uid"]);
    assert_eq!(revisions(namespace, "pr-1"), Vec::<Value>::new());
    assert_eq!(claims(namespace), []);
    let pods = namespace.get("pods", "app.kubernetes.io/instance=pr-1");
    assert_eq!(pods, Vec::<Value>::new());
    removed
}
