//! One file per verb: asks `dms` and shows what it says. Rules of stagings are not known here.

mod again;
mod change;
pub(crate) mod complete;
mod context;
mod create;
mod delete;
mod history;
mod info;
mod list;
pub(crate) mod logs;
mod man;
mod name_from;
mod open;
mod runs;
mod sweep;
mod version;
mod wait;

pub(crate) use info::value;

use dm_api::Previewed;

use crate::args::{Cli, Command};
use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;

/// Does what the command line asks.
pub(crate) async fn run(cli: Cli, out: &mut Output) -> Result<Exit, Error> {
    let connect = || Client::new(&cli.connection, &cli.show);
    match cli.command {
        Command::Create { name, tag, set, write } => create::run(connect, out, &name.name, tag, &set, &write).await,
        Command::Update(args) => change::change(connect, out, &args, Previewed::Update).await,
        Command::Restore(args) => change::change(connect, out, &args, Previewed::Restore).await,
        Command::Apply(args) => change::apply(connect, out, &args).await,
        Command::Retry(args) => again::retry(&connect()?, out, &args).await,
        Command::Cancel(args) => again::cancel(&connect()?, out, &args).await,
        Command::Delete(args) => delete::delete(connect, out, &args).await,
        Command::Cleanup(args) => match args.archived_for {
            Some(age) => sweep::run(&connect()?, out, &args, age).await,
            None => delete::cleanup(connect, out, &args).await,
        },
        Command::List(args) => list::run(&connect()?, out, &args).await,
        Command::Info(args) => info::run(&connect()?, out, &args.name).await,
        Command::Logs(args) => logs::run(&connect()?, out, &args).await,
        Command::Runs { name, limit } => runs::run(&connect()?, out, &name.name, limit).await,
        Command::History(args) => history::run(&connect()?, out, &args.name).await,
        Command::Wait { name, goal, timeout } => wait::run(&connect()?, out, &name.name, goal, timeout).await,
        Command::Open { name, link, print } => open::run(&connect()?, out, &name.name, link.as_deref(), print).await,
        Command::NameFrom { text } => name_from::run(out, &text),
        Command::Context(command) => context::run(out, &cli.connection, command),
        Command::Config => context::config(out, &cli.connection),
        Command::Completions { shell } => complete::script(out, shell),
        Command::Man { folder } => man::run(out, &folder),
        Command::Version => version::run(connect, out).await,
    }
}
