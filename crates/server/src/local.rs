//! What `dms` keeps on the machine it runs on.

pub mod demo_host;
pub mod detached;
pub mod files;
pub mod home;
pub mod postgres;
