//! `dmc wait`: until a staging is running, archived or gone; ends early when nothing is under way that leads there.

use std::time::{Duration, Instant};

use dm_api::{Run, Staging, Status};
use dm_domain::ids::StagingName;

use crate::args::Goal;
use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::wait::{Pauses, Waited, passing, with_links, within};
use crate::words;

/// How waiting ended.
enum End {
    /// It is so. Gone stagings have no row.
    Reached(Option<Box<Staging>>),
    /// It will not become so by itself.
    Elsewhere(Box<Staging>),
}

pub(super) async fn run(
    client: &Client,
    out: &mut Output,
    name: &StagingName,
    goal: Goal,
    timeout: Duration,
) -> Result<Exit, Error> {
    let word = word(goal);
    match within(Instant::now() + timeout, until(client, out, name, goal)).await? {
        Waited::Over(End::Reached(mut staging)) => {
            if goal == Goal::Running {
                // It is running, with its links or without.
                staging = with_links(client, name).await.map_or(staging, |linked| Some(Box::new(linked)));
            }
            out.note(&format!("{name}: {word}"));
            out.document(&staging, &[name], |_, _| Ok(()))?;
            Ok(Exit::Done)
        }
        Waited::Over(End::Elsewhere(staging)) => {
            let what = words::what(&staging);
            let why = if what.is_empty() { String::new() } else { format!(" ({what})") };
            let status = words::status(staging.status);
            out.failure(&format!("{name}: {status}{why}; nothing is under way that makes it {word}"));
            out.hint(&format!("`dmc info {name}` shows why, and what can be done next"));
            Ok(Exit::Failed)
        }
        Waited::TimedOut => {
            out.failure(&format!("{name}: not {word} when --timeout is up"));
            out.hint(&format!("`dmc info {name}` shows what it is at"));
            Ok(Exit::TimedOut)
        }
        Waited::Detached => Ok(Exit::Interrupted),
    }
}

async fn until(client: &Client, out: &mut Output, name: &StagingName, goal: Goal) -> Result<End, Error> {
    let mut progress = out.progress(name.as_str());
    let mut pauses = Pauses::new();
    loop {
        let look = match client.get_once::<Staging>(&format!("/stagings/{name}"), &[]).await {
            Err(Error::Problem { problem, .. }) if goal == Goal::Gone && problem.status == 404 => {
                return Ok(End::Reached(None));
            }
            look => look,
        };
        if let Some(staging) = passing(look, out, &mut progress)? {
            if reached(&staging, goal) {
                return Ok(End::Reached(Some(Box::new(staging))));
            }
            if !may_become(client, &staging, goal).await? {
                return Ok(End::Elsewhere(Box::new(staging)));
            }
            let state = format!("{} {}", words::status(staging.status), words::what(&staging));
            out.show(&mut progress, state.trim_end(), staging.live.last_line.as_deref().unwrap_or_default());
        }
        pauses.next().await;
    }
}

fn reached(staging: &Staging, goal: Goal) -> bool {
    let wanted = match goal {
        Goal::Running => Status::Running,
        Goal::Archived => Status::Archived,
        Goal::Gone => return false,
    };
    staging.status == wanted && staging.activity.is_none()
}

/// Whether something is under way that can lead to the goal: a run, or checks that go on after a run or in trouble.
async fn may_become(client: &Client, staging: &Staging, goal: Goal) -> Result<bool, Error> {
    if staging.activity.is_some() {
        return Ok(true);
    }
    let checked = !matches!(staging.reason.as_deref(), Some("run_failed" | "interrupted" | "cancelled"));
    if staging.status != Status::Failure || !checked || goal == Goal::Gone {
        return Ok(false);
    }
    let last: Run = client.get(&format!("/runs/{}", staging.last_run), &[]).await?;
    Ok((last.verb == "delete") == (goal == Goal::Archived))
}

fn word(goal: Goal) -> &'static str {
    match goal {
        Goal::Running => "running",
        Goal::Archived => "archived",
        Goal::Gone => "gone",
    }
}
