//! What runs print, on its way into the database: bounded for each run and for all together, and never in a wrapper's way.
//!
//! Of a run the first [`HEAD`] and at least the last [`TAIL`] bytes are kept. Whoever prints faster than is stored, or
//! while the database is away, loses the oldest bytes between the two; readers are told how many. When more runs wait than
//! there is memory for, each keeps as much less of its end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use dm_domain::ids::{Attempt, RunId};
use dm_eventstore::Pool;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::supervise::Sink;
use super::text::Tail;
use crate::clock::Clock;
use crate::db::output::{self, Stretches};

/// Bytes at the beginning of an attempt that are kept.
const HEAD: i64 = 1024 * 1024;
/// Bytes at its end that are kept.
const TAIL: i64 = 4 * 1024 * 1024;
/// Bytes of all runs together that may wait to be stored: the head and tail of as many runs as there are by default.
const WAITING_MAX: usize = 8 * 5 * 1024 * 1024 + 8 * CHUNK_MAX;
/// Bytes in a chunk.
const CHUNK_MAX: usize = 64 * 1024;
/// How long printed bytes wait for more.
const CHUNK_WAIT: Duration = Duration::from_millis(200);
/// Bytes of one run that are stored at once, and so at most in each [`CHUNK_WAIT`]. Every connection to the database keeps a
/// buffer of the largest that it was ever sent.
const STORE_MAX: usize = 256 * 1024;
/// How long one attempt to store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is tried again to store the same bytes of a run that has ended.
const TRIES_MAX: u32 = 60;
/// How long one look for output that has become too old may take.
const EXPIRE_TIMEOUT: Duration = Duration::from_mins(1);
/// Between two looks for output that has become too old.
const EXPIRE_EVERY: Duration = Duration::from_hours(1);

/// Makes recorders; holds what they share.
#[derive(Debug, Clone)]
pub(crate) struct Outputs {
    pool: Pool,
    waiting: Arc<Waiting>,
}

/// What all runs share.
#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    runs: AtomicUsize,
}

impl Outputs {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, waiting: Arc::default() }
    }

    /// Begins to record an attempt.
    pub(crate) fn record(&self, run: RunId, attempt: Attempt) -> Recorder {
        let shared = Arc::new(Shared {
            pending: Mutex::new(Pending::new(Arc::clone(&self.waiting))),
            tail: Mutex::default(),
            more: Notify::new(),
            ended: CancellationToken::new(),
        });
        let writing = tokio::spawn(write(self.pool.clone(), run, attempt, Arc::clone(&shared)));
        Recorder { shared, writing }
    }
}

/// Records what one attempt prints.
#[derive(Debug)]
pub(crate) struct Recorder {
    shared: Arc<Shared>,
    writing: JoinHandle<()>,
}

/// Tells what was printed last, while it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct LastLine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    tail: Mutex<Tail>,
    more: Notify,
    ended: CancellationToken,
}

impl Recorder {
    /// For whoever wants to know while it runs.
    pub(crate) fn last_line(&self) -> LastLine {
        LastLine(Arc::clone(&self.shared))
    }

    /// The attempt has ended: waits until all is stored, at most `patience`; beyond that it goes on in the background.
    /// Gives the last lines.
    pub(crate) async fn finish(self, patience: Duration) -> Option<String> {
        self.shared.ended.cancel();
        // Detached when it is late.
        let _ = tokio::time::timeout(patience, self.writing).await;
        lock(&self.shared.tail).cause()
    }
}

impl Sink for Recorder {
    fn push(&mut self, bytes: &[u8]) {
        lock(&self.shared.tail).push(bytes);
        lock(&self.shared.pending).push(bytes);
        self.shared.more.notify_one();
    }
}

impl LastLine {
    pub(crate) fn get(&self) -> Option<String> {
        lock(&self.0.tail).last_line()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that wait to be stored.
#[derive(Debug)]
struct Pending {
    chunks: VecDeque<(i64, Vec<u8>)>,
    total: i64,
    /// The memory of a chunk that was dropped, for the next one.
    spare: Option<Vec<u8>>,
    /// Of this run.
    bytes: usize,
    /// Of all runs.
    waiting: Arc<Waiting>,
}

impl Pending {
    fn new(waiting: Arc<Waiting>) -> Self {
        waiting.runs.fetch_add(1, Ordering::Relaxed);
        Self { chunks: VecDeque::new(), total: 0, spare: None, bytes: 0, waiting }
    }

    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // The head ends with a chunk, so that what is forgotten behind it is whole chunks.
            let to_head = usize::try_from(HEAD - self.total).ok().filter(|left| *left > 0).unwrap_or(usize::MAX);
            let open = self.chunks.back().filter(|(start, last)| {
                last.len() < CHUNK_MAX && start + length(last) == self.total && self.total != HEAD
            });
            let room = open.map_or(CHUNK_MAX, |(_, last)| CHUNK_MAX - last.len());
            let (is_open, taken) = (open.is_some(), bytes.len().min(room).min(to_head));
            let start = self.total;
            self.total += length(&bytes[..taken]);
            if self.make_room(taken) {
                // It may have been dropped to make room.
                let open = self.chunks.back_mut().filter(|(begin, last)| is_open && *begin + length(last) == start);
                if let Some((_, last)) = open {
                    last.extend_from_slice(&bytes[..taken]);
                } else {
                    // As large as it may become, so that it is never copied into a larger one.
                    let mut chunk = self.spare.take().unwrap_or_else(|| Vec::with_capacity(CHUNK_MAX));
                    chunk.extend_from_slice(&bytes[..taken]);
                    self.chunks.push_back((start, chunk));
                }
                self.bytes += taken;
                self.waiting.bytes.fetch_add(taken, Ordering::Relaxed);
            }
            bytes = &bytes[taken..];
        }
    }

    /// Drops the oldest bytes behind the head until there is room; false when there are none left to drop.
    fn make_room(&mut self, wanted: usize) -> bool {
        // One chunk more, because whole chunks are dropped. Nobody has more than a share, so that nobody has nothing.
        let run_max = usize::try_from(HEAD + TAIL).unwrap_or(usize::MAX).saturating_add(CHUNK_MAX);
        let run_max = run_max.min(WAITING_MAX / self.waiting.runs.load(Ordering::Relaxed).max(1));
        while self.bytes + wanted > run_max || self.waiting.bytes.load(Ordering::Relaxed) + wanted > WAITING_MAX {
            let Some(oldest) = self.chunks.iter().position(|(start, _)| *start >= HEAD) else { return false };
            if let Some((_, mut dropped)) = self.chunks.remove(oldest) {
                self.forget(dropped.len());
                dropped.clear();
                self.spare = Some(dropped);
            }
        }
        true
    }

    fn take(&mut self, ended: bool) -> Stretches {
        let mut taken = Stretches { total: self.total, ..Stretches::default() };
        let mut size = 0;
        while let Some((start, bytes)) = self.chunks.pop_front_if(|(_, bytes)| size + bytes.len() <= STORE_MAX) {
            size += bytes.len();
            self.forget(bytes.len());
            taken.starts.push(start);
            taken.bytes.push(bytes);
        }
        taken.complete = ended && self.chunks.is_empty();
        if self.total > HEAD + TAIL {
            taken.forgotten = HEAD..self.total - TAIL;
        }
        taken
    }

    fn forget(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.waiting.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.waiting.runs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Stores what is pushed, until the attempt has ended and all is stored.
async fn write(pool: Pool, run: RunId, attempt: Attempt, shared: Arc<Shared>) {
    let mut failures = 0;
    while !stored(output::begin(&pool, run, attempt)).await && !shared.ended.is_cancelled() {
        tokio::time::sleep(CHUNK_WAIT).await;
    }
    loop {
        tokio::select! {
            () = shared.ended.cancelled() => {}
            // More may follow at once.
            () = async { shared.more.notified().await; tokio::time::sleep(CHUNK_WAIT).await } => {}
        }
        let ended = shared.ended.is_cancelled();
        let taken = lock(&shared.pending).take(ended);
        while !stored(output::append(&pool, run, attempt, &taken)).await {
            failures += 1;
            if failures > TRIES_MAX && shared.ended.is_cancelled() {
                tracing::warn!(run.id = %run, attempt, "the end of a run's output was not stored");
                return;
            }
            tokio::time::sleep(CHUNK_WAIT * failures.min(10)).await;
        }
        failures = 0;
        if taken.complete {
            return;
        }
    }
}

/// Drops what has become too old, for ever.
pub(crate) async fn expire(pool: &Pool, clock: &Clock, keep: Duration) {
    let keep = TimeDelta::from_std(keep).expect("invariant: output is kept for some years at most");
    loop {
        let pause = match output::expire(&pool.patient(EXPIRE_TIMEOUT), clock.now() - keep).await {
            Ok(0) => EXPIRE_EVERY,
            // There may be more.
            Ok(chunks) => {
                tracing::info!(chunks, "old output was dropped");
                continue;
            }
            Err(error) => {
                tracing::debug!(%error, "old output is not dropped yet");
                STORE_TIMEOUT
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn stored(storing: impl Future<Output = Result<(), sqlx::Error>>) -> bool {
    match tokio::time::timeout(STORE_TIMEOUT, storing).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, "output is not stored yet");
            false
        }
        Err(_) => false,
    }
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Pending {
        Pending::new(Arc::default())
    }

    fn drain(pending: &mut Pending) -> Vec<(i64, Vec<u8>)> {
        let mut all = Vec::new();
        loop {
            let taken = pending.take(false);
            if taken.starts.is_empty() {
                return all;
            }
            all.extend(taken.starts.into_iter().zip(taken.bytes));
        }
    }

    #[test]
    fn chunks_are_bounded_and_join_to_what_was_pushed() {
        let mut pending = pending();
        let mut pushed = Vec::new();
        for (number, size) in (0_u8..).zip([1, 0, 1_000, 3 * CHUNK_MAX, 70_000, 5]) {
            let bytes = vec![number; size];
            pending.push(&bytes);
            pushed.extend(bytes);
        }
        let chunks = drain(&mut pending);
        assert!(chunks.iter().all(|(_, bytes)| !bytes.is_empty() && bytes.len() <= CHUNK_MAX));
        assert_eq!(chunks.concat_bytes(), pushed);
        assert_eq!(pending.waiting.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn of_a_flood_the_head_and_the_tail_stay() {
        let mut pending = pending();
        let flood = 20 * 1024 * 1024;
        let block: Vec<u8> = (0..=255).collect();
        for _ in 0..flood / block.len() {
            pending.push(&block);
        }
        assert!(pending.bytes <= usize::try_from(HEAD + TAIL).expect("it is small") + CHUNK_MAX);
        let chunks = drain(&mut pending);
        let kept: i64 = chunks.iter().map(|(_, bytes)| length(bytes)).sum();
        assert!(kept >= HEAD + TAIL, "{kept}");
        let head: Vec<_> = chunks.iter().filter(|(start, _)| *start < HEAD).cloned().collect();
        assert_eq!(length(&head.concat_bytes()), HEAD);
        let (start, last) = chunks.last().expect("there are chunks");
        assert_eq!(start + length(last), i64::try_from(flood).expect("it is small"));
    }

    #[test]
    fn what_waits_is_bounded_for_all_runs_together() {
        let waiting = Arc::<Waiting>::default();
        let mut runs: Vec<_> = (0..20).map(|_| Pending::new(Arc::clone(&waiting))).collect();
        for run in &mut runs {
            run.push(&vec![1; 4 * 1024 * 1024]);
            assert!(waiting.bytes.load(Ordering::Relaxed) <= WAITING_MAX);
        }
        drop(runs);
        assert_eq!(waiting.bytes.load(Ordering::Relaxed), 0);
    }

    /// What a flood prints at an offset: unlike what it prints a chunk before or after.
    fn flooded(start: i64, length: usize) -> Vec<u8> {
        (start..).map(|at| u8::try_from((at / 7 + at / 65_536) % 251).expect("it is small")).take(length).collect()
    }

    #[test]
    fn eight_floods_at_once_keep_head_and_tail_each() {
        let waiting = Arc::<Waiting>::default();
        let mut runs: Vec<_> = (0..8).map(|_| Pending::new(Arc::clone(&waiting))).collect();
        let flood = 6 * HEAD + TAIL;
        for run in &mut runs {
            while run.total < flood {
                run.push(&flooded(run.total, 50_000));
            }
        }
        for run in &mut runs {
            let total = run.total;
            let chunks = drain(run);
            let kept = |from: i64| chunks.iter().filter(|(start, _)| *start >= from).map(|(_, one)| length(one)).sum();
            let (head, tail): (i64, i64) = (kept(0) - kept(HEAD), kept(HEAD));
            assert!(head == HEAD && tail >= TAIL, "{head} and {tail}");
            let end = chunks.last().map(|(start, last)| start + length(last));
            assert_eq!(end, Some(total));
            assert!(chunks.iter().all(|(start, bytes)| *bytes == flooded(*start, bytes.len())));
        }
    }

    #[test]
    fn what_is_kept_is_at_its_place_though_there_is_room_for_nothing() {
        let waiting = Arc::<Waiting>::default();
        waiting.bytes.store(WAITING_MAX - 300_000, Ordering::Relaxed);
        let mut run = Pending::new(Arc::clone(&waiting));
        run.push(&flooded(0, 200_000));
        run.total = HEAD;
        for _ in 0..100 {
            run.push(&flooded(run.total, 30_000));
            waiting.bytes.fetch_add(1_000, Ordering::Relaxed);
        }
        let chunks = drain(&mut run);
        assert!(chunks.len() > 3, "{}", chunks.len());
        assert!(chunks.iter().all(|(start, bytes)| *bytes == flooded(*start, bytes.len())));
    }

    trait ConcatBytes {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl ConcatBytes for Vec<(i64, Vec<u8>)> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect()
        }
    }
}
