//! Wires the parts of `dms` together, and takes them down again in order.

mod command;
mod listeners;
mod operate;
mod serve;

use std::process::ExitCode;
use std::sync::Arc;

use dm_eventstore::{EventStore, Pool};
use dm_projector::Projector;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::runner::Runner;
use crate::{local, runner};

/// What handlers and loops share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// What the operator has set.
    pub settings: Arc<Settings>,
    /// The log.
    pub store: EventStore,
    /// Connections for reads and for the server's own tables.
    pub pool: Pool,
    /// The database's time.
    pub clock: Clock,
    /// Keeps and asks the read models.
    pub projector: Projector,
    /// Does what states call for.
    pub runner: Runner,
    /// What Prometheus is told.
    pub metrics: Metrics,
    /// Cancelled when `dms` has begun to stop: it takes up nothing more and is not ready.
    pub stopping: CancellationToken,
    /// Cancelled when it waits for no request any more: what is under way is answered with what can be said.
    pub last_call: CancellationToken,
}

/// The whole program.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        // Before anything else has happened in this process: a shim has one thread and nothing open.
        Some(verb) if verb == "run-shim" => runner::shim::main(),
        Some(verb) if verb == "demo-host" => local::demo_host::main(arguments),
        Some(_) | None => command::main(),
    }
}
