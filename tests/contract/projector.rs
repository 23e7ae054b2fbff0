//! The read models equal an independent fold of the log.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod damaged;
mod fold;
mod history;
mod questions;
mod rack;
mod rebuilt;
mod steps;
