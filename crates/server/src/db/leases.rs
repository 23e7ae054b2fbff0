//! Leases outside the append: renewals, checks, and what has expired. Each statement stands alone (autocommit), so that
//! nobody waits on the row of a frozen replica.
//!
//! Time is the database's throughout. A lease that has expired can never be renewed, only replaced or broken.

use std::time::Duration;

use chrono::{DateTime, Utc};
use dm_domain::ids::{Attempt, Owner, RunId, StagingName};
use dm_eventstore::Pool;
use sqlx::postgres::types::PgInterval;

/// The answer to a renewal.
#[derive(Debug)]
pub(crate) struct Renewed {
    /// The database's time.
    pub(crate) now: DateTime<Utc>,
    /// Whose leases were renewed.
    pub(crate) stagings: Vec<StagingName>,
}

/// Renews the leases of these stagings that an owner holds and that have not expired. One that somebody is about to free
/// is left out. What the owner does not know to hold, because the answer to its question was lost, has to expire: so it is
/// not named.
pub(crate) async fn renew(
    pool: &Pool,
    owner: Owner,
    stagings: &[StagingName],
    ttl: Duration,
) -> Result<Renewed, sqlx::Error> {
    let names: Vec<String> = stagings.iter().map(ToString::to_string).collect();
    let renewed = sqlx::query!(
        r#"WITH mine AS (
             SELECT staging FROM leases
             WHERE staging = ANY ($4) AND owner_id = $1 AND owner_start = $2 AND expires_at > clock_timestamp()
             ORDER BY staging FOR UPDATE SKIP LOCKED
           ), renewed AS (
             UPDATE leases l SET expires_at = clock_timestamp() + $3
             FROM mine WHERE l.staging = mine.staging
             RETURNING l.staging
           )
           SELECT clock_timestamp() AS "now!", array(SELECT staging FROM renewed) AS "stagings!""#,
        owner.id,
        number(owner.start),
        interval(ttl),
        &names
    )
    .fetch_one(pool)
    .await?;
    let stagings = renewed.stagings.iter().filter_map(|name| StagingName::parse(name).ok()).collect();
    Ok(Renewed { now: renewed.now, stagings })
}

/// Takes a staging's lease for a check of a run's result. Not while anybody holds it, nor when a run's has expired: what
/// that run has left has to be interrupted first.
pub(crate) async fn take_check(
    pool: &Pool,
    staging: &StagingName,
    owner: Owner,
    (run, attempt): (RunId, Attempt),
    ttl: Duration,
) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query!(
        r#"INSERT INTO leases AS l (staging, kind, run, attempt, owner_id, owner_start, taken_at, expires_at)
           VALUES ($1, 'check', $2, $3, $4, $5, clock_timestamp(), clock_timestamp() + $6)
           ON CONFLICT (staging) DO UPDATE
           SET run = excluded.run, attempt = excluded.attempt, owner_id = excluded.owner_id,
               owner_start = excluded.owner_start, taken_at = excluded.taken_at, expires_at = excluded.expires_at
           WHERE l.kind = 'check' AND l.expires_at <= clock_timestamp()"#,
        staging.as_str(),
        run.0,
        number(attempt),
        owner.id,
        number(owner.start),
        interval(ttl)
    )
    .execute(pool)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Gives the lease of a check back. Without effect when it is not held any more.
pub(crate) async fn release_check(pool: &Pool, staging: &StagingName, owner: Owner) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM leases WHERE staging = $1 AND kind = 'check' AND owner_id = $2 AND owner_start = $3",
        staging.as_str(),
        owner.id,
        number(owner.start)
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// A lease that nobody keeps.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Whose.
    pub(crate) staging: StagingName,
    /// For a run, rather than for a check.
    pub(crate) is_run: bool,
    /// Which run.
    pub(crate) run: RunId,
    /// Which of its attempts.
    pub(crate) attempt: Attempt,
    /// Who held it.
    pub(crate) owner: Owner,
}

/// Leases that have expired, and those that earlier starts of this owner have left. At most 1,000, oldest first.
pub(crate) async fn lost(pool: &Pool, owner: Owner) -> Result<Vec<Lost>, sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT staging, kind = 'run' AS "is_run!", run, attempt, owner_id, owner_start FROM leases
           WHERE expires_at <= clock_timestamp() OR (owner_id = $1 AND owner_start < $2)
           ORDER BY taken_at LIMIT 1000"#,
        owner.id,
        number(owner.start)
    )
    .fetch_all(pool)
    .await?;
    let lost = found.into_iter().filter_map(|row| {
        Some(Lost {
            staging: StagingName::try_from(row.staging).ok()?,
            is_run: row.is_run,
            run: RunId(row.run),
            attempt: row.attempt.unsigned_abs(),
            owner: Owner { id: row.owner_id, start: row.owner_start.unsigned_abs() },
        })
    });
    Ok(lost.collect())
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}
