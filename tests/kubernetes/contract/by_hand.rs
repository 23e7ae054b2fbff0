//! What others have done by hand stands in nobody's way.

use dm_tests::kubernetes::Plane;

use crate::world::Start;

#[test]
fn a_number_that_somebody_else_has_set_stands_in_nobodys_way() {
    let plane = Plane::shared();
    let world = Start::on(&plane).chart("small").start();
    world.done(&["create", "demo", "--tag", "1.0.0", "--staging", "replicas=2"]);
    world.namespace.scale("demo-web", 3);
    world.done(&["update", "demo", "--tag", "2.0.0"]);
    assert_eq!(world.ready("demo"), 2, "the chart's number counts again");
    world.namespace.scale("demo-web", 4);
    world.done(&["delete", "demo"]);
    assert_eq!(world.ready("demo"), 0);
    world.done(&["restore", "demo"]);
    assert_eq!(world.ready("demo"), 4, "as many as there were at the delete");
}

#[test]
fn an_object_that_somebody_else_has_edited_stands_in_nobodys_way() {
    let plane = Plane::shared();
    let world = Start::on(&plane).chart("small").start();
    world.done(&["create", "demo", "--tag", "1.0.0"]);
    let image = || {
        let web = world.namespace.find("deployments", "demo-web").expect("it is there");
        web["spec"]["template"]["spec"]["containers"][0]["image"].as_str().expect("an image").to_owned()
    };
    let patch = r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"dm.test/ready:mine"}]"#;
    let applied = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"demo-web"},"spec":{"replicas":2,
        "template":{"spec":{"containers":[{"name":"web","image":"dm.test/ready:mine"}]}}}}"#;
    let theirs = world.namespace.folder().join("theirs.json");
    std::fs::write(&theirs, applied).expect("the folder is ours");
    let theirs = theirs.display().to_string();
    for (number, edit) in [
        &["set", "image", "deployment/demo-web", "web=dm.test/ready:mine"][..],
        // What `kubectl edit` sends when the editor has ended.
        &["patch", "deployment", "demo-web", "--type=json", "--field-manager=kubectl-edit", "-p", patch],
        &["apply", "--server-side", "--force-conflicts", "--field-manager=somebody", "-f", &theirs],
    ]
    .into_iter()
    .enumerate()
    {
        world.namespace.by_hand(edit);
        assert_eq!(image(), "dm.test/ready:mine", "{edit:?}");
        let tag = format!("2.{number}.0");
        world.done(&["update", "demo", "--tag", &tag]);
        assert_eq!(image(), format!("dm.test/ready:{tag}"), "after {edit:?}");
        assert_eq!(world.ready("demo"), 1, "after {edit:?}");
    }
}
