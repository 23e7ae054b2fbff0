//! Given these events, when this is wanted, then that happens, or is refused, or nothing has to happen.

use crate::decider::Decider;
use crate::ids::{Actor, RunId};
use crate::staging::event::Timestamp;
use crate::staging::{Command, Event, Recorded, Rejection, Staging, State, Wish};
use crate::testing::facts::{anna, moment, run};
use crate::testing::fits;

/// The run that a command of a story would open.
pub const NEW_RUN: u128 = 100;

/// A staging with a history. Event N has version N and happened N seconds after the beginning.
#[derive(Debug, Clone)]
pub struct Given {
    state: State,
}

/// A staging to which `events` have happened, caused by [`anna`].
pub fn given(events: impl IntoIterator<Item = Event>) -> Given {
    Given { state: Staging::initial() }.and(events)
}

impl Given {
    /// The same with more events.
    #[must_use]
    pub fn and(self, events: impl IntoIterator<Item = Event>) -> Self {
        self.and_by(&anna(), events)
    }

    /// The same with more events, caused by somebody.
    #[must_use]
    pub fn and_by(self, actor: &Actor, events: impl IntoIterator<Item = Event>) -> Self {
        let state = events.into_iter().fold(self.state, |state, event| {
            let version = state.version().next();
            let recorded = Recorded { version, at: moment(version.0), actor: actor.clone(), event };
            assert!(fits(&state, &recorded), "this cannot happen after version {}: {recorded:?}", state.version());
            Staging::evolve(state, &recorded)
        });
        Self { state }
    }

    /// What it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Anna's wish, a second after the last event.
    #[track_caller]
    pub fn when(&self, wish: Wish) -> When {
        self.when_at(moment(self.state.version().0 + 1), wish)
    }

    /// Anna's wish at some moment.
    #[track_caller]
    pub fn when_at(&self, now: Timestamp, wish: Wish) -> When {
        self.when_asked(&Command { now, actor: anna(), run: run(NEW_RUN), wish })
    }

    /// A whole command.
    pub fn when_asked(&self, command: &Command) -> When {
        When { decided: Staging::decide(&self.state, command) }
    }
}

/// What came of a wish.
#[derive(Debug, Clone)]
pub struct When {
    decided: Result<Vec<Event>, Rejection>,
}

impl When {
    /// Exactly these events.
    #[track_caller]
    pub fn then(self, expected: impl Into<Vec<Event>>) {
        match self.decided {
            Ok(events) => assert_eq!(events, expected.into()),
            Err(rejection) => panic!("refused: {} ({rejection})", rejection.code()),
        }
    }

    /// A refusal with this code, which is handed on.
    #[track_caller]
    pub fn rejected(self, code: &str) -> Rejection {
        match self.decided {
            Ok(events) => panic!("not refused: {events:?}"),
            Err(rejection) => {
                assert_eq!(rejection.code(), code, "{rejection}");
                rejection
            }
        }
    }

    /// Nothing has to happen.
    #[track_caller]
    pub fn quiet(self) {
        self.then(Vec::new());
    }

    /// What was decided, to look at it closely.
    pub fn decided(self) -> Result<Vec<Event>, Rejection> {
        self.decided
    }

    /// The run that was opened.
    pub fn new_run() -> RunId {
        run(NEW_RUN)
    }
}
