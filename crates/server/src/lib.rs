//! The imperative shell around domain, log and read models: HTTP in, wrappers out.
//!
//! Owns everything of DM that touches the world: listeners, certificates, child processes, `DM_HOME`, settings. It must
//! not contain SQL outside [`db`], nor branch on what a status means: that is the domain's.

pub mod access;
pub mod app;
mod children;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod http;
pub mod local;
pub mod metrics;
mod processes;
pub mod router;
pub mod runner;
pub mod telemetry;

pub use app::main;
