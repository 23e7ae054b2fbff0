//! `dmc list`.

use chrono::{DateTime, Utc};
use dm_api::{Staging, StagingList, Status};

use crate::args::{ListArgs, StatusArg};
use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::output::table::{Cell, Table, Tint};
use crate::words;

/// The most pages that are asked for; with pages of 200 that is far beyond what a cluster holds.
const PAGES_MAX: usize = 100;

/// The size of a page where more than that is wanted.
const PAGE: u32 = 200;

pub(super) async fn run(client: &Client, out: &mut Output, args: &ListArgs) -> Result<Exit, Error> {
    let stagings = all(client, args).await?;
    let names: Vec<_> = stagings.iter().map(|staging| &staging.name).collect();
    out.document(&stagings, &names, |out, wide| {
        if stagings.is_empty() {
            out.note(nothing(args));
            return Ok(());
        }
        out.table(&table(&stagings, wide, Utc::now()))
    })?;
    Ok(Exit::Done)
}

/// Why the list may be empty.
fn nothing(args: &ListArgs) -> &'static str {
    let all = args.status.is_empty() && args.text.is_none() && args.archived_for.is_none();
    match (all, args.archived) {
        (false, _) => "no staging fits",
        (true, true) => "there is no staging; `dmc create NAME --tag TAG` makes one",
        (true, false) => {
            "no staging is up; `dmc create NAME --tag TAG` makes one, `dmc list --archived` shows archived ones"
        }
    }
}

pub(super) async fn all(client: &Client, args: &ListArgs) -> Result<Vec<Staging>, Error> {
    let wanted = args.limit.unwrap_or(u32::MAX) as usize;
    let mut stagings = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let left = u32::try_from(wanted - stagings.len()).unwrap_or(u32::MAX);
        let mut query = filters(args);
        query.push(("limit", left.min(PAGE).to_string()));
        query.extend(after.take().map(|after| ("after", after)));
        let page: StagingList = client.get("/stagings", &query).await?;
        stagings.extend(page.items);
        after = page.next;
        if after.is_none() || stagings.len() >= wanted {
            break;
        }
    }
    stagings.truncate(wanted);
    Ok(stagings)
}

fn filters(args: &ListArgs) -> Vec<(&'static str, String)> {
    let mut query: Vec<_> =
        args.status.iter().map(|status| ("status", words::status((*status).into()).to_owned())).collect();
    query.extend(args.text.iter().map(|text| ("q", text.clone())));
    query.extend(args.archived_for.map(|age| ("archived_for", age.as_secs().to_string())));
    query.push(("sort", args.sort.clone()));
    if args.archived {
        query.push(("archived", "true".to_owned()));
    }
    query
}

fn table(stagings: &[Staging], wide: bool, now: DateTime<Utc>) -> Table {
    let mut table = if wide {
        Table::of_lines(&["NAME", "STATUS", "TAG", "CHANGED", "BY", "OVERRIDES", "WHAT", "LINK"])
    } else {
        Table::of_lines(&["NAME", "STATUS", "TAG", "CHANGED", "WHAT"]).keeping(&[0, 1, 3])
    };
    for staging in stagings {
        let mut row: Vec<Cell> = vec![
            staging.name.as_str().into(),
            Cell::tinted(words::status(staging.status), tint(staging.status)),
            staging.tag.as_str().into(),
            words::age(staging.changed_at, now).into(),
        ];
        let what: Cell = words::what(staging).into();
        if wide {
            let link = staging.links.first().map_or("", |link| link.url.as_str());
            row.extend([staging.created_by.as_str().into(), staging.overrides.to_string().into(), what, link.into()]);
        } else {
            row.push(what);
        }
        table.row(row);
    }
    table
}

/// The colour of a status.
pub(super) fn tint(status: Status) -> Tint {
    match status {
        Status::Running => Tint::Good,
        Status::Failure => Tint::Bad,
        Status::CreatePending | Status::UpdatePending | Status::DeletePending => Tint::Busy,
        Status::Archived => Tint::Faint,
    }
}

impl From<StatusArg> for Status {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Running => Self::Running,
            StatusArg::Failure => Self::Failure,
            StatusArg::CreatePending => Self::CreatePending,
            StatusArg::UpdatePending => Self::UpdatePending,
            StatusArg::DeletePending => Self::DeletePending,
            StatusArg::Archived => Self::Archived,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_list_is_what_people_look_at() {
        let stagings: Vec<Staging> = golden::document("stagings");
        golden::assert("list", &golden::at_each_width(&table(&stagings, false, golden::noon())));
        golden::assert("list-wide", &table(&stagings, true, golden::noon()).render(None, true, false));
    }
}
