//! What Prometheus is told: counters and times kept by the parts of `dms`, and gauges taken when it asks.
//!
//! Owns the names of all metrics. It must not ask the database itself: the handler of `/metrics` does, and sets the
//! gauges.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// One pair of names and values; the set is small and closed for every metric, so that no request can make it grow.
type Labels = [(&'static str, String); 2];

/// All metrics of this `dms`. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Labels, Counter>,
    commands: Family<Labels, Counter>,
    append: Histogram,
    position: Gauge<u64, AtomicU64>,
    lag: Gauge<u64, AtomicU64>,
    queued: Gauge<u64, AtomicU64>,
    running: Gauge<u64, AtomicU64>,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            commands: Family::default(),
            // 1 ms to 8 s: an append is a round trip to the database and its commit.
            append: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            position: Gauge::default(),
            lag: Gauge::default(),
            queued: Gauge::default(),
            running: Gauge::default(),
        };
        let mut registry = Registry::with_prefix("dm");
        registry.register("requests", "Requests by route and status", metrics.requests.clone());
        registry.register("commands", "Commands of people by verb and result", metrics.commands.clone());
        registry.register_with_unit(
            "append_duration",
            "From a decision to its commit",
            Unit::Seconds,
            metrics.append.clone(),
        );
        registry.register("log_position", "Number of the newest event", metrics.position.clone());
        registry.register(
            "projection_lag_events",
            "Events that the read models have yet to apply",
            metrics.lag.clone(),
        );
        registry.register("runs_queued", "Runs that wait for a slot", metrics.queued.clone());
        registry.register("runs_running", "Runs whose wrapper runs", metrics.running.clone());
        metrics.registry = Arc::new(registry);
        metrics
    }

    /// A request was answered. `route` is the pattern of the route table, never the path of the request.
    pub fn request(&self, route: &str, status: u16) {
        self.requests.get_or_create(&[("route", route.to_owned()), ("status", status.to_string())]).inc();
    }

    /// A command of a person was accepted, quiet, or refused with a code.
    pub fn command(&self, verb: &str, result: &str) {
        self.commands.get_or_create(&[("verb", verb.to_owned()), ("result", result.to_owned())]).inc();
    }

    /// An append was answered.
    pub fn append(&self, duration: Duration) {
        self.append.observe(duration.as_secs_f64());
    }

    /// Where the log ends, and how far behind it the read models are, in events.
    pub fn log(&self, position: i64, lag: i64) {
        self.position.set(u64::try_from(position).unwrap_or(0));
        self.lag.set(u64::try_from(lag).unwrap_or(0));
    }

    /// How many runs wait and how many run.
    pub fn runs(&self, queued: u64, running: u64) {
        self.queued.set(queued);
        self.running.set(running);
    }

    /// Everything in the text format of `OpenMetrics`.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::new();
        metrics.request("/api/v1/stagings/{name}", 404);
        metrics.command("create", "accepted");
        metrics.append(Duration::from_millis(3));
        metrics.log(12, 2);
        metrics.runs(1, 3);
        let text = metrics.encode().expect("metrics can be written");
        for line in [
            "dm_requests_total{route=\"/api/v1/stagings/{name}\",status=\"404\"} 1",
            "dm_commands_total{verb=\"create\",result=\"accepted\"} 1",
            "dm_append_duration_seconds_count 1",
            "dm_log_position 12",
            "dm_projection_lag_events 2",
            "dm_runs_queued 1",
            "dm_runs_running 3",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
