//! A namespace of a test's own: what it makes there, volumes for its claims, and people with few rights.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::client::{Client, run};
use super::layout;

/// The label of everything that a namespace has made outside itself.
const LABEL: &str = "dm.test/namespace";

/// What becomes of a volume whose claim is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reclaim {
    /// It goes, too.
    Delete,
    /// It should go, too, and its storage cannot do it.
    Fail,
    /// It stays, with what was stored.
    Retain,
}

/// What somebody may do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// In a namespace: the `rules` of a Role.
    pub role: Vec<Value>,
    /// Everywhere: the `rules` of a `ClusterRole`.
    pub cluster_role: Vec<Value>,
}

impl Rules {
    /// The rules of all Roles and `ClusterRoles` in a text of YAML; other objects in it say nothing of rights.
    ///
    /// # Panics
    /// When it is no YAML, or has no such object.
    pub fn of(manifest: &str) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).expect("the manifest is YAML");
        let of = |kind: &str| -> Vec<Value> {
            let ours = documents.iter().filter(|document| document["kind"] == kind);
            ours.flat_map(|document| document["rules"].as_array().cloned().unwrap_or_default()).collect()
        };
        let rules = Self { role: of("Role"), cluster_role: of("ClusterRole") };
        assert!(rules != Self::default(), "the manifest has neither a Role nor a ClusterRole with rules");
        rules
    }
}

/// One namespace. Dropped, it is deleted, with the volumes and the rights outside it; nobody waits for the end of that.
#[derive(Debug)]
pub struct Namespace {
    client: Client,
    name: String,
    folder: TempDir,
}

impl Namespace {
    pub(super) fn new(client: Client) -> Self {
        let name = format!("test-{}", &Uuid::new_v4().simple().to_string()[..10]);
        let folder = tempfile::Builder::new().prefix("namespace-").tempdir_in(client.scratch()).expect("a folder");
        run(client.kubectl().args(["create", "namespace", &name]));
        Self { client, name, folder }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A folder for the test's own files, which goes with this value.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Who makes things in it: the administrator of the cluster.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A call of kubectl in it.
    pub fn kubectl(&self) -> Command {
        let mut command = self.client.kubectl();
        command.args(["-n", &self.name]);
        command
    }

    /// What somebody does in it with kubectl, which must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn by_hand(&self, arguments: &[&str]) {
        run(self.kubectl().args(arguments));
    }

    /// Scales a deployment in it by hand.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn scale(&self, deployment: &str, replicas: u32) {
        self.by_hand(&["scale", "deployment", deployment, &format!("--replicas={replicas}")]);
    }

    /// A call of helm in it.
    pub fn helm(&self) -> Command {
        let mut command = self.client.helm();
        command.args(["-n", &self.name]);
        command
    }

    /// The objects of a kind in it, with an empty selector whatever their labels.
    ///
    /// # Panics
    /// When the cluster does not say.
    pub fn get(&self, kind: &str, selector: &str) -> Vec<Value> {
        self.client.get(kind, &self.name, selector)
    }

    /// One object in it; none when there is none of that name.
    ///
    /// # Panics
    /// When the cluster does not say.
    pub fn find(&self, kind: &str, name: &str) -> Option<Value> {
        self.client.find(kind, &self.name, name)
    }

    /// Makes in it what a text of YAML or JSON says, or changes it to that.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn apply(&self, text: &str) {
        super::feed(self.kubectl().args(["apply", "--server-side", "--force-conflicts", "-f", "-"]), text);
    }

    /// Makes a volume for a claim of this namespace that may not be there yet, and no other claim gets it. Its name is the
    /// answer.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn volume(&self, claim: &str, capacity: &str, reclaim: Reclaim) -> String {
        self.volume_in(&self.name, claim, capacity, reclaim)
    }

    /// The same for a claim of another namespace, such as one that a wrapper makes.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn volume_in(&self, namespace: &str, claim: &str, capacity: &str, reclaim: Reclaim) -> String {
        let name = format!("{namespace}-{claim}");
        // Nobody makes these folders; the controllers delete volumes only below /tmp.
        let (policy, folder) = match reclaim {
            Reclaim::Delete => ("Delete", "/tmp/dm-test-volumes"),
            Reclaim::Fail => ("Delete", "/nowhere/dm-test-volumes"),
            Reclaim::Retain => ("Retain", "/tmp/dm-test-volumes"),
        };
        let volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name, "labels": {LABEL: self.name}},
            "spec": {
                "capacity": {"storage": capacity},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": policy,
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim},
                "hostPath": {"path": format!("{folder}/{name}")},
            },
        });
        self.client.apply(&volume.to_string());
        name
    }

    /// Somebody who may do in this namespace what the rules say, and nothing else: the kubeconfig to ask with.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn user(&self, name: &str, rules: &Rules) -> PathBuf {
        let full = format!("{}-{name}", self.name);
        let meta = |name: &str| json!({"name": name, "labels": {LABEL: self.name}});
        let subject = json!([{"kind": "ServiceAccount", "name": name, "namespace": self.name}]);
        let api = "rbac.authorization.k8s.io/v1";
        let binding = |kind: &str, to: &str, name: &str| {
            json!({
                "apiVersion": api, "kind": kind, "metadata": meta(name), "subjects": subject,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": to, "name": name},
            })
        };
        let mut items = vec![
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(name)}),
            json!({"apiVersion": api, "kind": "Role", "metadata": meta(name), "rules": rules.role}),
            binding("RoleBinding", "Role", name),
        ];
        for item in &mut items {
            item["metadata"]["namespace"] = self.name.as_str().into();
        }
        if !rules.cluster_role.is_empty() {
            items.push(
                json!({"apiVersion": api, "kind": "ClusterRole", "metadata": meta(&full), "rules": rules.cluster_role}),
            );
            items.push(binding("ClusterRoleBinding", "ClusterRole", &full));
        }
        self.client.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
        let token = run(self.kubectl().args(["create", "token", name, "--duration=2h"]));
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).expect("the folder is ours");
        let path = path.join("kubeconfig");
        let config: Value = serde_json::from_str(&run(self.client.kubectl().args([
            "config",
            "view",
            "--raw",
            "--flatten",
            "--minify",
            "-o",
            "json",
        ])))
        .expect("kubectl prints JSON");
        layout::write_kubeconfig(&path, &config["clusters"][0]["cluster"], token.trim());
        path
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let selector = format!("{LABEL}={}", self.name);
        let quiet = ["--ignore-not-found", "--wait=false", "--request-timeout=10s"];
        // Where the API server is stopped its objects go with it.
        let _ = self.client.kubectl().args(["delete", "namespace", &self.name]).args(quiet).output();
        let kinds = "persistentvolumes,clusterroles,clusterrolebindings";
        let _ = self.client.kubectl().args(["delete", kinds, "-l", &selector]).args(quiet).output();
    }
}
