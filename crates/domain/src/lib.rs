//! Decides what happens to a staging: pure functions over values.
//!
//! This crate owns every business rule of DM: the state machine of a staging, the algebra of overrides, what work a
//! state calls for and when. It must not read a clock, mint an id, do IO, log, or know that a database, HTTP or a
//! wrapper's command line exist: time, ids, the actor and the defaults arrive inside a [`staging::Command`].
//!
//! A command is decided into events, events are folded into a state, and the state says what there is to do:
//!
//! ```
//! use dm_domain::ids::{Actor, RunId, Tag};
//! use dm_domain::staging::{Command, Create, Recorded, Staging, Status, Timestamp, Wish, Work, pending_work};
//! use dm_domain::{Decider, fold};
//!
//! let state = Staging::initial();
//! let (set, unset, defaults, from) = Default::default();
//! let tag = Tag::parse("v1").expect("a tag");
//! let status_timeout = std::time::Duration::from_secs(300);
//! let wish = Wish::Create(Create { tag, set, unset, defaults, status_timeout, from });
//! let (now, actor, run) = (Timestamp::UNIX_EPOCH, Actor("user/anna".to_owned()), RunId(uuid::Uuid::nil()));
//!
//! let events = Staging::decide(&state, &Command { now, actor: actor.clone(), run, wish }).expect("the name is free");
//! let [event] = events.try_into().expect("one event");
//! let created = Recorded { version: state.version().next(), at: now, actor, event };
//!
//! let state = fold::<Staging>(state, [&created]);
//! assert_eq!(state.status(), Some(Status::CreatePending));
//! assert!(matches!(pending_work(&state), Some(Work::Run { attempt: 1, .. })));
//! ```

pub mod decider;
pub mod ids;
pub mod overrides;
pub mod staging;
#[cfg(feature = "testing")]
pub mod testing;

pub use decider::{Decider, fold};
