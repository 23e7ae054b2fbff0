//! `dmc man`: the man pages, made of the same words as the help.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Cli;
use crate::exit::{Error, Exit};
use crate::output::Output;

pub(super) fn run(out: &mut Output, folder: &Path) -> Result<Exit, Error> {
    if !folder.is_dir() {
        return Err(Error::usage(format!("there is no folder {}", folder.display())));
    }
    clap_mangen::generate_to(Cli::command(), folder)
        .map_err(|source| Error::System { what: "cannot write the man pages", source })?;
    out.note(&format!("written to {}; `man {}` shows the first", folder.display(), folder.join("dmc.1").display()));
    Ok(Exit::Done)
}
