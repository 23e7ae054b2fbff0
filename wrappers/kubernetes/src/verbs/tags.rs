//! `tags`: the tags that the registry of the settings has; without one there are none to choose from.

use std::error::Error as _;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::registry::{self, Registry};
use crate::settings::Settings;

/// Tags that are listed: more than anybody reads through.
const TAGS_MAX: usize = 1_000;

/// Tag, label and date of each, as the contract has them.
pub(crate) fn tags(arguments: &[String]) -> Result<Vec<(String, &'static str, &'static str)>> {
    let [query] = arguments else { return Err(Error::misused("tags wants one argument, the text to look for")) };
    let settings = Settings::load()?;
    if settings.registry.repository.is_empty() {
        return Ok(Vec::new());
    }
    let of_the_settings = |path: &PathBuf| settings.path(path);
    let registry = Registry {
        ca: settings.registry.ca.as_ref().map(of_the_settings),
        credentials: settings.registry.credentials.as_ref().map(of_the_settings),
        ..settings.registry.clone()
    };
    let tags = registry::list(&registry, query).map_err(|error| {
        let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        Error::failed(format!("{error}{cause}"))
    })?;
    // A registry keeps no words about a tag; to know when one was made, each image had to be asked, one after the other.
    Ok(tags.into_iter().take(TAGS_MAX).map(|tag| (tag, "", "")).collect())
}
