//! Load, fold, decide, append, and again when somebody was faster: the only such loop in the repository.

mod streams;

use std::sync::Arc;
use std::time::Duration;

use dm_domain::ids::{StagingName, Version};
use dm_domain::staging::{Command, Event, Staging, State};
use dm_domain::{Decider, fold};
use tokio::time::timeout;

use crate::codec;
use crate::envelope::{Append, BodyMac, CommandKey, LeaseOp, Metadata, Receipt, StreamId};
use crate::error::{AppendError, ReadError, TransactError};
use crate::postgres::EventStore;
pub(crate) use streams::Streams;

/// How often a command that lost a race is decided again.
const DECIDED_AGAIN_MAX: u32 = 3;
/// How long a command waits for those in front of it on its stream.
const TURN_TIMEOUT: Duration = Duration::from_secs(8);

/// A stream folded to its newest event.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The fold.
    pub state: Arc<State>,
    /// The version of the newest event.
    pub version: Version,
}

/// A command and its circumstances.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// For which staging.
    pub staging: StagingName,
    /// The wish.
    pub command: Command,
    /// The circumstances; `meta.command_id` recognises a repetition.
    pub meta: Metadata,
    /// What was asked for, hashed.
    pub mac: BodyMac,
    /// What happens to the lease together with it.
    pub lease: Option<LeaseOp>,
}

impl EventStore {
    /// Folds a staging's stream; cached by version, so only what is new is read.
    pub async fn load(&self, staging: &StagingName) -> Result<Loaded, ReadError> {
        let stream = StreamId::from(staging);
        let kept = self.streams().state(staging);
        let (mut state, mut version) = match kept {
            Some(loaded) => (loaded.state, loaded.version),
            None => (Arc::new(Staging::initial()), Version::NONE),
        };
        loop {
            let page = self.read_stream(&stream, version, Self::READ_MAX).await?;
            let Some(newest) = page.events.last() else { break };
            version = newest.version;
            let events = page.events.iter().map(codec::decode).collect::<Result<Vec<_>, _>>()?;
            state = Arc::new(fold::<Staging>(Arc::unwrap_or_clone(state), &events));
            if !page.more {
                break;
            }
        }
        let loaded = Loaded { state, version };
        self.streams().keep(staging, &loaded);
        Ok(loaded)
    }

    /// Carries a command out: its receipt, or the first receipt of the same command.
    pub async fn transact(&self, transaction: Transaction) -> Result<Receipt, TransactError> {
        let key = CommandKey { id: transaction.meta.command_id, mac: transaction.mac };
        // One command of a stream at a time, from load to answer: within this replica nobody loses a race.
        let turn = self.streams().turn(&transaction.staging);
        let _alone = timeout(TURN_TIMEOUT, turn.lock.lock()).await.map_err(|_| TransactError::Overloaded)?;
        if let Some(receipt) = self.find_command(key).await? {
            return Ok(receipt);
        }
        for _ in 0..=DECIDED_AGAIN_MAX {
            let loaded = self.load(&transaction.staging).await?;
            let outcome = match Staging::decide(&loaded.state, &transaction.command) {
                Ok(events) => self.append(appending(&transaction, key, &loaded, &events)).await,
                Err(rejection) => match self.confirm(&transaction.staging, key, &loaded).await? {
                    Judged::Newest => return Err(TransactError::Rejected(Box::new(rejection))),
                    Judged::Repetition(receipt) => return Ok(receipt),
                    Judged::Older => continue,
                },
            };
            match outcome {
                Ok(receipt) => return Ok(receipt),
                Err(AppendError::Conflict { actual }) => self.distrust(&transaction.staging, &loaded, actual),
                Err(error) => return Err(error.into()),
            }
        }
        Err(TransactError::Contended)
    }

    /// What stands behind a rejection: it may go out only when it was judged on the newest version, and the command was
    /// not accepted meanwhile through another replica.
    async fn confirm(&self, staging: &StagingName, key: CommandKey, judged: &Loaded) -> Result<Judged, TransactError> {
        if let Some(receipt) = self.find_command(key).await? {
            return Ok(Judged::Repetition(receipt));
        }
        let newest = self.newest_version(&StreamId::from(staging)).await?;
        self.distrust(staging, judged, newest);
        Ok(if newest == judged.version { Judged::Newest } else { Judged::Older })
    }

    /// Drops a kept fold that is newer than the stream: the log was put back to an earlier state.
    fn distrust(&self, staging: &StagingName, judged: &Loaded, newest: Version) {
        if newest < judged.version {
            self.streams().forget(staging);
        }
    }
}

/// On what a rejection was judged.
enum Judged {
    /// On the newest version.
    Newest,
    /// On a version that is not the newest.
    Older,
    /// On a state in which the command had been carried out already.
    Repetition(Receipt),
}

/// The append that carries out what was decided.
fn appending(transaction: &Transaction, key: CommandKey, loaded: &Loaded, events: &[Event]) -> Append {
    Append {
        stream: StreamId::from(&transaction.staging),
        expected: loaded.version,
        events: events.iter().map(codec::encode).collect(),
        meta: transaction.meta.clone(),
        command: key,
        run: events.first().map(codec::run).or_else(|| loaded.state.run_under_way()),
        lease: transaction.lease.clone(),
    }
}
