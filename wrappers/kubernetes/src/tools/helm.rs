//! Calls of `helm`. It has no limit for one request, so each call has one for the whole process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::cluster::object::{self, Object};
use crate::error::{Error, Result};
use crate::tools::access::Access;
use crate::tools::kubectl;
use crate::tools::process::{Answer, Call, End};

/// How much longer than one request a call that only looks may take.
const LOOK_FACTOR: u32 = 2;

/// What is kept of earlier revisions.
const HISTORY_MAX: &str = "--history-max=10";

/// `helm`, in the namespace of the staging.
#[derive(Debug, Clone)]
pub(crate) struct Helm {
    program: PathBuf,
    namespace: String,
    request: Duration,
    variables: Vec<(&'static str, OsString)>,
}

/// One revision of a release, as `helm status` tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Release {
    pub(crate) manifest: Vec<Object>,
    pub(crate) hooks: Vec<Object>,
    pub(crate) revision: i64,
}

/// A manifest, and the hooks beside it.
pub(crate) type Rendered = (Vec<Object>, Vec<Object>);

#[derive(Deserialize)]
struct Printed {
    #[serde(default)]
    manifest: String,
    #[serde(default)]
    hooks: Vec<PrintedHook>,
    #[serde(default)]
    version: i64,
}

#[derive(Deserialize)]
struct PrintedHook {
    #[serde(default)]
    manifest: String,
}

/// A chart and the values for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Applied<'a> {
    pub(crate) release: &'a str,
    pub(crate) chart: &'a Path,
    /// As JSON; helm reads them from its standard input, so that no file is left behind.
    pub(crate) values: &'a str,
}

impl Helm {
    pub(crate) fn new(program: &Path, namespace: &str, request: Duration, access: &Access) -> Self {
        let variables = access.variables();
        Self { program: program.to_owned(), namespace: namespace.to_owned(), request, variables }
    }

    fn call(&self, limit: Duration, arguments: &[&str]) -> Call {
        Call::new(&self.program, limit)
            .variables(&self.variables)
            .arguments(arguments.iter().copied())
            .arguments(["--namespace", &self.namespace])
            .variable("HELM_DRIVER", "secret")
    }

    /// The newest revision, or this one; none if there is none.
    pub(crate) fn release(&self, name: &str, revision: Option<i64>) -> Result<Option<Release>> {
        let mut arguments = vec!["status".to_owned(), name.to_owned(), "--output=json".to_owned()];
        arguments.extend(revision.map(|revision| format!("--revision={revision}")));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let answer = self.call(self.request * LOOK_FACTOR, &arguments).run()?;
        if answer.end == End::Exited(0) {
            return released(&answer.stdout).map(Some);
        }
        if answer.stderr.contains("release: not found") {
            return Ok(None);
        }
        Err(Error::cannot_tell(kubectl::why(&answer, "helm status")))
    }

    /// Installs or upgrades. Server-side with force: a person who has scaled by hand does not stand in the way.
    pub(crate) fn upgrade(&self, applied: Applied<'_>, labels: &str, limit: Duration) -> Call {
        let timeout = format!("--timeout={}s", limit.as_secs());
        let labels = format!("--labels={labels}");
        // Longer than helm's own, so that it can say what it waited for.
        self.call(
            limit + Duration::from_secs(20),
            &[
                "upgrade",
                applied.release,
                "--install",
                "--server-side=true",
                "--force-conflicts",
                HISTORY_MAX,
                &timeout,
                &labels,
                "--output=json",
            ],
        )
        .arguments([Path::new("--values=-"), Path::new("--"), applied.chart])
        .input(applied.values)
        .shown()
    }

    /// What would be applied: the manifest, and the hooks. Or what helm has against these values, as it prints it.
    pub(crate) fn template(
        &self,
        applied: Applied<'_>,
        is_upgrade: bool,
    ) -> Result<std::result::Result<Rendered, String>> {
        let mut arguments = vec!["template", applied.release, "--dry-run=server"];
        arguments.extend(is_upgrade.then_some("--is-upgrade"));
        let call = self
            .call(self.request * LOOK_FACTOR, &arguments)
            .arguments([Path::new("--values=-"), Path::new("--"), applied.chart])
            .input(applied.values);
        let answer = call.run()?;
        let said = kubectl::complaints(&answer.stderr).join(
            "
",
        );
        let answer = match kubectl::done(answer, "helm template") {
            Ok(answer) => answer,
            Err(Error::Failed(_)) => return Ok(Err(said)),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&answer.stdout);
        let objects = match object::manifest(&text) {
            Ok(objects) => objects,
            Err(words) => return Ok(Err(words)),
        };
        let is_hook = |object: &Object| object.annotation("helm.sh/hook").is_some();
        Ok(Ok(objects.into_iter().partition(|object| !is_hook(object))))
    }

    /// Fetches a chart into a folder.
    pub(crate) fn pull(&self, arguments: &[&str], folder: &Path, limit: Duration) -> Result<()> {
        let call = self
            .call(limit, &[&["pull", "--untar"], arguments].concat())
            .arguments([Path::new("--untardir"), folder])
            .variable("HELM_CACHE_HOME", folder.join("cache"));
        kubectl::done(call.run()?, "helm pull").map(drop)
    }
}

/// Whether helm has done its work and could not write that down: it says so, ends well, and leaves the release pending.
pub(crate) fn is_unrecorded(answer: &Answer) -> bool {
    answer.stderr.contains("failed to record the release")
}

/// What `helm status` and `helm upgrade` print as JSON.
pub(crate) fn released(json: &[u8]) -> Result<Release> {
    let unreadable =
        |error: &dyn std::fmt::Display| Error::cannot_tell(format!("helm's answer cannot be read: {error}"));
    let printed: Printed = serde_json::from_slice(json).map_err(|error| unreadable(&error))?;
    let manifest = object::manifest(&printed.manifest).map_err(|error| unreadable(&error))?;
    let mut hooks = Vec::new();
    for hook in printed.hooks {
        hooks.extend(object::manifest(&hook.manifest).map_err(|error| unreadable(&error))?);
    }
    Ok(Release { manifest, hooks, revision: printed.version })
}
