//! The rules of the house that a machine can check.

mod architecture;
mod files;
mod imports;
mod lifecycle;
mod tree;
