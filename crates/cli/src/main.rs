//! `dmc`, the console client: for people and for scripts.
//!
//! A thin client: it knows how to ask and how to show, and decides nothing that `dms` decides. Arguments are parsed
//! before anything else is set up, so that `dmc --version`, help and usage errors cost next to nothing.

mod args;
mod client;
mod commands;
mod connect;
mod exit;
#[cfg(test)]
mod golden;
mod output;
mod overrides;
mod problem;
mod settings;
mod wait;
mod words;
mod write;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::exit::{Error, Exit};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = Output::new(&cli.show);
    let exit = run(cli, &mut out).unwrap_or_else(|error| {
        out.error(&error);
        error.exit()
    });
    exit.into()
}

fn run(cli: Cli, out: &mut Output) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::System { what: "cannot start", source })?;
    let exit = runtime.block_on(commands::run(cli, out));
    // A look-up of a name that hangs in the system's resolver must not keep the process alive.
    runtime.shutdown_background();
    exit
}
