//! Keeps the log: appends at an expected version, reads in order, wakes readers.
//!
//! This crate owns the tables `events`, `commands` and `log_head`, the only function that writes them, and the one loop
//! that turns a command into events ([`EventStore::transact`]). It must not know a business rule, look inside an event
//! outside [`codec`], or know that HTTP exists. It never updates or deletes an event.

pub mod codec;
pub mod envelope;
pub mod error;
mod notifications;
mod outage;
mod pool;
mod postgres;
mod transact;

pub use envelope::{
    Append, BodyMac, Channel, CommandKey, Head, LeaseOp, Metadata, NewEvent, Page, Position, Receipt, RecordedEvent,
    StreamId,
};
pub use error::{AppendError, DecodeError, ReadError, TransactError};
pub use notifications::Notifications;
pub use outage::Outage;
pub use pool::{Link, Pool};
pub use postgres::{Config, EventStore};
pub use transact::{Loaded, Transaction};
