//! What `dms` keeps on the machine it runs on.

pub mod detached;
pub mod home;
pub mod postgres;
