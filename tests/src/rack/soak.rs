//! The long run: five hundred stagings under a steady stream of commands, with checks and random kills, and a look at
//! everything once a second.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinSet;

use crate::dms::Setup;
use crate::eventually::pause;
use crate::processes::{self, memory, parent};
use crate::rack::Rack;
use crate::rack::client::Command;
use crate::rack::dice::Dice;
use crate::rack::load::Load;
use crate::rack::scenario::{Behaviour, Scenario};

/// How many stagings there are.
pub const STAGINGS: usize = 500;
/// How many commands are sent each second.
pub const PER_SECOND: u64 = 5;
/// Between two faults, at least and at most, in seconds.
const BETWEEN: (u64, u64) = (15, 40);
/// How long a `dms` is frozen, in seconds: for longer than its leases live.
const FROZEN: u64 = 15;

/// What was seen in one second.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Since the start, in seconds.
    pub second: u64,
    /// Resident memory of each `dms`, in KiB; 0 while it is not there.
    pub memory_kib: Vec<u64>,
    /// Open files of each `dms`.
    pub files: Vec<usize>,
    /// Events that the read models have yet to apply; none while the database does not say.
    pub lag: Option<i64>,
    /// Commands that were settled in this second, and how long 99 of 100 of them took at most.
    pub settled: usize,
    /// See `settled`.
    pub p99: Option<Duration>,
    /// What was done to whom.
    pub fault: Option<String>,
}

/// What was done, by kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// `dms` that were killed.
    pub kills: usize,
    /// `dms` that were frozen.
    pub stops: usize,
    /// Shims that were killed.
    pub shims: usize,
}

/// Short runs, shorter checks, and five stagings of which each check hangs.
pub fn scenario(seed: u64) -> Scenario {
    Scenario {
        seed,
        runs: Behaviour { lasts_ms: (50, 2_000), deaf: 20, children: 1, fails: 5 },
        checks: Behaviour { lasts_ms: (5, 50), deaf: 5, children: 0, fails: 1 },
        hanging: names().into_iter().take(5).collect(),
        beat_ms: 50,
    }
}

/// Leases of ten seconds, everything else as by default.
pub fn setup(setup: Setup) -> Setup {
    setup.argument("--lease-ttl=10s").argument("--lease-renewal=1s").argument("--status-timeout=30s")
}

/// The stagings of the long run.
pub fn names() -> Vec<String> {
    (0..STAGINGS).map(|number| format!("s-{number:03}")).collect()
}

/// Creates all stagings, a few at a time.
///
/// # Panics
/// When a client has panicked.
pub async fn populate(rack: &Rack, mut show: impl FnMut(usize)) {
    let mut creating = JoinSet::new();
    for (number, name) in names().into_iter().enumerate() {
        let command = Command::new(format!("the-create-of-{name}"), "create", &name, "v1");
        let (client, dice) = (rack.client.clone(), Dice::of(rack.seed, &["create", &name]));
        creating.spawn(async move { client.settle(command, dice).await });
        if creating.len() >= 16 {
            creating.join_next().await.expect("there are some").expect("a client does not panic");
            show(number);
        }
    }
    while let Some(done) = creating.join_next().await {
        done.expect("a client does not panic");
    }
}

/// Goes on for so long; the rack is not quiet afterwards.
pub async fn go(rack: &mut Rack, time: Duration, mut show: impl FnMut(&Sample)) -> (Vec<Sample>, Faults) {
    let mut dice = Dice::of(rack.seed, &["faults"]);
    let load = Load::start(&rack.client, names(), PER_SECOND, Dice::of(rack.seed, &["commands"]));
    let begun = Instant::now();
    let (mut samples, mut faults, mut settled) = (Vec::new(), Faults::default(), 0);
    let mut next = dice.between(BETWEEN.0, BETWEEN.1);
    let mut thaw: Option<(u64, usize)> = None;
    for second in 0..time.as_secs() {
        let mut fault = None;
        if let Some((at, number)) = thaw
            && second >= at
        {
            rack.replicas[number].thaw();
            thaw = None;
        }
        if second >= next && thaw.is_none() {
            next = second + dice.between(BETWEEN.0, BETWEEN.1);
            fault = strike(rack, &mut dice, &mut faults, second, &mut thaw);
        }
        let (waited, by_now) = rack.client.waited(settled);
        settled = by_now;
        let sample = Sample {
            second,
            memory_kib: rack.replicas.iter().map(|dms| memory(dms.pid()).map_or(0, |memory| memory.resident)).collect(),
            files: rack.replicas.iter().map(|dms| files(dms.pid())).collect(),
            lag: lag(rack).await,
            settled: waited.len(),
            p99: quantile(&waited, 99),
            fault,
        };
        show(&sample);
        samples.push(sample);
        pause((begun + Duration::from_secs(second + 1)).saturating_duration_since(Instant::now())).await;
    }
    if let Some((_, number)) = thaw {
        rack.replicas[number].thaw();
    }
    load.stop().await;
    (samples, faults)
}

/// Kills or freezes a `dms`, or kills a shim.
fn strike(
    rack: &mut Rack,
    dice: &mut Dice,
    faults: &mut Faults,
    second: u64,
    thaw: &mut Option<(u64, usize)>,
) -> Option<String> {
    let number = usize::from(dice.percent(50));
    match dice.between(0, 2) {
        0 => {
            rack.kill(number);
            rack.restart(number);
            faults.kills += 1;
            Some(format!("dms {number} was killed and started again"))
        }
        1 => {
            rack.replicas[number].freeze();
            *thaw = Some((second + FROZEN, number));
            faults.stops += 1;
            Some(format!("dms {number} is frozen for {FROZEN} s"))
        }
        _ => {
            let shims = shims(rack.replicas[number].pid());
            let shim = (!shims.is_empty()).then(|| *dice.pick(&shims))?;
            kill(shim, Signal::SIGKILL).ok()?;
            faults.shims += 1;
            Some(format!("a shim of dms {number} was killed"))
        }
    }
}

fn shims(dms: Pid) -> Vec<Pid> {
    let all = processes::named("run-shim");
    all.into_iter().map(|process| process.pid).filter(|pid| parent(*pid) == Some(dms)).collect()
}

fn files(pid: Pid) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

async fn lag(rack: &Rack) -> Option<i64> {
    let lag = sqlx::query_scalar(
        "SELECT (SELECT position FROM log_head) - min(position) FROM projections JOIN checkpoints
             USING (projection, generation)",
    );
    tokio::time::timeout(Duration::from_millis(500), lag.fetch_one(&rack.pool)).await.ok()?.ok()
}

/// The time within which so many of 100 came; they stand in order.
pub fn quantile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied()
}
