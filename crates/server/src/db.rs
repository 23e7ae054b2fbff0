//! The server's own SQL: leases, output, migrations. No SQL of the server lives elsewhere.

pub mod leases;
pub mod migrate;
pub mod output;
