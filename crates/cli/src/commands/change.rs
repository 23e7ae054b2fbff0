//! `dmc update` and `dmc restore`: both say what to change and leave the rest.

use dm_api::Update;
use reqwest::Method;

use crate::args::ChangeArgs;
use crate::client::Client;
use crate::commands::print_answer;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::overrides::Edits;
use crate::write::{Wish, carry_out};

pub(super) async fn update(
    connect: impl Fn() -> Result<Client, Error>,
    out: &mut Output,
    args: &ChangeArgs,
) -> Result<Exit, Error> {
    let path = format!("/stagings/{}", args.name.name);
    change(connect, out, args, "update", Method::PATCH, path).await
}

pub(super) async fn restore(
    connect: impl Fn() -> Result<Client, Error>,
    out: &mut Output,
    args: &ChangeArgs,
) -> Result<Exit, Error> {
    let path = format!("/stagings/{}/restore", args.name.name);
    change(connect, out, args, "restore", Method::POST, path).await
}

async fn change(
    connect: impl Fn() -> Result<Client, Error>,
    out: &mut Output,
    args: &ChangeArgs,
    verb: &'static str,
    method: Method,
    path: String,
) -> Result<Exit, Error> {
    let mut edits = Edits::read(&args.set, &args.reset)?;
    let body = Update {
        tag: args.tag.clone(),
        set: std::mem::take(&mut edits.set),
        unset: edits.unset.clone(),
        reset: edits.reset.clone(),
        base: None,
        reason: args.write.reason.clone(),
        on_behalf: None,
    };
    let wish = Wish { name: &args.name.name, verb, method, path, body: &body, edits: &edits, args: &args.write };
    let answer = carry_out(&connect()?, out, &wish).await?;
    print_answer(out, answer)
}
