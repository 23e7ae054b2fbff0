//! `dmc open`: prints a link on stdout, and opens it where there is a display.

use std::process::{Command, Stdio};

use dm_api::{Link, Staging};
use dm_domain::ids::StagingName;

use crate::client::Client;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::output::harmless::harmless;
use crate::wait::with_links;

pub(super) async fn run(
    client: &Client,
    out: &mut Output,
    name: &StagingName,
    wanted: Option<&str>,
    print: bool,
) -> Result<Exit, Error> {
    let staging = with_links(client, name).await?;
    let link = choose(&staging, wanted)?;
    out.document(link, &[&link.name], |out, _| out.line(&harmless(&link.url)))?;
    let web = link.url.starts_with("http://") || link.url.starts_with("https://");
    if !print && web && out.is_terminal() && has_display() {
        open(&link.url, out);
    }
    Ok(Exit::Done)
}

fn choose<'a>(staging: &'a Staging, wanted: Option<&str>) -> Result<&'a Link, Error> {
    let name = &staging.name;
    let found = match wanted {
        Some(wanted) => staging.links.iter().find(|link| link.name == wanted),
        None => staging.links.first(),
    };
    let links = staging.links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| match wanted {
        Some(wanted) if !links.is_empty() => Error::NotFound {
            message: format!("{name} has no link '{wanted}'"),
            hint: Some(format!("it has: {links}")),
        },
        _ => Error::NotFound {
            message: match &staging.links_cause {
                Some(cause) => format!("the links of {name} are not known: {cause}"),
                None => format!("{name} has no link"),
            },
            hint: Some(format!("`dmc info {name}` shows its status")),
        },
    })
}

fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// Hands the link to the desktop and goes on: a browser may outlive us by days.
fn open(url: &str, out: &mut Output) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started =
        Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = started {
        out.note(&format!("it cannot be opened here: {program}: {error}"));
    }
}
