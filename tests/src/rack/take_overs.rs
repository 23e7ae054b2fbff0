//! Owners that die or freeze while their wrappers live: whoever takes over must find nothing alive beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::unistd::Pid;

use crate::dms::Setup;
use crate::eventually::{eventually, pause};
use crate::processes::{self, parent};
use crate::rack::Rack;
use crate::rack::books::{calls, ended};
use crate::rack::dice::Dice;
use crate::rack::load::Load;
use crate::rack::records;
use crate::rack::scenario::{Behaviour, Scenario};

/// How long a lease lives here.
const TTL: Duration = Duration::from_secs(3);
/// How many stagings there are.
const STAGINGS: usize = 20;
/// How many calls have to live before a fault is worth it.
const WORTH_IT: usize = 4;

/// How long it goes on.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// So many faults.
    Faults(usize),
    /// Until so many living calls were cut short by a fault, and taken over.
    TakeOvers(usize),
}

/// What was done, and what came of it.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// `dms` that were killed.
    pub kills: usize,
    /// `dms` that were frozen for twice the life of a lease.
    pub stops: usize,
    /// Calls that lived when their `dms` was struck.
    pub hits: Vec<Hit>,
    /// From each fault to the next call for a staging whose call it cut short, shortest first.
    pub took: Vec<Duration>,
}

/// A call that lived when its `dms` was struck.
#[derive(Debug, Clone)]
pub struct Hit {
    staging: String,
    pid: u32,
    at: u64,
}

/// What its wrappers do: half of them do not hear SIGTERM.
pub fn scenario(seed: u64) -> Scenario {
    Scenario {
        seed,
        runs: Behaviour { lasts_ms: (1_000, 7_000), deaf: 50, children: 2, fails: 10 },
        checks: Behaviour { lasts_ms: (20, 1_500), deaf: 50, children: 1, fails: 10 },
        hanging: BTreeSet::new(),
        beat_ms: 10,
    }
}

/// Short leases.
pub fn setup(setup: Setup) -> Setup {
    setup
        .argument(format!("--lease-ttl={}ms", TTL.as_millis()))
        .argument("--lease-renewal=300ms")
        .argument("--grace=300ms")
        .argument("--stop-grace=1s")
        .argument("--check-interval=2s")
        .argument("--awaiting-interval=200ms")
        .argument("--status-timeout=3s")
        .argument("--max-runs=16")
}

/// Freezes and kills one `dms` of two, in turn; the rack is not quiet afterwards.
///
/// # Panics
/// When nothing lives that could be struck.
pub async fn go(rack: &mut Rack, goal: Goal, mut show: impl FnMut(&Figures)) -> Figures {
    let stagings: Vec<String> = (0..STAGINGS).map(|number| format!("s-{number:02}")).collect();
    let mut dice = Dice::of(rack.seed, &["faults"]);
    let load = Load::start(&rack.client, stagings, 25, Dice::of(rack.seed, &["commands"]));
    let mut figures = Figures::default();
    loop {
        let done = match goal {
            Goal::Faults(count) => figures.kills + figures.stops >= count,
            Goal::TakeOvers(count) => figures.took.len() >= count,
        };
        if done {
            break;
        }
        let round = figures.kills + figures.stops;
        let victim = usize::from(dice.percent(50));
        let pid = rack.replicas[victim].pid();
        let living = eventually("something lives that can be struck", Duration::from_mins(1), async || {
            let living = living_of(rack, pid);
            (living.len() >= WORTH_IT).then_some(living)
        })
        .await;
        let at = records::now();
        if round.is_multiple_of(2) {
            rack.replicas[victim].freeze();
            pause(2 * TTL).await;
            rack.replicas[victim].thaw();
            figures.stops += 1;
        } else {
            rack.kill(victim);
            pause(2 * TTL * u32::try_from(dice.between(0, 100)).expect("it is small") / 100).await;
            rack.restart(victim);
            figures.kills += 1;
        }
        figures.hits.extend(living.into_iter().map(|(staging, pid)| Hit { staging, pid, at }));
        figures.took = took(rack, &figures.hits);
        show(&figures);
    }
    load.stop().await;
    figures.took = took(rack, &figures.hits);
    figures
}

/// The stagings of wrappers that live under the shims of a `dms`, with their processes.
fn living_of(rack: &Rack, dms: Pid) -> Vec<(String, u32)> {
    let wrappers = rack.wrappers().display().to_string();
    let own = |process: &processes::Process| {
        process.command.contains(&format!(" {wrappers}/"))
            && parent(process.pid).and_then(parent).is_some_and(|above| above == dms)
    };
    processes::of(rack.wrappers())
        .into_iter()
        .filter(own)
        .filter_map(|process| {
            let mut words = process.command.split(' ').skip_while(|word| *word != "--name");
            let staging = words.nth(1)?.to_owned();
            Some((staging, u32::try_from(process.pid.as_raw()).ok()?))
        })
        .collect()
}

/// How long it took until the next call of each staging whose call was cut short.
fn took(rack: &Rack, hits: &[Hit]) -> Vec<Duration> {
    let records = rack.records();
    let by_staging: BTreeMap<&String, _> =
        records.iter().map(|(staging, records)| (staging, (calls(records), ended(records)))).collect();
    let mut took: Vec<Duration> = hits
        .iter()
        .filter_map(|hit| {
            let (calls, ended) = by_staging.get(&hit.staging)?;
            let cut = calls.iter().any(|(call, _)| call.pid == hit.pid && !ended.contains(call));
            let next = calls.iter().find(|(_, (first, _))| *first > hit.at)?;
            cut.then(|| Duration::from_nanos(next.1.0 - hit.at))
        })
        .collect();
    took.sort_unstable();
    took
}
