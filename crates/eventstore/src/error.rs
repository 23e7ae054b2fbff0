//! What can go wrong with the log, by what the caller can do about it.

use std::sync::Arc;

use dm_domain::ids::Version;
use dm_domain::staging::Rejection;

use crate::envelope::Position;

/// Why nothing was appended, or why it is not known whether it was.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream has moved on: load and decide again.
    #[error("the stream is at version {actual} already")]
    Conflict {
        /// Its version now.
        actual: Version,
    },
    /// The lease is not as the append needs it.
    #[error("the staging's lease is held by somebody else, or was lost")]
    Lease,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// More work is waiting than may wait: try again later.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The database did not take it: nothing was appended.
    #[error("the database is not available")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// The database's answer was lost: ask again by command id before saying anything.
    #[error("the outcome is not known")]
    Unknown(#[source] Arc<sqlx::Error>),
}

impl AppendError {
    pub(crate) fn unavailable(error: sqlx::Error) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database did not answer.
    #[error("the database is not available")]
    Unavailable(#[from] sqlx::Error),
    /// It answered with something that this build cannot read.
    #[error("an event cannot be read")]
    Decode(#[from] DecodeError),
}

/// Why an event's payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A type or a shape that this build does not know; it is kept, and its stream is not decided on.
    #[error("event {position} has type {event_type} in schema {schema}, which this build does not know")]
    UnknownType {
        /// Where.
        position: Position,
        /// Its type.
        event_type: String,
        /// Its shape.
        schema: i16,
    },
    /// The payload does not have the shape that its schema number promises.
    #[error("event {position} of type {event_type} in schema {schema} is damaged")]
    Damaged {
        /// Where.
        position: Position,
        /// Its type.
        event_type: String,
        /// Its shape.
        schema: i16,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum TransactError {
    /// The domain says no, judged on the newest version.
    #[error("refused")]
    Rejected(#[source] Box<Rejection>),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The lease is not as the command needs it.
    #[error("the staging's lease is held by somebody else, or was lost")]
    Lease,
    /// Others were faster, again and again: try again later.
    #[error("the staging changes too fast")]
    Contended,
    /// More work is waiting than may wait: try again later.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The stream has an event that this build cannot read, so nothing is decided on it.
    #[error("the staging's history cannot be read by this build")]
    Unreadable(#[source] DecodeError),
    /// The database is away; nothing was appended.
    #[error("the database is not available")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// The database is away, and it is not known whether the command was carried out: the same key tells later.
    #[error("the outcome is not known yet")]
    Unknown(#[source] Arc<sqlx::Error>),
}

impl From<AppendError> for TransactError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict { .. } => Self::Contended,
            AppendError::Lease => Self::Lease,
            AppendError::KeyReused => Self::KeyReused,
            AppendError::Overloaded => Self::Overloaded,
            AppendError::Unavailable(error) => Self::Unavailable(error),
            AppendError::Unknown(error) => Self::Unknown(error),
        }
    }
}

impl From<ReadError> for TransactError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(error) => Self::Unavailable(Arc::new(error)),
            ReadError::Decode(error) => Self::Unreadable(error),
        }
    }
}
