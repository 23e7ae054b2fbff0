//! Reads of the log: streams, the whole, its end, and the first answer to a command.

use std::time::Duration;

use chrono::{DateTime, Utc};
use dm_domain::ids::{RunId, Version};
use serde_json::value::RawValue;
use sqlx::types::Json;
use tokio::time::{Instant, timeout_at};

use crate::envelope::{CommandKey, Head, Page, Position, Receipt, RecordedEvent, StreamId};
use crate::error::{AppendError, ReadError};
use crate::pool::Pool;
use crate::postgres::EventStore;

/// Once the payloads of a page have come to so many bytes, it ends.
const PAGE_BYTES: i64 = 8 * 1024 * 1024;

impl EventStore {
    /// Most events that one read returns, whatever limit it was given.
    pub const READ_MAX: u32 = 1_000;

    /// The first answer to a command, if it was accepted; `KeyReused` when it was another request.
    pub async fn find_command(&self, key: CommandKey) -> Result<Option<Receipt>, AppendError> {
        let query = sqlx::query!(
            "SELECT body_mac, from_version, to_version, position, run_id, quiet FROM commands WHERE command_id = $1",
            key.id.0
        );
        let found = query.fetch_optional(&self.inner.pool).await.map_err(AppendError::unavailable)?;
        let Some(row) = found else { return Ok(None) };
        if row.body_mac != key.mac.0 {
            return Err(AppendError::KeyReused);
        }
        Ok(Some(Receipt {
            run: row.run_id.map(RunId),
            from_version: Version(row.from_version),
            to_version: Version(row.to_version),
            position: Position(row.position),
            quiet: row.quiet,
            repeated: true,
        }))
    }

    /// A stream's events after a version, oldest first, at most `limit` and at most [`Self::READ_MAX`].
    pub async fn read_stream(&self, stream: &StreamId, after: Version, limit: u32) -> Result<Page, ReadError> {
        let limit = limit.min(Self::READ_MAX);
        let query = sqlx::query_as!(
            Row,
            r#"WITH full_at AS MATERIALIZED (
                 SELECT version
                   FROM (SELECT version, sum(bytes) OVER (ORDER BY version ROWS UNBOUNDED PRECEDING) AS bytes
                           FROM (SELECT version, octet_length(data::text) AS bytes
                                   FROM events WHERE stream_id = $1 AND version > $2 ORDER BY version LIMIT $3) AS sizes
                        ) AS sums
                  WHERE bytes >= $4 LIMIT 1)
               SELECT position, stream_id, version, type AS event_type, schema,
                      data AS "data: Json<Box<RawValue>>", meta AS "meta: Json<Box<RawValue>>", at,
                      version = (SELECT version FROM full_at) AS "full"
                 FROM events
                WHERE stream_id = $1 AND version > $2
                  AND version <= coalesce((SELECT version FROM full_at), 9223372036854775807)
                ORDER BY version LIMIT $3"#,
            stream.as_str(),
            after.0,
            i64::from(limit),
            PAGE_BYTES,
        );
        Ok(page(query.fetch_all(&self.inner.pool).await?, limit))
    }

    /// The log's events after a position, oldest first, at most `limit` and at most [`Self::READ_MAX`].
    pub async fn read_all(&self, after: Position, limit: u32) -> Result<Page, ReadError> {
        let limit = limit.min(Self::READ_MAX);
        let query = sqlx::query_as!(
            Row,
            r#"WITH full_at AS MATERIALIZED (
                 SELECT position
                   FROM (SELECT position, sum(bytes) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) AS bytes
                           FROM (SELECT position, octet_length(data::text) AS bytes
                                   FROM events WHERE position > $1 ORDER BY position LIMIT $2) AS sizes
                        ) AS sums
                  WHERE bytes >= $3 LIMIT 1)
               SELECT position, stream_id, version, type AS event_type, schema,
                      data AS "data: Json<Box<RawValue>>", meta AS "meta: Json<Box<RawValue>>", at,
                      position = (SELECT position FROM full_at) AS "full"
                 FROM events
                WHERE position > $1 AND position <= coalesce((SELECT position FROM full_at), 9223372036854775807)
                ORDER BY position LIMIT $2"#,
            after.0,
            i64::from(limit),
            PAGE_BYTES,
        );
        Ok(page(query.fetch_all(&self.inner.pool).await?, limit))
    }

    /// The version of a stream's newest event, from the database.
    pub async fn newest_version(&self, stream: &StreamId) -> Result<Version, ReadError> {
        let query = sqlx::query_scalar!(
            "SELECT version FROM events WHERE stream_id = $1 ORDER BY version DESC LIMIT 1",
            stream.as_str()
        );
        Ok(query.fetch_optional(&self.inner.pool).await?.map_or(Version::NONE, Version))
    }

    /// The end of the log, from the database.
    pub async fn head(&self) -> Result<Head, ReadError> {
        Ok(head(&self.inner.pool).await?)
    }

    /// Waits until the log has gone beyond `after`, or `timeout` has passed; returns the newest position known then.
    /// Sees what was appended through any replica, within a second even when no notification comes.
    pub async fn wait(&self, after: Position, timeout: Duration) -> Result<Position, ReadError> {
        let deadline = Instant::now() + timeout;
        // Subscribed before the query, so that nothing appended between the two is slept through.
        let mut hint = self.watch();
        let position = self.head().await?.position;
        if position > after {
            return Ok(position);
        }
        let newer = timeout_at(deadline, hint.wait_for(|newest| *newest > after)).await;
        Ok(match newer {
            Ok(Ok(newest)) => *newest,
            Ok(Err(_)) | Err(_) => position,
        })
    }
}

/// The end of the log.
pub(super) async fn head(pool: &Pool) -> Result<Head, sqlx::Error> {
    let query = sqlx::query!(r#"SELECT position, epoch, clock_timestamp() AS "now!" FROM log_head"#);
    let row = query.fetch_one(pool).await?;
    Ok(Head { position: Position(row.position), epoch: row.epoch, now: row.now })
}

/// The page that these rows are, if `limit` was asked for.
fn page(rows: Vec<Row>, limit: u32) -> Page {
    let more = rows.len() == limit as usize || rows.last().is_some_and(|row| row.full == Some(true));
    Page { events: rows.into_iter().map(Row::into_event).collect(), more }
}

/// A row of `events`.
struct Row {
    position: i64,
    stream_id: String,
    version: i64,
    event_type: String,
    schema: i16,
    data: Json<Box<RawValue>>,
    meta: Json<Box<RawValue>>,
    at: DateTime<Utc>,
    /// With it, the page has as many bytes as a page may have.
    full: Option<bool>,
}

impl Row {
    fn into_event(self) -> RecordedEvent {
        RecordedEvent {
            position: Position(self.position),
            stream: StreamId::from_log(self.stream_id),
            version: Version(self.version),
            event_type: self.event_type,
            schema: self.schema,
            data: self.data.0,
            meta: self.meta.0,
            at: self.at,
        }
    }
}
