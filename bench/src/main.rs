//! Measures DM on a throw-away PostgreSQL that writes durably, and prints one table. `script/bench` starts it.
//!
//! Figures are reported, never judged: only a tailing reader that misses an event, or a gap in the log, is a failure.

mod append;
mod http;
mod kubernetes;
mod payload;
mod program;
mod replay;
mod table;
mod tail;
mod window;

use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use table::{Progress, Table};

/// Measures DM and prints one table of medians and ratios
#[derive(Debug, Parser)]
struct Arguments {
    /// How often everything is measured; the table shows medians [default: 3; on Kubernetes 9, and 3 of many at once]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// How long each window of a closed loop lasts, in seconds [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// One round of short windows and a tenth of the replay: less than a minute, and figures that mean little
    #[arg(long)]
    quick: bool,
    /// Only the measurements whose name contains this: append, http, replay, tail, program
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// How long stagings on a Kubernetes control plane take, and nothing else
    #[arg(long, conflicts_with_all = ["only", "seconds"])]
    kubernetes: bool,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: u32,
    span: Duration,
    quick: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (rounds, seconds) = match (arguments.quick, arguments.kubernetes) {
        (true, _) => (1, 1),
        (false, false) => (3, 3),
        (false, true) => (9, 3),
    };
    let plan = Plan {
        rounds: arguments.rounds.unwrap_or(rounds),
        span: Duration::from_secs(arguments.seconds.unwrap_or(seconds)),
        quick: arguments.quick,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let progress = Progress::default();
    let mut table = Table::default();
    let wanted = |name: &str| !arguments.kubernetes && name.contains(&arguments.only);
    if arguments.kubernetes {
        kubernetes::measure(&runtime, plan, &progress, &mut table)?;
    }
    // Dropping a database or a `dms` blocks, so each measurement gives them back outside the runtime.
    if wanted("append") {
        append::measure(&runtime, plan, &progress, &mut table)?;
    }
    if wanted("http") {
        http::measure(&runtime, plan, &progress, &mut table)?;
    }
    if wanted("replay") {
        replay::measure(&runtime, plan, &progress, &mut table)?;
    }
    if wanted("tail") {
        tail::measure(&runtime, plan, &progress, &mut table)?;
    }
    if wanted("program") {
        program::measure(&runtime, plan, &progress, &mut table)?;
    }
    progress.done();
    print!("{table}");
    Ok(())
}
