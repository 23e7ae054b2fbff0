//! How events change a run: a pure fold over the newest run of a staging.

use dm_domain::ids::{RunId, StagingName, Tag};
use dm_domain::staging::event::{Failed, Outcome, RunFinished, RunStarted};
use dm_domain::staging::{Event, Verb};
use dm_eventstore::{Metadata, RecordedEvent};

use crate::runs::row::{Row, RunState};
use crate::{Fact, Poison};

pub(super) fn evolve(newest: Option<&Row>, fact: &Fact) -> Result<Option<Row>, Poison> {
    let (recorded, meta) = (&fact.recorded, fact.meta()?);
    let opened = |before, run, verb, tag| opened(before, (recorded, meta), run, verb, tag);
    let tag = newest.and_then(Row::tag_after);
    match fact.event()? {
        Event::CreateRequested(asked) => opened(None, asked.run, Verb::Create, &asked.tag),
        Event::UpdateRequested(asked) => opened(tag, asked.run, Verb::Update, &asked.tag),
        Event::RestoreRequested(asked) => opened(tag, asked.run, Verb::Restore, &asked.tag),
        Event::RetryRequested(asked) => opened(tag, asked.run, asked.verb, &asked.tag),
        // Without a tag there is no staging, of which nothing more is asked.
        Event::DeleteRequested(asked) => tag.map_or(Ok(None), |tag| opened(Some(tag), asked.run, Verb::Delete, tag)),
        Event::CleanupRequested(asked) => tag.map_or(Ok(None), |tag| {
            let run = opened(Some(tag), asked.run, Verb::Cleanup, tag)?;
            Ok(run.map(|run| Row { forced: asked.force, ..run }))
        }),
        Event::RequestWithdrawn(of) => Ok(change(newest, of.run, |run| run.state = RunState::Withdrawn)),
        Event::RunStarted(of) => Ok(change(newest, of.run, |run| started(run, recorded, of))),
        Event::RunFinished(of) => Ok(change(newest, of.run, |run| finished(run, recorded, of))),
        Event::RunInterrupted(of) => Ok(change(newest, of.run, |run| {
            run.state = RunState::Queued;
            run.finished_at = Some(recorded.at);
        })),
        Event::BecameRunning(of) | Event::BecameArchived(of) | Event::CleanedUp(of) => {
            Ok(change(newest, of.run, |run| run.state = RunState::Succeeded))
        }
        Event::Failed(of) => Ok(change(newest, of.run, |run| failed(run, of))),
        Event::CancelRequested(_)
        | Event::CheckFailed(_)
        | Event::CheckPassed(_)
        | Event::BecameUnreadable(_)
        | Event::BecameReadable(_)
        | Event::LinksRead(_) => Ok(None),
    }
}

fn opened(
    before: Option<&Tag>,
    (recorded, meta): (&RecordedEvent, &Metadata),
    id: RunId,
    verb: Verb,
    tag: &Tag,
) -> Result<Option<Row>, Poison> {
    let staging = StagingName::parse(recorded.stream.as_str()).map_err(|invalid| Poison(invalid.to_string()))?;
    Ok(Some(Row {
        id,
        staging,
        version: recorded.version,
        verb,
        forced: false,
        state: RunState::Queued,
        attempt: 0,
        tag: tag.clone(),
        tag_before: before.cloned(),
        by: meta.actor.clone(),
        on_behalf: meta.on_behalf.clone(),
        comment: meta.reason.clone(),
        requested_at: recorded.at,
        started_at: None,
        finished_at: None,
        outcome: None,
        reason: None,
        cause: None,
    }))
}

/// Changes the run if it is this one and not over.
fn change(newest: Option<&Row>, run: RunId, change: impl FnOnce(&mut Row)) -> Option<Row> {
    let mut row = newest.filter(|row| row.id == run && !row.state.is_over())?.clone();
    change(&mut row);
    Some(row)
}

fn started(run: &mut Row, recorded: &RecordedEvent, of: &RunStarted) {
    run.state = RunState::Running;
    run.attempt = of.attempt;
    run.started_at = Some(recorded.at);
    run.finished_at = None;
    run.outcome = None;
}

fn finished(run: &mut Row, recorded: &RecordedEvent, of: &RunFinished) {
    run.finished_at = Some(recorded.at);
    run.outcome = Some(of.outcome.clone());
    // Any other end has its `Failed` or `CleanedUp` beside it.
    if of.outcome == Outcome::Exited(0) && run.verb != Verb::Cleanup {
        run.state = RunState::WaitingForCheck;
    }
}

fn failed(run: &mut Row, of: &Failed) {
    run.state = RunState::Failed;
    run.reason = Some(of.reason);
    run.cause = Some(of.cause.clone());
}
