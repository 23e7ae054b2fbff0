//! The way of every write: its key, its answer in words, and the run that follows from it. Knows no verb's rules.

use std::time::Instant;

use dm_api::{Accepted, PreviewRequest, Previewed, Run, Staging};
use dm_domain::ids::StagingName;
use reqwest::Method;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::args::{WhenBusy, WriteArgs};
use crate::busy::{self, Busy};
use crate::client::{Client, WRITE_PATIENCE, Write, is_passing};
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::overrides::Edits;
use crate::preview;
use crate::wait::{self, Waited};

/// How often a busy staging is asked again.
const ROUNDS_MAX: u32 = 100;

/// What somebody wants done to one staging.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    /// To which.
    pub(crate) name: &'a StagingName,
    /// What.
    pub(crate) command: Previewed,
    /// The request.
    pub(crate) body: Box<RawValue>,
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

impl<'a> Wish<'a> {
    /// A wish with its request.
    pub(crate) fn new<B: Serialize>(
        name: &'a StagingName,
        command: Previewed,
        body: &B,
        edits: &'a Edits,
        args: &'a WriteArgs,
    ) -> Result<Self, Error> {
        let body = to_raw_value(body)
            .map_err(|error| Error::System { what: "cannot write the request", source: error.into() })?;
        Ok(Self { name, command, body, edits, args })
    }

    /// The request for a look ahead.
    pub(crate) fn preview(&self) -> PreviewRequest {
        let name = (self.command != Previewed::Create).then(|| self.name.to_string());
        PreviewRequest { command: self.command, name, request: self.body.clone() }
    }
}

/// Sends a wish and, if it says so, follows its run to the end; shows what would happen where only that is asked for.
pub(crate) async fn carry_out(client: &Client, out: &mut Output, wish: &Wish<'_>) -> Result<Exit, Error> {
    if wish.args.dry_run {
        return preview::show(client, out, wish).await;
    }
    let deadline = deadline(wish.args);
    let answer = send(client, out, wish, deadline).await?;
    let verb = verb(wish.command);
    let (exit, answer) = follow(client, out, verb, wish.args, deadline, answer).await?;
    // What a retry or an apply has led to is said by its run.
    let runs = answer.result.as_ref().is_some_and(|run| goal(&run.verb) == "running");
    if exit == Exit::Done && runs && wish.command != Previewed::Cancel {
        // Whoever asks for the links next is to find those of this run. That they cannot be had changes nothing about it.
        let _ = wait::within(deadline, wait::with_links(client, wish.name)).await;
        out.hint(&format!("`dmc open {}` opens it", wish.name));
    }
    out.document(&answer, &[wish.name], |_, _| Ok(()))?;
    Ok(exit)
}

/// Until when a wish and its run are followed.
pub(crate) fn deadline(args: &WriteArgs) -> Instant {
    let patient = args.wait || args.when_busy != WhenBusy::Fail;
    Instant::now() + if patient { args.timeout } else { WRITE_PATIENCE }
}

/// Sends a wish, again and again while something is in the way that may be waited for or cancelled.
pub(crate) async fn send(
    client: &Client,
    out: &mut Output,
    wish: &Wish<'_>,
    deadline: Instant,
) -> Result<Answer, Error> {
    let (method, path) = route(wish.command, wish.name);
    let key = wish.args.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let write = Write { method, path, body: &wish.body, key, deadline, edits: wish.edits };
    for _ in 0..ROUNDS_MAX {
        let problem = match client.write::<Accepted, _>(&write, out).await {
            Ok(accepted) => return Ok(told(out, wish, accepted)),
            Err(Error::Problem { problem, .. }) if problem.code == "busy" => problem,
            Err(error) => return Err(in_time(with_event(error, wish), wish.args, deadline)),
        };
        busy::tell(out, wish.name, &problem, wish.args.when_busy);
        match busy::judge(wish.args.when_busy, wish.command, &problem, client.began().elapsed()) {
            Busy::Refuse(why) => return Err(busy::refused(problem, why)),
            Busy::Wait(run) => busy::wait(client, out, wish, run, deadline).await?,
            Busy::Cancel(run) => {
                busy::cancel(client, out, wish, run, deadline).await?;
                busy::wait(client, out, wish, run, deadline).await?;
            }
        }
    }
    Err(Error::TimedOut { message: format!("{}: busy again and again", wish.name) })
}

/// Who has lost against somebody else's edit is told where to see it.
fn with_event(mut error: Error, wish: &Wish<'_>) -> Error {
    if let Error::Problem { problem, .. } = &mut error
        && let Some(version) = problem.version
    {
        problem.hint = Some(format!("`dmc history {}` shows event {version}; edit again on top of it", wish.name));
    }
    error
}

/// With `--wait`, a `dms` that was away until the time was up is no other end than any other run out of time.
fn in_time(error: Error, args: &WriteArgs, deadline: Instant) -> Error {
    if args.wait && is_passing(&error) && Instant::now() >= deadline {
        return Error::TimedOut { message: format!("{error}; --timeout is up") };
    }
    error
}

fn told(out: &mut Output, wish: &Wish<'_>, accepted: Accepted) -> Answer {
    let (name, verb) = (wish.name, verb(wish.command));
    out.note(&match (accepted.quiet, accepted.run) {
        (false, _) => format!("{name}: {verb} accepted"),
        (true, Some(_)) => format!("{name}: just that is under way already"),
        (true, None) => format!("{name}: nothing to do, it is so already"),
    });
    Answer { staging: name.to_string(), accepted, result: None }
}

/// How a command is asked for.
fn route(command: Previewed, name: &StagingName) -> (Method, String) {
    let one = format!("/stagings/{name}");
    match command {
        Previewed::Create => (Method::POST, "/stagings".to_owned()),
        Previewed::Update => (Method::PATCH, one),
        Previewed::Apply => (Method::PUT, one),
        Previewed::Restore | Previewed::Delete | Previewed::Cleanup | Previewed::Retry | Previewed::Cancel => {
            (Method::POST, format!("{one}/{}", verb(command)))
        }
    }
}

/// A command in one word.
pub(crate) fn verb(command: Previewed) -> &'static str {
    match command {
        Previewed::Create => "create",
        Previewed::Update => "update",
        Previewed::Apply => "apply",
        Previewed::Restore => "restore",
        Previewed::Delete => "delete",
        Previewed::Cleanup => "cleanup",
        Previewed::Retry => "retry",
        Previewed::Cancel => "cancel",
    }
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
            let exit = wait::tell_end(client, out, &run, verb).await;
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
    let _ = client.get_once::<Staging>(&format!("/stagings/{name}"), &[("at_least", position.to_string())]).await;
}
