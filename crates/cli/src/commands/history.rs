//! `dmc history`: the log of one name as sentences, newest last, through all its lives.

use dm_api::{Event, EventList};
use dm_domain::ids::StagingName;

use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::output::table::{Cell, Table, Tint};
use crate::words;

/// The size of a page, and the most pages that are asked for.
const PAGE: u32 = 200;
const PAGES_MAX: usize = 100;

pub(super) async fn run(client: &Client, out: &mut Output, name: &StagingName) -> Result<Exit, Error> {
    let (events, more) = all(client, name).await?;
    out.document(&events, &[name], |out, wide| out.table(&table(&events, wide)))?;
    if more {
        out.note(&format!("there is more; these are the first {} events", events.len()));
    }
    Ok(Exit::Done)
}

async fn all(client: &Client, name: &StagingName) -> Result<(Vec<Event>, bool), Error> {
    let mut events = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(after.take().map(|after| ("after", after)));
        let page: EventList = client.get(&format!("/stagings/{name}/events"), &query).await?;
        events.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok((events, false));
        }
    }
    Ok((events, true))
}

fn table(events: &[Event], wide: bool) -> Table {
    let headers: &[&str] = if wide {
        &["VERSION", "TIME", "WHO", "BY WAY OF", "TYPE", "WHAT", "WHY", "RUN"]
    } else {
        &["TIME", "WHO", "WHAT", "WHY"]
    };
    let mut table = Table::of_lines(headers).wrapping().keeping(&[0, 1]);
    for event in events {
        let who = match &event.on_behalf {
            Some(other) => format!("{} for {other}", event.actor),
            None => event.actor.clone(),
        };
        let time = Cell::tinted(words::moment(event.at), Tint::Faint);
        let what: Cell = event.sentence.as_str().into();
        let why: Cell = event.reason.as_deref().unwrap_or_default().into();
        if wide {
            let run = event.run.map(|run| run.to_string()).unwrap_or_default();
            table.row([
                event.version.to_string().into(),
                time,
                who.into(),
                event.channel.as_str().into(),
                event.event_type.as_str().into(),
                what,
                why,
                run.into(),
            ]);
        } else {
            table.row([time, who.into(), what, why]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_history_tells_all_of_it() {
        let events: Vec<Event> = golden::document("events");
        golden::assert("history", &golden::at_each_width(&table(&events, false)));
        golden::assert("history-wide", &table(&events, true).render(None, true, false));
    }
}
