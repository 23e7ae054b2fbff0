//! How rows of `runs` are stored and found: SQL, and nothing else.

use dm_domain::ids::{RunId, StagingName, Version};
use dm_eventstore::{Pool, Position};
use sqlx::PgConnection;

use crate::runs::{Row, Runs};
use crate::step::{Rows, Table, Versioned};
use crate::{Poison, Projection, ProjectionError};

/// The version of a row that holds now.
pub(super) async fn newest(pool: &Pool, run: RunId) -> Result<(Option<Row>, Position), ProjectionError> {
    let found = sqlx::query!(
        r#"SELECT c.position, r.row::text AS "row?"
           FROM projections p JOIN checkpoints c USING (projection, generation)
           LEFT JOIN runs r ON r.generation = p.generation AND r.key = $1 AND r.valid_to IS NULL
           WHERE p.projection = 'runs'"#,
        run.0
    )
    .fetch_optional(pool)
    .await?;
    let Some(found) = found else { return Ok((None, Position::default())) };
    let row = found.row.map(|row| serde_json::from_str(&row)).transpose();
    let row =
        row.map_err(|source| ProjectionError::Damaged { projection: Runs::NAME, key: run.to_string(), source })?;
    Ok((row, Position(found.position)))
}

/// One page of a staging's runs, newest first.
pub(super) async fn page(
    pool: &Pool,
    staging: &StagingName,
    before: Option<Version>,
    limit: u32,
) -> Result<(Vec<Row>, Position), ProjectionError> {
    let found = sqlx::query!(
        r#"SELECT c.position, r.row::text AS "row?"
           FROM projections p JOIN checkpoints c USING (projection, generation)
           LEFT JOIN LATERAL (
               SELECT row, version FROM runs
               WHERE generation = p.generation AND staging = $1 AND valid_to IS NULL AND version < $2
               ORDER BY version DESC LIMIT $3
           ) r ON true
           WHERE p.projection = 'runs' ORDER BY r.version DESC"#,
        staging.as_str(),
        before.map_or(i64::MAX, |before| before.0),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    let position = found.first().map_or(Position::default(), |first| Position(first.position));
    let stored = found.into_iter().filter_map(|found| found.row);
    let rows = stored.filter_map(|row| {
        serde_json::from_str(&row)
            .inspect_err(|error| {
                tracing::error!(staging.name = staging.as_str(), "a row of runs is damaged and left out: {error}");
            })
            .ok()
    });
    Ok((rows.collect(), position))
}

impl Table for Runs {
    async fn load(pool: &Pool, generation: i32, keys: &[String]) -> Result<Rows<Row>, sqlx::Error> {
        let found = sqlx::query!(
            r#"SELECT k.staging AS "staging!", r.row::text AS "row!"
               FROM unnest($2::text[]) AS k (staging) CROSS JOIN LATERAL (
                   SELECT row FROM runs
                   WHERE generation = $1 AND staging = k.staging AND valid_to IS NULL ORDER BY version DESC LIMIT 1
               ) r"#,
            generation,
            keys
        )
        .fetch_all(pool)
        .await?;
        let rows = found.into_iter().map(|found| {
            let row = serde_json::from_str(&found.row);
            (found.staging, row.map_err(|error| Poison(format!("the row before it is damaged: {error}"))))
        });
        Ok(rows.collect())
    }

    async fn store(
        connection: &mut PgConnection,
        generation: i32,
        versions: Vec<Versioned<Row>>,
    ) -> Result<(), sqlx::Error> {
        let positions: Vec<_> = versions.iter().map(|version| version.position.0).collect();
        let ids: Vec<_> = versions.iter().map(|version| version.row.id.0).collect();
        let opened: Vec<_> = versions.iter().map(|version| version.row.version.0).collect();
        let rows: Result<Vec<_>, _> = versions.iter().map(|version| serde_json::to_string(&version.row)).collect();
        let rows = rows.map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let stagings: Vec<_> = versions.into_iter().map(|version| version.key).collect();
        sqlx::query!(
            r#"UPDATE runs r SET valid_to = n.position
               FROM (SELECT key, min(position) AS position FROM unnest($2::uuid[], $3::bigint[]) AS n (key, position)
                     GROUP BY key) n
               WHERE r.generation = $1 AND r.key = n.key AND r.valid_to IS NULL"#,
            generation,
            &ids,
            &positions
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            r#"INSERT INTO runs (generation, key, position, valid_to, row, staging, version)
               SELECT $1, key, position, lead(position) OVER (PARTITION BY key ORDER BY position), row::json, staging,
                   version
               FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::bigint[])
                   AS n (key, position, row, staging, version)"#,
            generation,
            &ids,
            &positions,
            &rows,
            &stagings,
            &opened
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn sweep(pool: &Pool, limit: i64) -> Result<u64, sqlx::Error> {
        let swept = sqlx::query!(
            r#"DELETE FROM runs WHERE (generation, key, position) IN (
                   SELECT generation, key, position FROM runs
                   WHERE generation < (SELECT min(generation) FROM checkpoints WHERE projection = 'runs') LIMIT $1)"#,
            limit
        )
        .execute(pool)
        .await?;
        Ok(swept.rows_affected())
    }
}
