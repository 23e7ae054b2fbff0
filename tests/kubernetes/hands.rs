//! What people do past DM: with kubectl, with the wrappers by hand, and with tools of their own on `PATH`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use dm_tests::dms::executable_file;
use dm_tests::kubernetes::Client;
use serde_json::Value;

use crate::world::{Ended, World, ended, repository};

/// Scales a deployment past DM, as a person with kubectl does.
pub(crate) fn scale(world: &World, deployment: &str, replicas: u32) {
    kubectl(world, &["scale", "deployment", deployment, &format!("--replicas={replicas}")]);
}

/// Calls kubectl in the namespace of the stagings.
pub(crate) fn kubectl(world: &World, arguments: &[&str]) {
    let ended = ended(&world.namespace.kubectl().args(arguments).output().expect("kubectl can be started"));
    assert_eq!(ended.code, 0, "kubectl {arguments:?}: {ended:?}");
}

/// How many pods of a staging are ready.
pub(crate) fn ready(world: &World, name: &str) -> usize {
    let pods = world.namespace.get("pods", &format!("app.kubernetes.io/instance={name}"));
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    let conditions = |pod: &Value| pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    pods.iter().filter(|pod| conditions(pod).iter().any(is_ready)).count()
}

/// Calls a wrapper as `dms` does, as whoever this kubeconfig names.
pub(crate) fn call(world: &World, kubeconfig: &Path, verb: &str, name: &str, tag: &str) -> Ended {
    let client = world.namespace.client();
    let mut command = Command::new(repository().join("wrappers/kubernetes").join(verb));
    command
        .args(["--namespace", world.namespace.name(), "--name", name, "--tag", tag])
        .env_clear()
        .env("PATH", client.path())
        .env("HOME", world.namespace.folder())
        .env("KUBECONFIG", kubeconfig)
        .env("DM_HOME", world.dms.home())
        .env("DM_WRAPPER_SETTINGS", world.namespace.folder().join("kubernetes.toml"))
        .stdin(Stdio::null());
    ended(&command.output().expect("the wrappers were built"))
}

/// `PATH` on which a tool first does something else: `script`, which is for `sh`.
pub(crate) fn path_with(client: &Client, folder: &Path, tool: &str, script: &str) -> String {
    let own = folder.join("tools");
    fs::create_dir_all(&own).expect("the folder is ours");
    let real = client.tools().join(tool);
    executable_file(&own.join(tool), format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", real.display()).as_bytes());
    format!("{}:{}", own.display(), client.path().to_string_lossy())
}
