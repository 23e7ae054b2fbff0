//! What Prometheus is told: counters and times kept by the parts of `dms`, and gauges taken when it asks.
//!
//! Owns the names of all metrics; `docs/operating.md` says what to make of them. It must not ask the database itself: the
//! handler of `/metrics` does, and sets the gauges.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// One pair of names and values; the set is small and closed for every metric, so that no request can make it grow.
type Labels = [(&'static str, String); 2];

/// A number that is there or not, taken when it is asked for.
type Now = Gauge<u64, AtomicU64>;

/// All metrics of this `dms`. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Labels, Counter>,
    commands: Family<Labels, Counter>,
    append: Histogram,
    runs: Family<Labels, Counter>,
    run: Histogram,
    checks: Family<Labels, Counter>,
    check: Histogram,
    lost: Counter,
    now: Gauges,
}

/// What is taken when Prometheus asks.
#[derive(Debug, Clone, Default)]
struct Gauges {
    position: Now,
    lag: Now,
    queued: Now,
    queued_for: Now,
    running: Now,
    held_runs: Now,
    held_checks: Now,
    database: Now,
    quarantined: Now,
    init: Now,
    memory: Now,
    files: Now,
}

/// What the database knows of the log and of runs, on all replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shared {
    /// The newest event.
    pub position: i64,
    /// How many events the read models have yet to apply.
    pub lag: i64,
    /// How many runs wait for a place.
    pub queued: u64,
    /// How long the oldest of them has waited.
    pub queued_for: Duration,
    /// How many runs have a wrapper that runs.
    pub running: u64,
    /// How many stagings stand still in a read model.
    pub quarantined: u64,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.1, 2.0, 16));
        let mut metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            commands: Family::default(),
            // 1 ms to 8 s: an append is a round trip to the database and its commit.
            append: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            runs: Family::default(),
            // 100 ms to 55 min.
            run: seconds(),
            checks: Family::default(),
            check: seconds(),
            lost: Counter::default(),
            now: Gauges::default(),
        };
        metrics.registry = Arc::new(metrics.registry());
        metrics
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("dm");
        registry.register("build", "The version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("requests", "Requests by route and status", self.requests.clone());
        registry.register("commands", "Commands of people by verb and result", self.commands.clone());
        let seconds = |registry: &mut Registry, name: &str, help: &str, metric: &Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
        };
        seconds(&mut registry, "append_duration", "From a decision to its commit", &self.append);
        registry.register("runs", "Attempts of runs that have ended here, by verb and outcome", self.runs.clone());
        seconds(&mut registry, "run_duration", "From the start of a wrapper to its end, here", &self.run);
        registry.register("checks", "Checks that have ended here, by wrapper and result", self.checks.clone());
        seconds(&mut registry, "check_duration", "From the start of a check to its end, here", &self.check);
        registry.register("runs_lost", "Attempts whose owner was lost, as found here", self.lost.clone());
        let now = &self.now;
        for (name, help, gauge) in [
            ("log_position", "Number of the newest event", &now.position),
            ("projection_lag_events", "Events that the read models have yet to apply", &now.lag),
            ("runs_queued", "Runs that wait for a place, of all replicas", &now.queued),
            ("runs_queued_oldest_seconds", "For how long the oldest of them has waited", &now.queued_for),
            ("runs_running", "Runs whose wrapper runs, of all replicas", &now.running),
            ("runs_here", "Runs that have a place here", &now.held_runs),
            ("checks_here", "Checks that have a place here", &now.held_checks),
            ("database_up", "1 when the database answered just now", &now.database),
            ("projection_quarantined", "Stagings that stand still in a read model", &now.quarantined),
            ("init_done", "1 when the wrapper init has ended well, or there is none", &now.init),
            ("memory_resident_bytes", "Memory of this process", &now.memory),
            ("files_open", "Files and sockets that this process has open", &now.files),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry
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

    /// An attempt of a run has ended here.
    pub fn run(&self, verb: &str, outcome: &str, duration: Duration) {
        self.runs.get_or_create(&[("verb", verb.to_owned()), ("outcome", outcome.to_owned())]).inc();
        self.run.observe(duration.as_secs_f64());
    }

    /// A check has ended here.
    pub fn check(&self, wrapper: &str, result: &str, duration: Duration) {
        self.checks.get_or_create(&[("wrapper", wrapper.to_owned()), ("result", result.to_owned())]).inc();
        self.check.observe(duration.as_secs_f64());
    }

    /// An attempt was found without its owner.
    pub fn lost(&self) {
        self.lost.inc();
    }

    /// What the database says; none: it does not answer, and what it said last stays.
    pub fn shared(&self, shared: Option<Shared>) {
        let now = &self.now;
        now.database.set(u64::from(shared.is_some()));
        let Some(shared) = shared else { return };
        now.position.set(u64::try_from(shared.position).unwrap_or(0));
        now.lag.set(u64::try_from(shared.lag).unwrap_or(0));
        now.queued.set(shared.queued);
        now.queued_for.set(shared.queued_for.as_secs());
        now.running.set(shared.running);
        now.quarantined.set(shared.quarantined);
    }

    /// What has a place here, and whether wrappers may be called.
    pub fn here(&self, runs: usize, checks: usize, init_done: bool) {
        self.now.held_runs.set(runs as u64);
        self.now.held_checks.set(checks as u64);
        self.now.init.set(u64::from(init_done));
    }

    /// What this process takes, as the system says.
    pub fn process(&self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        self.now.memory.set(resident.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) * 1024);
        self.now.files.set(std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64));
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
        metrics.run("update", "failed", Duration::from_secs(3));
        metrics.check("check", "pass", Duration::from_millis(300));
        metrics.lost();
        let (queued, queued_for) = (1, Duration::from_secs(7));
        metrics.shared(Some(Shared { position: 12, lag: 2, queued, queued_for, running: 3, quarantined: 1 }));
        metrics.here(2, 1, true);
        metrics.process();
        let text = metrics.encode().expect("metrics can be written");
        for line in [
            "dm_build_info{version=\"0.1.0\"} 1",
            "dm_requests_total{route=\"/api/v1/stagings/{name}\",status=\"404\"} 1",
            "dm_commands_total{verb=\"create\",result=\"accepted\"} 1",
            "dm_append_duration_seconds_count 1",
            "dm_runs_total{verb=\"update\",outcome=\"failed\"} 1",
            "dm_run_duration_seconds_count 1",
            "dm_checks_total{wrapper=\"check\",result=\"pass\"} 1",
            "dm_check_duration_seconds_count 1",
            "dm_runs_lost_total 1",
            "dm_log_position 12",
            "dm_projection_lag_events 2",
            "dm_runs_queued 1",
            "dm_runs_queued_oldest_seconds 7",
            "dm_runs_running 3",
            "dm_runs_here 2",
            "dm_checks_here 1",
            "dm_database_up 1",
            "dm_projection_quarantined 1",
            "dm_init_done 1",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
        }
        assert!(!text.contains("dm_memory_resident_bytes 0\n") && !text.contains("dm_files_open 0\n"), "{text}");
        metrics.shared(None);
        let text = metrics.encode().expect("metrics can be written");
        assert!(text.contains("dm_database_up 0\n") && text.contains("dm_log_position 12\n"), "the last one stays");
    }
}
