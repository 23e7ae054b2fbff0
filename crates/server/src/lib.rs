//! The imperative shell around domain, log and read models: HTTP in, wrappers out.
//!
//! Owns everything of DM that touches the world: listeners, certificates, child processes, `DM_HOME`, settings. It must
//! not contain SQL outside [`db`], nor branch on what a status means: that is the domain's.

pub mod access;
mod children;
pub mod clock;
pub mod config;
pub mod db;
pub mod local;
mod processes;
pub mod runner;
pub mod telemetry;

