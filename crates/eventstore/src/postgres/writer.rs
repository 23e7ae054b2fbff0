//! Group commit: one task with one connection appends whatever has queued up while it was appending the last batch.
//!
//! Nothing is delayed to make batches larger: an idle log has batches of one. The queue is bounded in bytes, a batch in
//! bytes and commands. An append whose answer is lost is sent again, since its command id makes that harmless: the
//! database then says what became of it.

use std::collections::{HashSet, VecDeque};
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::envelope::{Append, Receipt};
use crate::error::AppendError;
use crate::outage::Outage;
use crate::postgres::Config;
use crate::postgres::batch::{Batch, Certainty, Verdict, certainty, is_full};

/// Most commands in a batch.
const BATCH_COMMANDS: usize = 512;
/// Most bytes in a batch, unless a single command has more.
const BATCH_BYTES: usize = 1024 * 1024;
/// Most bytes that wait, in KiB.
const QUEUE_KIB: u32 = 16 * 1024;
/// What a command takes of the queue at least, in KiB; so at most 2,048 commands wait.
const COMMAND_KIB: u32 = 8;
/// How long a command waits for room in the queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the database may take for a batch, commit included; above the limits that the connection sets.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// After how long a silence the connection is tried before something is entrusted to it.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// How long a try goes on at least, also when the time of a command is up before.
const TRY_MIN: Duration = Duration::from_secs(1);
/// For how long it counts what has kept the database from appending: only a try tells whether it still does.
const HINDRANCE_LIFE: Duration = Duration::from_secs(30);
/// The first and the longest pause before a batch is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The way into the writer.
#[derive(Debug)]
pub(super) struct Queue {
    jobs: mpsc::UnboundedSender<Job>,
    /// Bounds the queue: each waiting command holds a part of it.
    room: Arc<Semaphore>,
    patience: Duration,
    hindrance: Hindrance,
}

/// What keeps a database that answers from appending, and when that was heard.
type Hindrance = Arc<Mutex<Option<(Instant, String)>>>;

/// The task that appends.
pub(super) struct Writer {
    jobs: mpsc::UnboundedReceiver<Job>,
    stop: CancellationToken,
    options: PgConnectOptions,
    lease_ttl: Duration,
    connection: Option<Open>,
    outage: Outage,
    hindrance: Hindrance,
}

struct Open {
    connection: PgConnection,
    used: Instant,
}

#[derive(Debug)]
struct Job {
    append: Append,
    /// The circumstances as every event of this command gets them.
    meta: String,
    bytes: usize,
    deadline: Instant,
    reply: oneshot::Sender<Result<Receipt, AppendError>>,
    _room: OwnedSemaphorePermit,
}

/// A queue and the task behind it, which ends when it is stopped and the queue is empty.
pub(super) fn new(options: &PgConnectOptions, config: &Config, stop: CancellationToken) -> (Queue, Writer) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let hindrance = Hindrance::default();
    let room = Arc::new(Semaphore::new(QUEUE_KIB as usize));
    let queue = Queue { jobs: sender, room, patience: config.patience, hindrance: Arc::clone(&hindrance) };
    // Pinned plans: a plan made while the table is empty, or a hash of the whole table, would cost a factor of seven.
    let options = options.clone().application_name("dms writer").options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
        ("lock_timeout", "2s"),
        ("statement_timeout", "4s"),
        ("idle_in_transaction_session_timeout", "5s"),
    ]);
    (
        queue,
        Writer {
            jobs: receiver,
            stop,
            options,
            lease_ttl: config.lease_ttl,
            connection: None,
            outage: Outage::default(),
            hindrance,
        },
    )
}

impl Queue {
    /// What keeps the database from appending, if that was heard lately.
    pub(super) fn hindrance(&self) -> Option<String> {
        let hindrance = self.hindrance.lock().unwrap_or_else(PoisonError::into_inner);
        hindrance.as_ref().filter(|(heard, _)| heard.elapsed() < HINDRANCE_LIFE).map(|(_, what)| what.clone())
    }

    /// Appends together with what else is waiting.
    pub(super) async fn append(&self, append: Append) -> Result<Receipt, AppendError> {
        let deadline = Instant::now() + self.patience;
        let meta = serde_json::to_string(&append.meta).expect("invariant: metadata is plain data");
        let bytes = append.events.iter().map(|event| event.data.get().len() + meta.len()).sum::<usize>();
        let share = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).clamp(COMMAND_KIB, QUEUE_KIB);
        let room = timeout(QUEUE_TIMEOUT, self.room.clone().acquire_many_owned(share)).await;
        let Ok(Ok(room)) = room else { return Err(AppendError::Overloaded) };
        let (reply, answer) = oneshot::channel();
        let job = Job { append, meta, bytes, deadline, reply, _room: room };
        if self.jobs.send(job).is_err() {
            return Err(AppendError::unavailable(sqlx::Error::PoolClosed));
        }
        answer.await.unwrap_or_else(|_| Err(AppendError::Unknown(Arc::new(sqlx::Error::WorkerCrashed))))
    }
}

impl Writer {
    /// Appends until it is stopped and nothing waits.
    pub(super) async fn run(mut self) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match self.next().await {
                    Some(job) => waiting.push_back(job),
                    None => break,
                }
            }
            while let Ok(job) = self.jobs.try_recv() {
                waiting.push_back(job);
            }
            let batch = take_batch(&mut waiting);
            self.commit(batch).await;
            if self.stop.is_cancelled() {
                self.jobs.close();
            }
        }
        if let Some(open) = self.connection.take() {
            // The database notices a connection that is not closed in good order just as well.
            let _ = timeout(CONNECT_TIMEOUT, open.connection.close()).await;
        }
    }

    /// The next command; none when the writer is stopped and the queue is empty.
    async fn next(&mut self) -> Option<Job> {
        tokio::select! {
            job = self.jobs.recv() => job,
            () = self.stop.cancelled() => {
                self.jobs.close();
                self.jobs.recv().await
            }
        }
    }

    /// Appends a batch and answers each of its commands, whatever happens.
    async fn commit(&mut self, mut batch: Vec<Job>) {
        match self.send_until_answered(&mut batch, false).await {
            Err(Failure { refused: true, perhaps_appended, error }) if batch.len() > 1 => {
                tracing::error!(
                    error = &error as &dyn Error,
                    commands = batch.len(),
                    "a batch was refused; its commands go one by one"
                );
                for job in batch {
                    let mut alone = vec![job];
                    let outcome = self.send_until_answered(&mut alone, perhaps_appended).await;
                    answer(alone, outcome);
                }
            }
            outcome => answer(batch, outcome),
        }
    }

    /// Sends a batch until the database has said what became of it. A command whose time is up meanwhile is answered and
    /// leaves the batch.
    ///
    /// `perhaps_appended`: it was sent before, without an answer.
    async fn send_until_answered(
        &mut self,
        jobs: &mut Vec<Job>,
        mut perhaps_appended: bool,
    ) -> Result<Vec<Verdict>, Failure> {
        let mut error = Arc::new(sqlx::Error::PoolTimedOut);
        let mut pause = PAUSES.0;
        loop {
            let now = Instant::now();
            let late: Vec<_> = jobs.extract_if(.., |job| job.deadline <= now).collect();
            if !late.is_empty() {
                answer(late, Err(Failure { refused: false, perhaps_appended, error: Arc::clone(&error) }));
            }
            let Some(earliest) = jobs.iter().map(|job| job.deadline).min() else { return Ok(Vec::new()) };
            let certainty = match self.send(&batch_of(jobs), earliest.max(now + TRY_MIN)).await {
                // What an earlier attempt of this very call has appended is no repetition to its callers.
                Ok(verdicts) if perhaps_appended => return Ok(verdicts.into_iter().map(Verdict::first_told).collect()),
                Ok(verdicts) => return Ok(verdicts),
                Err((certainty, failed)) => {
                    error = Arc::new(failed);
                    certainty
                }
            };
            match certainty {
                Certainty::Refused => return Err(Failure { refused: true, perhaps_appended, error }),
                // That takes longer than a command waits.
                Certainty::NotAppended if is_full(&error) => {
                    return Err(Failure { refused: false, perhaps_appended, error });
                }
                Certainty::NotAppended => {}
                Certainty::Unknown => perhaps_appended = true,
            }
            sleep(pause).await;
            pause = PAUSES.1.min(pause * 2);
        }
    }

    /// Sends a batch once; gives up at the deadline.
    async fn send(&mut self, batch: &Batch<'_>, deadline: Instant) -> Result<Vec<Verdict>, (Certainty, sqlx::Error)> {
        let sent = match timeout_at(deadline, self.open()).await.unwrap_or_else(|_| Err(timed_out())) {
            Ok(open) => self.send_on(open, batch, deadline.min(Instant::now() + ANSWER_TIMEOUT)).await,
            Err(error) => Err((Certainty::NotAppended, error)),
        };
        let mut hindrance = self.hindrance.lock().unwrap_or_else(PoisonError::into_inner);
        match &sent {
            Ok(_) => {
                *hindrance = None;
                if self.outage.ends() {
                    tracing::info!("batches are answered again");
                }
            }
            Err((certainty, error)) => {
                if is_full(error) {
                    *hindrance = Some((Instant::now(), "its disk is full".to_owned()));
                }
                if *certainty != Certainty::Refused && self.outage.begins() {
                    tracing::warn!(
                        error = error as &dyn Error,
                        ?certainty,
                        "a batch was not answered; it is sent again until its time is up, and so are those that follow"
                    );
                }
            }
        }
        sent
    }

    async fn send_on(
        &mut self,
        mut open: Open,
        batch: &Batch<'_>,
        deadline: Instant,
    ) -> Result<Vec<Verdict>, (Certainty, sqlx::Error)> {
        let sent = batch.send(&mut open.connection, self.lease_ttl);
        let error = match timeout_at(deadline, sent).await {
            Ok(Ok(verdicts)) => {
                self.connection = Some(Open { connection: open.connection, used: Instant::now() });
                return Ok(verdicts);
            }
            Ok(Err(error)) => error,
            Err(_) => timed_out(),
        };
        let certainty = certainty(&error);
        if certainty == Certainty::Refused {
            self.connection = Some(open);
        }
        Err((certainty, error))
    }

    /// A connection that was alive a moment ago: so that a batch is not lost on one that died long before.
    async fn open(&mut self) -> Result<Open, sqlx::Error> {
        if let Some(mut open) = self.connection.take()
            && (open.used.elapsed() < SILENCE_MAX
                || matches!(timeout(SILENCE_MAX, open.connection.ping()).await, Ok(Ok(()))))
        {
            return Ok(open);
        }
        let connection = timeout(CONNECT_TIMEOUT, self.options.connect()).await.unwrap_or_else(|_| Err(timed_out()))?;
        Ok(Open { connection, used: Instant::now() })
    }
}

/// Why a batch has no verdicts.
struct Failure {
    /// The last attempt was rolled back because of something in the batch.
    refused: bool,
    /// An attempt was sent and not answered.
    perhaps_appended: bool,
    /// What the last attempt ended with.
    error: Arc<sqlx::Error>,
}

fn batch_of(jobs: &[Job]) -> Batch<'_> {
    let mut batch = Batch::default();
    for job in jobs {
        batch.push(&job.append, &job.meta);
    }
    batch
}

/// Answers each command of a batch. Whoever does not wait any more asks again by command id.
fn answer(batch: Vec<Job>, outcome: Result<Vec<Verdict>, Failure>) {
    match outcome {
        Ok(verdicts) => {
            for (job, verdict) in batch.into_iter().zip(verdicts) {
                let _ = job.reply.send(verdict.into_result());
            }
        }
        Err(Failure { perhaps_appended, error, .. }) => {
            for job in batch {
                let error = error.clone();
                let _ = job.reply.send(Err(if perhaps_appended {
                    AppendError::Unknown(error)
                } else {
                    AppendError::Unavailable(error)
                }));
            }
        }
    }
}

/// Takes what goes into the next batch off the front of the queue, at most one command of each stream and id. The others
/// keep their order.
fn take_batch(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let mut batch: Vec<Job> = Vec::new();
    let mut later = VecDeque::new();
    let (mut streams, mut ids) = (HashSet::new(), HashSet::new());
    let mut bytes = 0;
    while let Some(job) = waiting.pop_front() {
        let full = batch.len() == BATCH_COMMANDS || (!batch.is_empty() && bytes + job.bytes > BATCH_BYTES);
        if full {
            later.push_back(job);
            break;
        }
        let new_stream = streams.insert(job.append.stream.clone());
        let new_id = ids.insert(job.append.command.id);
        if new_stream && new_id {
            bytes += job.bytes;
            batch.push(job);
        } else {
            later.push_back(job);
        }
    }
    later.append(waiting);
    *waiting = later;
    batch
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}
