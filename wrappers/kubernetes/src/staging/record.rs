//! What was applied, as `check` has to find it: one small object beside the staging.
//!
//! It holds nothing that people own. Without it `check` could not know what is missing, because it asks by label.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cluster::object::{Object, STAGING_LABEL};
use crate::cluster::workload;
use crate::error::{Error, Result};
use crate::staging::Staging;

/// Where it stands in the object.
const KEY: &str = "applied";

/// The name of a staging's own object. A dot, so that no chart's object is called like that by chance.
pub(crate) fn name(staging: &Staging) -> String {
    format!("dm.{}", staging.name())
}

/// It, among what the staging has.
pub(crate) fn own<'a>(staging: &Staging, objects: &'a [Object]) -> Option<&'a Object> {
    objects.iter().find(|object| object.kind() == "ConfigMap" && object.name() == name(staging))
}

/// What stands below a key of it.
pub(crate) fn text<'a>(own: Option<&'a Object>, key: &str) -> Option<&'a str> {
    own.map(|own| own.text(&format!("/data/{key}"))).filter(|text| !text.is_empty())
}

/// What the last run has applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) tag: String,
    pub(crate) run: String,
    pub(crate) workloads: Vec<Workload>,
}

/// A workload of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Workload {
    pub(crate) kind: String,
    pub(crate) name: String,
    /// As the chart has them; absent where it leaves the number open.
    pub(crate) replicas: Option<i64>,
    /// Names of containers with their images.
    pub(crate) images: Vec<(String, String)>,
}

impl Record {
    pub(crate) fn of(staging: &Staging, manifest: &[Object]) -> Self {
        let workloads = manifest.iter().filter(|object| workload::is_workload(object));
        Self {
            tag: staging.given.tag.clone(),
            run: staging.run.clone(),
            workloads: workloads
                .map(|object| Workload {
                    kind: object.kind().to_owned(),
                    name: object.name().to_owned(),
                    replicas: object.number("/spec/replicas"),
                    images: images(object),
                })
                .collect(),
        }
    }

    /// Reads it off the staging's own object; nothing if nothing was applied.
    pub(crate) fn read(own: Option<&Object>) -> Result<Option<Self>> {
        let Some(text) = text(own, KEY) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| {
            Error::cannot_tell(format!("it cannot be read what was applied: {error}; the next update writes it anew"))
        })
    }

    /// Puts it beside the staging.
    pub(crate) fn write(&self, staging: &Staging) -> Result<()> {
        let text =
            serde_json::to_string(self).map_err(|error| Error::failed(format!("no record can be made: {error}")))?;
        staging.kubectl.apply("dm", &object(staging, KEY, &text))
    }
}

/// The staging's own object with one key in it; others that it has stay, because another part of us owns them.
pub(crate) fn object(staging: &Staging, key: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": name(staging), "namespace": staging.namespace(), "labels": {STAGING_LABEL: staging.name()},
        },
        "data": {key: text},
    })
}

/// Names of containers with their images, of what has a pod template or is a pod.
pub(crate) fn images(object: &Object) -> Vec<(String, String)> {
    let spec = workload::pod_spec(object);
    let mut found = Vec::new();
    for list in ["initContainers", "containers"] {
        for container in object.list(&format!("{spec}/{list}")) {
            let text = |key: &str| container[key].as_str().unwrap_or_default().to_owned();
            found.push((text("name"), text("image")));
        }
    }
    found
}
