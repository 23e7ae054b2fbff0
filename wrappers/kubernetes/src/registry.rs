//! The tags of an image, as its registry lists them.
//!
//! Asks a registry by the distribution protocol (`/v2/NAME/tags/list`) and orders what it says. It decides nothing about
//! stagings, prints nothing, and ends in less than the 20 s that `dms` gives the verb `tags`.

mod auth;
mod client;
mod credentials;
mod order;
mod repository;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Deserialize;

use client::Client;
use repository::Repository;

/// For all that is asked of registry and token server together.
const TIME: Duration = Duration::from_secs(15);
/// For one answer of either.
const CALL: Duration = Duration::from_secs(10);
/// Most that are read; what a registry lists after them is not seen.
const MOST_TAGS: usize = 10_000;
const MOST_PAGES: usize = 100;

/// Where tags are listed, and which of them: a section of the settings.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registry {
    /// `registry.example.org/team/app`; empty where there is none.
    pub(crate) repository: String,
    /// Whether to ask without TLS. A registry of this machine is asked so without it, unless it has a `ca`.
    pub(crate) plain_http: bool,
    /// Certificates, as PEM, to trust in place of those that the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// The `config.json` of docker, which is also what a pull secret of Kubernetes holds.
    pub(crate) credentials: Option<PathBuf>,
    /// What the whole tag must look like: `*` is any text, `?` any character.
    pub(crate) pattern: Option<String>,
}

/// Why there are no tags.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TagsError {
    /// The setting is none.
    #[error("registry.repository is {value:?}, but must be HOST/NAME such as registry.example.org/team/app: {rule}")]
    Repository {
        /// What was set.
        value: String,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// A file of the settings cannot be read.
    #[error("{setting}: {path} cannot be read")]
    Unreadable {
        /// Which setting names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the settings holds something else.
    #[error("{setting}: {path} {wrong}")]
    File {
        /// Which setting names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        wrong: String,
    },
    /// No answer came.
    #[error("{host} gave no answer")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// All answers together took too long.
    #[error("{host} took more than {} s to list its tags", TIME.as_secs())]
    TooSlow {
        /// Who was asked.
        host: String,
    },
    /// It refused.
    #[error("{host} refused to list the tags of {name}: {status}{cause}")]
    Refused {
        /// Who was asked.
        host: String,
        /// For which repository.
        name: String,
        /// The status of its answer.
        status: u16,
        /// What it said of it.
        cause: String,
    },
    /// What came is no answer of a registry.
    #[error("{host} does not answer like a registry: {what}")]
    Strange {
        /// Who was asked.
        host: String,
        /// What is strange.
        what: String,
    },
}

/// The tags that contain `query`, those that look newest first. No more than the registry's first 10,000 are looked at.
pub(crate) fn list(registry: &Registry, query: &str) -> Result<Vec<String>, TagsError> {
    list_until(registry, query, Instant::now() + TIME)
}

fn list_until(registry: &Registry, query: &str, deadline: Instant) -> Result<Vec<String>, TagsError> {
    let repository = Repository::parse(&registry.repository)?;
    let mut tags = read_all(&mut Client::new(&repository, registry, deadline)?, &repository)?;
    let fits = |tag: &str| registry.pattern.as_deref().is_none_or(|pattern| order::matches(pattern, tag));
    tags.retain(|tag| is_tag(tag) && tag.contains(query) && fits(tag));
    tags.sort_unstable_by(|one, other| order::newest_first(one, other));
    tags.dedup();
    Ok(tags)
}

fn read_all(client: &mut Client<'_>, repository: &Repository) -> Result<Vec<String>, TagsError> {
    let mut tags = Vec::new();
    let mut next = Some(format!("/v2/{}/tags/list?n=1000", repository.name));
    for _ in 0..MOST_PAGES {
        let Some(path) = next.take().filter(|_| tags.len() < MOST_TAGS) else { break };
        let page = client.page(&path)?;
        tags.extend(page.tags);
        next = page.next;
    }
    tags.truncate(MOST_TAGS);
    Ok(tags)
}

/// Whether DM takes it for a tag; a registry may list what no staging can have.
fn is_tag(text: &str) -> bool {
    let may_hold = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(may_hold)
}
