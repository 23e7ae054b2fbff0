//! What the API server knows: objects, where they are, and how far those that run pods have come. It changes nothing.

pub(crate) mod object;
pub(crate) mod paths;
pub(crate) mod pods;
pub(crate) mod workload;
