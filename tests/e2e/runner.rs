//! Runs and checks: failures, hanging wrappers, crashes.

mod crash;
mod life;
mod shim;
mod trees;
mod values;
mod world;
