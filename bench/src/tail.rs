//! A reader on another replica follows the log while callers append: it must miss nothing, and find no gap.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dm_eventstore::{Config, EventStore, Position};
use dm_tests::postgres::Database;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::Plan;
use crate::append::{StoreCaller, store_callers};
use crate::table::{Progress, Table, thousands};
use crate::window::{Caller, Window, drive, median, medians, percentile};

/// How many append at the same time.
const CALLERS: u32 = 32;
/// How long the reader may take from the last append to having seen it.
const CATCH_UP: Duration = Duration::from_secs(30);

/// The moments at which positions were answered, or seen.
type Moments = BTreeMap<Position, Instant>;

/// Appends, and notes when it was answered.
struct Noting {
    caller: StoreCaller,
    answered: Arc<Mutex<Moments>>,
}

impl Caller for Noting {
    async fn call(&mut self) -> Result<()> {
        let position = self.caller.append().await?;
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(position, Instant::now());
        Ok(())
    }
}

pub(crate) fn measure(runtime: &Runtime, plan: Plan, progress: &Progress, table: &mut Table) -> Result<()> {
    table.part();
    let (mut windows, mut p50s, mut p99s, mut followed) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 1..=plan.rounds {
        progress.step(&format!("tail: {CALLERS} append and one follows, round {round}"));
        let database = runtime.block_on(Database::create());
        let (window, delays) = runtime.block_on(follow_appends(&database, plan))?;
        windows.push(window);
        p50s.push(percentile(&delays, 50));
        p99s.push(percentile(&delays, 99));
        followed += u32::try_from(delays.len())?;
    }
    let what = format!("append, {CALLERS} at once, and a reader that follows");
    table.window(&what, medians(&windows), None, "");
    let remark = format!("{} events: 0 missed, 0 gaps", thousands(f64::from(followed)));
    table.times("answer to reader on another replica", median(p50s), median(p99s), &remark);
    Ok(())
}

/// Appends for a window; how long after each answer the reader had the event, sorted.
async fn follow_appends(database: &Database, plan: Plan) -> Result<(Window, Vec<Duration>)> {
    let start = async || EventStore::start(database.pool().await, &database.options(), &Config::default());
    let (writing, reading) = (start().await, start().await);
    let (end, wanted) = watch::channel(None);
    let reader = tokio::spawn(follow(reading.clone(), wanted));

    let answered = Arc::new(Mutex::new(Moments::new()));
    let callers = store_callers(&writing, CALLERS, "tail")?;
    let callers = callers.into_iter().map(|caller| Noting { caller, answered: answered.clone() });
    let window = drive(callers.collect(), plan.span).await?;

    let head = writing.head().await?.position;
    end.send_replace(Some(head));
    let seen = result(reader).await?;
    let answered = std::mem::take(&mut *answered.lock().unwrap_or_else(PoisonError::into_inner));
    let mut delays = Vec::with_capacity(answered.len());
    for (position, answered) in &answered {
        let seen = seen.get(position).with_context(|| format!("the reader has missed position {position}"))?;
        delays.push(seen.saturating_duration_since(*answered));
    }
    ensure!(answered.len() == seen.len(), "{} appends were answered, {} events seen", answered.len(), seen.len());
    delays.sort_unstable();
    writing.stop().await;
    reading.stop().await;
    Ok((window, delays))
}

async fn result(reader: JoinHandle<Result<Moments>>) -> Result<Moments> {
    timeout(CATCH_UP, reader).await.context("the reader does not come to the end of the log")??
}

/// Follows the log up to its end, once that is known; when each position was seen.
async fn follow(store: EventStore, mut end: watch::Receiver<Option<Position>>) -> Result<Moments> {
    let mut seen = Moments::new();
    let mut last = Position(0);
    let mut newest = store.watch();
    loop {
        // Marked as seen before the log is read: what comes after this wakes again.
        newest.mark_unchanged();
        let page = store.read_all(last, EventStore::READ_MAX).await?;
        let now = Instant::now();
        for event in page.events {
            ensure!(event.position == Position(last.0 + 1), "position {} follows position {last}", event.position);
            last = event.position;
            seen.insert(last, now);
        }
        if (*end.borrow()).is_some_and(|end| last >= end) {
            return Ok(seen);
        }
        if !page.more {
            tokio::select! {
                changed = newest.changed() => changed?,
                changed = end.changed() => changed?,
            }
        }
    }
}
