//! `dmc create`.

use dm_api::Create;
use dm_domain::ids::StagingName;
use reqwest::Method;

use crate::args::WriteArgs;
use crate::client::Client;
use crate::commands::print_answer;
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
        on_behalf: None,
    };
    let wish = Wish {
        name,
        verb: "create",
        method: Method::POST,
        path: "/stagings".to_owned(),
        body: &body,
        edits: &edits,
        args,
    };
    let answer = carry_out(&connect()?, out, &wish).await?;
    print_answer(out, answer)
}
