//! A namespace for each staging, by a setting: it comes and goes with its staging, but one of somebody else stays.

use dm_tests::kubernetes::{Client, Plane, Rules, run};

use super::seen::{Seen, uid};
use super::{Life, NAMES, volumes_are_settled};
use crate::rights::rules;
use crate::world::Start;

/// Namespaces that nobody else removes when the test fails.
pub(crate) struct Removed<'a>(pub(crate) &'a Client, pub(crate) Vec<String>);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        // It may have gone already.
        let _ =
            self.0.kubectl().args(["delete", "namespace", "--ignore-not-found", "--wait=false"]).args(&self.1).output();
    }
}

/// The whole life again, because every step of it goes another way: each namespace is made and waited for. It is led by the
/// rights of `role.yaml` alone.
#[test]
fn each_staging_lives_in_a_namespace_of_its_own_by_a_setting() {
    let plane = Plane::shared();
    let start = Start::on(&plane).settings("namespace = \"{namespace}-{name}\"");
    let shared = start.namespace().name().to_owned();
    let home = |name: &str| format!("{shared}-{name}");
    let theirs = home("pr-1-a");
    let _removed = Removed(&plane, NAMES.map(home).to_vec());
    run(plane.kubectl().args(["create", "namespace", &theirs]));
    let volumes = NAMES.map(|name| Life::volumes(&start, name, &home(name)));
    let Rules { role, cluster_role } = rules();
    let everywhere = Rules { role: Vec::new(), cluster_role: [role, cluster_role].concat() };
    let user = start.namespace().user("dm", &everywhere);
    let world = start.kubeconfig(user).start();
    let life = Life { world: &world, client: &plane, names: &NAMES, home: &home };
    let made_by_them = plane.find("namespace", "", &theirs).unwrap();
    life.live();
    let label =
        |name: &str| plane.find("namespace", "", &home(name)).unwrap()["metadata"]["labels"]["dm/staging"].clone();
    assert_eq!(NAMES.map(label), ["pr-1".into(), "pr-10".into(), serde_json::Value::Null]);
    assert_eq!(Seen::of(&plane, &shared).left(), Vec::<String>::new(), "the namespace of DM itself is not used");

    life.all("delete", &NAMES, &[]);
    life.all("cleanup", &NAMES, &[]);
    for name in ["pr-1", "pr-10"] {
        assert_eq!(plane.find("namespace", "", &home(name)), None, "it goes with its staging");
    }
    let still = plane.find("namespace", "", &theirs).expect("DM did not make it, so it stays");
    assert_eq!((uid(&still), &still["status"]["phase"]), (uid(&made_by_them), &"Active".into()));
    assert_eq!(Seen::of(&plane, &theirs).left(), Vec::<String>::new(), "but nothing of the staging is left in it");
    for (name, volumes) in NAMES.iter().zip(&volumes) {
        volumes_are_settled(&plane, volumes, &world.output(name));
    }
}
