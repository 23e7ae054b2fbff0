//! What a shell is told when somebody presses Tab, and the script that makes it ask.
//!
//! A shell waits for the answer, so `dms` has a second for it, and whatever goes wrong is silence.

use std::ffi::OsStr;
use std::time::Duration;

use clap::Parser;
use clap_complete::env::{EnvCompleter, Shells};
use clap_complete::{CompletionCandidate, Shell};
use dm_api::{StagingList, TagList};
use serde::de::DeserializeOwned;

use crate::args::Cli;
use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;

/// The variable by which a shell asks.
pub(crate) const VARIABLE: &str = "DMC_COMPLETE";

/// How long `dms` has.
const PATIENCE: Duration = Duration::from_secs(1);

/// Names of stagings that begin with what was typed.
pub(crate) fn names(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let mut query = vec![("archived", "true".to_owned()), ("limit", "200".to_owned())];
    if !typed.is_empty() {
        query.push(("q", typed.to_owned()));
    }
    let Some(list) = asked::<StagingList>("/stagings", &query) else { return Vec::new() };
    let begins = list.items.into_iter().filter(|staging| staging.name.starts_with(typed));
    let help = |tag: &str, status| format!("{} {tag}", crate::words::status(status));
    begins.map(|of| CompletionCandidate::new(&of.name).help(Some(help(&of.tag, of.status).into()))).collect()
}

/// Tags that begin with what was typed.
pub(crate) fn tags(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let query = if typed.is_empty() { Vec::new() } else { vec![("q", typed.to_owned())] };
    let Some(list) = asked::<TagList>("/tags", &query) else { return Vec::new() };
    let begins = list.items.into_iter().filter(|of| of.tag.starts_with(typed));
    begins.map(|of| CompletionCandidate::new(of.tag).help(of.label.map(Into::into))).collect()
}

/// What `dms` answers; the connection is that of the environment, for the line being typed is not read yet.
fn asked<T: DeserializeOwned>(path: &str, query: &[(&str, String)]) -> Option<T> {
    let Cli { connection, show, .. } = Cli::try_parse_from(["dmc", "-q", "version"]).ok()?;
    let client = Client::new(&connection, &show).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, client.get_once(path, query)).await });
    runtime.shutdown_background();
    answer.ok()?.ok()
}

/// Prints the script for a shell.
pub(super) fn script(out: &mut Output, shell: Shell) -> Result<Exit, Error> {
    let shells = Shells::builtins();
    let completer: &dyn EnvCompleter =
        shells.completer(&shell.to_string()).ok_or_else(|| Error::usage(format!("there is nothing for {shell}")))?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "dmc", "dmc", "dmc", &mut script)
        .map_err(|source| Error::System { what: "cannot write the script", source })?;
    out.bytes(&script)?;
    Ok(Exit::Done)
}
