//! Handlers: wire type in, domain command or query, wire type out. Thin; no rule lives here.

pub(crate) mod answer;
pub(crate) mod asked;
pub(crate) mod body;
pub(crate) mod commands;
pub(crate) mod context;
pub(crate) mod flow;
pub(crate) mod input;
pub(crate) mod json;
pub(crate) mod openapi;
pub(crate) mod preview;
pub(crate) mod probes;
pub(crate) mod query;
pub(crate) mod reading;
pub(crate) mod row;
pub(crate) mod runs;
pub(crate) mod service;
pub(crate) mod stagings;
pub(crate) mod tags;
pub(crate) mod violations;
