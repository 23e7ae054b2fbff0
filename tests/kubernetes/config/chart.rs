//! Charts from elsewhere: a folder, a repository, a registry; fetched once, and in words where they are not.

use std::collections::BTreeMap;
use std::fs;

use dm_tests::kubernetes::{Plane, chart, run};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::server::{Answer, Server};
use crate::world::{Start, World, local};

/// The small chart, packed, and its version.
fn packed(world: &World) -> Vec<u8> {
    let folder = world.namespace.folder().join("packed");
    run(world.namespace.client().tool("helm").arg("package").arg(chart("strict")).arg("--destination").arg(&folder));
    fs::read(folder.join("strict-1.2.3.tgz")).expect("helm has packed it")
}

fn digest(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// A repository of charts.
fn repository(chart: &[u8]) -> Server {
    let index = json!({"apiVersion": "v1", "entries": {"strict": [
        {"apiVersion": "v2", "name": "strict", "version": "1.2.3", "urls": ["strict-1.2.3.tgz"], "digest": &digest(chart)[7..]},
    ]}});
    Server::start(BTreeMap::from([
        ("/index.yaml".to_owned(), ("text/yaml", index.to_string().into_bytes())),
        ("/strict-1.2.3.tgz".to_owned(), ("application/gzip", chart.to_vec())),
    ]))
}

/// A registry with the chart as an image.
fn registry(chart: &[u8]) -> Server {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let config = json!({"name": "strict", "version": "1.2.3", "apiVersion": "v2"}).to_string().into_bytes();
    let part = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": part("application/vnd.cncf.helm.config.v1+json", &config),
        "layers": [part("application/vnd.cncf.helm.chart.content.v1.tar+gzip", chart)],
    });
    let manifest = manifest.to_string().into_bytes();
    let at = |what: &str, name: &str| format!("/v2/charts/strict/{what}/{name}");
    let entries: [(String, Answer); 4] = [
        (at("blobs", &digest(&config)), ("application/octet-stream", config)),
        (at("blobs", &digest(chart)), ("application/octet-stream", chart.to_vec())),
        (at("manifests", &digest(&manifest)), (MANIFEST, manifest.clone())),
        (at("manifests", "1.2.3"), (MANIFEST, manifest)),
    ];
    Server::start(entries.into())
}

#[test]
fn a_chart_comes_from_a_folder_a_repository_or_a_registry_and_is_fetched_once() {
    let plane = Plane::shared();
    let world = Start::on(&plane).chart("strict").start();
    let chart = packed(&world);
    let (repository, registry) = (repository(&chart), registry(&chart));
    let sources = [
        ("folder", local("strict")),
        (
            "repository",
            format!("repository = \"http://{}\"\nname = \"strict\"\nversion = \"1.2.3\"", repository.address),
        ),
        (
            "registry",
            format!("oci = \"oci://{}/charts/strict\"\nplain_http = true\nversion = \"1.2.3\"", registry.address),
        ),
    ];
    for (name, lines) in &sources {
        world.set("", lines);
        world.done(&["create", name, "--tag=1"]);
        let info = world.info(name);
        let keys = info["configuration"]["keys"].as_array().expect("keys").clone();
        assert!(keys.iter().any(|key| key["key"] == "plan" && key["text"] == "small"), "{name}: {keys:?}");
    }
    let count = |server: &Server, end: &str| server.asked().iter().filter(|path| path.ends_with(end)).count();
    assert_eq!((count(&repository, ".tgz"), count(&registry, &digest(&chart))), (1, 1), "each of the verbs needs it");

    // Nobody has to be there any more for a version that is here.
    let kept = fs::read_dir(world.dms.home().join("charts")).expect("they are kept").count();
    assert_eq!(kept, 2);
}

#[test]
fn a_chart_that_cannot_be_had_is_named_with_its_reason() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    let chart = packed(&world);
    let (repository, registry) = (repository(&chart).address, registry(&chart).address);
    let at = |name: &str, version: &str| {
        format!("repository = \"http://{repository}\"\nname = \"{name}\"\nversion = \"{version}\"")
    };
    let oci = |name: &str, version: &str| {
        format!("oci = \"oci://{registry}/charts/{name}\"\nplain_http = true\nversion = \"{version}\"")
    };
    let cases = [
        (at("nothing", "1.2.3"), "has no chart nothing of version 1.2.3".to_owned()),
        (at("strict", "9.9.9"), "has no chart strict of version 9.9.9".to_owned()),
        (
            at("strict", "^1"),
            "chart.version is \"^1\"; a chart from elsewhere needs an exact version, such as 1.4.0".to_owned(),
        ),
        (
            at("strict", ""),
            "chart.version is \"\"; a chart from elsewhere needs an exact version, such as 1.4.0".to_owned(),
        ),
        (oci("nothing", "1.2.3"), format!("{registry}/charts/nothing has no version 1.2.3")),
        (oci("strict", "9.9.9"), format!("{registry}/charts/strict has no version 9.9.9")),
        (
            "oci = \"oci://127.0.0.1:1/charts/strict\"\nversion = \"1.2.3\"".to_owned(),
            "127.0.0.1:1/charts/strict cannot be reached".to_owned(),
        ),
        (
            "repository = \"http://127.0.0.1:1\"\nname = \"strict\"\nversion = \"1.2.3\"".to_owned(),
            "http://127.0.0.1:1 cannot be reached".to_owned(),
        ),
        ("path = \"/nowhere\"".to_owned(), "chart.path: /nowhere holds no Chart.yaml".to_owned()),
        ("repository = \"http://127.0.0.1:1\"".to_owned(), "chart.repository needs chart.name".to_owned()),
        (String::new(), "no chart: set chart.path, chart.oci, or chart.repository and chart.name".to_owned()),
    ];
    for (lines, expected) in cases {
        world.set("", &lines);
        // It is asked again as long as it may wait, because somebody may mend the settings.
        let ended = world.dmc(&["create", "web", "--tag=1", "-y", "--wait", "--timeout=1s"]);
        eprintln!("{}", ended.stderr.trim_end());
        assert!(ended.code != 0 && ended.stderr.contains(&expected), "{lines}\n{ended:?}\ninstead of\n{expected}");
        assert!(!ended.stderr.contains("FetchReference") && ended.stderr.len() < 700, "{ended:?}");
        assert_eq!(world.dmc(&["history", "web"]).code, 7, "the log knows nothing of it");
    }
}
