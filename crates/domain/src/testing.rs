//! What tests of the domain need, here and elsewhere in the workspace. Never part of a program.
//!
//! [`story`] asks the three questions of a command: the right events, says no, stays quiet. [`facts`] and [`wishes`]
//! spell histories and commands shortly. [`strategy`] makes up commands; [`model`] says independently what should come
//! of them.

#![expect(clippy::missing_panics_doc, reason = "a test's helper says no by panicking")]

pub mod facts;
pub mod model;
pub mod story;
pub mod strategy;
pub mod wishes;

pub use story::{Given, given};

use crate::staging::{Recorded, State, evolve};

/// Whether two states differ in nothing but how far their streams have gone; what is private is compared as well.
pub fn same_but_for_the_version(one: &State, other: &State) -> bool {
    one.is_same_life(other)
}

/// Whether a fact can follow on this state: our own histories never come to one that cannot.
pub fn fits(state: &State, recorded: &Recorded) -> bool {
    evolve::fits(state, recorded)
}
