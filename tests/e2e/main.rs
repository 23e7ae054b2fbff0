//! The whole from outside: a real `dms`, a real `dmc`, a real PostgreSQL, real child processes.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails by a panic")]

mod certificates;
mod client;
mod http;
mod local;
mod octopod;
mod operating;
mod rack;
mod runner;
mod world;
