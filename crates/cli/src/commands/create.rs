//! `dmc create`.

use dm_api::{Create, Previewed};
use dm_domain::ids::StagingName;

use crate::args::WriteArgs;
use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::overrides::{Edits, ResetArgs, SetArgs};
use crate::write::{Wish, carry_out};

pub(super) async fn run(
    connect: impl Fn() -> Result<Client, Error>,
    out: &mut Output,
    name: &StagingName,
    tag: String,
    set: &SetArgs,
    args: &WriteArgs,
) -> Result<Exit, Error> {
    let mut edits = Edits::read(set, &ResetArgs::default())?;
    let body = Create {
        name: name.to_string(),
        tag,
        set: std::mem::take(&mut edits.set),
        unset: edits.unset.clone(),
        reason: args.reason.clone(),
        on_behalf: args.on_behalf.clone(),
    };
    carry_out(&connect()?, out, &Wish::new(name, Previewed::Create, &body, &edits, args)?).await
}
