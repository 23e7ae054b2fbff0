//! What the runner itself asks of a staging's stream: reports, with ids by which a repetition is recognised, repeated
//! until they are answered.

use std::time::Duration;

use dm_domain::ids::{Actor, Attempt, CommandId, Owner, RunId, StagingName, Version};
use dm_domain::staging::{Command, Wish};
use dm_eventstore::{BodyMac, Channel, LeaseOp, Metadata, TransactError, Transaction};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Inner;

/// The space of the ids; minted once, never to change.
const SPACE: Uuid = Uuid::from_u128(0x2f0c_6a52_95d3_4f0e_8f0a_6d1d_3b9f_7c41);
/// Between two tries, at first and at most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A report on its way.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) staging: StagingName,
    pub(crate) wish: Wish,
    pub(crate) id: CommandId,
    /// Joins it to its run.
    pub(crate) run: RunId,
}

/// Where a report ended.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It stands in the log.
    Accepted,
    /// The state has moved on, so it means nothing any more.
    Refused,
    /// The lease is not as it has to be.
    Lease,
}

/// The id of a claim: a claim that another owner wins must not look like one's own.
pub(crate) fn start_id(run: RunId, attempt: Attempt, owner: Owner) -> CommandId {
    id(&format!("{run}/{attempt}/start/{owner}"))
}

/// The id of the report that an attempt has ended.
pub(crate) fn finish_id(run: RunId, attempt: Attempt) -> CommandId {
    id(&format!("{run}/{attempt}/finish"))
}

/// The id of the report that an attempt was interrupted, the same from whoever finds it.
pub(crate) fn interrupt_id(run: RunId, attempt: Attempt) -> CommandId {
    id(&format!("{run}/{attempt}/interrupt"))
}

/// The id of the report of links: one for each time that it becomes due.
pub(crate) fn links_id(run: RunId, attempt: Attempt, version: Version) -> CommandId {
    id(&format!("{run}/{attempt}/links/{version}"))
}

/// The id of one check's report.
pub(crate) fn check_id() -> CommandId {
    CommandId(Uuid::new_v4())
}

fn id(name: &str) -> CommandId {
    CommandId(Uuid::new_v5(&SPACE, name.as_bytes()))
}

impl Inner {
    /// Carries a report into the log, again and again until it is answered.
    pub(crate) async fn report(&self, report: &Report, lease: Option<LeaseOp>) -> Answer {
        let mut pause = PAUSE;
        loop {
            match self.report_once(report, lease.clone()).await {
                Ok(answer) => return answer,
                Err(error) => {
                    tracing::debug!(staging.name = %report.staging, run.id = %report.run, %error, "a report waits");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Tries once to carry a report into the log: for whoever looks again anyway, and has others to look after.
    pub(crate) async fn report_once(&self, report: &Report, lease: Option<LeaseOp>) -> Result<Answer, TransactError> {
        match self.store.transact(self.transaction(report, lease)).await {
            Ok(_) => Ok(Answer::Accepted),
            Err(TransactError::Rejected(_) | TransactError::KeyReused) => Ok(Answer::Refused),
            Err(TransactError::Lease) => Ok(Answer::Lease),
            Err(
                error @ (TransactError::Contended
                | TransactError::Overloaded
                | TransactError::Unreadable(_)
                | TransactError::Unavailable(_)
                | TransactError::Unknown(_)),
            ) => Err(error),
        }
    }

    /// Carries the end of an attempt of this `dms` into the log, together with that of its lease. One that has expired
    /// and was not taken over yet is broken.
    pub(crate) async fn report_end(&self, report: &Report, run: RunId, attempt: Attempt) -> Answer {
        let release = LeaseOp::Release { owner: self.owner, run, attempt };
        let break_it = LeaseOp::Break { by: self.owner, run, attempt };
        loop {
            for lease in [&release, &break_it] {
                match self.report(report, Some(lease.clone())).await {
                    Answer::Lease => {}
                    answer @ (Answer::Accepted | Answer::Refused) => return answer,
                }
            }
            tokio::time::sleep(PAUSE_MAX).await;
        }
    }

    fn transaction(&self, report: &Report, lease: Option<LeaseOp>) -> Transaction {
        let actor = Actor::system();
        Transaction {
            staging: report.staging.clone(),
            command: Command {
                now: self.clock.now(),
                actor: actor.clone(),
                run: report.run,
                wish: report.wish.clone(),
            },
            meta: Metadata {
                actor,
                channel: Channel::System,
                reason: None,
                command_id: report.id,
                correlation_id: report.run.0,
                on_behalf: None,
            },
            // The id says what is asked.
            mac: BodyMac(Sha256::digest(report.id.0.as_bytes()).into()),
            lease,
        }
    }
}
