//! The list of what a cleanup removes, in the staging's own object from before anything goes until all has gone.

use std::collections::BTreeMap;

use crate::cluster::object::Object;
use crate::error::{Error, Result};
use crate::say;
use crate::staging::Staging;
use crate::staging::belongings::Item;
use crate::staging::record;

/// Where the list stands in the staging's own object.
const KEY: &str = "cleanup";

/// Who writes it there.
const MANAGER: &str = "dm-cleanup";

/// By UID.
pub(crate) type Items = BTreeMap<String, Item>;

/// The list of a cleanup that did not come to its end.
pub(crate) fn earlier(record: Option<&Object>) -> Result<Items> {
    let Some(text) = record::text(record, KEY) else { return Ok(Items::new()) };
    let items: Vec<Item> = serde_json::from_str(text)
        .map_err(|error| Error::failed(format!("the list of an earlier cleanup cannot be read: {error}")))?;
    say::step("going on with a cleanup that was interrupted");
    Ok(items.into_iter().map(|item| (item.uid.clone(), item)).collect())
}

/// Takes back the list of a cleanup that somebody has given up: the staging lives again.
pub(crate) fn take_back(staging: &Staging, own: Option<&Object>) -> Result<()> {
    if record::text(own, KEY).is_some() {
        staging.kubectl.apply(MANAGER, &record::object(staging, KEY, ""))
    } else {
        Ok(())
    }
}

/// Writes it down.
pub(crate) fn write(staging: &Staging, items: &Items) -> Result<()> {
    let list: Vec<&Item> = items.values().collect();
    let text = serde_json::to_string(&list).map_err(|error| Error::failed(format!("no list can be made: {error}")))?;
    staging.kubectl.apply(MANAGER, &record::object(staging, KEY, &text))
}
