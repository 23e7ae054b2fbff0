//! Keeps the leases of this `dms` alive, and tells their shims; takes the database's time on the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dm_eventstore::Outage;

use super::Inner;
use super::boottime::Moment;
use crate::db::leases;

/// How soon a renewal that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Renews for ever.
pub(crate) async fn renew(inner: Arc<Inner>) {
    let times = &inner.times;
    let mut outage = Outage::default();
    loop {
        // Both before the question is sent: an answer that takes long must not stretch a lease.
        let (asked, moment) = (Instant::now(), Moment::now());
        let stagings = inner.held.stagings();
        let renewal = leases::renew(&inner.pool, inner.owner, &stagings, times.lease_ttl);
        let failed = match tokio::time::timeout(times.lease_renewal, renewal).await {
            Ok(Ok(renewed)) => {
                inner.clock.observe(asked, renewed.now);
                let deadline = moment.after(inner.lease_life());
                for staging in &renewed.stagings {
                    inner.held.move_deadline(staging, deadline);
                }
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the database does not answer".to_owned()),
        };
        match &failed {
            Some(error) if outage.begins() => tracing::warn!(error, "leases cannot be renewed"),
            None if outage.ends() => tracing::info!("leases are renewed again"),
            Some(_) | None => {}
        }
        tokio::time::sleep(if failed.is_some() { TRY_AGAIN.min(times.lease_renewal) } else { times.lease_renewal })
            .await;
    }
}
