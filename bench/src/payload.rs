//! What is appended: a payload of the size of a middling event, and the circumstances as the server makes them.

use anyhow::Result;
use dm_domain::ids::{Actor, CommandId, StagingName, Version};
use dm_eventstore::{Append, BodyMac, Channel, CommandKey, Metadata, NewEvent, StreamId};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The type of the events, in the store and beside it.
pub(crate) const TYPE: &str = "Measured";
/// How many streams each caller writes to, in turn.
pub(crate) const STREAMS: usize = 64;
/// The size of a payload, in bytes of JSON.
const BYTES: usize = 529;

/// A payload.
pub(crate) fn payload() -> Result<Box<RawValue>> {
    let frame = r#"{"text":""}"#.len();
    let text = format!(r#"{{"text":"{}"}}"#, "abcdefgh ".repeat(BYTES).get(..BYTES - frame).unwrap_or_default());
    Ok(RawValue::from_string(text)?)
}

/// The circumstances of a command.
pub(crate) fn metadata(command: Uuid) -> Metadata {
    Metadata {
        actor: Actor("user/anna".to_owned()),
        channel: Channel::Dmc,
        reason: None,
        command_id: CommandId(command),
        correlation_id: Uuid::new_v4(),
        on_behalf: None,
    }
}

/// The streams of one caller, with the version of the newest event of each.
#[derive(Debug)]
pub(crate) struct Streams {
    streams: Vec<(StreamId, Version)>,
    next: usize,
}

impl Streams {
    /// New streams, whose names begin like this.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        let stream = |number| Ok((StreamId::from(&StagingName::parse(&format!("{prefix}-{number}"))?), Version::NONE));
        Ok(Self { streams: (0..STREAMS).map(stream).collect::<Result<_>>()?, next: 0 })
    }

    /// The stream whose turn it is.
    pub(crate) fn turn(&mut self) -> &mut (StreamId, Version) {
        self.next = (self.next + 1) % self.streams.len();
        &mut self.streams[self.next]
    }
}

/// The append of one event to a stream.
pub(crate) fn append(stream: &StreamId, expected: Version, data: Box<RawValue>) -> Append {
    let command = Uuid::new_v4();
    Append {
        stream: stream.clone(),
        expected,
        events: vec![NewEvent { event_type: TYPE, schema: 1, data }],
        meta: metadata(command),
        command: CommandKey { id: CommandId(command), mac: BodyMac([7; 32]) },
        run: None,
        lease: None,
    }
}
