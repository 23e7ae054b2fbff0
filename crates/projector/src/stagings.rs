//! The read model `stagings`: one row for each name that has a staging, every version of it kept.
//!
//! Here is what people and the runner ask of it. What a row says, and how events change it, is below in `row` and `evolve`,
//! without SQL; how rows are stored is in `table`. Must not know runs or sentences.

use chrono::{DateTime, Utc};
use dm_domain::ids::StagingName;
use dm_domain::staging::Status;
use dm_eventstore::Position;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::{Fact, Poison, Projection, ProjectionError, storable};

mod evolve;
pub mod hints;
pub mod row;
mod table;

pub use hints::{Checked, Due, DueWork, checked, due, queued_ahead, running};
pub use row::{CheckFailure, Condition, Phase, Request, Rest, Row};

/// Most rows that one page of a listing has.
pub const LIMIT_MAX: u32 = 200;

/// The projection behind this read model.
#[derive(Debug)]
pub struct Stagings;

impl Projection for Stagings {
    const NAME: &'static str = "stagings";
    const VERSION: i32 = 1;
    type Row = Entry;

    fn evolve(entry: Option<&Entry>, fact: &Fact) -> Result<Option<Entry>, Poison> {
        evolve::evolve(entry, fact)
    }
}

/// What is kept of a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// It has a staging.
    Staging(Box<Row>),
    /// It had one.
    Gone(Gone),
}

/// Why a name has no staging.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// When its last life ended in a cleanup; none when the name was never used, or only for creates that were withdrawn.
    pub cleaned_up_at: Option<DateTime<Utc>>,
}

/// What a listing is limited to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these; empty: all but `Archived`.
    pub statuses: Vec<Status>,
    /// Archived ones as well.
    pub archived: bool,
    /// Only names or tags that contain this; capitals do not matter.
    pub text: Option<String>,
    /// Only names after this one.
    pub after: Option<StagingName>,
    /// At most this many; what is outside of 1 to [`LIMIT_MAX`] is brought inside.
    pub limit: u32,
}

impl Filter {
    fn wanted(&self) -> Vec<String> {
        let mut statuses = self.statuses.clone();
        if statuses.is_empty() {
            statuses.extend(Status::ALL.into_iter().filter(|&status| status != Status::Archived));
        }
        if self.archived {
            statuses.push(Status::Archived);
        }
        statuses.iter().map(ToString::to_string).collect()
    }

    /// The text as a pattern in which nothing but the text itself has a meaning.
    fn pattern(&self) -> Option<String> {
        let text = self.text.as_ref()?;
        let mut pattern = String::from("%");
        for c in storable(text).chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        Some(pattern)
    }
}

/// One staging as it is, and the position that the answer reflects.
pub async fn get(pool: &PgPool, name: &StagingName) -> Result<(Result<Row, Gone>, Position), ProjectionError> {
    let found = table::newest(pool, name).await?;
    Ok((found.entry(name)?, found.position))
}

/// One staging as it was at a position: the newest version at or before it. None when the read model has not come that
/// far; also says how far it has.
pub async fn get_at(
    pool: &PgPool,
    name: &StagingName,
    at: Position,
) -> Result<(Option<Result<Row, Gone>>, Position), ProjectionError> {
    let found = table::newest_at(pool, name, at).await?;
    let entry = if found.position < at { None } else { Some(found.entry(name)?) };
    Ok((entry, found.position))
}

/// One page of stagings as they are, by name, and the position that the answer reflects. A damaged row is left out, and
/// said in the log.
pub async fn list(pool: &PgPool, filter: &Filter) -> Result<(Vec<Row>, Position), ProjectionError> {
    table::page(pool, filter).await
}
