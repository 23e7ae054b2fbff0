//! The read model `audit`: each event of a staging as a sentence with its parts, for people who ask what happened.
//!
//! Needs no versions: a line is written once. An event that this build cannot read has its line all the same, so a history
//! has no holes. How an event is said is below in `sentence`, without SQL.

use chrono::{DateTime, Utc};
use dm_domain::ids::{Actor, Comment, RunId, StagingName, Version};
use dm_domain::staging::{Event, Verb};
use dm_eventstore::{Channel, Pool, Position, codec};
use serde_json::value::RawValue;

use crate::{Fact, Poison, Projection, ProjectionError, storable};

mod sentence;
mod table;

/// Most lines that one page of a history has.
pub const LIMIT_MAX: u32 = 200;

/// The projection behind this read model.
#[derive(Debug)]
pub struct Audit;

/// One event, as people read it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its number in the whole log.
    pub position: Position,
    /// Whose it is.
    pub staging: StagingName,
    /// Its number in the staging's stream.
    pub version: Version,
    /// Its type, as stored.
    pub event_type: String,
    /// What happened.
    pub sentence: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: Actor,
    /// By which door.
    pub channel: Channel,
    /// Why, in their own words.
    pub reason: Option<Comment>,
    /// For whom the actor says to act.
    pub on_behalf: Option<String>,
    /// Which run it belongs to.
    pub run: Option<RunId>,
    /// The payload as stored; secrets stay sealed.
    pub data: Box<RawValue>,
}

/// What is kept of a staging: its newest line, and what the next one needs to be a sentence.
#[derive(Debug, Clone)]
pub struct Row {
    /// What the newest run does.
    verb: Option<Verb>,
    line: Option<Line>,
}

impl Row {
    /// The line of the newest event; none when the row was loaded, because no later line needs it.
    pub fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }
}

impl Projection for Audit {
    const NAME: &'static str = "audit";
    const VERSION: i32 = 1;
    type Row = Row;

    fn evolve(row: Option<&Row>, fact: &Fact) -> Result<Option<Row>, Poison> {
        let (recorded, meta) = (&fact.recorded, fact.meta()?);
        let staging = StagingName::parse(recorded.stream.as_str()).map_err(|invalid| Poison(invalid.to_string()))?;
        let before = row.and_then(|row| row.verb);
        let (sentence, run, verb) = match fact.event() {
            Ok(event) => {
                let verb = asked(event).or(before);
                (sentence::of(event, &meta.actor, verb), Some(codec::run(event)), verb)
            }
            Err(poison) => (sentence::unreadable(&recorded.event_type, &poison), None, before),
        };
        let line = Line {
            position: recorded.position,
            staging,
            version: recorded.version,
            event_type: storable(&recorded.event_type),
            sentence: storable(&sentence),
            at: recorded.at,
            actor: Actor(storable(&meta.actor.0)),
            channel: meta.channel,
            reason: meta.reason.clone(),
            on_behalf: meta.on_behalf.as_deref().map(storable),
            run,
            data: recorded.data.clone(),
        };
        Ok(Some(Row { verb, line: Some(line) }))
    }
}

/// What the run does that an event asks for.
fn asked(event: &Event) -> Option<Verb> {
    match event {
        Event::CreateRequested(_) => Some(Verb::Create),
        Event::UpdateRequested(_) => Some(Verb::Update),
        Event::RestoreRequested(_) => Some(Verb::Restore),
        Event::DeleteRequested(_) => Some(Verb::Delete),
        Event::CleanupRequested(_) => Some(Verb::Cleanup),
        Event::RetryRequested(retry) => Some(retry.verb),
        Event::RequestWithdrawn(_)
        | Event::CancelRequested(_)
        | Event::RunStarted(_)
        | Event::RunFinished(_)
        | Event::RunInterrupted(_)
        | Event::BecameRunning(_)
        | Event::BecameArchived(_)
        | Event::CleanedUp(_)
        | Event::Failed(_)
        | Event::CheckFailed(_)
        | Event::CheckPassed(_)
        | Event::BecameUnreadable(_)
        | Event::BecameReadable(_)
        | Event::LinksRead(_) => None,
    }
}

/// One page of a name's history, oldest first, of all its lives: the events after version `after`, at most `limit` (1 to
/// [`LIMIT_MAX`]); and the position that the answer reflects.
pub async fn history(
    pool: &Pool,
    staging: &StagingName,
    after: Version,
    limit: u32,
) -> Result<(Vec<Line>, Position), ProjectionError> {
    table::page(pool, staging, after, limit.clamp(1, LIMIT_MAX)).await
}
