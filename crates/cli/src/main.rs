//! `dmc`, the console client: for people and for scripts.
//!
//! A thin client: it knows how to ask and how to show, and decides nothing that `dms` decides. Arguments are parsed
//! before anything else is set up, so that `dmc --version`, help and usage errors cost next to nothing.

mod args;
mod busy;
mod client;
mod commands;
mod connect;
mod contexts;
mod exit;
#[cfg(test)]
mod golden;
mod output;
mod overrides;
mod preview;
mod problem;
mod settings;
mod wait;
mod words;
mod write;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use crate::args::Cli;
use crate::exit::{Error, Exit};
use crate::output::Output;

fn main() -> ExitCode {
    // A shell asks what could stand here; it is answered and gone.
    CompleteEnv::with_factory(Cli::command).var(commands::complete::VARIABLE).complete();
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
