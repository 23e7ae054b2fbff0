//! `create`, `update` and `restore`: all three make what should be, whatever was there before.

use std::time::Duration;

use uuid::Uuid;

use crate::arguments;
use crate::cluster::object::{CALL_LABEL, Object, RUN_ANNOTATION, STAGING_LABEL};
use crate::cluster::pods::{self, Pods};
use crate::cluster::workload;
use crate::error::{Error, Result};
use crate::say;
use crate::staging::Staging;
use crate::staging::chart;
use crate::staging::chart::Chart;
use crate::staging::custom;
use crate::staging::hooks;
use crate::staging::memory::{self, Forgotten, Memory};
use crate::staging::namespace;
use crate::staging::record::{self, Record};
use crate::staging::release;
use crate::staging::rollout::{self, Outcome};
use crate::tools::both::both;
use crate::tools::helm::{self, Applied, Release};
use crate::tools::kubectl;
use crate::tools::kubedog::Kubedog;
use crate::tools::process::{Answer, End};
use crate::values;
use crate::values::Json;
use crate::verbs::cleanup;
use crate::wait;

/// Where it stands, in the staging's own object, what a run has forgotten.
const FORGOTTEN: &str = "forgotten";

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
    let values = compose(staging, &chart)?.map_err(|refusals| Error::failed(refusals.join("; ")))?.to_string();
    say::step(&format!("applying {} with tag {tag} in namespace {}", staging.name(), staging.namespace()));
    namespace::ensure(staging)?;
    let (waited, mut before) = both(|| release::repair(staging), || settled(staging))?;
    if waited {
        before = settled(staging)?;
    }
    let before = recalled(staging, before)?;
    cleanup::take_back(staging, record::own(staging, &before))?;
    custom::restore(staging)?;
    wake(staging, &before)?;

    let release = upgrade(staging, &chart, &values)?;
    let record = Record::of(staging, &release.manifest);
    let mark = || staging.kubectl.merge_into(&release.manifest, &staging.mark());
    let ((), live) = both(|| record.write(staging), mark)?;
    mark_hooks(staging, &release)?;
    bring_back(staging, &release, &live, &before)?;

    let stream = kubedog.follow(staging.namespace(), staging.settings.limits.follow, &release.manifest)?;
    let outcome = rollout::follow(staging, &release, still_true(live, &before))?;
    stream.finish();
    // Not before: a run that fails or is killed until here leaves the numbers to the next one.
    forget(staging, &before)?;
    match outcome {
        Outcome::Ready => say::step(&format!("{} is ready", staging.name())),
        Outcome::NotYet(words) => say::step(&format!("not ready yet, left to the checks: {words}")),
    }
    Ok(())
}

/// What there is, when nothing of it is on its way out: what is applied to such an object goes with it.
fn settled(staging: &Staging) -> Result<Vec<Object>> {
    let mut going = None;
    let found = wait::until(wait::deadline(staging.settings.limits.removal), || {
        let objects = staging.kubectl.list(NUMBERED, &staging.selector())?;
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

/// The values for the chart, or why they cannot be, in sentences.
pub(crate) fn compose(staging: &Staging, chart: &Chart) -> Result<std::result::Result<Json, Vec<String>>> {
    let given = &staging.given;
    let given = values::Given {
        tag: given.tag.clone(),
        name: given.name.clone(),
        base_domain: given.base_domain.clone(),
        namespace: staging.namespace().to_owned(),
        project_name: given.project_name.clone(),
        app: arguments::values("DM_APP_VALUES")?,
        staging: arguments::values("DM_STAGING_VALUES")?,
        app_overrides: given.app_overrides.clone(),
        staging_overrides: given.staging_overrides.clone(),
    };
    let layout = staging.settings.layout()?;
    let composed = values::compose(&chart.facts, &layout, &given);
    Ok(composed.map_err(|refusals| refusals.into_iter().map(|refusal| refusal.to_string()).collect()))
}

/// Stateful sets first, and awaited: what the chart does before an upgrade may need its database.
fn wake(staging: &Staging, before: &[Object]) -> Result<()> {
    let sets: Vec<(&Object, Memory)> = before
        .iter()
        .filter(|object| object.kind() == "StatefulSet")
        .filter_map(|set| Some((set, Memory::of(set)?)))
        .collect();
    if sets.is_empty() {
        return Ok(());
    }
    for (set, memory) in &sets {
        say::step(&format!("bringing {set} back to {}", memory.replicas));
        staging.kubectl.scale(workload::resource(set), set.name(), memory.replicas)?;
    }
    wait::until(wait::deadline(staging.settings.limits.wake), || {
        let live = staging.kubectl.list("statefulsets.apps", &staging.selector())?;
        let live: Vec<Object> =
            live.into_iter().filter(|object| sets.iter().any(|(set, _)| set.uid() == object.uid())).collect();
        let are_ready = live.iter().all(|set| workload::standing(set).settled);
        // One that does not start as it was may well start as it is to become.
        Ok((are_ready || is_hopeless(staging, &live)?).then_some(()))
    })
    .map(drop)
}

fn is_hopeless(staging: &Staging, sets: &[Object]) -> Result<bool> {
    let pods = Pods::of(&staging.kubectl, sets)?;
    let restarts = staging.settings.limits.restarts;
    let hopeless = |set: &Object| pods.newest(set).any(|pod| pods::trouble(pod, restarts).is_some_and(|t| t.is_final));
    Ok(sets.iter().any(hopeless))
}

/// One `helm upgrade --install`, with an eye on its hooks.
fn upgrade(staging: &Staging, chart: &Chart, values: &str) -> Result<Release> {
    let call = Uuid::new_v4();
    let labels = format!("{STAGING_LABEL}={},{RUN_ANNOTATION}={},{CALL_LABEL}={call}", staging.name(), staging.run);
    let applied = Applied { release: staging.release(), chart: &chart.folder, values };
    let limit = Duration::from_secs(staging.settings.limits.helm);
    say::step("helm upgrade --install");
    let mut running = staging.helm.upgrade(applied, &labels, limit).start()?;
    let mut unanswered = None;
    while !running.is_out_of_time() && !running.ends_within(HOOK_LOOK)? {
        match hooks::hopeless(staging) {
            Ok(None) => {}
            Ok(Some(words)) => {
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
        (Ok(None) | Err(_), Some(error)) => Error::Failed(format!("{words}; meanwhile: {error}")),
        (Ok(None) | Err(_), None) => Error::Failed(words),
    }
}

/// Hooks are of the staging too, unless one of that name is somebody else's: helm puts no mark on them.
fn mark_hooks(staging: &Staging, release: &Release) -> Result<()> {
    let mut hooks = staging.kubectl.live(&release.hooks)?;
    hooks.retain(|hook| !hook.is_dying() && !hook.is_of_another(staging.name(), staging.namespace()));
    staging.kubectl.merge_into(&hooks, &staging.mark()).map(drop)
}

/// Numbers of replicas as they were before the delete, and cron jobs that were suspended by it.
fn bring_back(staging: &Staging, release: &Release, live: &[Object], before: &[Object]) -> Result<()> {
    for object in live.iter().filter(|object| workload::is_scalable(object)) {
        let Some(wanted) = release.manifest.iter().find(|wanted| wanted.is_same(object)) else { continue };
        let memory = before.iter().find(|before| before.uid() == object.uid()).and_then(Memory::of);
        if let Some(replicas) =
            memory::number_after(object, wanted, memory, workload::least(&release.manifest, object).unwrap_or(1))
        {
            say::step(&format!("{object} to {replicas} replicas"));
            staging.kubectl.scale(workload::resource(object), object.name(), replicas)?;
        }
    }
    let is_applied = |object: &Object| live.iter().any(|live| live.uid() == object.uid());
    for (object, memory) in before.iter().filter_map(|object| Some((object, Memory::of(object)?))) {
        // Not of the chart any more, and of the staging still: it ran before.
        if !is_applied(object) {
            say::step(&format!("{object} to {} replicas", memory.replicas));
            staging.kubectl.scale(workload::resource(object), object.name(), memory.replicas)?;
        }
    }
    for job in before.iter().filter(|object| object.kind() == "CronJob" && memory::is_suspended_by_us(object)) {
        staging.kubectl.merge(workload::resource(job), job.name(), &memory::resumed())?;
    }
    Ok(())
}

/// What there is, with what an earlier attempt of this very run has forgotten when it was done.
fn recalled(staging: &Staging, mut before: Vec<Object>) -> Result<Vec<Object>> {
    if let Some(text) = record::text(record::own(staging, &before), FORGOTTEN) {
        let forgotten: Forgotten = serde_json::from_str(text)
            .map_err(|error| Error::failed(format!("what an earlier run has forgotten cannot be read: {error}")))?;
        forgotten.recall(&staging.run, &mut before);
    }
    Ok(before)
}

/// The numbers of the archive are of no more use; they are kept aside for the case that this run is called again.
fn forget(staging: &Staging, before: &[Object]) -> Result<()> {
    let forgotten = Forgotten::of(&staging.run, before);
    if forgotten.workloads.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_string(&forgotten)
        .map_err(|error| Error::failed(format!("what is forgotten cannot be kept: {error}")))?;
    staging.kubectl.apply("dm-restore", &record::object(staging, FORGOTTEN, &text))?;
    for object in before.iter().filter(|object| forgotten.workloads.contains_key(object.uid())) {
        staging.kubectl.merge(workload::resource(object), object.name(), &memory::forgotten())?;
    }
    Ok(())
}
