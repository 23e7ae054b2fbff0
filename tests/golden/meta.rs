//! The circumstances that every event carries, read into the values that they mean and written back to the same JSON.

use std::path::PathBuf;

use anyhow::{Context, Result};
use dm_domain::ids::{Actor, CommandId, Comment};
use dm_eventstore::{Channel, Metadata};
use serde_json::Value as Json;
use uuid::Uuid;

fn of(actor: Actor, channel: Channel, reason: Option<Comment>, on_behalf: Option<String>) -> Metadata {
    let id = |last: u128| Uuid::from_u128(0x0197_a000_0000_7000_8000_0000_0000_0000 + last);
    Metadata { actor, channel, reason, command_id: CommandId(id(3)), correlation_id: id(4), on_behalf }
}

#[test]
fn the_circumstances_of_an_event_are_stored_as_their_golden_files_say() -> Result<()> {
    let reason = Comment::parse("the demo is at noon")?;
    let person = of(Actor("admin/anna".to_owned()), Channel::Dmc, Some(reason), Some("the shop team".to_owned()));
    let system = of(Actor::system(), Channel::System, None, None);
    for (file, meta) in [("person", person), ("system", system)] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/meta/{file}.json"));
        let stored: Json = serde_json::from_str(&std::fs::read_to_string(path).context(file)?)?;
        assert_eq!(serde_json::to_value(&meta)?, stored, "{file} is written in another way");
        assert_eq!(serde_json::from_value::<Metadata>(stored)?, meta, "{file} is read as something else");
    }
    Ok(())
}

#[test]
fn every_door_is_stored_under_its_own_name_and_what_a_later_build_adds_is_left_alone() -> Result<()> {
    for (channel, stored) in [(Channel::Dmc, "dmc"), (Channel::Ui, "ui"), (Channel::System, "system")] {
        assert_eq!(serde_json::to_value(channel)?, Json::from(stored));
    }
    let meta = of(Actor::system(), Channel::Ui, None, None);
    let mut later = serde_json::to_value(&meta)?;
    later["token"] = Json::from("of a later build");
    assert_eq!(serde_json::from_value::<Metadata>(later)?, meta);
    Ok(())
}
