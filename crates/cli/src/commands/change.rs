//! `dmc update`, `dmc restore` and `dmc apply`: each says what to change and leaves the rest.

use dm_api::{Apply, Previewed, Update};

use crate::args::{ApplyArgs, ChangeArgs};
use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::overrides::Edits;
use crate::write::{Wish, carry_out};

pub(super) async fn change(
    connect: impl Fn() -> Result<Client, Error>,
    out: &mut Output,
    args: &ChangeArgs,
    command: Previewed,
) -> Result<Exit, Error> {
    let mut edits = Edits::read(&args.set, &args.reset)?;
    let body = Update {
        tag: args.tag.clone(),
        set: std::mem::take(&mut edits.set),
        unset: edits.unset.clone(),
        reset: edits.reset.clone(),
        base: args.base.base,
        reason: args.write.reason.clone(),
        on_behalf: args.write.on_behalf.clone(),
    };
    carry_out(&connect()?, out, &Wish::new(&args.name.name, command, &body, &edits, &args.write)?).await
}

pub(super) async fn apply(
    connect: impl Fn() -> Result<Client, Error>,
    out: &mut Output,
    args: &ApplyArgs,
) -> Result<Exit, Error> {
    let mut edits = Edits::read(&args.set, &args.reset)?;
    let body = Apply {
        tag: args.tag.clone(),
        set: std::mem::take(&mut edits.set),
        unset: edits.unset.clone(),
        reset: edits.reset.clone(),
        always: args.always,
        base: args.base.base,
        reason: args.write.reason.clone(),
        on_behalf: args.write.on_behalf.clone(),
    };
    carry_out(&connect()?, out, &Wish::new(&args.name.name, Previewed::Apply, &body, &edits, &args.write)?).await
}
