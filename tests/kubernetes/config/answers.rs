//! What the wrappers are asked for: defaults, links and tags.

use std::collections::BTreeMap;

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::Plane;
use serde_json::{Value, json};

use super::LEAN;
use super::server::Server;
use crate::world::{SEEN, Start, local};

#[test]
fn the_values_of_the_chart_are_the_defaults() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    world.done(&[&["create", "web", "--tag=1"], &LEAN[..]].concat());
    let info = world.info("web");
    let keys = info["configuration"]["keys"].as_array().expect("keys").clone();
    let of = |level: &str, key: &str| {
        let found = keys.iter().find(|one| one["level"] == level && one["key"] == key);
        found.map(|one| (one["text"].clone(), one["overridden"] == true))
    };
    for (level, key, text) in [
        ("app", "color", "teal"),
        ("app", "workers", "2"),
        ("app", "ratio", "0.5"),
        ("app", "debug", "false"),
        ("app", "greeting", ""),
        ("app", "log.level", "info"),
        ("staging", "web.port", "8080"),
        ("staging", "db.size", "1Gi"),
    ] {
        assert_eq!(of(level, key), Some((json!(text), false)), "{level} {key}");
    }
    assert_eq!(of("staging", "web.replicas"), Some((json!("1"), true)));
    // What no text can say, and what DM itself says, are none.
    for key in ["image.tag", "ingress.domain", "web.resources", "env.color"] {
        assert_eq!(of("staging", key), None, "{key}");
    }
    assert_eq!((of("app", "features"), of("app", "motto")), (None, None));
}

#[test]
fn links_come_from_ingresses_annotations_and_the_settings() {
    let plane = Plane::shared();
    let settings = "links.logs = \"https://logs.test/{namespace}/{name}?tag={tag}\"";
    let world = Start::on(&plane).settings(settings).start();
    let usual = LEAN.iter().filter(|one| !one.contains("ingress"));
    let mut arguments = vec!["create", "web", "--tag=1"];
    arguments.extend(usual);
    arguments.push(r#"--staging-json=web.annotations={"dm/link-docs":"https://docs.test/a?b=c,d","other":"x"}"#);
    world.done(&arguments);
    let links = |expected: Value| {
        let mut last = Value::Null;
        eventually_blocking(&format!("the links are {expected}"), SEEN, || {
            last = world.info("web")["links"].clone();
            (last == expected).then_some(())
        });
    };
    let logs = format!("https://logs.test/{}/web?tag=1", world.namespace.name());
    links(json!([
        {"name": "web", "url": "https://web.staging.test/"},
        {"name": "docs", "url": "https://docs.test/a?b=c,d"},
        {"name": "logs", "url": logs},
    ]));
    world.done(&[
        "update",
        "web",
        "--staging=ingress.tls=false",
        "--staging=ingress.host=shop.test",
        "--staging-json=web.annotations={}",
    ]);
    links(json!([{"name": "web", "url": "http://shop.test/"}, {"name": "logs", "url": logs}]));
}

#[test]
fn tags_come_from_the_registry_of_the_settings() {
    let plane = Plane::shared();
    let tags = json!({"name": "team/app", "tags": ["v1.9.0", "v1.10.0", "main", "v1.10.0-rc1"]});
    let path = "/v2/team/app/tags/list?n=1000".to_owned();
    let server = Server::start(BTreeMap::from([(path, ("application/json", tags.to_string().into_bytes()))]));
    let world = Start::on(&plane).start();
    // What a shell shows for `dmc create web --tag v1<Tab>`.
    let completed = |typed: &str| {
        let mut command = world.command(&["--", "dmc", "create", "web", "--tag", typed]);
        command.env("DMC_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "4");
        String::from_utf8_lossy(&command.output().expect("dmc was built").stdout).into_owned()
    };
    assert_eq!(completed("v1"), "", "without a registry there are none to choose from");
    world.set(&format!("registry.repository = \"{}/team/app\"", server.address), &local("product"));
    // A shell waits for a second only, which a busy machine may need.
    eventually_blocking("tags are listed, the newest first", SEEN, || {
        let lines: Vec<String> = completed("v1").lines().map(str::to_owned).collect();
        (lines == ["v1.10.0", "v1.10.0-rc1", "v1.9.0"]).then_some(())
    });
}
