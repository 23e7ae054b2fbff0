//! Turns the log into tables people read, and says what changed.
//!
//! Owns the tables `projections`, `checkpoints`, `quarantine`, `stagings`, `runs` and `audit`. A projection is a pure fold
//! over rows ([`Projection`]) with a load and a store; [`Projector::step`] applies one batch of events. This crate must not
//! append events, decide anything, know sockets, or read another projection's table.
//!
//! There is no leader: any replica may step, and the checkpoint's row is the lock. Everything a step does is in one
//! transaction with the move of the checkpoint, so each event counts once.

use std::error::Error;

use dm_domain::staging::Event;
use dm_eventstore::{Metadata, Position, ReadError, RecordedEvent, codec};

pub mod audit;
mod checkpoint;
mod loops;
mod projector;
mod quarantine;
mod rebuild;
pub mod runs;
pub mod stagings;
mod step;

pub use projector::{NAMES, Projector};
pub use quarantine::Quarantined;
pub use step::Stepped;

/// A read model as a pure fold. Its key is always the staging: the events of one stream make the rows of one key.
pub trait Projection {
    /// Its name, in the tables `projections` and `checkpoints`, and in `NOTIFY`.
    const NAME: &'static str;

    /// The number of this fold. Raised whenever the fold or the shape of a row changes, and when an event type is added:
    /// then a new generation is filled beside the old one. Until it is complete, this build reads rows of the old
    /// generation, so a field that is added to a row needs a default.
    const VERSION: i32;

    /// What is kept of a staging.
    type Row;

    /// The new row after one more fact; none when the fact changes nothing here. A fact that cannot be applied is poison:
    /// it stops this staging in this read model, and nothing else.
    fn evolve(row: Option<&Self::Row>, fact: &Fact) -> Result<Option<Self::Row>, Poison>;
}

/// An event of a staging, as a projection receives it.
#[derive(Debug)]
pub struct Fact {
    /// As the log holds it.
    pub recorded: RecordedEvent,
    meta: Result<Metadata, Poison>,
    decoded: Result<Event, Poison>,
}

impl Fact {
    /// Decodes what the log holds.
    pub fn read(recorded: RecordedEvent) -> Self {
        let decoded = codec::decode(&recorded).map(|decoded| decoded.event).map_err(|error| Poison::from(&error));
        let meta = codec::meta(&recorded).map_err(|error| Poison::from(&error));
        Self { recorded, meta, decoded }
    }

    /// Its circumstances; poison when they cannot be read.
    pub fn meta(&self) -> Result<&Metadata, Poison> {
        self.meta.as_ref().map_err(Clone::clone)
    }

    /// The event itself; poison when this build cannot read it.
    pub fn event(&self) -> Result<&Event, Poison> {
        self.decoded.as_ref().map_err(Clone::clone)
    }
}

/// Why an event cannot be applied, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Poison(pub String);

impl Poison {
    /// An error and all its sources, as one line.
    fn from(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            source = inner.source();
        }
        Self(text)
    }
}

/// A text as a column of type `text` can hold it: U+0000 cannot be.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Why a read model could not be moved or read.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// The database did not answer.
    #[error("the database is not available")]
    Unavailable(#[from] sqlx::Error),
    /// The log could not be read.
    #[error("the log cannot be read")]
    Log(#[from] ReadError),
    /// The read model has not come to the asked position in time.
    #[error("the read model is at {at}, not yet at {wanted}")]
    Behind {
        /// Where it is.
        at: Position,
        /// Where it was to be.
        wanted: Position,
    },
    /// A row is not what this build writes; a rebuild mends it.
    #[error("a row of {projection} for {key} is damaged")]
    Damaged {
        /// Which read model.
        projection: &'static str,
        /// Which row.
        key: String,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
    /// A step or a wait took longer than it may.
    #[error("the database did not answer in time")]
    TimedOut,
    /// There is no read model of this name.
    #[error("there is no read model {0}")]
    Unknown(String),
}
