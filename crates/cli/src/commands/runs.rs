//! `dmc runs`.

use chrono::{DateTime, Utc};
use dm_api::{Run, RunList, RunState};
use dm_domain::ids::StagingName;

use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::output::table::{Cell, Table, Tint};
use crate::words;

/// The size of a page where more than that is wanted.
const PAGE: u32 = 200;

pub(super) async fn run(client: &Client, out: &mut Output, name: &StagingName, limit: u32) -> Result<Exit, Error> {
    let runs = newest(client, name, limit).await?;
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    out.document(&runs, &ids, |out, wide| out.table(&table(&runs, wide, Utc::now())))?;
    Ok(Exit::Done)
}

/// The newest runs of a name, newest first.
pub(super) async fn newest(client: &Client, name: &StagingName, limit: u32) -> Result<Vec<Run>, Error> {
    let mut runs = Vec::new();
    let mut after = None;
    for _ in 0..limit.div_ceil(PAGE) {
        let left = limit.saturating_sub(u32::try_from(runs.len()).unwrap_or(limit));
        let mut query = vec![("limit", left.min(PAGE).to_string())];
        query.extend(after.take().map(|after| ("after", after)));
        let page: RunList = client.get(&format!("/stagings/{name}/runs"), &query).await?;
        runs.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(runs)
}

fn table(runs: &[Run], wide: bool, now: DateTime<Utc>) -> Table {
    let headers: &[&str] = if wide {
        &["RUN", "VERB", "STATE", "ASKED", "BY", "TAG", "ATTEMPT", "TOOK", "WHAT", "WHY"]
    } else {
        &["RUN", "VERB", "STATE", "ASKED", "WHAT"]
    };
    // An id that is cut off cannot be handed to `dmc logs --run`.
    let mut table = Table::of_lines(headers).keeping(&[0, 1, 2, 3]);
    for run in runs {
        let mut row: Vec<Cell> = vec![
            run.id.to_string().into(),
            run.verb.as_str().into(),
            Cell::tinted(words::run_state(run.state), tint(run.state)),
            words::age(run.requested_at, now).into(),
        ];
        if wide {
            row.extend([
                run.by.as_str().into(),
                run.tag.as_deref().unwrap_or_default().into(),
                run.attempt.to_string().into(),
                took(run).unwrap_or_default().into(),
                what(run).into(),
                run.comment.as_deref().unwrap_or_default().into(),
            ]);
        } else {
            row.push(what(run).into());
        }
        table.row(row);
    }
    table
}

/// How long the last attempt took.
pub(super) fn took(run: &Run) -> Option<String> {
    Some(words::took(run.finished_at? - run.started_at?))
}

/// What there is to know of how it ended.
fn what(run: &Run) -> String {
    match (&run.reason, &run.cause, &run.outcome) {
        (Some(reason), Some(cause), _) => format!("{reason}: {}", words::brief(cause)),
        (Some(reason), None, _) => reason.clone(),
        (None, _, Some(outcome)) => outcome.clone(),
        (None, _, None) if run.attempt > 1 => format!("attempt {}", run.attempt),
        (None, _, None) => String::new(),
    }
}

/// The colour of a state.
pub(super) fn tint(state: RunState) -> Tint {
    match state {
        RunState::Succeeded => Tint::Good,
        RunState::Failed => Tint::Bad,
        RunState::Queued | RunState::Running | RunState::WaitingForCheck => Tint::Busy,
        RunState::Withdrawn => Tint::Faint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn runs_show_how_they_ended() {
        let runs: Vec<Run> = golden::document("runs");
        golden::assert("runs", &golden::at_each_width(&table(&runs, false, golden::noon())));
        golden::assert("runs-wide", &table(&runs, true, golden::noon()).render(None, true, false));
    }
}
