//! `dmc delete` and `dmc cleanup`: several names at once, all asked for before any is waited for.

use dm_api::{Cleanup, Delete};
use dm_domain::ids::StagingName;
use reqwest::Method;
use serde::Serialize;

use crate::args::{NamesWriteArgs, WriteArgs};
use crate::client::Client;
use crate::commands::print_json;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::overrides::Edits;
use crate::write::{Answer, Wish, deadline, follow, send};

pub(super) async fn delete(
    connect: impl Fn() -> Result<Client, Error>,
    out: &mut Output,
    args: &NamesWriteArgs,
) -> Result<Exit, Error> {
    one_key_one_command(args)?;
    let body = Delete { reason: args.write.reason.clone(), on_behalf: None };
    each(&connect()?, out, args, "delete", &body).await
}

pub(super) async fn cleanup(
    connect: impl Fn() -> Result<Client, Error>,
    out: &mut Output,
    args: &NamesWriteArgs,
) -> Result<Exit, Error> {
    one_key_one_command(args)?;
    let names = args.names.iter().map(StagingName::as_str).collect::<Vec<_>>().join(", ");
    let question = format!("This removes everything of {names}, volumes included, and cannot be undone. Go on?");
    if !args.write.yes && !out.confirm(&question)? {
        out.note("nothing was done");
        return Ok(Exit::Interrupted);
    }
    let body = Cleanup { reason: args.write.reason.clone(), ..Cleanup::default() };
    each(&connect()?, out, args, "cleanup", &body).await
}

/// Asks for every name, then follows what is under way; the exit code is that of the first that did not go well.
async fn each<B: Serialize + Sync>(
    client: &Client,
    out: &mut Output,
    args: &NamesWriteArgs,
    verb: &'static str,
    body: &B,
) -> Result<Exit, Error> {
    let deadline = deadline(&args.write);
    let mut exit = Exit::Done;
    let mut sent = Vec::new();
    for name in &args.names {
        match ask(client, out, name, &args.write, verb, body, deadline).await {
            Ok(answer) => sent.push(answer),
            Err(error @ Error::Problem { .. }) if args.names.len() > 1 => {
                out.note(&format!("{name}:"));
                out.error(&error);
                exit = exit.and(error.exit());
            }
            Err(error) => return Err(error),
        }
    }
    let mut answers = Vec::new();
    for answer in sent {
        let (ended, answer) = follow(client, out, verb, &args.write, deadline, answer).await?;
        exit = exit.and(ended);
        answers.push(answer);
        if ended == Exit::Interrupted {
            break;
        }
    }
    print_json(out, &answers)?;
    Ok(exit)
}

fn one_key_one_command(args: &NamesWriteArgs) -> Result<(), Error> {
    if args.names.len() > 1 && args.write.idempotency_key.is_some() {
        return Err(Error::usage("--idempotency-key names one command, and several names are several commands"));
    }
    Ok(())
}

async fn ask<B: Serialize + Sync>(
    client: &Client,
    out: &mut Output,
    name: &StagingName,
    args: &WriteArgs,
    verb: &'static str,
    body: &B,
    deadline: std::time::Instant,
) -> Result<Answer, Error> {
    let edits = Edits::default();
    let path = format!("/stagings/{name}/{verb}");
    let wish = Wish { name, verb, method: Method::POST, path, body, edits: &edits, args };
    let answer = send(client, out, &wish, deadline).await?;
    if verb == "delete" {
        out.note(&format!("{name}: volumes kept; undo: dmc restore {name}"));
    }
    Ok(answer)
}
