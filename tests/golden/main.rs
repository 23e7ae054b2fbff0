//! The stored shape of every event type, and of the circumstances beside it, for ever.
//!
//! `events/<Type>.<schema>.json` are append-only: a new shape is a new schema number with a file of its own, and an old
//! file is what proves that the log of years ago can still be read.

mod events;
mod meta;
