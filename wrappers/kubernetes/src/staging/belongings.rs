//! What belongs to a staging, by five rules; everything that names another staging is left out.
//!
//! 1. The manifest and the hooks of every stored revision of its release, if they still say that helm has made them:
//!    somebody else may have made another object of such a name since.
//! 2. What helm has annotated with that release.
//! 3. What carries DM's label.
//! 4. Claims of its stateful sets, which carry no mark of anybody, and Secrets that its certificates ask for, or its
//!    ingresses where they were made for it, if nobody else asks for them.
//! 5. What is owned by these: the cluster removes it with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cluster::object::Object;
use crate::cluster::paths::Paths;
use crate::error::Result;
use crate::say;
use crate::staging::Staging;
use crate::staging::record;
use crate::staging::release;

/// An object that belongs to the staging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) kind: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) namespace: String,
    pub(crate) path: String,
    pub(crate) uid: String,
    /// The group of its kind, for the order of removal.
    #[serde(default)]
    pub(crate) group: String,
    /// Of a claim: its volume.
    #[serde(default)]
    pub(crate) volume: String,
}

impl Item {
    /// Enough of the object to ask for it.
    pub(crate) fn object(&self) -> Object {
        let version = if self.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", self.group) };
        Object(json!({
            "apiVersion": version, "kind": self.kind, "metadata": {"name": self.name, "namespace": self.namespace},
        }))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object().fmt(f)
    }
}

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) items: BTreeMap<String, Item>,
    /// Resources that we may not list.
    pub(crate) hidden: BTreeSet<String>,
}

/// Looks for all of it. Of a cleanup that `goes_on` the first attempt has looked by name, before it removed anything; since
/// then somebody else may have made an object of such a name.
pub(crate) fn find(staging: &Staging, paths: &Paths, goes_on: bool) -> Result<Found> {
    let mut search = Search { staging, paths, found: Found::default(), manifest: Vec::new(), objects: BTreeMap::new() };
    search.of_the_release()?;
    search.by_marks()?;
    if !goes_on {
        search.claims()?;
        search.secrets()?;
    }
    Ok(search.found)
}

struct Search<'a> {
    staging: &'a Staging,
    paths: &'a Paths,
    found: Found,
    /// What all stored revisions had, whether it is there or not.
    manifest: Vec<Object>,
    /// By UID.
    objects: BTreeMap<String, Object>,
}

impl Search<'_> {
    fn take(&mut self, object: Object) -> Result<()> {
        let staging = self.staging;
        let is_record = object.kind() == "ConfigMap" && object.name() == record::name(staging);
        let is_release = object.text("/type") == "helm.sh/release.v1";
        // Both are needed until all the rest has gone, and what belongs to another object goes with it.
        if is_record || is_release || object.is_of_another(staging.name(), staging.namespace()) {
            return Ok(());
        }
        let item = Item {
            kind: object.kind().to_owned(),
            name: object.name().to_owned(),
            namespace: object.namespace().to_owned(),
            path: self.paths.of(&object)?,
            uid: object.uid().to_owned(),
            group: object.group().to_owned(),
            volume: object.text("/spec/volumeName").to_owned(),
        };
        self.found.items.insert(item.uid.clone(), item);
        self.objects.insert(object.uid().to_owned(), object);
        Ok(())
    }

    fn of_the_release(&mut self) -> Result<()> {
        let staging = self.staging;
        for release in release::stored(staging)? {
            for object in release.manifest.into_iter().chain(release.hooks) {
                let Some(object) = self.paths.current(object)? else { continue };
                let same = |other: &Object| {
                    (other.kind(), other.group(), other.name(), other.namespace())
                        == (object.kind(), object.group(), object.name(), object.namespace())
                };
                if !self.manifest.iter().any(same) {
                    self.manifest.push(object);
                }
            }
        }
        for object in staging.kubectl.live(&self.manifest)? {
            if object.is_marked(staging.name(), staging.namespace()) {
                self.take(object)?;
            }
        }
        Ok(())
    }

    /// What the staging has or had of a kind, in its own namespace.
    fn all_of(&self, kinds: &[&str]) -> impl Iterator<Item = &Object> {
        let here = |object: &&Object| object.namespace().is_empty() || object.namespace() == self.staging.namespace();
        let of_kind = |object: &&Object| kinds.contains(&object.kind());
        self.manifest.iter().chain(self.objects.values()).filter(here).filter(of_kind)
    }

    fn by_marks(&mut self) -> Result<()> {
        let resources = self.paths.listed().join(",");
        for selector in [self.staging.selector(), "app.kubernetes.io/managed-by=Helm".to_owned()] {
            let (objects, hidden) = self.staging.kubectl.list_what_may_be(&resources, &selector)?;
            for object in objects {
                let ours = object.label(crate::cluster::object::STAGING_LABEL) == Some(self.staging.name())
                    || object.is_of_release(self.staging.release(), self.staging.namespace());
                if ours {
                    self.take(object)?;
                }
            }
            self.found.hidden.extend(hidden);
        }
        Ok(())
    }

    /// `TEMPLATE-SET-ORDINAL`, which is all that a claim of a template says of itself.
    fn claims(&mut self) -> Result<()> {
        let prefixes: BTreeSet<String> = self
            .all_of(&["StatefulSet"])
            .flat_map(|set| {
                let templates = set.list("/spec/volumeClaimTemplates").iter();
                templates
                    .filter_map(|template| Some(format!("{}-{}-", template["metadata"]["name"].as_str()?, set.name())))
            })
            .collect();
        if prefixes.is_empty() {
            return Ok(());
        }
        for claim in self.staging.kubectl.list("persistentvolumeclaims", "")? {
            if prefixes.iter().any(|prefix| is_ordinal(claim.name().strip_prefix(prefix.as_str()))) {
                self.take(claim)?;
            }
        }
        Ok(())
    }

    fn secrets(&mut self) -> Result<()> {
        let ours: BTreeSet<String> = self.all_of(&["Certificate", "Ingress"]).flat_map(asked_for).collect();
        let certified: BTreeSet<String> = self.all_of(&["Certificate"]).flat_map(asked_for).collect();
        if ours.is_empty() {
            return Ok(());
        }
        let resources = self.paths.listed().into_iter();
        let asking =
            resources.filter(|name| name.starts_with("certificates.") || name == "ingresses.networking.k8s.io");
        // Whoever may not look for others of the same kinds cannot tell whether they need a Secret of ours; kinds that this
        // staging does not use are looked at where that is allowed.
        let is_used = |name: &String| {
            self.objects.values().any(|object| name.split_once('.').map(|(_, group)| group) == Some(object.group()))
        };
        let (used, others): (Vec<String>, Vec<String>) = asking.partition(is_used);
        let mut all = if used.is_empty() { Vec::new() } else { self.staging.kubectl.list(&used.join(","), "")? };
        if !others.is_empty() {
            let (more, hidden) = self.staging.kubectl.list_what_may_be(&others.join(","), "")?;
            all.extend(more);
            self.found.hidden.extend(hidden);
        }
        let others = all.iter().filter(|object| !self.objects.contains_key(object.uid()));
        let theirs: BTreeSet<String> = others.flat_map(asked_for).collect();
        for name in ours.difference(&theirs) {
            let Some(secret) = self.staging.kubectl.named("secrets", name)? else { continue };
            if certified.contains(name) || is_made_for(&secret, self.staging.name()) {
                self.take(secret)?;
            } else {
                say::line(&format!(
                    "{secret} stays: an ingress names it, but nothing says that it was made for this staging"
                ));
            }
        }
        Ok(())
    }
}

/// Whether a Secret that an ingress names was made for this staging, rather than for all: by cert-manager, which makes one
/// for each that asks, or by its name.
fn is_made_for(secret: &Object, staging: &str) -> bool {
    let by_name = secret.name().strip_prefix(staging).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    by_name || secret.annotation("cert-manager.io/certificate-name").is_some()
}

/// Names of Secrets that a certificate or an ingress names.
fn asked_for(object: &Object) -> Vec<String> {
    let tls = object.list("/spec/tls").iter().filter_map(|tls| tls["secretName"].as_str());
    let own = Some(object.text("/spec/secretName")).filter(|name| !name.is_empty());
    tls.chain(own).map(str::to_owned).collect()
}

/// A number as a set counts its pods: `0`, `12`, and nothing after it.
fn is_ordinal(rest: Option<&str>) -> bool {
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) && (rest == "0" || !rest.starts_with('0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_number_is_an_ordinal() {
        for ordinal in ["0", "7", "12"] {
            assert!(is_ordinal(Some(ordinal)), "{ordinal}");
        }
        for other in [None, Some(""), Some("a-0"), Some("0-0"), Some("01"), Some("-1")] {
            assert!(!is_ordinal(other), "{other:?}");
        }
    }

    #[test]
    fn a_secret_for_all_is_not_made_for_one() {
        let secret = |name: &str, annotations: serde_json::Value| {
            is_made_for(&Object(json!({"metadata": {"name": name, "annotations": annotations}})), "pr-1")
        };
        assert!(secret("pr-1", json!({})) && secret("pr-1-tls", json!({})));
        assert!(secret("web-tls", json!({"cert-manager.io/certificate-name": "web-tls"})));
        assert!(!secret("wildcard-tls", json!({})) && !secret("pr-10-tls", json!({})));
    }

    #[test]
    fn certificates_and_ingresses_name_their_secrets() {
        let ingress = Object(json!({"kind": "Ingress", "spec": {"tls": [{"secretName": "a"}, {"hosts": []}]}}));
        let certificate = Object(json!({"kind": "Certificate", "spec": {"secretName": "b"}}));
        assert_eq!([asked_for(&ingress), asked_for(&certificate)].concat(), ["a", "b"]);
    }
}
