//! The rights of `wrappers/kubernetes/role.yaml` suffice, and each of them is needed: without it, it is named.

mod matrix;
mod right;

use std::fs;

use dm_tests::kubernetes::{Plane, Rules};

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
