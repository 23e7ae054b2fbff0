//! DM on a real Kubernetes control plane; `script/test kubernetes` runs these.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails by a panic")]

mod bench;
mod config;
mod contract;
mod faults;
mod hand;
mod kills;
mod life;
mod outages;
mod plane;
mod program;
mod rights;
mod rollouts;
mod world;
