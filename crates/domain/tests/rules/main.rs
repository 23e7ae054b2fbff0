//! The rules of a staging's life, each test named after the one it holds.
//!
//! One module per command with its three questions, then tables over every reachable situation, then any sequence of
//! commands against a reference model.

mod apply;
mod cancel;
mod checks;
mod cleanup;
mod create;
mod delete;
mod edits;
mod names;
mod process;
mod properties;

mod rejections;
mod restore;
mod retry;
mod runs;
mod table;

mod update;
