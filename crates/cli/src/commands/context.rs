//! `dmc context` and `dmc config`: which `dms` there are, and what is set for the one in use.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::args::{ConnectionArgs, ContextCommand};
use crate::contexts::{Contexts, path};
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::output::table::{Cell, Table, Tint};
use crate::settings::{Choices, Chosen, SettingsFile, parse_url};

/// A context, as it is listed.
#[derive(Serialize)]
struct Listed {
    name: String,
    current: bool,
    #[serde(flatten)]
    settings: SettingsFile,
}

pub(super) fn run(out: &mut Output, args: &ConnectionArgs, command: ContextCommand) -> Result<Exit, Error> {
    let mut contexts = Contexts::read()?;
    match command {
        ContextCommand::List => return list(out, contexts),
        ContextCommand::Use { context } => {
            contexts.named(&context)?;
            out.note(&format!("{context} is in use from now on"));
            contexts.current = Some(context);
        }
        ContextCommand::Add { context } => {
            let settings = given(args)?;
            out.note(&format!("{context} was added; `dmc context use {context}` uses it from now on"));
            contexts.contexts.insert(context, settings);
        }
        ContextCommand::Remove { context } => {
            contexts.named(&context)?;
            contexts.contexts.remove(&context);
            if contexts.current.as_ref() == Some(&context) {
                contexts.current = None;
                out.note("it was the one in use; now none is");
            }
        }
    }
    contexts.write()?;
    Ok(Exit::Done)
}

fn list(out: &mut Output, contexts: Contexts) -> Result<Exit, Error> {
    let Contexts { current, contexts } = contexts;
    let is_current = |name: &String| current.as_ref() == Some(name);
    let listed: Vec<_> =
        contexts.into_iter().map(|(name, settings)| Listed { current: is_current(&name), name, settings }).collect();
    let names: Vec<_> = listed.iter().map(|one| &one.name).collect();
    out.document(&listed, &names, |out, _| {
        if listed.is_empty() {
            out.note(
                "there is no context; `dmc context add NAME --url URL --cert FILE --key FILE --ca FILE` makes one",
            );
        }
        let mut table = Table::of_lines(&["NAME", "IN USE", "URL"]);
        for one in &listed {
            let mark = if one.current { "yes" } else { "" };
            table.row([one.name.as_str().into(), mark.into(), one.settings.url.as_deref().unwrap_or("").into()]);
        }
        out.table(&table)
    })?;
    Ok(Exit::Done)
}

/// What a context is made of: all four, so that no half of it comes from elsewhere. Its files are named from the root.
fn given(args: &ConnectionArgs) -> Result<SettingsFile, Error> {
    let missing = |what: &str| Error::usage(format!("a context needs {what}"));
    let url = args.url.clone().ok_or_else(|| missing("--url"))?;
    parse_url(&url)?;
    let file = |path: &Option<PathBuf>, what: &str| {
        let path = path.as_deref().ok_or_else(|| missing(what))?;
        absolute(path)
    };
    Ok(SettingsFile {
        url: Some(url),
        cert: Some(file(&args.cert, "--cert")?),
        key: Some(file(&args.key, "--key")?),
        ca: Some(file(&args.ca, "--ca")?),
    })
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_file() {
        return Err(Error::usage(format!("there is no file {}", path.display())));
    }
    std::path::absolute(path).map_err(|source| Error::System { what: "cannot name a file from the root", source })
}

/// Every setting of the connection, its value, and who says so.
pub(super) fn config(out: &mut Output, args: &ConnectionArgs) -> Result<Exit, Error> {
    let Choices { context, url, cert, key, ca, .. } = Choices::find(args)?;
    let named = std::env::var_os("DM_CONTEXTS").is_some_and(|file| !file.is_empty());
    let source = if named { "DM_CONTEXTS" } else { "default" }.to_owned();
    let contexts = Chosen { setting: "contexts", value: Some(path().display().to_string()), source };
    let settings = [url, cert, key, ca, context, contexts];
    out.document(&settings, &settings.each_ref().map(|of| of.setting), |out, _| {
        let mut table = Table::of_lines(&["SETTING", "VALUE", "FROM"]);
        for of in &settings {
            let value = of.value.as_deref().map_or(Cell::tinted("not set", Tint::Faint), Cell::from);
            table.row([of.setting.into(), value, Cell::tinted(of.source.as_str(), Tint::Faint)]);
        }
        out.table(&table)
    })?;
    Ok(Exit::Done)
}
