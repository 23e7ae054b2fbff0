//! Runs and checks: failures, hanging wrappers, crashes.

mod crash;
mod init;
mod life;
mod shim;
mod trees;
mod values;
mod world;
