//! The read model `stagings`: one row for each name that has a staging, every version of it kept.
//!
//! Here is what people and the runner ask of it. What a row says, and how events change it, is below in `row` and `evolve`,
//! without SQL; how rows are stored is in `table`. Must not know runs or sentences.

use chrono::{DateTime, Utc};
use dm_domain::ids::StagingName;
use dm_domain::staging::Status;
use dm_eventstore::{Pool, Position};
use serde::{Deserialize, Serialize};

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
    const VERSION: i32 = 2;
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
    /// Only those that have been archived since this moment or longer.
    pub archived_before: Option<DateTime<Utc>>,
    /// In which order.
    pub sort: Sort,
    /// Only those after this one, in that order.
    pub after: Option<Cursor>,
    /// At most this many; what is outside of 1 to [`LIMIT_MAX`] is brought inside.
    pub limit: u32,
}

/// What a listing is sorted by; among equals by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// The other way round. What has no value stands at the end either way.
    pub descending: bool,
}

/// By what stagings can be sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Its name.
    #[default]
    Name,
    /// Its status, in the order of [`Status::ALL`].
    Status,
    /// When it was created.
    Created,
    /// When its status last changed.
    Changed,
    /// Since when it is archived.
    Archived,
}

impl SortBy {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Name, Self::Status, Self::Created, Self::Changed, Self::Archived];

    /// Its name, also in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Status => "status",
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Archived => "archived",
        }
    }
}

/// A place in a sorted listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// What the staging there is sorted by, as a number; 0 where names alone decide.
    pub value: i64,
    /// Its name.
    pub name: StagingName,
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
pub async fn get(pool: &Pool, name: &StagingName) -> Result<(Result<Row, Gone>, Position), ProjectionError> {
    let found = table::newest(pool, name).await?;
    Ok((found.entry(name)?, found.position))
}

/// One staging as it was at a position: the newest version at or before it. None when the read model has not come that
/// far; also says how far it has.
pub async fn get_at(
    pool: &Pool,
    name: &StagingName,
    at: Position,
) -> Result<(Option<Result<Row, Gone>>, Position), ProjectionError> {
    let found = table::newest_at(pool, name, at).await?;
    let entry = if found.position < at { None } else { Some(found.entry(name)?) };
    Ok((entry, found.position))
}

/// One page of stagings as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// In the order that was asked for.
    pub rows: Vec<Row>,
    /// Where the page after this one begins; none when this is surely the last one.
    pub next: Option<Cursor>,
    /// What the answer reflects.
    pub position: Position,
}

/// One page of stagings as they are. A damaged row is left out, and said in the log.
pub async fn list(pool: &Pool, filter: &Filter) -> Result<Page, ProjectionError> {
    table::page(pool, filter).await
}
