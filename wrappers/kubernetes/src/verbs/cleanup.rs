//! `cleanup`: everything of the staging goes.
//!
//! What is to go is written down in the cluster, with UIDs, before anything is removed: one that was killed goes on where it
//! was, and a new object of an old name is safe.

use std::time::Instant;

use crate::cluster::object::{Object, STAGING_LABEL};
use crate::cluster::paths::Paths;
use crate::error::{Error, Result};
use crate::say;
use crate::staging::belongings::{self, Item};
use crate::staging::custom;
use crate::staging::namespace;
use crate::staging::record;
use crate::staging::removal::{self, Items};
use crate::staging::{Staging, release};
use crate::wait;

/// Removes all.
pub(crate) fn cleanup(staging: &Staging) -> Result<()> {
    release::must_be_free(staging)?;
    let paths = Paths::find(&staging.kubectl)?;
    let record = staging.kubectl.named("configmaps", &record::name(staging))?;
    let mut items = removal::earlier(record.as_ref())?;
    let found = belongings::find(staging, &paths, !items.is_empty())?;
    let before = items.len();
    items.extend(found.items);
    let volumes = Volumes::of(staging, &items);
    if items.len() > before {
        removal::write(staging, &items)?;
    }
    say::step(&format!("removing {} objects of {}", items.len(), staging.name()));
    let (first, rest): (Items, Items) = items.clone().into_iter().partition(|(_, item)| rank(item) <= CUSTOM);
    let mut problems = Vec::new();
    let deadline = wait::deadline(staging.settings.limits.removal);
    let mut going = remove_all(staging, &first, &mut problems)?;
    if going.values().any(|item| rank(item) == CUSTOM) {
        // Their operator may be of this very staging, and goes next.
        until_gone(deadline, || still_there(staging, &paths, &going))?;
    }
    going.extend(remove_all(staging, &rest, &mut problems)?);
    problems.extend(until_gone(deadline, || still_there(staging, &paths, &going))?.iter().map(held));
    // A volume goes with its claim, and is told to go only when that has gone.
    if problems.is_empty() {
        problems.extend(volumes.settle(staging)?);
    }
    if !found.hidden.is_empty() {
        // The release has named what it has of these kinds; others may carry our label, and nobody could know.
        let hidden: Vec<&str> = found.hidden.iter().map(String::as_str).collect();
        say::line(&format!("not looked for, because DM may not list them: {}", hidden.join(", ")));
    }
    if !problems.is_empty() {
        return Err(Error::Failed(format!("not everything could be removed: {}", problems.join("; "))));
    }
    forget(staging, &paths)?;
    say::step(&format!("nothing of {} is left", staging.name()));
    Ok(())
}

/// The rank of custom kinds: whoever acts on them must not go before them.
const CUSTOM: u8 = 2;

/// What makes others goes first, what others need goes last.
fn rank(item: &Item) -> u8 {
    match item.kind.as_str() {
        "CronJob" | "HorizontalPodAutoscaler" => 0,
        "Certificate" | "Ingress" => 1,
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "Pod" | "ReplicaSet" => 3,
        "PersistentVolumeClaim" => 5,
        "Secret" | "ConfigMap" => 6,
        "ServiceAccount" | "Role" | "RoleBinding" => 7,
        _ if custom::is_custom(&item.object()) => CUSTOM,
        _ => 4,
    }
}

/// Removes what it can, and says of the rest why not. What was told to go is the answer.
fn remove_all(staging: &Staging, items: &Items, problems: &mut Vec<String>) -> Result<Items> {
    let mut in_order: Vec<&Item> = items.values().collect();
    in_order.sort_by_key(|item| (rank(item), item.kind.clone(), item.name.clone()));
    let mut going = Items::new();
    for item in in_order {
        match staging.kubectl.delete_uid(&item.path, &item.uid) {
            Ok(removed) => {
                if removed {
                    say::line(&format!("removed {item}"));
                }
                going.insert(item.uid.clone(), item.clone());
            }
            // The rest can still go; without an answer nothing can.
            Err(error @ Error::CannotTell(_)) if !error.lacks_right() => return Err(error),
            Err(error) => problems.push(format!("{item}: {error}")),
        }
    }
    Ok(going)
}

/// Until all of it is gone: finalizers have their say, and pods their grace. What is left then is the answer.
fn until_gone(deadline: Instant, look: impl Fn() -> Result<Vec<Object>>) -> Result<Vec<Object>> {
    let mut left = Vec::new();
    wait::until(deadline, || {
        let now = look()?;
        if !now.is_empty() && now.len() != left.len() {
            let first: Vec<String> = now.iter().take(3).map(ToString::to_string).collect();
            let more = now.len() - first.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            say::step(&format!("waiting for {}{more} to go", first.join(", ")));
        }
        left = now;
        Ok(left.is_empty().then_some(()))
    })?;
    Ok(left)
}

fn still_there(staging: &Staging, paths: &Paths, items: &Items) -> Result<Vec<Object>> {
    let mut named = Vec::new();
    for item in items.values() {
        named.extend(paths.current(item.object())?);
    }
    let live = staging.kubectl.live(&named)?;
    Ok(live.into_iter().filter(|object| items.contains_key(object.uid())).collect())
}

/// Why an object does not go.
fn held(object: &Object) -> String {
    let finalizers: Vec<&str> =
        object.list("/metadata/finalizers").iter().filter_map(serde_json::Value::as_str).collect();
    match (object.is_dying(), finalizers.is_empty()) {
        (true, false) => format!("{object} is held by {}", finalizers.join(", ")),
        (true, true) => format!("{object} is going, but not gone"),
        (false, _) => format!("{object} is still there"),
    }
}

/// The volumes behind the claims that go.
#[derive(Debug, Default)]
struct Volumes {
    deleted: Vec<Object>,
    retained: Vec<Object>,
    hidden: Vec<String>,
}

impl Volumes {
    fn of(staging: &Staging, items: &Items) -> Self {
        let mut volumes = Self::default();
        for item in items.values().filter(|item| !item.volume.is_empty()) {
            match staging.kubectl.named("persistentvolumes", &item.volume) {
                // By now it may serve another claim.
                Ok(Some(volume)) if volume.text("/spec/claimRef/uid") != item.uid => {}
                Ok(Some(volume)) if volume.text("/spec/persistentVolumeReclaimPolicy") == "Delete" => {
                    volumes.deleted.push(volume);
                }
                Ok(Some(volume)) => volumes.retained.push(volume),
                Ok(None) => {}
                // Volumes belong to the cluster; whoever may not look at them cannot wait for them.
                Err(error) => volumes.hidden.push(format!("volume {} of {item}: {error}", item.volume)),
            }
        }
        volumes
    }

    fn settle(self, staging: &Staging) -> Result<Vec<String>> {
        for words in self.hidden {
            say::line(&format!("not looked at: {words}"));
        }
        let mut problems = Vec::new();
        for volume in self.retained {
            if !staging.settings.cleanup.retained_volumes {
                say::step(&format!("{volume} stays: its reclaim policy is Retain"));
                continue;
            }
            let path = format!("/api/v1/persistentvolumes/{}", volume.name());
            match staging.kubectl.delete_uid(&path, volume.uid()) {
                Ok(_) => say::line(&format!("removed {volume}")),
                Err(error) => problems.push(format!("{volume}: {error}")),
            }
        }
        if !self.deleted.is_empty() {
            let left = until_gone(wait::deadline(staging.settings.limits.removal), || {
                let mut live = staging.kubectl.live(&self.deleted)?;
                live.retain(|live| self.deleted.iter().any(|volume| volume.uid() == live.uid()));
                Ok(live)
            })?;
            problems.extend(left.iter().map(undeleted));
        }
        Ok(problems)
    }
}

/// Why a volume does not go.
fn undeleted(volume: &Object) -> String {
    let why = Some(volume.text("/status/message")).filter(|why| !why.is_empty());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    format!("{volume} is to be deleted by its storage, and is still there{why}")
}

/// The release, the list itself, and the namespace where it is the staging's own.
fn forget(staging: &Staging, paths: &Paths) -> Result<()> {
    let release = format!("owner=helm,name={}", staging.release());
    for secret in staging.kubectl.list("secrets", &release)? {
        staging.kubectl.delete_uid(&paths.of(&secret)?, secret.uid())?;
    }
    let record = staging.kubectl.named("configmaps", &record::name(staging))?;
    if let Some(record) = record.filter(|record| record.label(STAGING_LABEL) == Some(staging.name())) {
        staging.kubectl.delete_uid(&paths.of(&record)?, record.uid())?;
    }
    let Some(own) = namespace::ours(staging)? else { return Ok(()) };
    say::step(&format!("removing namespace {}", own.name()));
    staging.kubectl.delete_uid(&format!("/api/v1/namespaces/{}", own.name()), own.uid())?;
    let gone = wait::until(wait::deadline(staging.settings.limits.removal), || {
        Ok(namespace::ours(staging)?.is_none().then_some(()))
    })?;
    gone.ok_or_else(|| Error::Failed(format!("namespace {} is going, but not gone", own.name())))
}
