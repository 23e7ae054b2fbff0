//! One file for each verb, or for those that are one. They know what to do in which order; how, the other rooms know.

pub(crate) mod apply;
pub(crate) mod archive;
pub(crate) mod archive_check;
pub(crate) mod check;
pub(crate) mod cleanup;
pub(crate) mod config_check;
pub(crate) mod defaults;
pub(crate) mod info;
pub(crate) mod tags;
