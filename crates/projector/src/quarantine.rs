//! Stagings whose rows stand still because one of their events could not be applied.
//!
//! Loud, but harmless for everything else: the rows stay as they were before the event, later events of that staging are
//! skipped, and a rebuild by a build that can read the event mends it.

use std::collections::BTreeSet;

use dm_eventstore::{Pool, Position};
use sqlx::PgConnection;

use crate::storable;

/// A staging that stands still in a read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// In which read model.
    pub projection: String,
    /// Which staging.
    pub key: String,
    /// The event that could not be applied.
    pub position: Position,
    /// Why not.
    pub cause: String,
}

/// Those of the read models that people read now, in order of their events; at most 1,000.
pub(crate) async fn list(pool: &Pool) -> Result<Vec<Quarantined>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT projection, key, position, cause FROM quarantine JOIN projections USING (projection, generation)
           ORDER BY position, projection LIMIT 1000"#
    )
    .fetch_all(pool)
    .await?;
    let quarantined = rows.into_iter().map(|row| Quarantined {
        projection: row.projection,
        key: row.key,
        position: Position(row.position),
        cause: row.cause,
    });
    Ok(quarantined.collect())
}

/// Which of `keys` stand still.
pub(crate) async fn among(
    pool: &Pool,
    projection: &str,
    generation: i32,
    keys: &[String],
) -> Result<BTreeSet<String>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "SELECT key FROM quarantine WHERE projection = $1 AND generation = $2 AND key = ANY($3)",
        projection,
        generation,
        keys
    )
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().collect())
}

/// Stops one staging.
pub(crate) async fn store(
    connection: &mut PgConnection,
    generation: i32,
    stopped: &Quarantined,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO quarantine (projection, generation, key, position, cause) VALUES ($1, $2, $3, $4, $5)",
        stopped.projection,
        generation,
        stopped.key,
        stopped.position.0,
        storable(&stopped.cause)
    )
    .execute(connection)
    .await?;
    Ok(())
}
