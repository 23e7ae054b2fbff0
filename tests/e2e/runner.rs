//! Runs and checks: failures, hanging wrappers, crashes.

mod cancel;
mod clocks;
mod crash;
mod database;
mod full;
mod flood;
mod hostile;
mod init;
mod life;
mod many;
mod outage;
mod shim;
mod stopping;
mod trees;
mod values;

use super::world;
