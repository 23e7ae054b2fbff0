//! `dmc retry` and `dmc cancel`: the last run again, and the end of the one under way.

use dm_api::{Cancel, Previewed, Retry};

use crate::args::{CancelArgs, RetryArgs};
use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::overrides::Edits;
use crate::write::{Wish, carry_out};

pub(super) async fn retry(client: &Client, out: &mut Output, args: &RetryArgs) -> Result<Exit, Error> {
    let body = Retry { reason: args.write.reason.clone(), on_behalf: args.write.on_behalf.clone() };
    let edits = Edits::default();
    carry_out(client, out, &Wish::new(&args.name.name, Previewed::Retry, &body, &edits, &args.write)?).await
}

pub(super) async fn cancel(client: &Client, out: &mut Output, args: &CancelArgs) -> Result<Exit, Error> {
    let body = Cancel { run: args.run, reason: args.write.reason.clone(), on_behalf: args.write.on_behalf.clone() };
    let edits = Edits::default();
    carry_out(client, out, &Wish::new(&args.name.name, Previewed::Cancel, &body, &edits, &args.write)?).await
}
