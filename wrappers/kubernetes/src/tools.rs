//! Other programs: how they find the cluster, and how long they may take. It knows no staging.

pub(crate) mod access;
pub(crate) mod both;
pub(crate) mod helm;
pub(crate) mod kubectl;
pub(crate) mod kubedog;
pub(crate) mod process;
pub(crate) mod stop;
