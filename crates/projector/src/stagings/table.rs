//! How rows of `stagings` are stored and found: SQL, and nothing else.

use chrono::{DateTime, Utc};
use dm_domain::ids::StagingName;
use dm_domain::staging::Status;
use dm_eventstore::{Pool, Position};
use sqlx::PgConnection;

use crate::stagings::hints::Hints;
use crate::stagings::{Cursor, Entry, Filter, Gone, LIMIT_MAX, Page, Row, Sort, Stagings};
use crate::step::{Rows, Table, Versioned};
use crate::{Poison, Projection, ProjectionError};

/// A row as stored, and how far the read model was when it was read.
pub(super) struct Found {
    pub(super) position: Position,
    row: Option<String>,
    cleaned_up_at: Option<DateTime<Utc>>,
}

impl Found {
    /// What the row says; no row at all is a name that was never used.
    pub(super) fn entry(&self, name: &StagingName) -> Result<Result<Row, Gone>, ProjectionError> {
        let Some(row) = &self.row else { return Ok(Err(Gone { cleaned_up_at: self.cleaned_up_at })) };
        serde_json::from_str(row).map(Ok).map_err(|source| ProjectionError::Damaged {
            projection: Stagings::NAME,
            key: name.to_string(),
            source,
        })
    }
}

/// The version of a row that holds now.
pub(super) async fn newest(pool: &Pool, name: &StagingName) -> Result<Found, sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT c.position, s.row::text AS row, s.cleaned_up_at AS "cleaned_up_at?"
           FROM projections p JOIN checkpoints c USING (projection, generation)
           LEFT JOIN stagings s ON s.generation = p.generation AND s.key = $1 AND s.valid_to IS NULL
           WHERE p.projection = 'stagings'"#,
        name.as_str()
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.map_or(Found { position: Position::default(), row: None, cleaned_up_at: None }, |found| Found {
        position: Position(found.position),
        row: found.row,
        cleaned_up_at: found.cleaned_up_at,
    }))
}

/// The version of a row that held at a position.
pub(super) async fn newest_at(pool: &Pool, name: &StagingName, at: Position) -> Result<Found, sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT c.position, s.row::text AS row, s.cleaned_up_at AS "cleaned_up_at?"
           FROM projections p JOIN checkpoints c USING (projection, generation)
           LEFT JOIN LATERAL (
               SELECT row, cleaned_up_at FROM stagings
               WHERE generation = p.generation AND key = $1 AND position <= $2 ORDER BY position DESC LIMIT 1
           ) s ON true
           WHERE p.projection = 'stagings'"#,
        name.as_str(),
        at.0
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.map_or(Found { position: Position::default(), row: None, cleaned_up_at: None }, |found| Found {
        position: Position(found.position),
        row: found.row,
        cleaned_up_at: found.cleaned_up_at,
    }))
}

/// One page, sorted. The number by which rows are sorted is made of whichever column was asked for, so that one keyset
/// serves all orders; the rows that hold now are few enough to be sorted anew for each page.
pub(super) async fn page(pool: &Pool, filter: &Filter) -> Result<Page, ProjectionError> {
    let Sort { by, descending } = filter.sort;
    let limit = filter.limit.clamp(1, LIMIT_MAX);
    let found = sqlx::query!(
        r#"SELECT c.position, s.key AS "key?", s.row::text AS row, s.value AS "value?"
           FROM projections p JOIN checkpoints c USING (projection, generation)
           LEFT JOIN LATERAL (
               SELECT key, row, value FROM (
                   SELECT key, row, COALESCE(CASE WHEN $6 THEN -1 ELSE 1 END * CASE $5
                       WHEN 'status' THEN array_position($7::text[], status)::bigint
                       WHEN 'created' THEN (extract(epoch FROM created_at) * 1000000)::bigint
                       WHEN 'changed' THEN (extract(epoch FROM changed_at) * 1000000)::bigint
                       WHEN 'archived' THEN (extract(epoch FROM archived_at) * 1000000)::bigint
                       ELSE 0 END, 9223372036854775807) AS value
                   FROM stagings
                   WHERE generation = p.generation AND valid_to IS NULL AND status IS NOT NULL AND status = ANY($1)
                       AND ($2::text IS NULL OR key ILIKE $2 OR tag ILIKE $2)
                       AND ($3::timestamptz IS NULL OR archived_at <= $3)
               ) sorted
               WHERE $8::bigint IS NULL OR value > $8
                   OR value = $8 AND CASE WHEN $5 = 'name' AND $6 THEN key < $9 ELSE key > $9 END
               ORDER BY value, CASE WHEN $5 = 'name' AND $6 THEN key END DESC, key LIMIT $4
           ) s ON true
           WHERE p.projection = 'stagings'
           ORDER BY s.value, CASE WHEN $5 = 'name' AND $6 THEN s.key END DESC, s.key"#,
        &filter.wanted(),
        filter.pattern(),
        filter.archived_before,
        i64::from(limit),
        by.as_str(),
        descending,
        &Status::ALL.map(|status| status.to_string()),
        filter.after.as_ref().map(|after| after.value),
        filter.after.as_ref().map_or("", |after| after.name.as_str())
    )
    .fetch_all(pool)
    .await?;
    let position = found.first().map_or(Position::default(), |first| Position(first.position));
    let full = usize::try_from(limit).is_ok_and(|limit| found.len() >= limit);
    let last = found.last().filter(|_| full).and_then(|last| last.value.zip(last.key.as_deref()));
    let next = last.and_then(|(value, key)| Some(Cursor { value, name: StagingName::parse(key).ok()? }));
    let stored = found.into_iter().filter_map(|found| found.key.zip(found.row));
    Ok(Page { rows: stored.filter_map(|(key, row)| readable(&key, &row)).collect(), next, position })
}

/// A row, unless it is damaged: then only that is said, so that one bad row does not take all others with it.
pub(super) fn readable(key: &str, row: &str) -> Option<Row> {
    serde_json::from_str(row)
        .inspect_err(|error| tracing::error!(staging.name = key, "a row of stagings is damaged and left out: {error}"))
        .ok()
}

impl Table for Stagings {
    async fn load(pool: &Pool, generation: i32, keys: &[String]) -> Result<Rows<Entry>, sqlx::Error> {
        let found = sqlx::query!(
            r#"SELECT key, row::text AS row, cleaned_up_at FROM stagings
               WHERE generation = $1 AND key = ANY($2) AND valid_to IS NULL"#,
            generation,
            keys
        )
        .fetch_all(pool)
        .await?;
        let entries = found.into_iter().map(|found| {
            let entry = match found.row {
                None => Ok(Entry::Gone(Gone { cleaned_up_at: found.cleaned_up_at })),
                Some(row) => serde_json::from_str(&row)
                    .map(Entry::Staging)
                    .map_err(|error| Poison(format!("the row before it is damaged: {error}"))),
            };
            (found.key, entry)
        });
        Ok(entries.collect())
    }

    async fn store(
        connection: &mut PgConnection,
        generation: i32,
        versions: Vec<Versioned<Entry>>,
    ) -> Result<(), sqlx::Error> {
        let columns = Columns::of(versions)?;
        sqlx::query!(
            r#"UPDATE stagings s SET valid_to = n.position
               FROM (SELECT key, min(position) AS position FROM unnest($2::text[], $3::bigint[]) AS n (key, position)
                     GROUP BY key) n
               WHERE s.generation = $1 AND s.key = n.key AND s.valid_to IS NULL"#,
            generation,
            &columns.keys,
            &columns.positions
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            r#"INSERT INTO stagings (generation, key, position, valid_to, row, cleaned_up_at, status, tag, work, due, checked,
                   deadline, owner, created_at, changed_at, archived_at)
               SELECT $1, key, position, lead(position) OVER (PARTITION BY key ORDER BY position), row::json,
                   cleaned_up_at, status, tag, work, due, checked, deadline, owner, created_at, changed_at, archived_at
               FROM unnest($2::text[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
                   $8::text[], $9::timestamptz[], $10::boolean[], $11::timestamptz[], $12::uuid[], $13::timestamptz[],
                   $14::timestamptz[], $15::timestamptz[])
                   AS n (key, position, row, cleaned_up_at, status, tag, work, due, checked, deadline, owner,
                       created_at, changed_at, archived_at)"#,
            generation,
            &columns.keys,
            &columns.positions,
            &columns.rows as _,
            &columns.cleaned_up as _,
            &columns.statuses as _,
            &columns.tags as _,
            &columns.work as _,
            &columns.due as _,
            &columns.checked,
            &columns.deadlines as _,
            &columns.owners as _,
            &columns.created as _,
            &columns.changed as _,
            &columns.archived as _
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn sweep(pool: &Pool, limit: i64) -> Result<u64, sqlx::Error> {
        let swept = sqlx::query!(
            r#"DELETE FROM stagings WHERE (generation, key, position) IN (
                   SELECT generation, key, position FROM stagings
                   WHERE generation < (SELECT min(generation) FROM checkpoints WHERE projection = 'stagings') LIMIT $1)"#,
            limit
        )
        .execute(pool)
        .await?;
        Ok(swept.rows_affected())
    }
}

/// Versions, column by column.
#[derive(Default)]
struct Columns {
    keys: Vec<String>,
    positions: Vec<i64>,
    rows: Vec<Option<String>>,
    cleaned_up: Vec<Option<DateTime<Utc>>>,
    statuses: Vec<Option<String>>,
    tags: Vec<Option<String>>,
    work: Vec<Option<&'static str>>,
    due: Vec<Option<DateTime<Utc>>>,
    checked: Vec<bool>,
    deadlines: Vec<Option<DateTime<Utc>>>,
    owners: Vec<Option<sqlx::types::Uuid>>,
    created: Vec<Option<DateTime<Utc>>>,
    changed: Vec<Option<DateTime<Utc>>>,
    archived: Vec<Option<DateTime<Utc>>>,
}

impl Columns {
    fn of(versions: Vec<Versioned<Entry>>) -> Result<Self, sqlx::Error> {
        let mut columns = Self::default();
        for version in versions {
            columns.keys.push(version.key);
            columns.positions.push(version.position.0);
            let (row, gone) = match version.row {
                Entry::Staging(row) => (Some(row), Gone::default()),
                Entry::Gone(gone) => (None, gone),
            };
            let json = row.as_ref().map(serde_json::to_string).transpose();
            columns.rows.push(json.map_err(|error| sqlx::Error::Encode(Box::new(error)))?);
            columns.cleaned_up.push(gone.cleaned_up_at);
            columns.statuses.push(row.as_ref().map(|row| row.status().to_string()));
            columns.tags.push(row.as_ref().map(|row| row.configuration().tag.to_string()));
            columns.created.push(row.as_ref().map(|row| row.created_at));
            columns.changed.push(row.as_ref().map(|row| row.changed_at()));
            columns.archived.push(row.as_ref().and_then(|row| row.archived_at()));
            let hints = row.as_deref().map(Hints::of).unwrap_or_default();
            let (work, due) = hints.due.unzip();
            columns.work.push(work.map(super::DueWork::as_str));
            columns.due.push(due);
            columns.checked.push(hints.checked);
            columns.deadlines.push(hints.deadline);
            columns.owners.push(hints.owner.map(|owner| owner.id));
        }
        Ok(columns)
    }
}
