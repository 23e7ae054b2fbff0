//! The wrapper `init`: what has to be there before any other wrapper is called, at each start of `dms`.
//!
//! Called again and again, with a pause that grows, until it has ended well once. Until then no other wrapper runs.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use dm_domain::staging::moment;
use tokio::sync::watch;

use super::Inner;
use super::boottime::Moment;
use super::call::About;
use super::manifest::Program;
use super::supervise::{Control, Ended};

/// Between two calls; doubled each time up to the second.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// How `init` goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It runs for the first time.
    Running,
    /// It has failed, and is called again.
    Failed {
        /// How often it has.
        times: u32,
        /// Since when.
        since: DateTime<Utc>,
        /// Why it did the last time.
        cause: String,
    },
    /// It has ended well, or there is none.
    Done,
}

impl State {
    /// At the start of `dms`.
    pub(crate) fn first(exists: bool) -> Self {
        if exists { Self::Running } else { Self::Done }
    }

    /// Why no other wrapper may be called yet.
    pub fn missing(&self) -> Option<String> {
        match self {
            Self::Running => Some("has not ended yet".to_owned()),
            Self::Failed { times, since, cause } => {
                Some(format!("has failed {times} times since {}, and is tried again; {cause}", moment(*since)))
            }
            Self::Done => None,
        }
    }
}

/// Calls it until it ends well or `dms` stops.
pub(crate) async fn go(inner: Arc<Inner>) {
    let state = inner.wrappers.init();
    let mut pause = PAUSE_MIN;
    while *state.borrow() != State::Done && !inner.stopping.is_cancelled() {
        let (_never_renewed, deadline) = watch::channel(Moment::NEVER);
        let control = Control { deadline, stop: inner.stopping.child_token() };
        let cause = match inner.wrappers.ask(Program::Init, About::Start, control).await {
            Ok(answer) if answer.ended == Ended::Exited(0) => {
                tracing::info!("init ended well");
                state.send_replace(State::Done);
                inner.wake.notify_one();
                return;
            }
            Ok(answer) => answer.cause(),
            Err(error) => error.cause,
        };
        if inner.stopping.is_cancelled() {
            return;
        }
        tracing::error!(
            cause,
            again_in_s = pause.as_secs(),
            "init failed; until it ends well nothing is run or checked"
        );
        let now = inner.clock.now();
        state.send_modify(|state| {
            *state = match std::mem::replace(state, State::Running) {
                State::Failed { times, since, .. } => State::Failed { times: times.saturating_add(1), since, cause },
                State::Running | State::Done => State::Failed { times: 1, since: now, cause },
            }
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = inner.stopping.cancelled() => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
