//! `tags`: the tags that the registry of the settings has; without one there are none to choose from.

use std::error::Error as _;

use crate::error::{Error, Result};
use crate::registry::{self, Registry};
use crate::settings::Settings;

/// Tags that are listed: more than anybody reads through.
const LIMIT: usize = 1_000;

/// Tag, label and date of each.
pub(crate) fn tags(arguments: &[String]) -> Result<Vec<(String, String, String)>> {
    let [query] = arguments else { return Err(Error::misused("tags wants one argument, the text to look for")) };
    let settings = Settings::load()?;
    if settings.registry.repository.is_empty() {
        return Ok(Vec::new());
    }
    let of_the_settings = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| settings.path(path));
    let registry = Registry {
        repository: settings.registry.repository.clone(),
        plain_http: settings.registry.plain_http,
        ca: of_the_settings(&settings.registry.ca),
        credentials: of_the_settings(&settings.registry.credentials),
        pattern: settings.registry.pattern.clone(),
        limit: LIMIT,
    };
    let tags = registry::list(&registry, query).map_err(|error| {
        let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        Error::failed(format!("{error}{cause}"))
    })?;
    Ok(tags.into_iter().map(|tag| (tag.name, tag.label, tag.created)).collect())
}
