//! From rows of the read models to wire types.

use dm_domain::ids::Key;
use dm_domain::overrides::{Keys, Level, Value, Values};
use dm_domain::staging::event::Outcome;
use dm_domain::staging::{Action, Permit, Stage, Status, allowed, permits};
use dm_eventstore::{Channel, Position};
use dm_projector::stagings::Row;
use dm_projector::{audit, runs};
use serde_json::value::RawValue;

use crate::error::ApiError;

/// A staging, joined with what is true only now.
pub(crate) fn staging(row: &Row, live: dm_api::Live, position: Position) -> dm_api::Staging {
    let situation = row.situation();
    let trouble = row.trouble();
    let configuration = row.configuration();
    dm_api::Staging {
        name: row.name.to_string(),
        status: status(situation.status),
        reason: trouble.map(|(reason, _)| reason.to_string()),
        cause: trouble.map(|(_, cause)| cause.to_owned()),
        activity: situation.activity.as_ref().map(activity),
        tag: configuration.tag.to_string(),
        overrides: u32::try_from(configuration.overrides()).unwrap_or(u32::MAX),
        links: row.links().iter().map(|link| dm_api::Link { name: link.name.clone(), url: link.url.clone() }).collect(),
        links_cause: row.links_cause().map(str::to_owned),
        links_due: row.links_due(),
        unreadable_since: row.unreadable_since(),
        last_run: row.last_run().run.0,
        incarnation: row.incarnation.0,
        configuration_version: configuration.version.0,
        version: row.version.0,
        created_by: row.created_by.to_string(),
        created_at: row.created_at,
        changed_at: row.changed_at(),
        archived_at: row.archived_at(),
        allowed_actions: ACTIONS.iter().map(|&(wire, action)| allowed_action(&situation, wire, action)).collect(),
        live,
        position: position.0,
    }
}

/// What this version of the wire can ask, in the order in which people read it.
const ACTIONS: [(dm_api::Action, Action); 6] = [
    (dm_api::Action::Update, Action::Update),
    (dm_api::Action::Delete, Action::Delete),
    (dm_api::Action::Restore, Action::Restore { with_changes: false }),
    (dm_api::Action::Cleanup, Action::Cleanup { force: false }),
    (dm_api::Action::Retry, Action::Retry),
    (dm_api::Action::Cancel, Action::Cancel { run: None }),
];

fn allowed_action(situation: &allowed::Situation, wire: dm_api::Action, action: Action) -> dm_api::AllowedAction {
    let permit = permits(situation, action);
    dm_api::AllowedAction {
        action: wire,
        allowed: permit.is_ok(),
        quiet: permit == Ok(Permit::Quiet),
        because: permit.err().map(|no| no.to_string()),
    }
}

fn activity(activity: &allowed::Activity) -> dm_api::Activity {
    dm_api::Activity {
        kind: match activity.stage {
            Stage::Queued => dm_api::ActivityKind::Queued,
            Stage::Running => dm_api::ActivityKind::Running,
            Stage::WaitingForCheck => dm_api::ActivityKind::WaitingForCheck,
        },
        verb: activity.verb.to_string(),
        run: activity.run.0,
        attempt: activity.attempt,
        by: activity.by.to_string(),
        since: activity.since,
    }
}

pub(crate) fn status(status: Status) -> dm_api::Status {
    match status {
        Status::Running => dm_api::Status::Running,
        Status::Failure => dm_api::Status::Failure,
        Status::CreatePending => dm_api::Status::CreatePending,
        Status::UpdatePending => dm_api::Status::UpdatePending,
        Status::DeletePending => dm_api::Status::DeletePending,
        Status::Archived => dm_api::Status::Archived,
    }
}

/// The keys of a configuration: those that have a value, and those whose default is hidden.
pub(crate) fn keys(overridden: &Keys, effective: &Values) -> Result<Vec<dm_api::ConfigurationKey>, ApiError> {
    let mut keys = Vec::new();
    for level in Level::ALL {
        let overridden = overridden.at(level);
        let values = effective.at(level);
        let mut names: Vec<&Key> = values.keys().chain(overridden).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            keys.push(key(level, name, values.get(name), overridden.contains(name))?);
        }
    }
    Ok(keys)
}

fn key(
    level: Level,
    name: &Key,
    value: Option<&Value>,
    overridden: bool,
) -> Result<dm_api::ConfigurationKey, ApiError> {
    let (text, json, secret) = match value {
        Some(Value::Text(text)) => (Some(text.clone()), None, false),
        Some(Value::Json(json)) => {
            (None, Some(RawValue::from_string(json.clone()).map_err(ApiError::internal)?), false)
        }
        Some(Value::Secret(_)) => (None, None, true),
        None => (None, None, false),
    };
    let level = match level {
        Level::App => dm_api::Level::App,
        Level::Staging => dm_api::Level::Staging,
    };
    Ok(dm_api::ConfigurationKey { level, key: name.to_string(), text, json, secret, overridden })
}

/// A run.
pub(crate) fn run(row: &runs::Row, position: Position) -> dm_api::Run {
    dm_api::Run {
        id: row.id.0,
        staging: row.staging.to_string(),
        verb: row.verb.to_string(),
        state: run_state(row.state),
        attempt: row.attempt,
        tag: Some(row.tag.to_string()),
        by: row.by.to_string(),
        comment: row.comment.as_ref().map(ToString::to_string),
        requested_at: row.requested_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        outcome: row.outcome.as_ref().map(outcome),
        reason: row.reason.map(|reason| reason.to_string()),
        cause: row.cause.clone(),
        version: row.version.0,
        position: position.0,
    }
}

fn run_state(state: runs::RunState) -> dm_api::RunState {
    match state {
        runs::RunState::Queued => dm_api::RunState::Queued,
        runs::RunState::Running => dm_api::RunState::Running,
        runs::RunState::WaitingForCheck => dm_api::RunState::WaitingForCheck,
        runs::RunState::Succeeded => dm_api::RunState::Succeeded,
        runs::RunState::Failed => dm_api::RunState::Failed,
        runs::RunState::Withdrawn => dm_api::RunState::Withdrawn,
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exited(code) => format!("exit {code}"),
        Outcome::Signalled(signal) => format!("signal {signal}"),
        Outcome::TimeLimit => "time limit".to_owned(),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::NotStarted(cause) => format!("not started: {cause}"),
    }
}

/// A line of a history.
pub(crate) fn event(line: audit::Line) -> dm_api::Event {
    dm_api::Event {
        position: line.position.0,
        staging: line.staging.to_string(),
        version: line.version.0,
        event_type: line.event_type,
        sentence: line.sentence,
        at: line.at,
        actor: line.actor.to_string(),
        channel: channel(line.channel).to_owned(),
        reason: line.reason.map(|reason| reason.to_string()),
        on_behalf: line.on_behalf,
        run: line.run.map(|run| run.0),
        data: line.data,
    }
}

fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Dmc => "dmc",
        Channel::Ui => "ui",
        Channel::System => "system",
    }
}
