//! What runs print: chunks of bytes, by run and attempt.
//!
//! Losing the last moments of it in a crash of the database is worth less than waiting for its disk: every write here
//! goes without a synchronous commit.

use chrono::{DateTime, Utc};
use dm_domain::ids::{Attempt, RunId};
use dm_eventstore::Pool;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

/// A stretch of a run's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// Of which attempt: offsets count the raw bytes of one attempt. 0 while none has begun.
    pub(crate) attempt: Attempt,
    /// The offset of the first byte.
    pub(crate) from: i64,
    /// The bytes, as they came.
    pub(crate) bytes: Vec<u8>,
    /// Bytes between the asked offset and `from` that were dropped, because the run printed more than is kept.
    pub(crate) dropped: i64,
    /// Whether the attempt has ended and there is no more.
    pub(crate) complete: bool,
}

/// Output of a run's newest attempt from an offset, at most `limit` bytes. Never across a hole. An offset that counts in
/// another attempt means nothing in this one, which is then read from its beginning.
pub(crate) async fn read(
    pool: &Pool,
    run: RunId,
    attempt: Option<Attempt>,
    from: i64,
    limit: i64,
) -> Result<Output, sqlx::Error> {
    let newest = sqlx::query!(
        "SELECT attempt, bytes, complete FROM outputs WHERE run = $1 ORDER BY attempt DESC LIMIT 1",
        run.0
    )
    .fetch_optional(pool)
    .await?;
    let Some(newest) = newest else {
        return Ok(Output { attempt: 0, from, bytes: Vec::new(), dropped: 0, complete: false });
    };
    let newest_attempt = newest.attempt.unsigned_abs();
    let from = if attempt.is_none_or(|attempt| attempt == newest_attempt) { from } else { 0 };
    // The chunk that holds the offset, and those behind it, until there is enough: of small ones many, of large ones few.
    // A chunk has 1 byte to 64 KiB, of which the first may be skipped.
    let chunks = sqlx::query!(
        r#"SELECT start, bytes FROM (
             SELECT start, bytes, sum(length(bytes)) OVER (ORDER BY start) - length(bytes) AS before FROM output_chunks
             WHERE run = $1 AND attempt = $2 AND start + length(bytes) > $3
               AND start >= coalesce(
                 (SELECT max(c.start) FROM output_chunks c WHERE c.run = $1 AND c.attempt = $2 AND c.start <= $3), $3)
             ORDER BY start LIMIT 1 + $4::bigint / 1024) AS k
           WHERE before < $4 + 65536 ORDER BY start"#,
        run.0,
        newest.attempt,
        from,
        limit
    )
    .fetch_all(pool)
    .await?;
    let mut output = Output { attempt: newest_attempt, from, bytes: Vec::new(), dropped: 0, complete: false };
    let most = usize::try_from(limit).unwrap_or(0);
    for chunk in chunks {
        let end = output.from + length(&output.bytes);
        if chunk.start > end {
            if !output.bytes.is_empty() {
                return Ok(output);
            }
            output.from = chunk.start;
        }
        let skipped = usize::try_from(output.from + length(&output.bytes) - chunk.start).unwrap_or(0);
        let room = most - output.bytes.len();
        output.bytes.extend(chunk.bytes.get(skipped..).unwrap_or_default().iter().take(room));
        if output.bytes.len() == most {
            break;
        }
    }
    if output.bytes.is_empty() && newest.complete {
        output.from = from.max(newest.bytes);
    }
    output.dropped = output.from - from;
    output.complete = newest.complete && output.from + length(&output.bytes) >= newest.bytes;
    Ok(output)
}

/// Says that an attempt has begun.
pub(crate) async fn begin(pool: &Pool, run: RunId, attempt: Attempt) -> Result<(), sqlx::Error> {
    let mut link = pool.link().await?;
    let mut transaction = relaxed(&mut link).await?;
    sqlx::query!(
        "INSERT INTO outputs (run, attempt, bytes, complete) VALUES ($1, $2, 0, false) ON CONFLICT DO NOTHING",
        run.0,
        number(attempt)
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    link.give_back();
    Ok(())
}

/// Stretches of one attempt's output that are stored together.
#[derive(Debug, Default)]
pub(crate) struct Stretches {
    /// The offset of each.
    pub(crate) starts: Vec<i64>,
    /// Their bytes, in the same order.
    pub(crate) bytes: Vec<Vec<u8>>,
    /// How much was printed so far, kept or not.
    pub(crate) total: i64,
    /// Whether that is all.
    pub(crate) complete: bool,
    /// Stretches that lie wholly between these offsets are no longer kept.
    pub(crate) forgotten: std::ops::Range<i64>,
}

/// Stores what was printed since. Storing the same again does nothing, so a lost answer can be asked for again.
pub(crate) async fn append(
    pool: &Pool,
    run: RunId,
    attempt: Attempt,
    stretches: &Stretches,
) -> Result<(), sqlx::Error> {
    let mut link = pool.link().await?;
    let mut transaction = relaxed(&mut link).await?;
    sqlx::query!(
        r#"INSERT INTO output_chunks (run, attempt, start, bytes)
           SELECT $1, $2, s.start, s.bytes FROM unnest($3::bigint[], $4::bytea[]) AS s (start, bytes)
           ON CONFLICT DO NOTHING"#,
        run.0,
        number(attempt),
        &stretches.starts,
        &stretches.bytes
    )
    .execute(&mut *transaction)
    .await?;
    if !stretches.forgotten.is_empty() {
        sqlx::query!(
            "DELETE FROM output_chunks WHERE run = $1 AND attempt = $2 AND start >= $3 AND start + length(bytes) <= $4",
            run.0,
            number(attempt),
            stretches.forgotten.start,
            stretches.forgotten.end
        )
        .execute(&mut *transaction)
        .await?;
    }
    sqlx::query!(
        r#"INSERT INTO outputs AS o (run, attempt, bytes, complete) VALUES ($1, $2, $3, $4)
           ON CONFLICT (run, attempt) DO UPDATE
           SET bytes = greatest(o.bytes, excluded.bytes), complete = o.complete OR excluded.complete"#,
        run.0,
        number(attempt),
        stretches.total,
        stretches.complete
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    link.give_back();
    Ok(())
}

/// Says that nothing more will come from an attempt whose owner was lost.
pub(crate) async fn close(pool: &Pool, run: RunId, attempt: Attempt) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE outputs SET complete = true WHERE run = $1 AND attempt = $2", run.0, number(attempt))
        .execute(pool)
        .await?;
    Ok(())
}

/// Drops the bytes of attempts that began before a moment, of at most 1,000 attempts; says of how many. That they were
/// there stays known.
pub(crate) async fn expire(pool: &Pool, before: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let dropped = sqlx::query!(
        r#"DELETE FROM output_chunks c USING (
             SELECT run, attempt FROM outputs o
             WHERE o.at < $1
               AND EXISTS (SELECT 1 FROM output_chunks k WHERE k.run = o.run AND k.attempt = o.attempt)
             LIMIT 1000) AS old
           WHERE c.run = old.run AND c.attempt = old.attempt"#,
        before
    )
    .execute(pool)
    .await?;
    Ok(dropped.rows_affected())
}

async fn relaxed(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query!("SET LOCAL synchronous_commit = off").execute(&mut *transaction).await?;
    Ok(transaction)
}

fn number(attempt: Attempt) -> i32 {
    i32::try_from(attempt).unwrap_or(i32::MAX)
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}
