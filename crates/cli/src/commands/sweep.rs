//! `dmc cleanup --archived-for AGE`: everything that has been archived for long, oldest first. What an hourly job runs.
//!
//! `dms` judges the age again at each one, so a staging that was restored meanwhile, or archived anew, stays; that is no
//! failure. Several of these may run at once.

use std::time::Duration;

use dm_api::{Cleanup, Previewed, Staging};
use dm_domain::ids::StagingName;

use crate::args::{CleanupArgs, ListArgs};
use crate::client::Client;
use crate::commands::delete::follow_all;
use crate::commands::list;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::overrides::Edits;
use crate::write::{Wish, deadline, send};

pub(super) async fn run(client: &Client, out: &mut Output, args: &CleanupArgs, age: Duration) -> Result<Exit, Error> {
    if args.write.idempotency_key.is_some() {
        return Err(Error::usage("--idempotency-key names one command, and --archived-for may be several"));
    }
    let old = oldest(client, args, age).await?;
    if old.is_empty() {
        out.note("nothing has been archived for that long");
    }
    if args.write.dry_run {
        let names: Vec<_> = old.iter().map(|staging| &staging.name).collect();
        out.document(&old, &names, |out, _| {
            names.iter().try_for_each(|name| out.line(&format!("{name}: would be cleaned up")))
        })?;
        return Ok(Exit::Done);
    }
    let names = old.iter().map(|staging| staging.name.as_str()).collect::<Vec<_>>().join(", ");
    let question = format!("This removes everything of {names}, volumes included, and cannot be undone. Go on?");
    if !old.is_empty() && !args.write.yes && !out.confirm(&question)? {
        out.note("nothing was done");
        return Ok(Exit::Interrupted);
    }
    let body = Cleanup {
        force: false,
        archived_for: Some(age.as_secs()),
        reason: args.write.reason.clone(),
        on_behalf: args.write.on_behalf.clone(),
    };
    let (deadline, edits) = (deadline(&args.write), Edits::default());
    let (mut sent, mut exit) = (Vec::new(), Exit::Done);
    for staging in &old {
        let name = StagingName::parse(&staging.name)
            .map_err(|invalid| Error::Unexpected { url: client.shown(), cause: invalid.to_string() })?;
        let wish = Wish::new(&name, Previewed::Cleanup, &body, &edits, &args.write)?;
        match send(client, out, &wish, deadline).await {
            Ok(answer) => sent.push(answer),
            Err(error) if is_no_longer_meant(&error) => out.note(&format!("{name}: left alone: {error}")),
            Err(error @ Error::Problem { .. }) => {
                out.error(&error);
                exit = exit.and(error.exit());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(exit.and(follow_all(client, out, &args.write, Previewed::Cleanup, deadline, sent).await?))
}

async fn oldest(client: &Client, args: &CleanupArgs, age: Duration) -> Result<Vec<Staging>, Error> {
    let wanted = ListArgs {
        status: Vec::new(),
        text: None,
        archived: false,
        archived_for: Some(age),
        sort: "archived".to_owned(),
        limit: args.limit,
    };
    list::all(client, &wanted).await
}

/// Whether it was restored, archived anew, cleaned up by somebody else, or is being so.
fn is_no_longer_meant(error: &Error) -> bool {
    let Error::Problem { problem, .. } = error else { return false };
    matches!(problem.code.as_str(), "staging_not_found" | "too_young" | "wrong_status" | "busy")
}
