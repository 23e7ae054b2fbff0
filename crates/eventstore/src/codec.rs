//! Events to and from their stored form: the only place outside the domain that knows their shapes.
//!
//! The stored form is the domain's serde form, `{"type": .., "data": ..}`, taken apart into columns. A retired shape gets
//! an upcaster in [`decode`], from its schema number to the next one.

use dm_domain::ids::RunId;
use dm_domain::staging::{Event, Recorded};
use serde_json::value::{RawValue, to_raw_value};

use crate::envelope::{Metadata, NewEvent, RecordedEvent};
use crate::error::DecodeError;

/// The shape in which every type is written.
const SCHEMA: i16 = 1;

/// The names of the event types. A new variant does not compile until it is named here.
macro_rules! event_types {
    ($($name:ident),+ $(,)?) => {
        #[cfg(test)]
        const TYPES: &[&str] = &[$(stringify!($name)),+];

        fn take_apart(event: &Event) -> Result<(&'static str, Box<RawValue>), serde_json::Error> {
            match event {
                $(Event::$name(data) => Ok((stringify!($name), to_raw_value(data)?)),)+
            }
        }

        /// The event of a type, read from its payload alone; none when no type has this name.
        fn put_together(event_type: &str, data: &RawValue) -> Option<Result<Event, serde_json::Error>> {
            $(if event_type == stringify!($name) {
                return Some(serde_json::from_str(data.get()).map(Event::$name));
            })+
            None
        }

        /// The run that an event names; every event names one.
        pub fn run(event: &Event) -> RunId {
            match event {
                $(Event::$name(data) => data.run,)+
            }
        }
    };
}

event_types![
    CreateRequested,
    UpdateRequested,
    RestoreRequested,
    DeleteRequested,
    CleanupRequested,
    RetryRequested,
    RequestWithdrawn,
    CancelRequested,
    RunStarted,
    RunFinished,
    RunInterrupted,
    BecameRunning,
    BecameArchived,
    CleanedUp,
    Failed,
    CheckFailed,
    CheckPassed,
    BecameUnreadable,
    BecameReadable,
    LinksRead,
];

/// The stored form of an event.
///
/// # Panics
/// Never: events are plain data with text keys, and those have a JSON form.
pub fn encode(event: &Event) -> NewEvent {
    let (event_type, data) = take_apart(event).expect("invariant: events are plain data with text keys");
    NewEvent { event_type, schema: SCHEMA, data }
}

/// The event behind its stored form, upcast from an older shape where needed.
pub fn decode(recorded: &RecordedEvent) -> Result<Recorded, DecodeError> {
    let (position, schema) = (recorded.position, recorded.schema);
    let event_type = recorded.event_type.as_str();
    let unknown = || DecodeError::UnknownType { position, event_type: event_type.to_owned(), schema };
    if schema != SCHEMA {
        return Err(unknown());
    }
    let event = put_together(event_type, &recorded.data).ok_or_else(unknown)?;
    let event = event.map_err(|source| damaged(recorded, source))?;
    Ok(Recorded { version: recorded.version, at: recorded.at, actor: meta(recorded)?.actor, event })
}

/// The circumstances of an event, whether or not its payload can be read.
pub fn meta(recorded: &RecordedEvent) -> Result<Metadata, DecodeError> {
    serde_json::from_str(recorded.meta.get()).map_err(|source| damaged(recorded, source))
}

fn damaged(recorded: &RecordedEvent, source: serde_json::Error) -> DecodeError {
    let RecordedEvent { position, schema, .. } = *recorded;
    DecodeError::Damaged { position, event_type: recorded.event_type.clone(), schema, source }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use dm_domain::ids::{Actor, CommandId, Version};
    use uuid::Uuid;

    use super::*;
    use crate::envelope::{Channel, Position, StreamId};

    fn circumstances() -> Metadata {
        Metadata {
            actor: Actor("user/test".to_owned()),
            channel: Channel::Dmc,
            reason: None,
            command_id: CommandId(Uuid::nil()),
            correlation_id: Uuid::nil(),
            on_behalf: None,
        }
    }

    fn recorded(event_type: &str, schema: i16, data: Box<RawValue>) -> RecordedEvent {
        RecordedEvent {
            position: Position(7),
            stream: StreamId::from_log("a".to_owned()),
            version: Version(3),
            event_type: event_type.to_owned(),
            schema,
            data,
            meta: to_raw_value(&circumstances()).unwrap(),
            at: DateTime::<Utc>::UNIX_EPOCH,
        }
    }

    /// A payload with every field that any type needs.
    fn event(event_type: &str) -> Event {
        let run = Uuid::from_u128(1);
        let outcome = r#"{"not_started":"no such file: \"x\"\n"}"#;
        let reason = match event_type {
            "RunInterrupted" => "\"owner_lost\"",
            _ => "\"run_failed\"",
        };
        let data = format!(
            r#"{{"run":"{run}","attempt":2,"tag":"1e10","set":{{}},"unset":{{"app":["a"]}},"reset":{{}},
                 "effective":{{"app":{{"k":{{"text":" $\n\u00e9"}}}}}},"status_timeout_ms":300000,"force":true,
                 "verb":"update","status":"Archived","reason":{reason},"configuration_version":1,"last_run":null,
                 "owner":{{"id":"{run}","start":4}},"executable":"/w","time_limit_ms":1000,"ask":false,
                 "outcome":{outcome},"cause":"c","code":3,"links":{{"found":[{{"name":"n","url":"u"}}]}}}}"#
        );
        put_together(event_type, &RawValue::from_string(data).unwrap()).unwrap().unwrap()
    }

    #[test]
    fn every_type_survives_encode_and_decode() {
        for event_type in TYPES {
            let event = event(event_type);
            let stored = encode(&event);
            assert_eq!((stored.event_type, stored.schema), (*event_type, 1));
            assert_eq!(event.type_name(), *event_type);
            assert_eq!(run(&event), RunId(Uuid::from_u128(1)));

            let read = decode(&recorded(stored.event_type, stored.schema, stored.data)).unwrap();
            assert_eq!(read.event, event);
            assert_eq!((read.version, read.at), (Version(3), DateTime::<Utc>::UNIX_EPOCH));
            assert_eq!(read.actor, Actor("user/test".to_owned()));
        }
    }

    #[test]
    fn the_stored_payload_is_the_data_of_the_serialised_event() {
        for event_type in TYPES {
            let event = event(event_type);
            let whole = serde_json::to_value(&event).unwrap();
            let data: serde_json::Value = serde_json::from_str(encode(&event).data.get()).unwrap();
            assert_eq!(whole, serde_json::json!({"type": event_type, "data": data}));
        }
    }

    #[test]
    fn an_unknown_type_or_shape_is_not_guessed() {
        let data = || encode(&event("BecameRunning")).data;
        for (event_type, schema) in [("BecameRunning", 2), ("BecameRunning", 0), ("BecameHappy", 1), ("", 1)] {
            let error = decode(&recorded(event_type, schema, data())).unwrap_err();
            let DecodeError::UnknownType { position, event_type: named, schema: numbered } = error else {
                panic!("{error:?}")
            };
            assert_eq!((position, named.as_str(), numbered), (Position(7), event_type, schema));
        }
    }

    #[test]
    fn a_payload_that_breaks_its_promise_is_damaged() {
        for data in ["{}", "null", "[1]", r#"{"run":"x","attempt":1}"#] {
            let data = RawValue::from_string(data.to_owned()).unwrap();
            let error = decode(&recorded("BecameRunning", 1, data)).unwrap_err();
            assert!(matches!(error, DecodeError::Damaged { position: Position(7), .. }), "{error:?}");
        }
    }

    #[test]
    fn circumstances_that_cannot_be_read_are_damage_of_that_event() {
        let readable = recorded("BecameRunning", 1, encode(&event("BecameRunning")).data);
        assert_eq!(meta(&readable).unwrap(), circumstances());
        for damage in ["{}", "null", r#"{"actor":1}"#] {
            let meta = RawValue::from_string(damage.to_owned()).unwrap();
            let error = decode(&RecordedEvent { meta, ..readable.clone() }).unwrap_err();
            assert!(matches!(error, DecodeError::Damaged { position: Position(7), .. }), "{error:?}");
        }
    }
}
