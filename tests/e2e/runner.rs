//! Runs and checks: failures, hanging wrappers, crashes.

mod cancel;
mod changes;
mod clocks;
mod crash;
mod database;
mod flood;
mod full;
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
