//! One file per verb: asks `dms` and shows what it says. Rules of stagings are not known here.

mod change;
mod create;
mod delete;
mod history;
mod info;
mod list;
pub(crate) mod logs;
mod open;
mod runs;
mod version;
mod wait;

use serde::Serialize;

use crate::args::{Cli, Command, Format};
use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::write::Answer;

/// Does what the command line asks.
pub(crate) async fn run(cli: Cli, out: &mut Output) -> Result<Exit, Error> {
    let connect = || Client::new(&cli.connection);
    match cli.command {
        Command::Create { name, tag, set, write } => create::run(connect, out, &name.name, tag, &set, &write).await,
        Command::Update(args) => change::update(connect, out, &args).await,
        Command::Restore(args) => change::restore(connect, out, &args).await,
        Command::Delete(args) => delete::delete(connect, out, &args).await,
        Command::Cleanup(args) => delete::cleanup(connect, out, &args).await,
        Command::List(args) => list::run(&connect()?, out, &args).await,
        Command::Info(args) => info::run(&connect()?, out, &args.name).await,
        Command::Logs(args) => logs::run(&connect()?, out, &args).await,
        Command::Runs { name, limit } => runs::run(&connect()?, out, &name.name, limit).await,
        Command::History(args) => history::run(&connect()?, out, &args.name).await,
        Command::Wait { name, goal, timeout } => wait::run(&connect()?, out, &name.name, goal, timeout).await,
        Command::Open { name, link, print } => open::run(&connect()?, out, &name.name, link.as_deref(), print).await,
        Command::Version => version::run(connect, out).await,
    }
}

/// Prints the answer to one write.
fn print_answer(out: &mut Output, (exit, answer): (Exit, Answer)) -> Result<Exit, Error> {
    print_json(out, &answer)?;
    Ok(exit)
}

/// Prints a document where one was asked for; people have been told on the way.
fn print_json<T: Serialize>(out: &mut Output, document: &T) -> Result<(), Error> {
    match out.format() {
        Format::Json => out.json(document),
        Format::Table | Format::Wide => Ok(()),
    }
}
