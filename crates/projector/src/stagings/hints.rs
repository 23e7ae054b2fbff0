//! Where a runner has to look: which stagings may have work, which run, and which want checks.
//!
//! Hints only. They are as old as the read model, so a runner loads and folds the stream before it decides anything; and
//! work that a hint does not show yet shows with the next step of the read model.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use dm_domain::ids::{Owner, StagingName};
use dm_eventstore::Pool;

use crate::ProjectionError;
use crate::stagings::row::{Condition, Phase, Row};

/// Most stagings that one answer names.
const HINTS_MAX: i64 = 10_000;

/// A staging that may have work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub staging: StagingName,
    /// What kind of work.
    pub work: DueWork,
    /// Since when it is due.
    pub since: DateTime<Utc>,
}

/// Kinds of work that a runner does once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueWork {
    /// A run waits to be claimed, for the first time or again.
    Run,
    /// A wrapper that runs is to be stopped; only its owner can.
    Stop,
    /// `info` is to be asked.
    Links,
}

impl DueWork {
    /// As the column `work` has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Stop => "stop",
            Self::Links => "links",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Run, Self::Stop, Self::Links].into_iter().find(|work| work.as_str() == text)
    }
}

/// A staging that wants checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which.
    pub staging: StagingName,
    /// While a pass is awaited: from when on the first check that ends decides.
    pub deadline: Option<DateTime<Utc>>,
}

/// The columns of a row that are for the runner.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pub(super) due: Option<(DueWork, DateTime<Utc>)>,
    pub(super) checked: bool,
    pub(super) deadline: Option<DateTime<Utc>>,
    pub(super) owner: Option<Owner>,
}

impl Hints {
    pub(super) fn of(row: &Row) -> Self {
        match (row.request(), row.rest()) {
            (Some(request), _) => match request.phase {
                // An interrupted run keeps its place in the queue.
                Phase::Queued { .. } => Self { due: Some((DueWork::Run, request.since)), ..Self::default() },
                Phase::Started { owner, cancelled_at, .. } => {
                    Self { due: cancelled_at.map(|at| (DueWork::Stop, at)), owner: Some(owner), ..Self::default() }
                }
                Phase::Awaiting { until, .. } => Self { checked: true, deadline: Some(until), ..Self::default() },
            },
            (None, Some(rest)) => Self {
                due: rest.links_due.then_some((DueWork::Links, rest.changed_at)),
                checked: match &rest.condition {
                    Condition::Running => true,
                    Condition::Failure { reason, .. } => reason.is_of_checks(),
                    Condition::Archived { .. } => false,
                },
                ..Self::default()
            },
            (None, None) => Self::default(),
        }
    }
}

/// Stagings that have work which is done once, oldest first: the order of the queued runs among them is the queue. At most
/// 10,000.
pub async fn due(pool: &Pool, limit: u32) -> Result<Vec<Due>, ProjectionError> {
    let found = sqlx::query!(
        r#"SELECT s.key, s.work AS "work!", s.due AS "since!"
           FROM stagings s JOIN projections p ON p.projection = 'stagings' AND p.generation = s.generation
           WHERE s.valid_to IS NULL AND s.due IS NOT NULL ORDER BY s.due, s.key LIMIT $1"#,
        i64::from(limit).min(HINTS_MAX)
    )
    .fetch_all(pool)
    .await?;
    let due = found.into_iter().filter_map(|found| {
        let staging = StagingName::try_from(found.key).ok()?;
        Some(Due { staging, work: DueWork::parse(&found.work)?, since: found.since })
    });
    Ok(due.collect())
}

/// How many queued runs are in front of that of each of these stagings; one that has none queued is left out.
pub async fn queued_ahead(
    pool: &Pool,
    stagings: &[StagingName],
) -> Result<BTreeMap<StagingName, u32>, ProjectionError> {
    let names: Vec<_> = stagings.iter().map(ToString::to_string).collect();
    let found = sqlx::query!(
        r#"SELECT key, ahead AS "ahead!" FROM (
               SELECT s.key, row_number() OVER (ORDER BY s.due, s.key) - 1 AS ahead
               FROM stagings s JOIN projections p ON p.projection = 'stagings' AND p.generation = s.generation
               WHERE s.valid_to IS NULL AND s.due IS NOT NULL AND s.work = 'run') queue
           WHERE key = ANY($1)"#,
        &names
    )
    .fetch_all(pool)
    .await?;
    let places = found.into_iter().filter_map(|found| {
        Some((StagingName::try_from(found.key).ok()?, u32::try_from(found.ahead).unwrap_or(u32::MAX)))
    });
    Ok(places.collect())
}

/// How many wrappers of runs run, of all replicas together.
pub async fn running(pool: &Pool) -> Result<u64, ProjectionError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM stagings s JOIN projections p ON p.projection = 'stagings' AND p.generation = s.generation
           WHERE s.valid_to IS NULL AND s.owner IS NOT NULL"#
    )
    .fetch_one(pool)
    .await?;
    Ok(count.unsigned_abs())
}

/// Stagings that want checks: those that await a pass, run, or are in `Failure` by a check. At most 10,000, by name.
pub async fn checked(pool: &Pool) -> Result<Vec<Checked>, ProjectionError> {
    let found = sqlx::query!(
        r#"SELECT s.key, s.deadline
           FROM stagings s JOIN projections p ON p.projection = 'stagings' AND p.generation = s.generation
           WHERE s.valid_to IS NULL AND s.checked ORDER BY s.key LIMIT $1"#,
        HINTS_MAX
    )
    .fetch_all(pool)
    .await?;
    let checked = found.into_iter().filter_map(|found| {
        let staging = StagingName::try_from(found.key).ok()?;
        Some(Checked { staging, deadline: found.deadline })
    });
    Ok(checked.collect())
}
