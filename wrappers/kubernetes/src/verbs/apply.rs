//! `create`, `update` and `restore`: all three make what should be, whatever was there before.

use std::time::Duration;

use uuid::Uuid;

use crate::cluster::object::{CALL_LABEL, Object, RUN_ANNOTATION, STAGING_LABEL};
use crate::error::{Error, Result};
use crate::say;
use crate::staging::Staging;
use crate::staging::awakening;
use crate::staging::chart;
use crate::staging::custom;
use crate::staging::hooks;
use crate::staging::memory::Memory;
use crate::staging::namespace;
use crate::staging::record::{self, Record};
use crate::staging::release;
use crate::staging::removal;
use crate::staging::rollout::{self, Outcome};
use crate::tools::both::both;
use crate::tools::helm::{self, Applied, Release};
use crate::tools::kubectl;
use crate::tools::kubedog::Kubedog;
use crate::tools::process::{Answer, End};
use crate::wait;

/// Between two looks at hooks while helm works.
const HOOK_LOOK: Duration = Duration::from_secs(2);

/// What runs by numbers, what makes it run, what it stores; and the staging's own object.
const NUMBERED: &str = "configmaps,deployments.apps,statefulsets.apps,daemonsets.apps,cronjobs.batch,jobs.batch,\
                        horizontalpodautoscalers.autoscaling,persistentvolumeclaims";

/// Applies the chart with the effective configuration, and follows it.
pub(crate) fn apply(staging: &Staging) -> Result<()> {
    let tag = staging.given.needs_tag()?;
    let kubedog = Kubedog::find(&staging.settings.program(&staging.settings.tools.kubedog), &staging.access)?;
    let chart = chart::find(&staging.settings, &staging.helm, Duration::from_secs(staging.settings.limits.helm))?;
    let values = chart.values(staging)?.map_err(|refusals| Error::failed(refusals.join("; ")))?.to_string();
    say::step(&format!("applying {} with tag {tag} in namespace {}", staging.name(), staging.namespace()));
    namespace::ensure(staging)?;
    let (waited, seen) = both(|| release::repair(staging), || numbered(staging))?;
    let before = settled(staging, (!waited).then_some(seen))?;
    let before = awakening::recalled(staging, before)?;
    removal::take_back(staging, record::own(staging, &before))?;
    custom::restore(staging)?;
    let applied = Applied { release: staging.release(), chart: &chart.folder, values: &values };
    awakening::wake(staging, &before, applied)?;

    let release = upgrade(staging, applied)?;
    let record = Record::of(staging, &release.manifest);
    let mark = || staging.kubectl.merge_into(&release.manifest, &staging.mark());
    let ((), live) = both(|| record.write(staging), mark)?;
    mark_hooks(staging, &release)?;
    awakening::bring_back(staging, &release, &live, &before)?;

    let stream = kubedog.follow(staging.namespace(), staging.settings.limits.follow, &release.manifest)?;
    let outcome = rollout::follow(staging, &release, still_true(live, &before))?;
    stream.finish();
    // Not before: a run that fails or is killed until here leaves the numbers to the next one.
    awakening::forget(staging, &before)?;
    match outcome {
        Outcome::Ready => say::step(&format!("{} is ready", staging.name())),
        Outcome::NotYet(words) => say::step(&format!("not ready yet, left to the checks: {words}")),
    }
    Ok(())
}

fn numbered(staging: &Staging) -> Result<Vec<Object>> {
    staging.kubectl.list(NUMBERED, &staging.selector())
}

/// What there is, when nothing of it is on its way out: what is applied to such an object goes with it. `seen` is what was
/// there a moment ago.
fn settled(staging: &Staging, mut seen: Option<Vec<Object>>) -> Result<Vec<Object>> {
    let mut going = None;
    let found = wait::until(wait::deadline(staging.settings.limits.removal), || {
        let objects = seen.take().map_or_else(|| numbered(staging), Ok)?;
        let Some(now) = objects.iter().find(|object| object.is_dying()) else { return Ok(Some(objects)) };
        if going.is_none() {
            say::step(&format!("waiting for {now} to go"));
        }
        going = Some(now.to_string());
        Ok(None)
    })?;
    let words = || format!("{} is still going; try again when it has gone", going.unwrap_or_default());
    found.ok_or_else(|| Error::Failed(words()))
}

/// What was seen when the mark was put on it, unless replicas were set since.
fn still_true(live: Vec<Object>, before: &[Object]) -> Option<Vec<Object>> {
    before.iter().all(|object| Memory::of(object).is_none()).then_some(live)
}

/// One `helm upgrade --install`, with an eye on its hooks.
fn upgrade(staging: &Staging, applied: Applied<'_>) -> Result<Release> {
    let call = Uuid::new_v4();
    let labels = format!("{STAGING_LABEL}={},{RUN_ANNOTATION}={},{CALL_LABEL}={call}", staging.name(), staging.run);
    let limit = Duration::from_secs(staging.settings.limits.helm);
    say::step("helm upgrade --install");
    let mut running = staging.helm.upgrade(applied, &labels, limit).start()?;
    let mut unanswered = None;
    while !running.is_out_of_time() && !running.ends_within(HOOK_LOOK)? {
        match hooks::hopeless(staging) {
            Ok(None) => {}
            Ok(Some(words)) => {
                say::line("helm is stopped: what it waits for will not come");
                running.stop()?;
                return Err(Error::Failed(words));
            }
            // Of a server that is away helm itself says only that its hook was not ready in time.
            Err(error) => unanswered = Some(error),
        }
    }
    let answer = running.wait()?;
    match answer.end {
        End::Exited(0) if helm::is_unrecorded(&answer) => Err(why(staging, &answer, None)),
        End::Exited(0) => helm::released(&answer.stdout),
        End::Exited(_) | End::Signalled | End::OutOfTime | End::TooLong => Err(why(staging, &answer, unanswered)),
    }
}

fn why(staging: &Staging, answer: &Answer, unanswered: Option<Error>) -> Error {
    let words = kubectl::why(answer, "helm upgrade");
    // A job that has failed knows more than helm, which has only waited for it.
    match (hooks::failed(staging), unanswered) {
        (Ok(Some(cause)), _) => Error::Failed(cause),
        (Ok(None), None) => Error::Failed(words),
        (Ok(None) | Err(_), Some(error)) | (Err(error), None) => Error::Failed(format!("{words}; meanwhile: {error}")),
    }
}

/// Hooks are of the staging too, unless one of that name is somebody else's: helm puts no mark on them.
fn mark_hooks(staging: &Staging, release: &Release) -> Result<()> {
    let mut hooks = staging.kubectl.live(&release.hooks)?;
    hooks.retain(|hook| !hook.is_dying() && !hook.is_of_another(staging.name(), staging.namespace()));
    staging.kubectl.merge_into(&hooks, &staging.mark()).map(drop)
}
