//! What each part promises its neighbours, tried on real parts: the log, the read models, wrappers.

mod eventstore;
mod projector;
mod wrappers;
