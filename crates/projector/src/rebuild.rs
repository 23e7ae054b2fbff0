//! A new generation of a read model beside the old one, and the swap that makes it the one people read.
//!
//! That a rebuild is under way is a row in `checkpoints`: whichever replica steps fills the new generation, and a crash in
//! the middle loses nothing. What is left of the old generation is swept away in small bites.

use std::time::Duration;

use dm_eventstore::Pool;
use sqlx::Connection as _;

use crate::loops::bounded;
use crate::step::{Means, Stepped, Table};
use crate::{ProjectionError, checkpoint};

/// Most rows that one bite of the sweep deletes.
const SWEEP: i64 = 1_000;

/// How long to leave the work to another replica, or the read generation to whoever moves it, before looking again.
const PAUSE: Duration = Duration::from_millis(50);

/// Fills a new generation from the first event on and swaps it in. Mends damaged rows and quarantined stagings, and brings
/// back rows that a newer build has left.
pub(crate) async fn rebuild<P: Table>(means: &Means) -> Result<(), ProjectionError> {
    checkpoint::ensure(&means.reads, P::NAME, P::VERSION).await?;
    if !checkpoint::is_filling(&means.reads, P::NAME, P::VERSION).await? {
        checkpoint::open(&means.reads, P::NAME, P::VERSION).await?;
    }
    while checkpoint::is_filling(&means.reads, P::NAME, P::VERSION).await? {
        if bounded::<P>(means).await? != Stepped::More {
            tokio::time::sleep(PAUSE).await;
        }
    }
    // The swap only waits for where people read; what was appended since follows.
    while bounded::<P>(means).await? == Stepped::More {}
    sweep::<P>(means).await
}

/// Makes the newest generation the one people read once it stands where the old one does or further, so that no reader
/// is ever taken back. Says whether it did.
pub(crate) async fn swap(pool: &Pool, projection: &str, version: i32) -> Result<bool, sqlx::Error> {
    let mut link = pool.link().await?;
    let mut tx = link.begin().await?;
    let swappable = checkpoint::swappable(&mut tx, projection, version).await?;
    if let Some((read, filled)) = swappable {
        checkpoint::replace(&mut tx, projection, read, filled).await?;
    }
    tx.commit().await?;
    link.give_back();
    Ok(swappable.is_some())
}

/// Deletes the rows of generations that are no more, a bite at a time.
pub(crate) async fn sweep<P: Table>(means: &Means) -> Result<(), ProjectionError> {
    while P::sweep(&means.reads, SWEEP).await? > 0 {}
    Ok(())
}
