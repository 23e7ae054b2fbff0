//! The way of every write: its key, its answer in words, and the run that follows from it. Knows no verb's rules.

use std::time::Instant;

use dm_api::{Accepted, Run, Staging};
use dm_domain::ids::StagingName;
use reqwest::Method;
use serde::Serialize;
use uuid::Uuid;

use crate::args::WriteArgs;
use crate::client::{Client, WRITE_PATIENCE, Write};
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::overrides::Edits;
use crate::wait::{self, Waited};

/// What somebody wants done to one staging.
#[derive(Debug)]
pub(crate) struct Wish<'a, B> {
    /// To which.
    pub(crate) name: &'a StagingName,
    /// What, in one word.
    pub(crate) verb: &'static str,
    /// How it is asked.
    pub(crate) method: Method,
    /// Where it is asked.
    pub(crate) path: String,
    /// The request.
    pub(crate) body: &'a B,
    /// Where its overrides come from.
    pub(crate) edits: &'a Edits,
    /// How to carry it out.
    pub(crate) args: &'a WriteArgs,
}

/// What came of a wish, as `-o json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// Of which staging.
    pub(crate) staging: String,
    /// What `dms` said.
    #[serde(flatten)]
    pub(crate) accepted: Accepted,
    /// How the run ended, if it was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Run>,
}

/// Sends a wish and, if it says so, follows its run to the end. Prints what happens, but no data.
pub(crate) async fn carry_out<B: Serialize + Sync>(
    client: &Client,
    out: &mut Output,
    wish: &Wish<'_, B>,
) -> Result<(Exit, Answer), Error> {
    let deadline = deadline(wish.args);
    let answer = send(client, out, wish, deadline).await?;
    let followed = follow(client, out, wish.verb, wish.args, deadline, answer).await?;
    if wish.args.wait && followed.0 == Exit::Done && goal(wish.verb) == "running" {
        // Whoever asks for the links next is to find those of this run. That they cannot be had changes nothing about it.
        let _ = wait::within(deadline, wait::with_links(client, wish.name)).await;
        out.hint(&format!("`dmc open {}` opens it", wish.name));
    }
    Ok(followed)
}

/// Until when a wish and its run are followed.
pub(crate) fn deadline(args: &WriteArgs) -> Instant {
    Instant::now() + if args.wait { args.timeout } else { WRITE_PATIENCE }
}

/// Sends a wish.
pub(crate) async fn send<B: Serialize + Sync>(
    client: &Client,
    out: &mut Output,
    wish: &Wish<'_, B>,
    deadline: Instant,
) -> Result<Answer, Error> {
    let write = Write {
        method: wish.method.clone(),
        path: wish.path.clone(),
        body: wish.body,
        key: wish.args.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string()),
        deadline,
        edits: wish.edits,
    };
    let accepted: Accepted = client.write(&write, out).await?;
    let (name, verb) = (wish.name, wish.verb);
    out.note(&match (accepted.quiet, accepted.run) {
        (false, _) => format!("{name}: {verb} accepted"),
        (true, Some(_)) => format!("{name}: just that is under way already"),
        (true, None) => format!("{name}: nothing to do, it is so already"),
    });
    Ok(Answer { staging: name.to_string(), accepted, result: None })
}

/// Follows the run of an answer, if that is wanted and there is one.
pub(crate) async fn follow(
    client: &Client,
    out: &mut Output,
    verb: &str,
    args: &WriteArgs,
    deadline: Instant,
    mut answer: Answer,
) -> Result<(Exit, Answer), Error> {
    let Some(run) = answer.accepted.run else { return Ok((Exit::Done, answer)) };
    let position = answer.accepted.position;
    let name = answer.staging.clone();
    if !args.wait {
        settle(client, &name, position).await;
        out.hint(&format!("`dmc logs {name} -f` shows its output; --wait follows it to the end"));
        return Ok((Exit::Done, answer));
    }
    let end = wait::within(deadline, wait::run_to_its_end(client, out, &name, run, position)).await?;
    let exit = match end {
        Waited::Over(run) => {
            let exit = wait::tell_end(client, out, &run).await;
            answer.result = Some(run);
            exit
        }
        Waited::TimedOut => {
            out.failure(&format!("{name}: {verb} is still under way when --timeout is up; it goes on"));
            out.hint(&still_running(verb, &name));
            Exit::TimedOut
        }
        Waited::Detached => {
            out.note(&format!("{name}: {verb} is still running"));
            out.hint(&still_running(verb, &name));
            Exit::Interrupted
        }
    };
    Ok((exit, answer))
}

fn still_running(verb: &str, name: &str) -> String {
    format!("dmc wait {name} --for {}", goal(verb))
}

/// What a verb leads to, as `dmc wait` calls it.
pub(crate) fn goal(verb: &str) -> &'static str {
    match verb {
        "delete" => "archived",
        "cleanup" => "gone",
        _ => "running",
    }
}

/// Waits, bounded by `dms`, until what was written can be read, so that the next `dmc` reads it. That it cannot be read
/// yet, or that the staging is gone already, changes nothing about the answer.
async fn settle(client: &Client, name: &str, position: i64) {
    let _ = client.get::<Staging>(&format!("/stagings/{name}"), &[("at_least", position.to_string())]).await;
}
