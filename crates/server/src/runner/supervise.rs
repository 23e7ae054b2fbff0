//! The `dms` side of a shim: starts it, feeds it deadlines, reads what the wrapper prints, tells how it ended.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::boottime::Moment;
use super::call::SHIM_MARK;
use super::leftovers;
use super::shim::protocol::{Notice, Order, Spec, StopCause};
use crate::children;

/// How long output is read after nothing of the wrapper is left: somebody else may have been handed its end of a pipe.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// How long a shim may take for what has to be done by then: one that somebody has stopped would keep its run for ever.
const OVERDUE: Duration = Duration::from_secs(20);
/// How long after the end of its lease and the grace a shim may take to be done: less than what leases have to spare.
const LEASE_OVERDUE: Duration = Duration::from_millis(100);
/// Between two looks at the clock, which counts while the machine sleeps.
const CLOCK_POLL: Duration = Duration::from_secs(1);
/// Bytes taken from a pipe at once.
const READ_MAX: usize = 64 * 1024;

/// How a call ended. Nothing of its process tree is left by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// Stopped at its time limit.
    TimeLimit,
    /// Stopped because it was asked for.
    Stopped,
    /// The wrapper never ran, for this cause.
    NotStarted(String),
    /// Its lease was not renewed in time, or its shim was killed.
    Lost,
}

/// Takes what a wrapper prints. Must not wait.
pub(crate) trait Sink: Send {
    /// More bytes.
    fn push(&mut self, bytes: &[u8]);
}

/// Where the two outputs of a wrapper go.
pub(crate) enum Sinks<'a> {
    /// Both to the same, in the order in which they were written.
    Joined(&'a mut dyn Sink),
    /// Standard output and standard error.
    Apart(&'a mut dyn Sink, &'a mut dyn Sink),
}

/// What may change the course of a call.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    /// The end of the lease behind it, moved by each renewal.
    pub(crate) deadline: watch::Receiver<Moment>,
    /// Stops it.
    pub(crate) stop: CancellationToken,
}

/// Runs a wrapper to its end. When this future is dropped the socket closes, and the shim stops the wrapper by itself.
pub(crate) async fn supervise(mut spec: Spec, mut control: Control, sinks: Sinks<'_>) -> Ended {
    spec.deadline = *control.deadline.borrow_and_update();
    let started = Shim::start(&spec, matches!(sinks, Sinks::Joined(_)));
    let (mut shim, outputs) = match started {
        Ok(started) => started,
        Err(error) => return Ended::NotStarted(format!("cannot start a shim: {error}")),
    };
    let over = CancellationToken::new();
    let follow = async {
        let ended = match shim.follow(&spec, &mut control).await {
            Ok(ended) => ended,
            Err(error) => {
                tracing::warn!(%error, executable = spec.argv[0], "a shim is lost");
                // Its children become those of this process when it is dead, and not before.
                let _ = shim.child.kill().await;
                leftovers::clear().await;
                Ended::Lost
            }
        };
        over.cancel();
        ended
    };
    let (ended, ()) = tokio::join!(follow, drain(outputs, sinks, &over));
    // It ends right after its last message; if not, it is reaped in the background.
    let _ = tokio::time::timeout(DRAIN_MAX, shim.child.wait()).await;
    ended
}

struct Shim {
    child: Child,
    notices: BufReader<OwnedReadHalf>,
    orders: OwnedWriteHalf,
}

impl Shim {
    fn start(spec: &Spec, joined: bool) -> io::Result<(Self, Vec<Receiver>)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (output, stdout) = io::pipe()?;
        let mut outputs = vec![Receiver::from_owned_fd(output.into())?];
        let stderr = if joined {
            stdout.try_clone()?
        } else {
            let (output, stderr) = io::pipe()?;
            outputs.push(Receiver::from_owned_fd(output.into())?);
            stderr
        };
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("dms")
            .arg("run-shim")
            .env_clear()
            .env(SHIM_MARK, spec.lock.parent().and_then(Path::file_name).unwrap_or_default())
            .current_dir("/")
            // Out of reach of a Ctrl-C before it has a session of its own.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(stdout)
            .stderr(stderr);
        let child = children::start(|| command.spawn(), Child::id)?;
        // The last of our hands on the other ends of the pipes and of the socket.
        drop(command);
        let (notices, orders) = UnixStream::from_std(ours)?.into_split();
        Ok((Self { child, notices: BufReader::new(notices), orders }, outputs))
    }

    /// Until nothing of the wrapper is left; an error when the shim is gone without having said so, or does not do its
    /// work.
    async fn follow(&mut self, spec: &Spec, control: &mut Control) -> io::Result<Ended> {
        let grace = Duration::from_millis(spec.grace_ms) + OVERDUE;
        let overdue = tokio::time::sleep(Duration::from_millis(spec.limit_ms) + grace);
        tokio::pin!(overdue);
        self.tell(spec).await?;
        let (mut stopped_for, mut ended, mut asked) = (None, None, false);
        let mut notice = String::new();
        loop {
            let lease_over = control.deadline.borrow().after(Duration::from_millis(spec.grace_ms) + LEASE_OVERDUE);
            tokio::select! {
                // What it has said comes before what it is late with: this process may have stood still itself.
                biased;
                length = self.notices.read_line(&mut notice) => {
                    if length? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    match serde_json::from_str(&notice)? {
                        Notice::Started(_) => {}
                        Notice::NotStarted(cause) => return Ok(Ended::NotStarted(cause)),
                        Notice::Stopping(cause) => stopped_for = Some(cause),
                        Notice::Exited(code) => ended = Some(Ended::Exited(code)),
                        Notice::Signalled(signal) => ended = Some(Ended::Signalled(signal)),
                        Notice::Gone => return Ok(result(stopped_for, ended)),
                    }
                    notice.clear();
                }
                Ok(()) = control.deadline.changed() => {
                    let deadline = *control.deadline.borrow_and_update();
                    self.tell(&Order::Deadline(deadline)).await?;
                }
                () = control.stop.cancelled(), if !asked => {
                    asked = true;
                    self.tell(&Order::Stop).await?;
                    let at = overdue.deadline().min(Instant::now() + grace);
                    overdue.as_mut().reset(at);
                }
                () = &mut overdue => return Err(io::ErrorKind::TimedOut.into()),
                () = passed(lease_over) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    /// A shim that has ended is told in vain: what it has said before it did is still to be read, and so is its end.
    async fn tell(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let _ = self.orders.write_all(&line).await;
        Ok(())
    }
}

async fn passed(moment: Moment) {
    loop {
        let left = moment.left(Moment::now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(CLOCK_POLL)).await;
    }
}

/// What ends after a stop has begun ends by that stop, whatever its code.
fn result(stopped_for: Option<StopCause>, ended: Option<Ended>) -> Ended {
    match stopped_for {
        Some(StopCause::Asked) => Ended::Stopped,
        Some(StopCause::TimeLimit) => Ended::TimeLimit,
        Some(StopCause::Deadline | StopCause::Closed) => Ended::Lost,
        None => ended.unwrap_or(Ended::Lost),
    }
}

async fn drain(outputs: Vec<Receiver>, sinks: Sinks<'_>, over: &CancellationToken) {
    let mut outputs = outputs.into_iter();
    let reading = async {
        match (sinks, outputs.next(), outputs.next()) {
            (Sinks::Joined(sink), Some(output), _) => read(output, sink).await,
            (Sinks::Apart(out, err), Some(stdout), Some(stderr)) => {
                tokio::join!(read(stdout, out), read(stderr, err));
            }
            (Sinks::Joined(_) | Sinks::Apart(..), _, _) => {}
        }
    };
    let too_late = async {
        over.cancelled().await;
        tokio::time::sleep(DRAIN_MAX).await;
    };
    tokio::select! {
        () = reading => {}
        () = too_late => {}
    }
}

async fn read(mut output: Receiver, sink: &mut dyn Sink) {
    let mut buffer = vec![0; READ_MAX];
    loop {
        match output.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => sink.push(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;

    #[tokio::test]
    async fn what_a_shim_has_said_counts_though_it_can_be_told_nothing_any_more() {
        let spec = Spec {
            argv: vec!["/wrapper".to_owned()],
            env: std::collections::BTreeMap::new(),
            cwd: PathBuf::from("/"),
            lock: PathBuf::from("/lock"),
            deadline: Moment::NEVER,
            limit_ms: 60_000,
            grace_ms: 1_000,
            pinned: None,
        };
        let (ours, mut theirs) = StdUnixStream::pair().expect("there are sockets");
        theirs.write_all(b"{\"started\":1}\n{\"exited\":0}\n\"gone\"\n").expect("there is room");
        drop(theirs);
        ours.set_nonblocking(true).expect("it can be set");
        let (notices, orders) = UnixStream::from_std(ours).expect("a socket").into_split();
        let child = Command::new("true").spawn().expect("true can be started");
        let mut shim = Shim { child, notices: BufReader::new(notices), orders };
        // Everything that may be told is due.
        let (deadline, receiver) = watch::channel(Moment::NEVER);
        deadline.send_replace(Moment::now());
        let mut control = Control { deadline: receiver, stop: CancellationToken::new() };
        control.stop.cancel();
        assert_eq!(shim.follow(&spec, &mut control).await.expect("it has said how it ended"), Ended::Exited(0));
    }
}
