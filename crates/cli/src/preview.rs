//! `--dry-run`: what a write would change and run, with nothing done.

use dm_api::{ConfigurationKey, Effect, Preview};
use reqwest::Method;

use crate::client::Client;
use crate::commands::value;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::output::table::{Cell, Table, Tint};
use crate::words;
use crate::write::{Wish, verb};

/// Shows what a wish would do.
pub(crate) async fn show(client: &Client, out: &mut Output, wish: &Wish<'_>) -> Result<Exit, Error> {
    let preview: Preview = client.ask(Method::POST, "/preview", &wish.preview(), wish.edits).await?;
    let name = wish.name;
    out.document(&preview, &[name], |out, _| {
        let command = verb(wish.command);
        out.heading(&match (preview.effect, preview.verb.as_deref()) {
            (Effect::Nothing, _) => format!("{name}: {command} would do nothing; it is so already, or on its way"),
            (Effect::Cancel, of) => format!("{name}: cancel would end the {} under way", of.unwrap_or("run")),
            (Effect::Run, Some(of)) if of != command => format!("{name}: {command} would start a run: {of}"),
            (Effect::Run, _) => format!("{name}: {command} would start a run"),
        })?;
        out.table(&changes(&preview))?;
        out.table(&call(&preview))
    })?;
    out.note("nothing was done");
    Ok(Exit::Done)
}

/// What would be different.
fn changes(preview: &Preview) -> Table {
    let mut facts = Table::of_facts();
    let mut change = |what: &str, before: Option<String>, after: Option<String>| {
        if before != after {
            let side = |side: Option<String>| side.map_or(Cell::tinted("(none)", Tint::Faint), Cell::from);
            facts.row([what.into(), side(before), "->".into(), side(after)]);
        }
    };
    let status = |status: Option<dm_api::Status>| status.map(|status| words::status(status).to_owned());
    change("status", status(preview.status), status(preview.status_after));
    change("tag", preview.tag.clone(), preview.tag_after.clone());
    for of in &preview.changes {
        let side = |key: &Option<ConfigurationKey>| key.as_ref().and_then(value);
        change(&format!("{} {}", words::level(of.level), of.key), side(&of.before), side(&of.after));
    }
    facts
}

/// What would be run.
fn call(preview: &Preview) -> Table {
    let mut facts = Table::of_facts();
    if let Some(execute) = &preview.execute {
        let limit = words::took(chrono::TimeDelta::milliseconds(execute.time_limit_ms.try_into().unwrap_or(i64::MAX)));
        facts.row(["runs".into(), format!("{}, at most {limit}", execute.executable).into()]);
        for pair in execute.arguments.chunks(2) {
            facts.row(["".into(), pair.join(" ").into()]);
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_preview_shows_each_change_and_the_call() {
        let preview = golden::document("preview");
        let shown = [changes(&preview), call(&preview)].map(|table| table.render(Some(100), true, false));
        golden::assert("preview", &shown.join("\n"));
    }
}
