//! How far each generation of a read model has come. The checkpoint's row is also the lock of a step.
//!
//! Must not know what the rows of a read model look like.

use dm_eventstore::{Pool, Position};
use sqlx::PgConnection;

/// The channel on which a replica tells the others that a read model has moved; its payload is `name:position`.
pub(crate) const CHANNEL: &str = "dm_projection";

/// Makes sure that there is a generation for people to read and one that this build can move: the same one, or a new one
/// when the fold has a higher version than the rows. Rows of a higher version are left alone. One statement, so that a
/// replica that freezes here holds up nobody.
pub(crate) async fn ensure(pool: &Pool, projection: &str, version: i32) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"WITH read AS (INSERT INTO projections (projection, generation) VALUES ($1, 1) ON CONFLICT DO NOTHING)
           INSERT INTO checkpoints (projection, generation, version)
           SELECT $1, coalesce(max(generation) + 1, (SELECT generation FROM projections WHERE projection = $1), 1), $2
           FROM checkpoints WHERE projection = $1 HAVING coalesce(max(version) < $2, true)
           ON CONFLICT DO NOTHING"#,
        projection,
        version
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Opens the next generation, empty; another replica may have been faster, with the same result.
pub(crate) async fn open(pool: &Pool, projection: &str, version: i32) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"INSERT INTO checkpoints (projection, generation, version)
           SELECT $1, max(generation) + 1, $2 FROM checkpoints WHERE projection = $1 ON CONFLICT DO NOTHING"#,
        projection,
        version
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The generations that a build with this version of the fold moves, oldest first, and whether people read them.
pub(crate) async fn generations(pool: &Pool, projection: &str, version: i32) -> Result<Vec<(i32, bool)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT c.generation, c.generation = p.generation AS "read!"
           FROM checkpoints c JOIN projections p USING (projection)
           WHERE c.projection = $1 AND c.version = $2 AND c.generation >= p.generation ORDER BY c.generation"#,
        projection,
        version
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.generation, row.read)).collect())
}

/// Locks a generation and says where it stands; none while somebody else moves it, or when it is no more.
///
/// A transaction that holds the lock and then falls silent, because its `dms` is frozen, is ended by the database after
/// five seconds.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    projection: &str,
    generation: i32,
) -> Result<Option<Position>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT position, set_config('idle_in_transaction_session_timeout', '5s', true) AS timeout
           FROM checkpoints WHERE projection = $1 AND generation = $2 FOR UPDATE SKIP LOCKED"#,
        projection,
        generation
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Position(row.position)))
}

/// Moves a locked generation, and says so to every replica if it is the one that people read.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    projection: &str,
    generation: i32,
    to: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE checkpoints SET position = $3 WHERE projection = $1 AND generation = $2",
        projection,
        generation,
        to.0
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"SELECT pg_notify($1, $2 || ':' || $4::text) AS "notified: ()"
           FROM projections WHERE projection = $2 AND generation = $3"#,
        CHANNEL,
        projection,
        generation,
        to.0.to_string()
    )
    .fetch_optional(connection)
    .await?;
    Ok(())
}

/// Where each read model stands for people; one that was never moved is missing.
pub(crate) async fn positions(pool: &Pool) -> Result<Vec<(String, Position)>, sqlx::Error> {
    let rows =
        sqlx::query!("SELECT projection, position FROM projections JOIN checkpoints USING (projection, generation)")
            .fetch_all(pool)
            .await?;
    Ok(rows.into_iter().map(|row| (row.projection, Position(row.position))).collect())
}

/// Whether a generation beside the one that people read is being filled by this version of the fold.
pub(crate) async fn is_filling(pool: &Pool, projection: &str, version: i32) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM projections p JOIN checkpoints c USING (projection)
               WHERE p.projection = $1 AND c.generation > p.generation AND c.version = $2
           ) AS "filling!""#,
        projection,
        version
    )
    .fetch_one(pool)
    .await
}

/// How far the generation has come that this version of the fold fills beside the one that people read.
pub(crate) async fn filled(pool: &Pool, projection: &str, version: i32) -> Result<Option<Position>, sqlx::Error> {
    let filled = sqlx::query_scalar!(
        r#"SELECT c.position FROM projections p JOIN checkpoints c USING (projection)
           WHERE p.projection = $1 AND c.generation > p.generation AND c.version = $2
           ORDER BY c.generation DESC LIMIT 1"#,
        projection,
        version
    )
    .fetch_optional(pool)
    .await?;
    Ok(filled.map(Position))
}

/// Locks the generation that people read and the newest one that this version of the fold fills; none unless the newer
/// one has caught up and nobody moves either.
pub(crate) async fn swappable(
    connection: &mut PgConnection,
    projection: &str,
    version: i32,
) -> Result<Option<(i32, i32)>, sqlx::Error> {
    let locked = sqlx::query!(
        r#"SELECT c.generation, c.position, p.generation AS read,
               set_config('idle_in_transaction_session_timeout', '5s', true) AS timeout
           FROM projections p JOIN checkpoints c USING (projection)
           WHERE p.projection = $1 AND (c.generation = p.generation OR (c.generation > p.generation AND c.version = $2))
           ORDER BY c.generation FOR UPDATE SKIP LOCKED"#,
        projection,
        version
    )
    .fetch_all(connection)
    .await?;
    let (Some(read), Some(filled)) = (locked.first(), locked.last()) else { return Ok(None) };
    let caught_up = read.generation == read.read && filled.generation > read.read && filled.position >= read.position;
    Ok(caught_up.then_some((read.generation, filled.generation)))
}

/// Lets people read another generation, and forgets every one before it.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    projection: &str,
    read: i32,
    filled: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE projections SET generation = $3 WHERE projection = $1 AND generation = $2",
        projection,
        read,
        filled
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("DELETE FROM checkpoints WHERE projection = $1 AND generation < $2", projection, filled)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("DELETE FROM quarantine WHERE projection = $1 AND generation < $2", projection, filled)
        .execute(connection)
        .await?;
    Ok(())
}
