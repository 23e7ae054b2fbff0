//! `dmc delete` and `dmc cleanup` of names: several at once, all asked for before any is waited for.

use dm_api::{Cleanup, Delete, Previewed};
use dm_domain::ids::StagingName;
use serde::Serialize;

use crate::args::{CleanupArgs, NamesWriteArgs, WriteArgs};
use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::overrides::Edits;
use crate::preview;
use crate::write::{Answer, Wish, deadline, follow, send, verb};

pub(super) async fn delete(
    connect: impl Fn() -> Result<Client, Error>,
    out: &mut Output,
    args: &NamesWriteArgs,
) -> Result<Exit, Error> {
    one_key_one_command(&args.names, &args.write)?;
    let body = Delete { reason: args.write.reason.clone(), on_behalf: args.write.on_behalf.clone() };
    each(&connect()?, out, &args.names, &args.write, Previewed::Delete, &body).await
}

pub(super) async fn cleanup(
    connect: impl Fn() -> Result<Client, Error>,
    out: &mut Output,
    args: &CleanupArgs,
) -> Result<Exit, Error> {
    one_key_one_command(&args.names, &args.write)?;
    let names = args.names.iter().map(StagingName::as_str).collect::<Vec<_>>().join(", ");
    let question = format!("This removes everything of {names}, volumes included, and cannot be undone. Go on?");
    if !args.write.dry_run && !args.write.yes && !out.confirm(&question)? {
        out.note("nothing was done");
        return Ok(Exit::Interrupted);
    }
    let body = Cleanup {
        force: args.force,
        archived_for: None,
        reason: args.write.reason.clone(),
        on_behalf: args.write.on_behalf.clone(),
    };
    each(&connect()?, out, &args.names, &args.write, Previewed::Cleanup, &body).await
}

/// Asks for every name, then follows what is under way; the exit code is that of the first that did not go well.
async fn each<B: Serialize + Sync>(
    client: &Client,
    out: &mut Output,
    names: &[StagingName],
    args: &WriteArgs,
    command: Previewed,
    body: &B,
) -> Result<Exit, Error> {
    let deadline = deadline(args);
    let edits = Edits::default();
    let mut exit = Exit::Done;
    let mut sent = Vec::new();
    for name in names {
        let wish = Wish::new(name, command, body, &edits, args)?;
        let asked = if args.dry_run {
            preview::show(client, out, &wish).await.map(|_| None)
        } else {
            send(client, out, &wish, deadline).await.map(Some)
        };
        match asked {
            Ok(answer) => {
                if command == Previewed::Delete && answer.is_some() {
                    out.note(&format!("{name}: volumes kept; undo: dmc restore {name}"));
                }
                sent.extend(answer);
            }
            Err(error @ (Error::Problem { .. } | Error::TimedOut { .. })) if names.len() > 1 => {
                out.note(&format!("{name}:"));
                out.error(&error);
                exit = exit.and(error.exit());
            }
            Err(error) => return Err(error),
        }
    }
    if args.dry_run {
        return Ok(exit);
    }
    Ok(exit.and(follow_all(client, out, args, command, deadline, sent).await?))
}

/// Follows what was accepted, if that is wanted, and prints what came of all.
pub(super) async fn follow_all(
    client: &Client,
    out: &mut Output,
    args: &WriteArgs,
    command: Previewed,
    deadline: std::time::Instant,
    sent: Vec<Answer>,
) -> Result<Exit, Error> {
    let mut exit = Exit::Done;
    let mut answers = Vec::new();
    for answer in sent {
        let (ended, answer) = follow(client, out, verb(command), args, deadline, answer).await?;
        exit = exit.and(ended);
        answers.push(answer);
        if ended == Exit::Interrupted {
            break;
        }
    }
    let names: Vec<_> = answers.iter().map(|answer| answer.staging.clone()).collect();
    out.document(&answers, &names, |_, _| Ok(()))?;
    Ok(exit)
}

fn one_key_one_command(names: &[StagingName], args: &WriteArgs) -> Result<(), Error> {
    if names.len() > 1 && args.idempotency_key.is_some() {
        return Err(Error::usage("--idempotency-key names one command, and several names are several commands"));
    }
    Ok(())
}
