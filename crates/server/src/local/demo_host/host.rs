//! The host itself: one process per `DM_HOME` that listens on a socket and keeps the stagings' processes.
//!
//! Owns the host's own life: that there is one, what it answers, when it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::stat::{Mode, umask};
use nix::unistd::{geteuid, setsid};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::home::private_folder;
use super::slot::{Refusal, Slot};
use super::stagings::{STAGINGS_MAX, Stagings};
use super::wire::{LINE_MAX, Reply, Request, Work};
use super::{LOCK, LOG};

/// Most requests that are worked on at once; more wait to be accepted.
const REQUESTS_AT_ONCE: usize = 64;

/// How long a caller may take to say what it wants, and to hear what it is told.
const TALK_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the host looks whether processes have ended and whether it is needed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Most bytes of the host's log.
const LOG_MAX: u64 = 1024 * 1024;

/// Runs the host of this home until it is not needed or told to end; returns at once if there is another one.
pub(super) fn run(home: &Path, socket: &Path) -> io::Result<()> {
    // A caller that made this process the leader of a group, such as a shell, has given it a terminal of its own.
    let _leader_already = setsid();
    let Some(_lock) = lock(home)? else { return Ok(()) };
    let folder = socket.parent().expect("invariant: the host's socket lies in a folder of its own");
    fs::create_dir_all(folder.parent().unwrap_or(folder))?;
    private_folder(folder, geteuid()).map_err(io::Error::other)?;
    umask(Mode::from_bits_truncate(0o077));
    tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(serve(home, socket));
    // While the lock is held nobody else can have put anything there. A folder below `/tmp` would stay for ever.
    let _not_empty = fs::remove_dir(folder);
    if let Err(error) = &served {
        tracing::error!(%error, "the demo host cannot go on");
    }
    served
}

async fn serve(home: &Path, socket: &Path) -> io::Result<()> {
    let stagings = Arc::new(Stagings::load(home)?);
    // The lock says that nobody listens on what an earlier host has left.
    if let Err(error) = fs::remove_file(socket)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(socket)?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut look = interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.tick().await;
    let mut work = JoinSet::new();
    for name in stagings.names() {
        let stagings = Arc::clone(&stagings);
        work.spawn(async move { stagings.resume(&name).await });
    }
    tracing::info!(home = %home.display(), "the demo host is here");
    loop {
        tokio::select! {
            accepted = listener.accept(), if work.len() < REQUESTS_AT_ONCE => match accepted {
                Ok((stream, _)) => { work.spawn(answer(stream, Arc::clone(&stagings))); }
                Err(error) => tracing::warn!(%error, "a request was lost"),
            },
            Some(_) = work.join_next() => {}
            _ = look.tick() => {
                shorten_log(home);
                // Whoever was answered before this look holds the home by then; whoever comes later finds no host.
                if !stagings.notice_ends() && work.is_empty() && !in_use(home) { break }
            }
            () = stagings.ending().notified() => break,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    drop(listener);
    fs::remove_file(socket)?;
    work.shutdown().await;
    stagings.end_all().await;
    tracing::info!("the demo host ends");
    Ok(())
}

async fn answer(mut stream: UnixStream, stagings: Arc<Stagings>) {
    let reply = match timeout(TALK_TIMEOUT, read(&mut stream)).await {
        Ok(Ok(Request::Ping)) => Reply::Pong,
        Ok(Ok(Request::End)) => {
            stagings.ending().notify_one();
            Reply::Pong
        }
        Ok(Ok(Request::List)) => Reply::Stagings(stagings.list().await),
        Ok(Ok(Request::Staging { name, work })) => {
            let mut staging = stagings.hold(&name).await;
            if has_hung_up(&stream) {
                return;
            }
            perform(work, &mut staging, stagings.is_full()).await
        }
        Ok(Err(error)) => Reply::Refused(format!("the demo host does not understand: {error}")),
        Err(_) => Reply::Refused("the demo host heard no whole request within 5 s".to_owned()),
    };
    let Ok(mut line) = serde_json::to_vec(&reply) else { return };
    line.push(b'\n');
    // A caller that has gone, such as a wrapper that was killed, will ask again.
    let _gone = timeout(TALK_TIMEOUT, stream.write_all(&line)).await;
}

async fn read(stream: &mut UnixStream) -> io::Result<Request> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LINE_MAX)).read_until(b'\n', &mut line).await?;
    Ok(serde_json::from_slice(&line)?)
}

/// Whether the caller was killed while it waited for its turn. What it wanted must not be done after what was asked
/// since; what was begun before its end is done to its end.
fn has_hung_up(stream: &UnixStream) -> bool {
    !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

async fn perform(work: Work, staging: &mut Slot, full: bool) -> Reply {
    let done = match work {
        Work::Start(_) if staging.is_empty() && full => {
            return Reply::Refused(format!("the demo host keeps at most {STAGINGS_MAX} stagings; clean some up first"));
        }
        Work::Start(settings) => staging.start(settings).await.map_err(Refusal::from),
        Work::StartAgain => staging.start_again().await,
        Work::Stop => staging.stop().await.map_err(Refusal::from),
        Work::Remove => staging.remove().await.map_err(Refusal::from),
        Work::Status => Ok(staging.status().await),
    };
    done.map_or_else(|refusal| Reply::Refused(refusal.to_string()), Reply::Staging)
}

/// Held for the life of a host, so that there is one; none if it is held.
fn lock(home: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(home.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Starts the log anew when it has grown too long; whoever writes on it appends.
fn shorten_log(home: &Path) {
    if let Ok(log) = OpenOptions::new().write(true).open(home.join(LOG))
        && log.metadata().is_ok_and(|found| found.len() > LOG_MAX)
    {
        // A log that stays long does less harm than a host that ends for it.
        let _stays = log.set_len(0);
    }
}

/// Whether a `dms` holds the home. What cannot be told counts as held.
fn in_use(home: &Path) -> bool {
    match File::open(home.join("lock")) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}
