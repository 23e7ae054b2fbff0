//! What the tests share: databases, processes, servers. Reaches into no private state and never sleeps.
#![expect(clippy::missing_panics_doc, reason = "a panic in a helper of tests is a test that fails")]

pub mod cluster;
pub mod dms;
pub mod eventually;
pub mod kubernetes;
pub mod postgres;
pub mod processes;
pub mod proxy;
pub mod rack;
pub mod tls;
pub mod tripwire;
