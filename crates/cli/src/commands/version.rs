//! `dmc version`: of both sides; without `dms` at least its own.

use dm_api::Version;
use serde::Serialize;

use crate::args::Format;
use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;

/// The document that `-o json` prints.
#[derive(Serialize)]
struct Versions {
    client: &'static str,
    server: Option<Version>,
}

pub(super) async fn run(connect: impl Fn() -> Result<Client, Error>, out: &mut Output) -> Result<Exit, Error> {
    let client = env!("CARGO_PKG_VERSION");
    let asked = ask(connect).await;
    let (server, error) = match asked {
        Ok(server) => (Some(server), None),
        Err(error) => (None, Some(error)),
    };
    match out.format() {
        Format::Json => out.json(&Versions { client, server: server.map(|(_, version)| version) })?,
        Format::Table | Format::Wide => {
            out.line(&format!("dmc {client}"))?;
            if let Some((url, Version { version, api })) = server {
                out.line(&format!("dms {version} (api {api}) at {url}"))?;
            }
        }
    }
    error.map_or(Ok(Exit::Done), Err)
}

async fn ask(connect: impl Fn() -> Result<Client, Error>) -> Result<(String, Version), Error> {
    let client = connect()?;
    let version = client.get("/version", &[]).await?;
    Ok((client.shown(), version))
}
