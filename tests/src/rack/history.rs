//! The log as the rack reads it: through the store, folded by the domain, apart from every read model.

use std::collections::{BTreeMap, BTreeSet};

use dm_domain::Decider;
use dm_domain::ids::{Actor, CommandId, RunId, StagingName};
use dm_domain::staging::{Event, Recorded, Staging, State, Timestamp};
use dm_eventstore::{EventStore, Position, codec};

/// An event with what the books need of it.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Where it stands.
    pub position: Position,
    /// Whose it is.
    pub staging: StagingName,
    /// The command that it belongs to.
    pub command: CommandId,
    /// What happened.
    pub recorded: Recorded,
}

/// The whole log so far.
#[derive(Debug, Default)]
pub struct History {
    /// Every event, in order.
    pub facts: Vec<Fact>,
    /// What each staging is now.
    pub states: BTreeMap<StagingName, State>,
}

impl History {
    /// Reads what has been appended since the last call.
    ///
    /// # Panics
    /// When positions have a gap, when a version is missing in its stream, or when an event cannot be read.
    pub async fn read_on(&mut self, store: &EventStore) -> Result<(), dm_eventstore::ReadError> {
        loop {
            let page = store.read_all(self.head(), EventStore::READ_MAX).await?;
            for event in page.events {
                assert_eq!(event.position.0, self.head().0 + 1, "positions have no gaps");
                let staging = event.stream.staging().expect("only stagings have streams");
                let recorded = codec::decode(&event).expect("every event of this build can be read");
                let state = self.states.remove(&staging).unwrap_or_else(Staging::initial);
                assert_eq!(recorded.version, state.version().next(), "versions of {staging} have no gaps");
                self.states.insert(staging.clone(), Staging::evolve(state, &recorded));
                let command = codec::meta(&event).expect("every event of this build can be read").command_id;
                let position = event.position;
                self.facts.push(Fact { position, staging, command, recorded });
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// The position of the newest event.
    pub fn head(&self) -> Position {
        self.facts.last().map_or(Position(0), |fact| fact.position)
    }

    /// Stagings with a run that has not come to its end.
    pub fn busy(&self) -> Vec<&StagingName> {
        self.states.iter().filter(|(_, state)| state.run_under_way().is_some()).map(|(name, _)| name).collect()
    }

    /// Commands that people gave, as opposed to what `dms` reports.
    pub fn commands_of_people(&self) -> BTreeSet<CommandId> {
        let system = Actor::system();
        self.facts.iter().filter(|fact| fact.recorded.actor != system).map(|fact| fact.command).collect()
    }

    /// Where each run was asked for.
    pub fn requests(&self) -> BTreeMap<RunId, Vec<&Fact>> {
        let mut requests: BTreeMap<RunId, Vec<&Fact>> = BTreeMap::new();
        for fact in &self.facts {
            if is_request(&fact.recorded.event) {
                requests.entry(codec::run(&fact.recorded.event)).or_default().push(fact);
            }
        }
        requests
    }

    /// When each attempt was claimed, and when it was said to be over.
    pub fn attempts(&self) -> BTreeMap<(RunId, u32), Attempt> {
        let mut attempts: BTreeMap<(RunId, u32), Attempt> = BTreeMap::new();
        for Fact { recorded, .. } in &self.facts {
            if let Event::RunStarted(started) = &recorded.event {
                attempts.entry((started.run, started.attempt)).or_default().claimed.push(recorded.at);
            }
            if let Event::RunFinished(finished) = &recorded.event {
                attempts.entry((finished.run, finished.attempt)).or_default().over.push(recorded.at);
            }
            if let Event::RunInterrupted(interrupted) = &recorded.event {
                attempts.entry((interrupted.run, interrupted.attempt)).or_default().over.push(recorded.at);
            }
        }
        attempts
    }
}

/// What the log says of one attempt: each list has one entry when all is well.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    /// When it was claimed.
    pub claimed: Vec<Timestamp>,
    /// When it was said to have ended or to be interrupted.
    pub over: Vec<Timestamp>,
}

/// Whether an event opens a run.
pub fn is_request(event: &Event) -> bool {
    matches!(
        event,
        Event::CreateRequested(_)
            | Event::UpdateRequested(_)
            | Event::RestoreRequested(_)
            | Event::DeleteRequested(_)
            | Event::CleanupRequested(_)
            | Event::RetryRequested(_)
    )
}
