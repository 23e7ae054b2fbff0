//! The read model `runs`: one row for each run, every version of it kept. Runs outlive their stagings.
//!
//! Must not know what a staging is, only what became of its runs.

use dm_domain::ids::{RunId, StagingName, Version};
use dm_eventstore::{Pool, Position};

use crate::{Fact, Poison, Projection, ProjectionError};

mod evolve;
pub mod row;
mod table;

pub use row::{Row, RunState};

/// Most rows that one page has.
pub const LIMIT_MAX: u32 = 200;

/// The projection behind this read model. Events change only the newest run of a staging: when it is over, later events
/// that name it (a check that fails) are not about the run any more.
#[derive(Debug)]
pub struct Runs;

impl Projection for Runs {
    const NAME: &'static str = "runs";
    const VERSION: i32 = 1;
    type Row = Row;

    fn evolve(row: Option<&Row>, fact: &Fact) -> Result<Option<Row>, Poison> {
        evolve::evolve(row, fact)
    }
}

/// One run, and the position that the answer reflects.
pub async fn get(pool: &Pool, run: RunId) -> Result<(Option<Row>, Position), ProjectionError> {
    table::newest(pool, run).await
}

/// One page of a staging's runs, newest first, of all its lives: those opened before the event `before`, at most `limit`
/// (1 to [`LIMIT_MAX`]); and the position that the answer reflects.
pub async fn list(
    pool: &Pool,
    staging: &StagingName,
    before: Option<Version>,
    limit: u32,
) -> Result<(Vec<Row>, Position), ProjectionError> {
    table::page(pool, staging, before, limit.clamp(1, LIMIT_MAX)).await
}
