//! One attempt of a run, from its claim to its end in the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dm_domain::ids::{Attempt, RunId, StagingName};
use dm_domain::staging::event::{Interruption, Outcome};
use dm_domain::staging::{StartRun, State, Verb, Wish};
use dm_eventstore::LeaseOp;

use super::boottime::Moment;
use super::call::{self, About, Subject};
use super::commands::{self, Answer, Report};
use super::executable::Executable;
use super::held::{Holding, StopReason};
use super::supervise::{Control, Ended, Sinks, supervise};
use super::wrapper::Lifecycle;
use super::{Inner, checks, report};

/// How long the end of a run waits for the end of its output to be stored.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(3);
/// How long a lost claim keeps its place, so that it is not tried again at once.
const LOST_CLAIM_PAUSE: Duration = Duration::from_millis(300);

/// How an attempt ended.
struct End {
    report: Report,
    /// In words, for the log of `dms` itself.
    outcome: String,
    /// Which kind of end, for the metrics.
    kind: &'static str,
}

/// An attempt that is to be claimed.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) staging: StagingName,
    pub(crate) run: RunId,
    pub(crate) attempt: Attempt,
    pub(crate) verb: Verb,
    pub(crate) holding: Holding,
    pub(crate) control: Control,
}

/// Whether what was executed is not what was claimed: a shell reads its script as it goes.
async fn was_overwritten(executable: Option<Arc<Executable>>) -> bool {
    let Some(file) = executable else { return false };
    tokio::task::spawn_blocking(move || file.was_overwritten()).await.unwrap_or(false)
}

/// What a state tells every wrapper of its staging.
pub(crate) fn subject(staging: &StagingName, state: &State, run: RunId, attempt: Attempt) -> Option<Subject> {
    let configuration = state.configuration()?;
    Some(Subject { run: Some((run, attempt)), ..Subject::new(staging, configuration) })
}

impl Task {
    /// Claims, runs, reports.
    pub(crate) async fn go(self, inner: Arc<Inner>, subject: Subject) {
        let lifecycle = inner.wrappers.lifecycle(self.verb).await;
        if inner.stopping.is_cancelled() {
            return;
        }
        let asked = Moment::now();
        if !self.claim(&inner, &lifecycle).await {
            tokio::time::sleep(LOST_CLAIM_PAUSE).await;
            return;
        }
        self.holding.move_deadline(asked.after(inner.lease_life()));
        let started = Instant::now();
        let (run, attempt) = (self.run, self.attempt);
        tracing::info!(staging.name = %self.staging, run.id = %run, attempt, verb = %self.verb, "run started");
        let End { report, outcome, kind } = self.execute(&inner, lifecycle, subject).await;
        // Without the wait for a database that is away.
        let took = started.elapsed();
        inner.metrics.run(&self.verb.to_string(), kind, took);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let answer = inner.report_end(&report, run, attempt).await;
        let (staging, verb) = (&self.staging, self.verb);
        match answer {
            Answer::Accepted => {
                tracing::info!(staging.name = %staging, run.id = %run, attempt, %verb, outcome, duration_ms, "run ended");
            }
            Answer::Refused | Answer::Lease => {
                tracing::warn!(staging.name = %staging, run.id = %run, attempt, %verb, outcome, duration_ms,
                    "run ended after it had been taken over");
            }
        }
    }

    async fn claim(&self, inner: &Inner, lifecycle: &Lifecycle) -> bool {
        let (run, attempt) = (self.run, self.attempt);
        let wish = Wish::StartRun(StartRun {
            run,
            attempt,
            owner: inner.owner,
            verb: self.verb,
            executable: lifecycle.path.display().to_string(),
            digest: lifecycle.executable.as_ref().map(|file| file.pinned().digest.clone()),
            time_limit: lifecycle.limit,
            ask: lifecycle.ask,
        });
        let id = commands::start_id(run, attempt, inner.owner);
        let report = Report { staging: self.staging.clone(), wish, id, run };
        let lease = LeaseOp::Claim { owner: inner.owner, run, attempt };
        match inner.report(&report, Some(lease)).await {
            Answer::Accepted => true,
            Answer::Refused => false,
            Answer::Lease => {
                // Perhaps that of a check which could not be given back while the database was away.
                checks::release(inner, &self.staging).await;
                false
            }
        }
    }

    /// Runs the wrapper and makes the report of its end.
    async fn execute(&self, inner: &Inner, lifecycle: Lifecycle, subject: Subject) -> End {
        let (run, attempt) = (self.run, self.attempt);
        let mut recorder = inner.outputs.record(run, attempt);
        self.holding.show(recorder.last_line());
        let folder = call::run_folder(run, attempt);
        let Lifecycle { path, executable, limit, .. } = lifecycle;
        let (ended, said) = match inner.wrappers.prepare(path.clone(), limit, folder, About::Staging(subject)).await {
            Ok((mut spec, folder)) => {
                spec.pinned = executable.as_ref().map(|file| file.pinned().clone());
                let control = self.control.clone();
                let ended = supervise(spec, control, Sinks::Joined(&mut recorder)).await;
                (ended, report::cause(&folder.report()))
            }
            Err(error) => (Ended::NotStarted(format!("cannot write the files of the run: {error}")), None),
        };
        let last_lines = recorder.finish(OUTPUT_PATIENCE).await;
        let mut cause = said.or(last_lines);
        if was_overwritten(executable).await {
            tracing::warn!(staging.name = %self.staging, run.id = %run, attempt, wrapper = %path.display(),
                "a wrapper was overwritten while it ran: replace wrappers by a rename");
            let what = format!("the wrapper {} was overwritten while it ran", path.display());
            cause = Some(cause.map_or(what.clone(), |cause| format!("{what}\n{cause}")));
        }
        self.end(ended, cause)
    }

    fn end(&self, ended: Ended, cause: Option<String>) -> End {
        let (run, attempt) = (self.run, self.attempt);
        let kind = match &ended {
            Ended::Exited(0) => "done",
            Ended::Exited(_) => "failed",
            Ended::Signalled(_) => "signalled",
            Ended::TimeLimit => "time_limit",
            Ended::NotStarted(_) => "not_started",
            Ended::Stopped => "stopped",
            Ended::Lost => "lost",
        };
        let (words, outcome) = match ended {
            Ended::Exited(code) => (format!("exit {code}"), Ok(Outcome::Exited(code))),
            Ended::Signalled(signal) => (format!("signal {signal}"), Ok(Outcome::Signalled(signal))),
            Ended::TimeLimit => ("time limit".to_owned(), Ok(Outcome::TimeLimit)),
            Ended::NotStarted(cause) => ("not started".to_owned(), Ok(Outcome::NotStarted(cause))),
            Ended::Stopped => match self.holding.stop_reason() {
                Some(StopReason::Cancelled) => ("cancelled".to_owned(), Ok(Outcome::Cancelled)),
                Some(StopReason::Stopping) | None => ("stopping".to_owned(), Err(Interruption::Stopping)),
            },
            Ended::Lost => ("owner lost".to_owned(), Err(Interruption::OwnerLost)),
        };
        let (wish, id) = match outcome {
            Ok(outcome) => (Wish::FinishRun { run, attempt, outcome, cause }, commands::finish_id(run, attempt)),
            Err(reason) => (Wish::InterruptRun { run, attempt, reason }, commands::interrupt_id(run, attempt)),
        };
        End { report: Report { staging: self.staging.clone(), wish, id, run }, outcome: words, kind }
    }
}
