//! What cannot work is refused in words before it is accepted: the log has nothing of it, and neither has the cluster.

use dm_tests::kubernetes::{Plane, run};
use serde_json::Value;

use super::LEAN;
use crate::world::{Start, World, local};

/// What is asked for, and what people read. `{}` is the name of the staging.
const CASES: [(&str, &[&str], &str); 22] = [
    ("text", &["--staging=web.port=http"], r#"staging web.port: "http" is no whole number; the chart needs one"#),
    (
        "bool",
        &["--staging=ingress.enabled=maybe"],
        r#"staging ingress.enabled: "maybe" is neither true nor false; the chart needs one of them"#,
    ),
    (
        "port",
        &["--staging=web.port=99999"],
        r#"staging web.port: "99999" must be between 1 and 65535, inclusive (deployment {}-web, spec.template.spec.containers[0].ports[0].containerPort)"#,
    ),
    (
        "host",
        &["--staging=ingress.enabled=true", "--staging=ingress.host=Not_A_Host!"],
        r#"staging ingress.host: "Not_A_Host!": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com') (ingress {}-web, spec.rules[0].host)"#,
    ),
    (
        "field",
        &[r#"--staging-json=web.podSpec={"nodeSelektor":{"a":"b"}}"#],
        r#"staging web.podSpec: "nodeSelektor" is no field that there is (deployment {}-web, spec.template.spec.nodeSelektor)"#,
    ),
    (
        "hostname",
        &[r#"--staging-json=web.podSpec={"hostname":12345}"#],
        r#"staging web.podSpec: "12345" must be a text (deployment {}-web, spec.template.spec.hostname)"#,
    ),
    (
        "quantity",
        &[r#"--staging-json=web.resources={"requests":{"cpu":"lots"}}"#],
        r#"staging web.resources: "lots" must be a quantity: a number with or without a unit, such as 2, 500m or 1.5Gi (deployment {}-web)"#,
    ),
    (
        "size",
        &["--staging=db.enabled=true", "--staging=db.size=huge"],
        r#"staging db.size: "huge" must be a quantity: a number with or without a unit, such as 2, 500m or 1.5Gi (stateful set {}-db)"#,
    ),
    (
        "limit",
        &[r#"--staging-json=web.resources={"requests":{"cpu":"2"},"limits":{"cpu":"1"}}"#],
        r#"staging web.resources: "2" must be less than or equal to cpu limit of 1 (deployment {}-web, spec.template.spec.containers[0].resources.requests)"#,
    ),
    (
        "variable",
        &["--app=grün=1"],
        r#"app grün: "grün": a valid environment variable name must consist only of printable ASCII characters other than '=' (deployment {}-web, spec.template.spec.containers[0].env[4].name)"#,
    ),
    (
        "custom",
        &["--staging=certificate.enabled=true", r#"--staging-json=certificate.spec={"renew":5}"#],
        r#"staging certificate.spec: "renew" is no field that there is (certificate {}-web, spec.renew)"#,
    ),
    (
        "wrong",
        &["--staging=certificate.enabled=true", r#"--staging-json=certificate.spec={"secretName":5}"#],
        r#"staging certificate.spec: "5" must be a text (certificate {}-web, spec.secretName)"#,
    ),
    ("control", &["--app=motto=delete \u{7f}"], "app motto: has a control character, which helm cannot hand on"),
    ("color", &["--app=color=pink"], r#"app color: "pink" must be one of 'teal', 'red', 'green', 'blue'"#),
    ("workers", &["--app=workers=0"], r#"app workers: "0" must be at least 1"#),
    ("whole", &["--app=workers=2.5"], r#"app workers: "2.5" is no whole number; the chart needs one"#),
    (
        "replicas",
        &[r#"--staging-json=web.replicas="3""#],
        "staging web.replicas: \"3\" must be nothing or a whole number, and is a text",
    ),
    (
        "annotation",
        &[r#"--staging-json=web.annotations={"a":1}"#],
        "metadata.annotations: must be a text, and is a number",
    ),
    (
        "schedule",
        &["--staging=cron.enabled=true", "--staging=cron.schedule=whenever"],
        r#"staging cron.schedule: "whenever": expected exactly 5 fields, found 1: [whenever] (cron job {}-cron, spec.schedule)"#,
    ),
    (
        "policy",
        &[r#"--staging-json=web.podSpec={"dnsPolicy":"Often"}"#],
        r#"staging web.podSpec: "Often" must be one of "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None" (deployment {}-web, spec.template.spec.dnsPolicy)"#,
    ),
    (
        "blank",
        &[r#"--staging-json=web.podSpec={"initContainers":[{"name":"first","image":" "}]}"#],
        r#"staging web.podSpec: " " must be the name of an image, without blanks around it (deployment {}-web, spec.template.spec.initContainers[0].image)"#,
    ),
    (
        "hook",
        &["--staging=hook.enabled=true", "--staging-json=hook.backoffLimit=-3"],
        r#"staging hook.backoffLimit: "-3" must be greater than or equal to 0 (job {}-migrate, spec.backoffLimit)"#,
    ),
];

/// The arguments of a create that is no more than these; of two for one key the last one counts.
fn create<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let key = |one: &str| one.split('=').nth(1).map(str::to_owned);
    let usual = LEAN.into_iter().filter(|one| !more.iter().any(|other| key(other) == key(one)));
    ["create", name, "--tag=1"].into_iter().chain(usual).chain(more.iter().copied()).collect()
}

/// What a refusal says, without what `dmc` puts around it.
#[track_caller]
fn refused(world: &World, arguments: &[&str], expected: &str) {
    let ended = world.dmc(&[arguments, &["-y"]].concat());
    assert_eq!(ended.code, 3, "{arguments:?}: {ended:?}");
    let said = ended.stderr.trim_end().strip_prefix("error: ").unwrap_or_default();
    assert!(said.ends_with(expected), "{arguments:?}:\n{said}\ninstead of\n{expected}");
    for word in ["Error", "execution error", "struct", "interface {}", "unstructured", "int32", "regex"] {
        assert!(!said.contains(word), "{word} in {said}");
    }
    assert!(said.len() < 500, "{said}");
}

#[test]
fn what_cannot_work_is_refused_in_words_and_leaves_nothing() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    let cases = std::sync::Mutex::new(CASES.iter());
    let judge = || {
        while let Some((name, more, expected)) = { cases.lock().unwrap().next() } {
            let expected = expected.replace("{}", name);
            refused(&world, &create(name, more), &expected);
            assert_eq!(world.dmc(&["history", name]).code, 7, "the log knows no {name}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(judge);
        }
    });
    assert_eq!(world.json(&["list"]).as_array().map(Vec::len), Some(0));
    let kinds = "all,secrets,configmaps,ingresses,pvc";
    let left: Vec<Value> = world
        .namespace
        .get(kinds, "")
        .into_iter()
        .filter(|object| object["metadata"]["name"] != "kube-root-ca.crt")
        .collect();
    assert_eq!(left, Vec::<Value>::new());
}

#[test]
fn the_words_of_the_chart_itself_are_kept() {
    let plane = Plane::shared();
    let world = Start::on(&plane).chart("strict").start();
    for (name, more, expected) in [
        ("plan", &["--staging=plan=gold"][..], "there is no plan gold; write small or large"),
        ("owner", &["--staging=plan=large"], "the plan large needs an owner"),
        ("deep", &["--staging=deep.stroe.size=1"], "the chart can do nothing with these values at .store.size"),
    ] {
        refused(&world, &[&["create", name, "--tag=1"], more].concat(), expected);
    }
    world.done(&[
        "create",
        "fine",
        "--tag=1",
        "--staging=plan=large",
        "--staging=owner=me",
        "--staging=deep.store.size=1",
    ]);
}

#[test]
fn a_release_with_jobs_of_its_hooks_takes_what_is_good_and_nothing_else() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    let arguments = create("web", &["--staging=hook.enabled=true", "--staging=cron.enabled=true"]);
    world.done(&arguments);
    let job = world.namespace.find("job", "web-migrate").expect("the job of the hook is kept");
    let before = world.events("web");
    let release = || world.namespace.get("secrets", "owner=helm,name=web").len();
    refused(
        &world,
        &["update", "web", "--tag=2", "--staging=web.port=70000"],
        r#"staging web.port: "70000" must be between 1 and 65535, inclusive (deployment web-web, spec.template.spec.containers[0].ports[0].containerPort)"#,
    );
    assert_eq!((world.events("web").len(), release()), (before.len(), 1));
    world.done(&["update", "web", "--tag=2"]);
    assert_eq!(release(), 2);
    let next = world.namespace.find("job", "web-migrate").expect("the job of the hook is kept");
    assert_ne!(next["metadata"]["uid"], job["metadata"]["uid"]);
    assert_eq!(next["spec"]["template"]["spec"]["containers"][0]["image"], "dm.test/done:2");
}

#[test]
fn a_namespace_that_comes_with_its_staging_need_not_be_there() {
    let plane = Plane::shared();
    let world = Start::on(&plane).settings("namespace = \"{namespace}-{name}\"").start();
    refused(
        &world,
        &create("own", &["--staging=web.port=99999"]),
        r#"staging web.port: "99999" must be between 1 and 65535, inclusive (deployment own-web, spec.template.spec.containers[0].ports[0].containerPort)"#,
    );
    let name = format!("{}-own", world.namespace.name());
    let namespace = || world.namespace.client().find("namespace", "", &name);
    assert!(namespace().is_none(), "asking makes nothing");
    world.done(&create("own", &[]));
    assert!(namespace().is_some());
    refused(
        &world,
        &["update", "own", "--tag=2", "--staging=web.port=99999"],
        r#"staging web.port: "99999" must be between 1 and 65535, inclusive (deployment own-web, spec.template.spec.containers[0].ports[0].containerPort)"#,
    );
    run(world.namespace.client().kubectl().args(["delete", "namespace", &name, "--wait=false"]));
    world.set("namespace = \"not-there\"", &local("product"));
    let ended = world.dmc(&[&create("lost", &[])[..], &["-y", "--wait", "--timeout=1s"]].concat());
    assert!(ended.stderr.contains("the namespace not-there is missing"), "{ended:?}");
}
