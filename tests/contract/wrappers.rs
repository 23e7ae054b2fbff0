//! A folder of wrappers keeps the contract of `wrappers/README.md`.
//!
//! `promises.rs` holds what every folder promises; `every_folder.rs` tries it on the folder that `DM_TEST_WRAPPERS` names, by default
//! `wrappers/local`, so whoever writes wrappers can run it against theirs (`script/test wrappers DIR`). What is special to the demo is in `local.rs`
//! and `host.rs`.

#![expect(clippy::unwrap_used, reason = "where the surroundings of a test fail, it cannot go on")]

mod every_folder;
mod harness;
mod host;
mod local;
mod promises;
