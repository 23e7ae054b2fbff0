//! Configurations, through `dmc`: what is refused before it is accepted, how values reach the cluster, and where charts,
//! links and tags come from.

mod answers;
mod chart;
mod refused;
mod server;
mod silent;
mod types;

/// The product's chart with nothing but its web, and one pod of that, as arguments of a create.
const LEAN: [&str; 7] = [
    "--staging=db.enabled=false",
    "--staging=files.enabled=false",
    "--staging=hook.enabled=false",
    "--staging=cron.enabled=false",
    "--staging=agent.enabled=false",
    "--staging=ingress.enabled=false",
    "--staging=web.replicas=1",
];
