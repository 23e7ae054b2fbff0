//! The rights of `wrappers/kubernetes/role.yaml` suffice, and each of them is needed: without it, it is named.

mod matrix;
mod right;

use std::fs;

use dm_tests::kubernetes::{Plane, Rules};
use serde_json::{Value, json};

use crate::hand::Hand;
use crate::life::Life;
use crate::life::seen::Seen;
use crate::world::{Start, repository};

/// The file's rules. The chart of the tests has a certificate of another group than cert-manager's, for which it stands.
pub(crate) fn rules() -> Rules {
    let text = fs::read_to_string(repository().join("wrappers/kubernetes/role.yaml")).expect("the file is there");
    assert!(text.contains("[cert-manager.io]"));
    Rules::of(&text.replace("[cert-manager.io]", "[certificates.test]"))
}

#[test]
fn a_staging_lives_its_whole_life_by_the_role_alone() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    let shared = start.namespace().name().to_owned();
    let user = start.namespace().user("dm", &Rules { cluster_role: Vec::new(), ..rules() });
    let [_, retained] = Life::volumes(&start, "pr-1", &shared);
    let world = start.kubeconfig(user).start();
    let home = |_: &str| shared.clone();
    let life = Life { world: &world, client: &plane, names: &["pr-1"], home: &home };
    life.live();
    assert_eq!(world.info("pr-1")["links"][0]["url"], "https://pr-1.staging.test/");
    let output = life.remove("pr-1");
    assert_eq!(Seen::of(&plane, &shared).left(), Vec::<String>::new());
    let unseen = format!("not looked at: volume {retained} of claim pr-1-files: a right is missing");
    assert!(output.contains(&unseen), "volumes are of the whole cluster: {output}");
}

/// The rules for a chart that has no more than a Deployment: of other kinds nothing but to list them, and no certificates.
fn lean(role: &[Value]) -> Vec<Value> {
    const ABSENT: [&str; 8] = [
        "statefulsets",
        "statefulsets/scale",
        "daemonsets",
        "jobs",
        "cronjobs",
        "horizontalpodautoscalers",
        "persistentvolumeclaims",
        "ingresses",
    ];
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut found = Vec::new();
    let mut absent = Vec::new();
    for rule in role.iter().filter(|rule| rule["apiGroups"] != json!(["certificates.test"])) {
        for resource in texts(&rule["resources"]) {
            let mut verbs = texts(&rule["verbs"]);
            if ABSENT.contains(&resource.as_str()) {
                verbs.retain(|verb| verb == "list");
                absent.push(resource.clone());
            }
            if !verbs.is_empty() {
                found.push(json!({"apiGroups": rule["apiGroups"], "resources": [resource], "verbs": verbs}));
            }
        }
    }
    assert_eq!(absent.len(), ABSENT.len(), "each of them had more rights: {absent:?}");
    found
}

#[test]
fn of_a_kind_that_a_chart_has_not_the_right_to_list_is_enough() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let user = namespace.user("dm", &Rules { role: lean(&rules().role), cluster_role: Vec::new() });
    let hand = Hand::on(&plane, &namespace, "small", &json!({}), "").by(user);
    hand.done("config_check", "pr-1", "1");
    hand.done("create", "pr-1", "1");
    hand.until("check", "pr-1", "1");
    hand.done("info", "pr-1", "1");
    hand.done("delete", "pr-1", "1");
    hand.until("archive_check", "pr-1", "1");
    hand.done("restore", "pr-1", "2");
    hand.until("check", "pr-1", "2");
    let called = hand.done("cleanup", "pr-1", "2");
    assert!(called.has_step("nothing of pr-1 is left"), "{called:#?}");
}
