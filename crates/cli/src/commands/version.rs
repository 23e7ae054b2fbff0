//! `dmc version`: of both sides; without `dms` at least its own.

use dm_api::Version;
use serde::Serialize;

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
    let (url, server) = server.unzip();
    let versions = Versions { client, server };
    out.document(&versions, &[client], |out, _| {
        out.line(&format!("dmc {client}"))?;
        if let (Some(url), Some(Version { version, api })) = (url, &versions.server) {
            out.line(&format!("dms {version} (api {api}) at {url}"))?;
        }
        Ok(())
    })?;
    error.map_or(Ok(Exit::Done), Err)
}

async fn ask(connect: impl Fn() -> Result<Client, Error>) -> Result<(String, Version), Error> {
    let client = connect()?;
    let version = client.get_once("/version", &[]).await?;
    Ok((client.shown(), version))
}
