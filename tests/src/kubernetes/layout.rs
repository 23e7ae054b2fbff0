//! The folder of a control plane: its ports, keys, kubeconfig, stages, and how each program is called.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;
use serde_json::{Value, json};
use uuid::Uuid;

/// Where ports are taken: below those that the kernel gives to whoever connects, so that they stay free until listened on.
const PORTS: Range<u16> = 20_000..32_000;
/// How many lie side by side for one plane: the first is its claim to the others.
const BLOCK: u16 = 8;
/// How many blocks are looked at before there is none.
const TRIES: usize = 200;

/// Where everything of a control plane is.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) folder: PathBuf,
    ports: Ports,
}

#[derive(Debug)]
struct Ports {
    etcd: u16,
    peers: u16,
    api: u16,
    controllers: u16,
    scheduler: u16,
    kwok: u16,
    // As long as it is listened on, no other plane takes ports of this block.
    _claim: TcpListener,
}

impl Ports {
    /// The ports of a block that nobody listens on, and that no other plane has taken.
    fn claim() -> Self {
        let blocks = (PORTS.end - PORTS.start) / BLOCK;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let claimed = (0..TRIES).find_map(|_| {
            let block = u16::try_from(Uuid::new_v4().as_u128() % u128::from(blocks)).expect("it is below the number");
            let first = PORTS.start + block * BLOCK;
            let claim = TcpListener::bind(("127.0.0.1", first)).ok()?;
            (first + 1..first + BLOCK).all(is_free).then_some((first, claim))
        });
        let (first, claim) = claimed.expect("a block of ports is free");
        Self {
            etcd: first + 1,
            peers: first + 2,
            api: first + 3,
            controllers: first + 4,
            scheduler: first + 5,
            kwok: first + 6,
            _claim: claim,
        }
    }
}

impl Layout {
    /// Writes what the programs read.
    pub(super) fn write(folder: &Path) -> Self {
        let ports = Ports::claim();
        let layout = Self { folder: folder.to_owned(), ports };
        let token = Uuid::new_v4();
        let key = KeyPair::generate().expect("a key can be made");
        fs::write(layout.path("accounts.key"), key.serialize_pem()).expect("the folder is ours");
        fs::write(layout.path("accounts.pub"), key.public_key_pem()).expect("the folder is ours");
        fs::write(layout.path("tokens.csv"), format!("{token},admin,admin,\"system:masters\"\n"))
            .expect("the folder is ours");
        let cluster = json!({"server": layout.server(), "certificate-authority": layout.path("certs/apiserver.crt")});
        write_kubeconfig(&layout.kubeconfig(), &cluster, &token.to_string());
        fs::write(layout.path("kwok.yaml"), stages()).expect("the folder is ours");
        layout
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// How a program is called.
    pub(super) fn arguments(&self, program: &str) -> Vec<String> {
        match program {
            "etcd" => self.etcd(),
            "kube-apiserver" => self.api(),
            "kube-controller-manager" => self.controllers(),
            "kube-scheduler" => self.scheduler(),
            "kwok" => self.kwok(),
            other => panic!("{other} is no program of a control plane"),
        }
    }

    fn etcd(&self) -> Vec<String> {
        let (clients, peers) =
            (format!("http://127.0.0.1:{}", self.ports.etcd), format!("http://127.0.0.1:{}", self.ports.peers));
        vec![
            format!("--data-dir={}", self.path("etcd").display()),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=error".to_owned(),
        ]
    }

    fn api(&self) -> Vec<String> {
        vec![
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.ports.api),
            format!("--cert-dir={}", self.path("certs").display()),
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", self.path("accounts.pub").display()),
            format!("--service-account-signing-key-file={}", self.path("accounts.key").display()),
            format!("--token-auth-file={}", self.path("tokens.csv").display()),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            // Nobody watches over nodes here, so nobody would take the taint of a new one away.
            "--disable-admission-plugins=TaintNodesByCondition".to_owned(),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            // There is one API server, and it ends sooner when it has nothing to sign off from.
            "--endpoint-reconciler-type=none".to_owned(),
        ]
    }

    fn controllers(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.kubeconfig().display()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.ports.controllers),
            format!("--cert-dir={}", self.path("certs-controllers").display()),
            "--leader-elect=false".to_owned(),
            format!("--service-account-private-key-file={}", self.path("accounts.key").display()),
            format!("--root-ca-file={}", self.path("certs/apiserver.crt").display()),
            // A node is always well: otherwise its pods would be evicted after an outage of the API server.
            "--controllers=*,-node-lifecycle-controller,-node-ipam-controller".to_owned(),
            "--pvclaimbinder-sync-period=500ms".to_owned(),
            "--horizontal-pod-autoscaler-sync-period=2s".to_owned(),
            "--kube-api-qps=200".to_owned(),
            "--kube-api-burst=400".to_owned(),
        ]
    }

    fn scheduler(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.kubeconfig().display()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.ports.scheduler),
            format!("--cert-dir={}", self.path("certs-scheduler").display()),
            "--leader-elect=false".to_owned(),
        ]
    }

    fn kwok(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.kubeconfig().display()),
            format!("--config={}", self.path("kwok.yaml").display()),
            "--manage-all-nodes=true".to_owned(),
            // Leases of an earlier start would keep nodes from the next one.
            "--node-lease-duration-seconds=0".to_owned(),
            "--cidr=10.64.0.1/16".to_owned(),
            "--node-ip=127.0.0.1".to_owned(),
            format!("--node-port={}", self.ports.kwok),
            format!("--server-address=127.0.0.1:{}", self.ports.kwok),
        ]
    }
}

/// The stages of the tree, and the logs of every container.
fn stages() -> String {
    let source = tree("tests/kubernetes/stages");
    let mut all = String::new();
    let mut files: Vec<PathBuf> =
        fs::read_dir(&source).expect("the tree has stages").flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "yaml")) {
        let text = fs::read_to_string(file).expect("a stage can be read");
        let _ = writeln!(all, "---\n{text}");
    }
    let logs = json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterLogs",
        "metadata": {"name": "all"},
        "spec": {"logs": [{
            "logsFile": source.join("logs/now.log"),
            "previousLogsFile": source.join("logs/previous.log"),
            "follow": false,
        }]},
    });
    let _ = writeln!(all, "---\n{logs}");
    all
}

/// The names of all nodes.
pub(super) const NODES: [&str; 2] = ["node-1", "node-2"];

/// The nodes, as they are made.
pub(super) fn nodes() -> String {
    let capacity = json!({"cpu": "256", "memory": "1Ti", "pods": "2000"});
    let node = |name: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
            },
            "status": {"allocatable": capacity, "capacity": capacity},
        })
    };
    json!({"apiVersion": "v1", "kind": "List", "items": NODES.map(node)}).to_string()
}

/// Writes the file by which somebody with a token finds a cluster.
pub(super) fn write_kubeconfig(path: &Path, cluster: &Value, token: &str) {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    });
    fs::write(path, config.to_string()).expect("the folder is ours");
    // helm warns of one that others can read.
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("the file is ours");
}

/// A path of the tree.
pub(super) fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").join(path)
}
