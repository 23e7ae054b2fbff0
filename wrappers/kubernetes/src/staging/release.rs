//! The helm release of a staging, as helm's own records tell: whose it is, and since when.
//!
//! helm refuses to touch a pending release for ever, and one that is being uninstalled. The record of a revision of ours
//! that a killed helm has left pending is removed, and the next upgrade starts over; what it had made already is adopted by
//! it. DM never uninstalls by helm, so that is always somebody else's.

use crate::cluster::object::{CALL_LABEL, RUN_ANNOTATION, STAGING_LABEL};
use crate::error::{Error, Result};
use crate::say;
use crate::staging::Staging;
use crate::tools::helm::Release;
use crate::tools::kubectl::Row;
use crate::wait;

/// What is known of a release without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revisions {
    rows: Vec<Row>,
    staging: String,
}

impl Revisions {
    /// Asks for them.
    pub(crate) fn of(staging: &Staging) -> Result<Self> {
        let rows = staging.kubectl.rows("secrets", &format!("owner=helm,name={}", staging.release()))?;
        Ok(Self { rows, staging: staging.name().to_owned() })
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Why this release must be left alone: somebody else has made it, and DM has never had a part in it.
    pub(crate) fn foreign(&self) -> Option<String> {
        let first = self.rows.first().filter(|_| !self.rows.iter().any(|row| self.names_us(row)))?;
        Some(format!(
            "there is a helm release {0} that DM did not make; choose another name, or hand it over to DM: kubectl label \
             secret {1} {STAGING_LABEL}={0}",
            self.staging, first.name
        ))
    }

    /// The numbers of those that are kept, the newest first.
    fn numbers(&self) -> Vec<i64> {
        let mut numbers: Vec<i64> = self.rows.iter().filter_map(|row| row.label("version")?.parse().ok()).collect();
        numbers.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
        numbers
    }

    fn names_us(&self, row: &Row) -> bool {
        row.label(STAGING_LABEL) == Some(&self.staging)
    }

    /// Whether a call of ours has made it and left it pending. helm hands the labels of a revision on to the next, so that
    /// of another's helm names the same call as one before it.
    fn is_of_our_helm(&self, row: &Row) -> bool {
        if !row.label("status").is_some_and(is_pending) {
            return false;
        }
        let Some(call) = row.label(CALL_LABEL) else { return false };
        let same = self.rows.iter().filter(|other| other.label(CALL_LABEL) == Some(call)).count();
        self.names_us(row) && same == 1
    }

    fn in_use(&self) -> impl Iterator<Item = &Row> {
        let is_in_use = |status: &str| is_pending(status) || status == "uninstalling";
        self.rows.iter().filter(move |row| row.label("status").is_some_and(is_in_use))
    }
}

fn is_pending(status: &str) -> bool {
    status.starts_with("pending-")
}

/// Refuses to go on with a release that is not of DM, or that another helm does not leave in time.
pub(crate) fn must_be_free(staging: &Staging) -> Result<()> {
    when_free(staging, |_| Ok(())).map(drop)
}

/// Makes the release ready for an upgrade. True if another helm was at work on it meanwhile.
pub(crate) fn repair(staging: &Staging) -> Result<bool> {
    when_free(staging, |row| forget(staging, row))
}

/// Waits until no helm but ours is at work on the release, which must be ours: waiting does not make it so. What a helm of
/// ours has left pending is handed over.
fn when_free(staging: &Staging, pending: impl Fn(&Row) -> Result<()>) -> Result<bool> {
    let mut other = None;
    let free = wait::until(wait::deadline(staging.settings.limits.other_helm), || {
        let revisions = Revisions::of(staging)?;
        if let Some(foreign) = revisions.foreign() {
            return Err(Error::Failed(foreign));
        }
        let (ours, others): (Vec<&Row>, Vec<&Row>) = revisions.in_use().partition(|row| revisions.is_of_our_helm(row));
        for row in ours {
            pending(row)?;
        }
        let Some(row) = others.first() else { return Ok(Some(())) };
        if other.is_none() {
            say::step("another helm is at work on this release; waiting for it");
        }
        other = Some(busy(row));
        Ok(None)
    })?;
    match free {
        Some(()) => Ok(other.is_some()),
        None => Err(Error::Failed(other.unwrap_or_default())),
    }
}

fn forget(staging: &Staging, row: &Row) -> Result<()> {
    // Its UID is asked for last, so that a helm that has ended meanwhile is not undone.
    let Some(secret) = staging.kubectl.named("secrets", &row.name)? else { return Ok(()) };
    let status = secret.label("status").unwrap_or_default();
    if !is_pending(status) {
        return Ok(());
    }
    let run = secret.label(RUN_ANNOTATION).unwrap_or_default();
    say::step(&format!("repairing: helm was killed in run {run} and left the release {status}"));
    let path = format!("/api/v1/namespaces/{}/secrets/{}", secret.namespace(), secret.name());
    staging.kubectl.delete_uid(&path, secret.uid()).map(drop)
}

fn busy(other: &Row) -> String {
    format!(
        "another helm, not of DM, is at work on this release, or was killed: {} is {}; if nobody is at it, delete that \
         Secret and try again",
        other.name,
        other.label("status").unwrap_or_default()
    )
}

/// All that is stored of it, the newest first.
pub(crate) fn stored(staging: &Staging) -> Result<Vec<Release>> {
    let mut found = Vec::new();
    for revision in Revisions::of(staging)?.numbers() {
        found.extend(staging.helm.release(staging.release(), Some(revision))?);
    }
    Ok(found)
}

/// When a revision was begun, by the server's clock: what is older says nothing of it. Nothing if it is not stored.
pub(crate) fn begun(staging: &Staging, revision: i64) -> Result<Option<String>> {
    let selector = format!("owner=helm,name={},version={revision}", staging.release());
    let secrets = staging.kubectl.list("secrets", &selector)?;
    Ok(secrets.first().map(|secret| secret.text("/metadata/creationTimestamp").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revisions(rows: &[&str]) -> Revisions {
        Revisions { rows: rows.iter().filter_map(|row| Row::parse(row)).collect(), staging: "pr-1".to_owned() }
    }

    #[test]
    fn another_helm_inherits_our_labels_and_is_not_ours() {
        let row = |name: &str, call: &str, status: &str| {
            format!("{name} helm.sh/release.v1 1 5s dm/call={call},dm/run=r,dm/staging=pr-1,status={status}")
        };
        let deployed = row("v1", "a", "deployed");
        let ours = |status, call| {
            let newest = row("v2", call, status);
            let revisions = revisions(&[&deployed, &newest]);
            revisions.in_use().map(|row| revisions.is_of_our_helm(row)).collect::<Vec<bool>>()
        };
        assert_eq!(ours("pending-upgrade", "a"), [false]);
        assert_eq!(ours("pending-upgrade", "b"), [true]);
        // DM does not uninstall, so it is not at it even when the revision is its own.
        assert_eq!(ours("uninstalling", "b"), [false]);
        assert!(ours("failed", "b").is_empty());
    }

    #[test]
    fn a_release_is_ours_when_one_of_its_revisions_names_the_staging() {
        let ours = "sh.helm.release.v1.pr-1.v2 helm.sh/release.v1 1 5s dm/run=r,dm/staging=pr-1,status=deployed";
        let plain = "sh.helm.release.v1.pr-1.v1 helm.sh/release.v1 1 5s name=pr-1,owner=helm,status=superseded";
        let other = "sh.helm.release.v1.pr-1.v1 helm.sh/release.v1 1 5s dm/staging=pr-10,status=deployed";
        assert_eq!(revisions(&[]).foreign(), None);
        assert_eq!(revisions(&[plain, ours]).foreign(), None);
        for foreign in [plain, other] {
            assert!(
                revisions(&[foreign]).foreign().is_some_and(|words| words.contains("DM did not make")),
                "{foreign}"
            );
        }
    }
}
