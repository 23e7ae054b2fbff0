//! How lines of `audit` are stored and found: SQL, and nothing else.

use dm_domain::ids::{Actor, Comment, RunId, StagingName, Version};
use dm_domain::staging::Verb;
use dm_eventstore::{Channel, Pool, Position};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::ProjectionError;
use crate::audit::{Audit, Line, Row};
use crate::step::{Rows, Table, Versioned};

/// One page of a name's history, oldest first.
pub(super) async fn page(
    pool: &Pool,
    staging: &StagingName,
    after: Version,
    limit: u32,
) -> Result<(Vec<Line>, Position), ProjectionError> {
    let found = sqlx::query!(
        r#"SELECT c.position AS reached, a.position AS "position?", a.version AS "version?", a.type AS "event_type?",
               a.sentence AS "sentence?", a.at AS "at?", a.actor AS "actor?", a.channel AS "channel?", a.reason,
               a.on_behalf, a.run, a.data AS "data?: Json<Box<RawValue>>"
           FROM projections p JOIN checkpoints c USING (projection, generation)
           LEFT JOIN LATERAL (
               SELECT * FROM audit WHERE generation = p.generation AND staging = $1 AND version > $2
               ORDER BY version LIMIT $3
           ) a ON true
           WHERE p.projection = 'audit' ORDER BY a.version"#,
        staging.as_str(),
        after.0,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    let reached = found.first().map_or(Position::default(), |first| Position(first.reached));
    let lines = found.into_iter().filter_map(|found| {
        Some(Line {
            position: Position(found.position?),
            staging: staging.clone(),
            version: Version(found.version?),
            event_type: found.event_type?,
            sentence: found.sentence?,
            at: found.at?,
            actor: Actor(found.actor?),
            channel: channel(&found.channel?),
            reason: found.reason.and_then(|reason| Comment::parse(&reason).ok()),
            on_behalf: found.on_behalf,
            run: found.run.map(RunId),
            data: found.data?.0,
        })
    });
    Ok((lines.collect(), reached))
}

const CHANNELS: [(Channel, &str); 3] = [(Channel::Dmc, "dmc"), (Channel::Ui, "ui"), (Channel::System, "system")];

/// As stored; what nobody has written is shown as what `dms` did.
fn channel(text: &str) -> Channel {
    CHANNELS.iter().find(|(_, name)| *name == text).map_or(Channel::System, |(channel, _)| *channel)
}

fn channel_text(channel: Channel) -> &'static str {
    match channel {
        Channel::Dmc => "dmc",
        Channel::Ui => "ui",
        Channel::System => "system",
    }
}

impl Table for Audit {
    async fn load(pool: &Pool, generation: i32, keys: &[String]) -> Result<Rows<Row>, sqlx::Error> {
        let found = sqlx::query!(
            r#"SELECT k.staging AS "staging!", a.verb
               FROM unnest($2::text[]) AS k (staging) CROSS JOIN LATERAL (
                   SELECT verb FROM audit WHERE generation = $1 AND staging = k.staging ORDER BY version DESC LIMIT 1
               ) a"#,
            generation,
            keys
        )
        .fetch_all(pool)
        .await?;
        let rows = found.into_iter().map(|found| {
            let known = |text: String| Verb::ALL.into_iter().find(|verb| verb.to_string() == text);
            (found.staging, Ok(Row { verb: found.verb.and_then(known), line: None }))
        });
        Ok(rows.collect())
    }

    async fn store(
        connection: &mut PgConnection,
        generation: i32,
        versions: Vec<Versioned<Row>>,
    ) -> Result<(), sqlx::Error> {
        let mut verbs = Vec::with_capacity(versions.len());
        let mut lines = Vec::with_capacity(versions.len());
        for version in versions {
            let Some(line) = version.row.line else { continue };
            verbs.push(version.row.verb.map(|verb| verb.to_string()));
            lines.push(line);
        }
        sqlx::query!(
            r#"INSERT INTO audit (generation, position, staging, version, type, sentence, at, actor, channel, reason,
                   on_behalf, run, verb, data)
               SELECT $1, position, staging, version, type, sentence, at, actor, channel, reason, on_behalf, run, verb,
                   data::json
               FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[], $8::text[],
                   $9::text[], $10::text[], $11::text[], $12::uuid[], $13::text[], $14::text[])
                   AS n (position, staging, version, type, sentence, at, actor, channel, reason, on_behalf, run, verb,
                       data)"#,
            generation,
            &lines.iter().map(|line| line.position.0).collect::<Vec<_>>(),
            &lines.iter().map(|line| line.staging.to_string()).collect::<Vec<_>>(),
            &lines.iter().map(|line| line.version.0).collect::<Vec<_>>(),
            &lines.iter().map(|line| line.event_type.clone()).collect::<Vec<_>>(),
            &lines.iter().map(|line| line.sentence.clone()).collect::<Vec<_>>(),
            &lines.iter().map(|line| line.at).collect::<Vec<_>>(),
            &lines.iter().map(|line| line.actor.0.clone()).collect::<Vec<_>>(),
            &lines.iter().map(|line| channel_text(line.channel).to_owned()).collect::<Vec<_>>(),
            &lines.iter().map(|line| line.reason.clone().map(String::from)).collect::<Vec<_>>() as _,
            &lines.iter().map(|line| line.on_behalf.clone()).collect::<Vec<_>>() as _,
            &lines.iter().map(|line| line.run.map(|run| run.0)).collect::<Vec<_>>() as _,
            &verbs as _,
            &lines.iter().map(|line| line.data.get().to_owned()).collect::<Vec<_>>()
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn sweep(pool: &Pool, limit: i64) -> Result<u64, sqlx::Error> {
        let swept = sqlx::query!(
            r#"DELETE FROM audit WHERE (generation, position) IN (
                   SELECT generation, position FROM audit
                   WHERE generation < (SELECT min(generation) FROM checkpoints WHERE projection = 'audit') LIMIT $1)"#,
            limit
        )
        .execute(pool)
        .await?;
        Ok(swept.rows_affected())
    }
}
