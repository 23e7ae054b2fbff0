//! What the verbs take that change something.

use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use dm_domain::ids::StagingName;
use uuid::Uuid;

use super::{NameArg, names, run_id, tags};
use crate::overrides::{ResetArgs, SetArgs};
use crate::words;

/// What an update and a restore take.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Another version of the product
    #[arg(long, value_name = "TAG", add = tags())]
    pub(crate) tag: Option<String>,
    #[command(flatten)]
    pub(crate) set: SetArgs,
    #[command(flatten)]
    pub(crate) reset: ResetArgs,
    #[command(flatten)]
    pub(crate) base: BaseArg,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// What an apply takes.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// The version of the product that it shall have
    #[arg(long, value_name = "TAG", add = tags())]
    pub(crate) tag: String,
    /// Start a run also when all is already so
    #[arg(long)]
    pub(crate) always: bool,
    #[command(flatten)]
    pub(crate) set: SetArgs,
    #[command(flatten)]
    pub(crate) reset: ResetArgs,
    #[command(flatten)]
    pub(crate) base: BaseArg,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// The state that an edit stands on.
#[derive(Debug, Args)]
pub(crate) struct BaseArg {
    /// Fail if somebody else has changed the same since this version of the configuration (see `dmc info`)
    #[arg(long, value_name = "VERSION")]
    pub(crate) base: Option<i64>,
}

/// What a retry takes.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// What a cancel takes.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Only if this run is the one under way (see `dmc runs`)
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub(crate) run: Option<Uuid>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// What a cleanup takes.
#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    /// The names of the stagings
    #[arg(
        value_name = "NAME", required_unless_present = "archived_for", conflicts_with = "archived_for",
        value_parser = StagingName::parse, add = names()
    )]
    pub(crate) names: Vec<StagingName>,
    /// Also those in Failure, which are not archived: needs the role admin and --reason
    #[arg(long, conflicts_with = "archived_for", requires = "reason")]
    pub(crate) force: bool,
    /// All that have been archived for at least this long, oldest first: 14d, 12h
    #[arg(long, value_name = "AGE", value_parser = words::parse_age)]
    pub(crate) archived_for: Option<Duration>,
    /// With --archived-for: at most this many
    #[arg(long, value_name = "N", requires = "archived_for", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// What a delete takes.
#[derive(Debug, Args)]
pub(crate) struct NamesWriteArgs {
    /// The names of the stagings
    #[arg(value_name = "NAME", required = true, value_parser = StagingName::parse, add = names())]
    pub(crate) names: Vec<StagingName>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// What every write takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Write", group = ArgGroup::new("patient").args(["wait", "when_busy"]).multiple(true))]
pub(crate) struct WriteArgs {
    /// Follow the run until it ends; Ctrl-C stops following, not the run
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait and --when-busy: go on at most this long: 90s, 30m, 1h30m
    #[arg(long, value_name = "TIME", default_value = "30m", requires = "patient", value_parser = words::parse_duration)]
    pub(crate) timeout: Duration,
    /// What to do when another run of the staging is under way
    #[arg(long, value_enum, default_value_t = WhenBusy::Fail, value_name = "WHAT")]
    pub(crate) when_busy: WhenBusy,
    /// Why, in your own words; stays in the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// For whom, in your own words; stays in the history as a claim
    #[arg(long, value_name = "TEXT")]
    pub(crate) on_behalf: Option<String>,
    /// Show what would be changed and run, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Ask nothing
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Names this command: sent twice under one key, it is done once (default: a new one for each call)
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

/// What to do when another run is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenBusy {
    /// End with 3
    Fail,
    /// Wait for its end, then ask again
    Wait,
    /// Cancel it and ask again; never a delete, a cleanup, or a run that was accepted later than this command began
    Cancel,
}
