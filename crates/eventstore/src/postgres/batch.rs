//! One call of `append_batch`: commands in, a verdict for each out, and what an error says about the outcome.

use std::time::Duration;

use dm_domain::ids::{Attempt, Owner, RunId, Version};
use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use uuid::Uuid;

use crate::envelope::{Append, LeaseOp, Position, Receipt};
use crate::error::AppendError;

/// What became of one command.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It stands in the log; `repeated` when it did so before this call.
    Done(Receipt),
    KeyReused,
    Conflict {
        actual: Version,
    },
    Lease,
}

impl Verdict {
    /// The same, told for the first time.
    pub(super) fn first_told(self) -> Self {
        match self {
            Self::Done(receipt) => Self::Done(Receipt { repeated: false, ..receipt }),
            Self::KeyReused | Self::Conflict { .. } | Self::Lease => self,
        }
    }

    pub(super) fn into_result(self) -> Result<Receipt, AppendError> {
        match self {
            Self::Done(receipt) => Ok(receipt),
            Self::KeyReused => Err(AppendError::KeyReused),
            Self::Conflict { actual } => Err(AppendError::Conflict { actual }),
            Self::Lease => Err(AppendError::Lease),
        }
    }
}

/// What an error tells about a batch that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// Rolled back because of something in it: without the culprit the rest would pass.
    Refused,
    /// Not appended, for a reason outside it.
    NotAppended,
    /// Perhaps appended.
    Unknown,
}

/// Reads the certainty off an error. What is not known to be certain is not.
pub(super) fn certainty(error: &sqlx::Error) -> Certainty {
    if matches!(error, sqlx::Error::Encode(_)) {
        return Certainty::Refused;
    }
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    match (code.get(..2), code.as_ref()) {
        // Data that does not fit, a broken constraint.
        (Some("22" | "23"), _) => Certainty::Refused,
        // A read-only database, one without our function, one that does not let us; a deadlock, a lock held too long.
        (Some("25" | "42"), _) | (_, "40001" | "40P01" | "55P03") => Certainty::NotAppended,
        // No disk, no memory. A server that panics of it may have written the commit before.
        (Some("53"), _) if is_error(error) => Certainty::NotAppended,
        _ => Certainty::Unknown,
    }
}

/// Whether the database has no room on its disk.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "53100")
}

/// Whether only the statement has failed, and not the connection or the whole server.
fn is_error(error: &sqlx::Error) -> bool {
    let answer = error.as_database_error().and_then(|answer| answer.try_downcast_ref::<PgDatabaseError>());
    answer.is_some_and(|answer| answer.severity() == PgSeverity::Error)
}

/// A batch as the parallel arrays that `append_batch` takes. What may be long is borrowed from its commands.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    ids: Vec<Uuid>,
    macs: Vec<&'a [u8]>,
    streams: Vec<&'a str>,
    expects: Vec<i64>,
    counts: Vec<i64>,
    runs: Vec<Option<Uuid>>,
    events: Events<'a>,
    leases: Leases,
}

#[derive(Debug, Default)]
struct Events<'a> {
    commands: Vec<i32>,
    streams: Vec<&'a str>,
    versions: Vec<i64>,
    types: Vec<&'a str>,
    schemas: Vec<i16>,
    data: Vec<&'a str>,
    metas: Vec<&'a str>,
}

#[derive(Debug, Default)]
struct Leases {
    commands: Vec<i32>,
    operations: Vec<&'static str>,
    owners: Vec<Uuid>,
    starts: Vec<i32>,
    runs: Vec<Uuid>,
    attempts: Vec<i32>,
}

impl<'a> Batch<'a> {
    /// Adds a command; no other of this batch has its id or its stream.
    pub(super) fn push(&mut self, append: &'a Append, meta: &'a str) {
        self.ids.push(append.command.id.0);
        self.macs.push(&append.command.mac.0);
        self.streams.push(append.stream.as_str());
        self.expects.push(append.expected.0);
        self.counts.push(i64::try_from(append.events.len()).expect("invariant: an append has few events"));
        self.runs.push(append.run.map(|run| run.0));
        let command = int(self.ids.len());
        let mut version = append.expected;
        for event in &append.events {
            version = version.next();
            self.events.commands.push(command);
            self.events.streams.push(append.stream.as_str());
            self.events.versions.push(version.0);
            self.events.types.push(event.event_type);
            self.events.schemas.push(event.schema);
            self.events.data.push(event.data.get());
            self.events.metas.push(meta);
        }
        if let Some(operation) = &append.lease {
            self.leases.push(command, operation);
        }
    }

    /// Sends the batch and waits until it is committed. The verdicts stand in the order of the commands.
    pub(super) async fn send(
        &self,
        connection: &mut PgConnection,
        lease_ttl: Duration,
    ) -> Result<Vec<Verdict>, sqlx::Error> {
        let lease_ttl =
            PgInterval { months: 0, days: 0, microseconds: i64::try_from(lease_ttl.as_micros()).unwrap_or(i64::MAX) };
        let (events, leases) = (&self.events, &self.leases);
        // `fetch_all` and nothing less: rows arrive before the commit, the end of the answer after it.
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT verdict AS "verdict!", actual AS "actual!", from_version, to_version, position, run_id, quiet
                 FROM append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                                   $19, $20)"#,
            &self.ids,
            &self.macs as &[&[u8]],
            &self.streams as &[&str],
            &self.expects,
            &self.counts,
            &self.runs as &[Option<Uuid>],
            &events.commands,
            &events.streams as &[&str],
            &events.versions,
            &events.types as &[&str],
            &events.schemas,
            &events.data as &[&str],
            &events.metas as &[&str],
            &leases.commands,
            &leases.operations as &[&str],
            &leases.owners,
            &leases.starts,
            &leases.runs,
            &leases.attempts,
            lease_ttl,
        )
        .fetch_all(connection)
        .await?;
        if rows.len() != self.ids.len() {
            return Err(sqlx::Error::Protocol(format!("{} verdicts for {} commands", rows.len(), self.ids.len())));
        }
        rows.into_iter().map(Row::into_verdict).collect()
    }
}

impl Leases {
    fn push(&mut self, command: i32, operation: &LeaseOp) {
        let (name, owner, run, attempt): (_, Owner, RunId, Attempt) = match *operation {
            LeaseOp::Claim { owner, run, attempt } => ("claim", owner, run, attempt),
            LeaseOp::Release { owner, run, attempt } => ("release", owner, run, attempt),
            LeaseOp::Break { by, run, attempt } => ("break", by, run, attempt),
        };
        self.commands.push(command);
        self.operations.push(name);
        self.owners.push(owner.id);
        self.starts.push(int(owner.start));
        self.runs.push(run.0);
        self.attempts.push(int(attempt));
    }
}

fn int(number: impl TryInto<i32>) -> i32 {
    number.try_into().ok().expect("invariant: attempts, starts and commands of a batch are few")
}

/// What `append_batch` returns for one command.
struct Row {
    verdict: String,
    actual: i64,
    from_version: Option<i64>,
    to_version: Option<i64>,
    position: Option<i64>,
    run_id: Option<Uuid>,
    quiet: Option<bool>,
}

impl Row {
    fn into_verdict(self) -> Result<Verdict, sqlx::Error> {
        let receipt = match (self.from_version, self.to_version, self.position, self.quiet) {
            (Some(from), Some(to), Some(position), Some(quiet)) => Some(Receipt {
                run: self.run_id.map(RunId),
                from_version: Version(from),
                to_version: Version(to),
                position: Position(position),
                quiet,
                repeated: self.verdict == "duplicate",
            }),
            _ => None,
        };
        match (self.verdict.as_str(), receipt) {
            ("ok" | "duplicate", Some(receipt)) => Ok(Verdict::Done(receipt)),
            ("key_reused", _) => Ok(Verdict::KeyReused),
            ("conflict", _) => Ok(Verdict::Conflict { actual: Version(self.actual) }),
            ("lease", _) => Ok(Verdict::Lease),
            (other, _) => Err(sqlx::Error::Protocol(format!("append_batch returned {other}"))),
        }
    }
}
