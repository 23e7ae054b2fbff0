//! Wishes that open a run: create, update, restore, apply, delete, cleanup, retry.

use std::time::Duration;

use super::not_found;
use crate::ids::RunId;
use crate::overrides::{Edit, Keys, Values, resolve};
use crate::staging::allowed::{Action, Permit, busy, permits};
use crate::staging::command::{Change, Create};
use crate::staging::configuration::{Configuration, Draft};
use crate::staging::event::{
    CleanupRequested, ConfigurationRequested, DeleteRequested, RetryRequested, Source, Timestamp,
};
use crate::staging::state::{Condition, Request, Rest, State, later};
use crate::staging::{Event, Rejection, Status, Verb};

type Decided = Result<Vec<Event>, Rejection>;

pub(super) fn create(state: &State, run: RunId, create: &Create) -> Decided {
    if let Some(situation) = state.situation() {
        return permits(&situation, Action::Create).map(|_| vec![]);
    }
    let edit = Edit { tag: None, set: create.set.clone(), unset: create.unset.clone(), reset: Keys::default() };
    let draft = Draft::first(&create.tag, &edit, &create.defaults)?;
    let requested = requested(run, draft, &edit, create.status_timeout, create.from.as_ref());
    Ok(vec![Event::CreateRequested(requested)])
}

pub(super) fn update(state: &State, run: RunId, change: &Change) -> Decided {
    let Some(rest) = gate(state, Action::Update)? else { return Ok(vec![]) };
    Ok(vec![Event::UpdateRequested(changed(&rest.configuration, run, change)?)])
}

pub(super) fn restore(state: &State, run: RunId, change: &Change) -> Decided {
    let with_changes = !change.edit.is_empty();
    let Some(rest) = gate(state, Action::Restore { with_changes })? else { return Ok(vec![]) };
    Ok(vec![Event::RestoreRequested(changed(&rest.configuration, run, change)?)])
}

/// Leads to whichever of the three requests makes it so.
///
/// Over a free name a tag has to be given: without one there is nothing that could be created, hence "not found".
pub(super) fn apply(state: &State, run: RunId, change: &Change, always: bool) -> Decided {
    let Some(situation) = state.situation() else {
        let Some(tag) = &change.edit.tag else { return Err(not_found(state)) };
        let draft = Draft::first(tag, &change.edit, &change.defaults)?;
        let requested = requested(run, draft, &change.edit, change.status_timeout, change.from.as_ref());
        return Ok(vec![Event::CreateRequested(requested)]);
    };
    if let Some(request) = state.request() {
        change.edit.check()?;
        let on_its_way = !always && is_under_way(request, &change.edit);
        return if on_its_way { Ok(vec![]) } else { Err(busy(&request.activity())) };
    }
    match situation.status {
        Status::Archived => restore(state, run, change),
        Status::Running if !always && is_already_so(state, change)? => Ok(vec![]),
        Status::Running | Status::Failure | Status::CreatePending | Status::UpdatePending | Status::DeletePending => {
            update(state, run, change)
        }
    }
}

pub(super) fn delete(state: &State, run: RunId, status_timeout: Duration) -> Decided {
    let Some(_) = gate(state, Action::Delete)? else { return Ok(vec![]) };
    Ok(vec![Event::DeleteRequested(DeleteRequested { run, status_timeout })])
}

/// With an age asked for, only what is archived is meant, so force has no say then.
pub(super) fn cleanup(
    state: &State,
    run: RunId,
    now: Timestamp,
    force: bool,
    archived_for: Option<Duration>,
) -> Decided {
    let force = force && archived_for.is_none();
    let Some(rest) = gate(state, Action::Cleanup { force })? else { return Ok(vec![]) };
    let forced = match (&rest.condition, archived_for) {
        (Condition::Archived { since, .. }, Some(wanted)) if now < later(*since, wanted) => {
            return Err(Rejection::TooYoung { archived_at: *since, wanted });
        }
        (Condition::Archived { .. }, _) => false,
        (Condition::Running | Condition::Failure { .. }, _) => true,
    };
    Ok(vec![Event::CleanupRequested(CleanupRequested { run, force: forced })])
}

pub(super) fn retry(state: &State, run: RunId, defaults: &Values, status_timeout: Duration) -> Decided {
    let Some(rest) = gate(state, Action::Retry)? else { return Ok(vec![]) };
    let Rest { configuration, last_run, .. } = rest;
    let effective = match last_run.verb {
        Verb::Create | Verb::Update | Verb::Restore => resolve(&configuration.overrides, defaults)?,
        Verb::Delete | Verb::Cleanup => configuration.effective.clone(),
    };
    let tag = configuration.tag.clone();
    Ok(vec![Event::RetryRequested(RetryRequested { run, verb: last_run.verb, tag, effective, status_timeout })])
}

/// What is at rest and may be changed; none when what is asked for is already so, or on its way.
fn gate(state: &State, action: Action) -> Result<Option<&Rest>, Rejection> {
    let Some(situation) = state.situation() else { return Err(not_found(state)) };
    match permits(&situation, action)? {
        Permit::Go => Ok(state.rest()),
        Permit::Quiet => Ok(None),
    }
}

fn changed(configuration: &Configuration, run: RunId, change: &Change) -> Result<ConfigurationRequested, Rejection> {
    let draft = draft(configuration, change)?;
    Ok(requested(run, draft, &change.edit, change.status_timeout, change.from.as_ref()))
}

/// The base is looked at before anything that depends on defaults, so that a cheap look without them sees no more of it.
fn draft(configuration: &Configuration, change: &Change) -> Result<Draft, Rejection> {
    if let Some(base) = change.base {
        configuration.admits(&change.edit, base)?;
    }
    configuration.draft(&change.edit, &change.defaults)
}

fn requested(
    run: RunId,
    draft: Draft,
    edit: &Edit,
    status_timeout: Duration,
    from: Option<&Source>,
) -> ConfigurationRequested {
    ConfigurationRequested {
        run,
        tag: draft.tag,
        set: edit.set.clone(),
        unset: edit.unset.clone(),
        reset: edit.reset.clone(),
        effective: draft.effective,
        status_timeout,
        from: from.cloned(),
    }
}

/// Whether all that `change` asks for is there; what comes out counts, not how it was said.
fn is_already_so(state: &State, change: &Change) -> Result<bool, Rejection> {
    let Some(rest) = state.rest() else { return Ok(false) };
    let draft = draft(&rest.configuration, change)?;
    Ok(rest.configuration.comes_out_as(&draft))
}

/// Whether the run under way brings exactly this. Defaults have no say: they were fetched for that run a moment ago.
fn is_under_way(request: &Request, edit: &Edit) -> bool {
    let brings_settings = match request.verb {
        Verb::Create | Verb::Update | Verb::Restore => true,
        Verb::Delete | Verb::Cleanup => false,
    };
    brings_settings && !request.activity().cancel_requested && request.configuration.is_asked_by(edit)
}
