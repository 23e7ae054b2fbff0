//! A staging's whole life, through `dmc`, on a real control plane: what the cluster has after each step, object by object.

mod expected;
mod numbers;
mod operators;
mod own;
pub(crate) mod own_namespaces;
pub(crate) mod seen;
mod strangers;

use std::collections::BTreeMap;
use std::thread;

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Client, Plane, Reclaim};
use serde_json::{Value, json};

use crate::world::{SEEN, Start, World};
use expected::Expected;
use seen::{Seen, uid};

/// Names that begin like one another.
const NAMES: [&str; 3] = ["pr-1", "pr-10", "pr-1-a"];

/// Switches the rest of the product on.
const EVERYTHING: [&str; 2] = ["--staging=hpa.enabled=true", "--staging=certificate.enabled=true"];

/// Stagings of the product with everything on, and where they are.
pub(crate) struct Life<'a> {
    pub(crate) world: &'a World,
    pub(crate) client: &'a Client,
    pub(crate) names: &'a [&'a str],
    /// The namespace of a staging by its name.
    pub(crate) home: &'a (dyn Fn(&str) -> String + Sync),
}

impl Life<'_> {
    /// Volumes for the claims of a staging; that of its files is retained.
    pub(crate) fn volumes(start: &Start<'_>, name: &str, namespace: &str) -> [String; 2] {
        let make = |claim: &str, size, reclaim| start.namespace().volume_in(namespace, claim, size, reclaim);
        [
            make(&format!("data-{name}-db-0"), "1Gi", Reclaim::Delete),
            make(&format!("{name}-files"), "2Gi", Reclaim::Retain),
        ]
    }

    /// The same for all of these stagings, at once.
    pub(crate) fn all(&self, verb: &str, names: &[&str], more: &[&str]) {
        thread::scope(|scope| {
            for name in names {
                let arguments = [&[verb, *name], more].concat();
                scope.spawn(move || self.world.done(&arguments));
            }
        });
    }

    /// What cert-manager would do for a certificate.
    pub(crate) fn certify(&self, name: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": format!("{name}-tls"), "namespace": (self.home)(name)},
            "stringData": {"tls.crt": "certificate", "tls.key": "key"},
        });
        self.client.apply(&secret.to_string());
    }

    /// Waits until the cluster has exactly this of all stagings that there are; whatever the controllers have yet to do.
    pub(crate) fn is(&self, what: &str, lines: impl Fn(&str) -> Vec<String>) {
        let runs: BTreeMap<String, String> =
            self.names.iter().map(|name| ((*name).to_owned(), self.run_of(name))).collect();
        let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in self.names {
            wanted.entry((self.home)(name)).or_default().extend(lines(name));
        }
        for (namespace, mut wanted) in wanted {
            wanted.sort();
            let mut found = Vec::new();
            let same = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                eventually_blocking(what, SEEN, || {
                    found = Seen::of(self.client, &namespace).lines(&runs);
                    (found == wanted).then_some(())
                });
            }));
            let only = |lines: &[String], others: &[String]| -> Vec<String> {
                lines.iter().filter(|line| !others.contains(line)).cloned().collect()
            };
            assert!(
                same.is_ok(),
                "{what}, in {namespace}: there is {:#?}, and there is not {:#?}",
                only(&found, &wanted),
                only(&wanted, &found)
            );
        }
    }

    /// The run that has applied it last.
    fn run_of(&self, name: &str) -> String {
        let home = (self.home)(name);
        let deployment = self.client.find("deployment", &home, &format!("{name}-web"));
        deployment
            .map(|found| found["metadata"]["annotations"]["dm/run"].as_str().unwrap_or_default().to_owned())
            .unwrap_or_default()
    }

    /// Create, update, delete and restore with another tag, of all of them at once.
    pub(crate) fn live(&self) {
        let all = self.names;
        let at = |tag: &'static str, revisions| move |name: &str| Expected { name, tag, revisions, web: 2 }.running();
        self.all("create", all, &[&["--tag", "1.0.0"][..], &EVERYTHING].concat());
        for name in all {
            self.certify(name);
        }
        self.is("all are created", at("1.0.0", 1));
        for name in all {
            assert_eq!(
                self.run_of(name),
                self.world.info(name)["last_run"],
                "the run that is marked is the one that people see"
            );
        }
        let claims = self.claims();
        self.all("update", all, &["--tag", "2.0.0"]);
        self.is("all are updated", at("2.0.0", 2));
        self.all("delete", all, &[]);
        self.is("all are archived", |name| Expected { name, tag: "2.0.0", revisions: 2, web: 2 }.archived());
        assert_eq!(self.claims(), claims, "claims and their volumes survive a delete");
        self.all("restore", all, &["--tag", "3.0.0"]);
        self.is("all are restored", at("3.0.0", 3));
        assert_eq!(self.claims(), claims, "and a restore");
    }

    /// UIDs of all claims, and the volumes that they are bound to.
    fn claims(&self) -> Vec<(String, Value)> {
        let of = |name: &&str| self.client.get("pvc", &(self.home)(name), "");
        let mut claims: Vec<(String, Value)> = self
            .names
            .iter()
            .flat_map(of)
            .map(|claim| (uid(&claim).to_owned(), claim["spec"]["volumeName"].clone()))
            .collect();
        claims.sort_by(|a, b| a.0.cmp(&b.0));
        claims.dedup();
        claims
    }

    /// Archives one and removes it, and gives what that has printed.
    pub(crate) fn remove(&self, name: &str) -> String {
        self.world.done(&["delete", name]);
        self.world.done(&["cleanup", name]);
        self.world.output(name)
    }
}

/// What becomes of the volumes of a staging that was removed.
pub(crate) fn volumes_are_settled(client: &Client, [deleted, retained]: &[String; 2], output: &str) {
    assert!(client.find("pv", "", deleted).is_none(), "the cleanup has waited for it: {output}");
    let kept = client.find("pv", "", retained).expect("a volume that is retained stays");
    assert_eq!(kept["status"]["phase"], "Released");
    assert!(output.contains(&format!("volume {retained} stays: its reclaim policy is Retain")), "{output}");
}

/// Everything of the product, three times in one namespace, each step at once: the longest test, because it is all of it.
#[test]
fn three_stagings_live_side_by_side_in_one_namespace() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    let shared = start.namespace().name().to_owned();
    let volumes = NAMES.map(|name| Life::volumes(&start, name, &shared));
    let world = start.start();
    let home = |_: &str| shared.clone();
    let life = Life { world: &world, client: &plane, names: &NAMES, home: &home };
    life.live();
    assert_eq!(world.status("pr-1"), "Running");
    assert_eq!(world.info("pr-1")["links"][0]["url"], "https://pr-1.staging.test/");

    let neighbours = || Seen::of(&plane, &shared).versions(&["pr-10", "pr-1-a"]);
    let before = neighbours();
    assert!(before.len() > 40, "all of two stagings: {before:?}");
    let output = life.remove("pr-1");
    assert_eq!(neighbours(), before, "what is not of pr-1 was not even touched");
    volumes_are_settled(&plane, &volumes[0], &output);
    let rest = Life { names: &["pr-10", "pr-1-a"], ..life };
    rest.is("its neighbours run", |name| Expected { name, tag: "3.0.0", revisions: 3, web: 2 }.running());

    rest.all("delete", rest.names, &[]);
    rest.all("cleanup", rest.names, &[]);
    assert_eq!(Seen::of(&plane, &shared).left(), Vec::<String>::new());
    for (name, volumes) in NAMES.iter().zip(&volumes).skip(1) {
        volumes_are_settled(&plane, volumes, &world.output(name));
    }
}
