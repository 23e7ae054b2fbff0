//! Who is there: certificates, identities, and the listeners that ask for them.

pub mod certificates;
pub mod identity;
pub mod listener;
mod patience;
pub(crate) mod policy;
pub mod tls;
