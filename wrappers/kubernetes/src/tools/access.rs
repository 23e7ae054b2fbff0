//! How the tools find the cluster: a kubeconfig that is there, or the service account of the pod in which we run.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// What a pod is given.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A kubeconfig of our own, if one was needed.
#[derive(Debug)]
pub(crate) struct Access {
    made: Option<PathBuf>,
}

impl Access {
    /// What the environment of every tool needs beside its own.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        self.made.iter().map(|path| ("KUBECONFIG", path.into())).collect()
    }
}

/// Makes sure that there is a way to the cluster; without one some tools hang.
pub(crate) fn find() -> Result<Access> {
    if let Some(named) = env::var_os("KUBECONFIG").filter(|named| !named.is_empty()) {
        let some = env::split_paths(&named).any(|path| path.is_file());
        return if some {
            Ok(Access { made: None })
        } else {
            Err(Error::cannot_tell(format!("KUBECONFIG names no file that is there: {}", named.to_string_lossy())))
        };
    }
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    if home.join(".kube/config").is_file() {
        return Ok(Access { made: None });
    }
    let account = Path::new(ACCOUNT);
    if account.join("token").is_file() {
        return from_account(account);
    }
    Err(Error::cannot_tell("there is no way to a cluster: KUBECONFIG is not set, and there is no ~/.kube/config"))
}

/// The file stays, always the same for a `DM_HOME`: a wrapper that is killed could not remove it. It holds no secret.
fn from_account(account: &Path) -> Result<Access> {
    let unwritten = |error: std::io::Error| Error::cannot_tell(format!("no kubeconfig can be written: {error}"));
    let namespace = fs::read_to_string(account.join("namespace")).unwrap_or_default();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "pod",
        "clusters": [{"name": "pod", "cluster": {
            "server": "https://kubernetes.default.svc", "certificate-authority": account.join("ca.crt"),
        }}],
        "users": [{"name": "pod", "user": {"tokenFile": account.join("token")}}],
        "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod", "namespace": namespace.trim()}}],
    });
    let folder = env::var_os("DM_HOME").map_or_else(env::temp_dir, PathBuf::from);
    let path = folder.join("kubeconfig-of-the-pod");
    let mut file = NamedTempFile::new_in(&folder).map_err(unwritten)?;
    file.write_all(config.to_string().as_bytes()).map_err(unwritten)?;
    file.persist(&path).map_err(|error| unwritten(error.error))?;
    Ok(Access { made: Some(path) })
}
