//! Follows a run, or a staging, until something is so: through restarts of `dms`, with a deadline, and so that Ctrl-C
//! only stops the following. Decides nothing; it looks until `dms` says that it is over.

use std::future::Future;
use std::time::{Duration, Instant};

use dm_api::{Run, RunState, Staging};
use dm_domain::ids::StagingName;
use uuid::Uuid;

use crate::client::{Client, is_passing};
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::output::progress::Progress;
use crate::words;

/// Between two looks: short at first, for most runs here are short.
const PAUSE_MIN: Duration = Duration::from_millis(300);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long links may be on their way after a staging became running; the wrapper that tells them has 20 s.
const LINKS_MAX: Duration = Duration::from_secs(30);

/// How much of a failed run's output is shown, in lines.
const LAST_LINES: usize = 10;

/// How waiting ended.
#[derive(Debug)]
pub(crate) enum Waited<T> {
    /// What was waited for came.
    Over(T),
    /// The time is up.
    TimedOut,
    /// Ctrl-C.
    Detached,
}

/// Waits for something until a deadline or Ctrl-C.
pub(crate) async fn within<T>(
    deadline: Instant,
    goal: impl Future<Output = Result<T, Error>>,
) -> Result<Waited<T>, Error> {
    tokio::select! {
        over = goal => over.map(Waited::Over),
        interrupt = tokio::signal::ctrl_c() => match interrupt {
            Ok(()) => Ok(Waited::Detached),
            Err(source) => Err(Error::System { what: "cannot listen for Ctrl-C", source }),
        },
        () = tokio::time::sleep_until(deadline.into()) => Ok(Waited::TimedOut),
    }
}

/// A look that may fail for a while: none while `dms` is away or not ready.
pub(crate) fn passing<T>(
    look: Result<T, Error>,
    out: &mut Output,
    progress: &mut Progress,
) -> Result<Option<T>, Error> {
    match look {
        Ok(seen) => Ok(Some(seen)),
        Err(error) if is_passing(&error) => {
            out.show(progress, "dms does not answer; waiting for it", &error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The pause before the next look; each is longer than the one before, up to a second.
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

impl Pauses {
    /// Short ones first.
    pub(crate) fn new() -> Self {
        Self(PAUSE_MIN)
    }

    /// Pauses.
    pub(crate) async fn next(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 5 / 4).min(PAUSE_MAX);
    }
}

/// The staging, with the links that it has since it became running, unless they take too long.
pub(crate) async fn with_links(client: &Client, name: &StagingName) -> Result<Staging, Error> {
    let give_up = Instant::now() + LINKS_MAX;
    let mut pauses = Pauses::new();
    loop {
        let staging: Staging = client.get(&format!("/stagings/{name}"), &[]).await?;
        if !staging.links_due || Instant::now() >= give_up {
            return Ok(staging);
        }
        pauses.next().await;
    }
}

/// Follows a run to its end, as seen from `position` on.
pub(crate) async fn run_to_its_end(
    client: &Client,
    out: &mut Output,
    name: &str,
    run: Uuid,
    position: i64,
) -> Result<Run, Error> {
    let mut progress = out.progress(name);
    let mut pauses = Pauses::new();
    let path = format!("/runs/{run}");
    let at_least = [("at_least", position.to_string())];
    loop {
        let look = client.get_once::<Run>(&path, &at_least).await;
        if let Some(run) = passing(look, out, &mut progress)? {
            if run.state.is_over() {
                progress.end();
                return Ok(run);
            }
            let (state, detail) = state_of(client, &progress, &run).await;
            out.show(&mut progress, &state, &detail);
        }
        pauses.next().await;
    }
}

/// What a run is at, and, where it can be seen, its last line of output.
async fn state_of(client: &Client, progress: &Progress, run: &Run) -> (String, String) {
    let verb = &run.verb;
    let state = match run.state {
        RunState::Running if run.attempt > 1 => format!("running {verb}, attempt {}", run.attempt),
        RunState::Running => format!("running {verb}"),
        RunState::WaitingForCheck => format!("{verb} done, waiting for check"),
        RunState::Queued if run.attempt > 0 => format!("{verb} was interrupted and is due again"),
        RunState::Queued => format!("{verb} queued"),
        RunState::Succeeded | RunState::Failed | RunState::Withdrawn => words::run_state(run.state).to_owned(),
    };
    if !progress.is_live() {
        return (state, String::new());
    }
    // A detail that cannot be had is no reason to stop.
    match client.get_once::<Staging>(&format!("/stagings/{}", run.staging), &[]).await {
        Ok(staging) => {
            let ahead = staging.live.queued_ahead.filter(|_| run.state == RunState::Queued);
            let state = ahead.map_or_else(|| state.clone(), |ahead| format!("{state}, {ahead} ahead"));
            (format!("{}, {state}", words::status(staging.status)), staging.live.last_line.unwrap_or_default())
        }
        Err(_) => (state, String::new()),
    }
}

/// Says how a run ended, and why if it did not end well.
///
/// `wish` is what was asked for: a cancel wants the run to end otherwise than by itself.
pub(crate) async fn tell_end(client: &Client, out: &mut Output, run: &Run, wish: &str) -> Exit {
    let (name, verb) = (&run.staging, &run.verb);
    if wish == "cancel" {
        let cancelled = run.state == RunState::Withdrawn || is_cancelled(run);
        if cancelled {
            out.note(&format!("{name}: {verb} {}", words::run_state_of_cancel(run.state)));
            return Exit::Done;
        }
        out.failure(&format!("{name}: {verb} {} before it could be cancelled", words::run_state(run.state)));
        return Exit::Failed;
    }
    let took = run.finished_at.map(|end| words::took(end - run.requested_at));
    if run.state == RunState::Succeeded {
        out.note(&format!(
            "{name}: {verb} succeeded{}",
            took.map_or_else(String::new, |took| format!(" after {took}"))
        ));
        return Exit::Done;
    }
    // A wrapper that ended well says nothing of why its run did not.
    let outcome = run.outcome.as_deref().filter(|outcome| *outcome != "exit 0");
    let why = match (outcome, run.reason.as_deref()) {
        (Some(outcome), Some(reason)) => format!(": {outcome} ({reason})"),
        (Some(why), None) | (None, Some(why)) => format!(": {why}"),
        (None, None) => String::new(),
    };
    out.failure(&format!("{name}: {verb} {}{why}", words::run_state(run.state)));
    if let Some(cause) = &run.cause {
        for line in cause.lines() {
            out.always(&format!("  {line}"));
        }
    }
    let shown = run.cause.as_deref().unwrap_or_default();
    let lines = last_lines(client, run.id).await;
    if !lines.is_empty() && !lines.iter().all(|line| shown.contains(line.trim_end())) {
        out.always(&format!("the last lines of its output, attempt {}:", run.attempt));
        for line in &lines {
            out.always(&format!("  {line}"));
        }
    }
    out.hint(&format!("`dmc logs {name}` shows all of its output, `dmc info {name}` what can be done next"));
    Exit::Failed
}

/// Whether a run ended because somebody wanted it to.
fn is_cancelled(run: &Run) -> bool {
    run.outcome.as_deref() == Some("cancelled")
        || run.reason.as_deref() == Some("cancelled")
        || run.cause.as_deref().is_some_and(|cause| cause.starts_with("cancelled by "))
}

/// The last lines that a run has printed; none if they cannot be had.
pub(crate) async fn last_lines(client: &Client, run: Uuid) -> Vec<String> {
    let Ok(output) = crate::commands::logs::whole(client, run).await else { return Vec::new() };
    let text = String::from_utf8_lossy(&output);
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].to_vec()
}
