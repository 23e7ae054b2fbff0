//! From `dmc create` to Running on a Kubernetes control plane, beside `helm upgrade --install --wait` alone for the same
//! chart, by turns in the same run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, ensure};
use dm_tests::dms::{Dms, Setup, executable};
use dm_tests::kubernetes::{Namespace, Plane, chart};
use dm_tests::postgres::Database;
use tokio::runtime::Runtime;

use crate::Plan;
use crate::table::{Progress, Table};
use crate::window::median;

/// How many stagings are made at once, beside one alone.
const MANY: usize = 20;
/// How many of them `dms` works on at once, as by default: `--max-runs`.
const MAX_RUNS: usize = 8;
/// One Deployment of one pod.
const CHART: &str = "small";
/// What becomes of the pod: see tests/kubernetes/README.md.
const READY: &str = "ready";
const SLOW: &str = "slow";

/// Where both are measured.
struct Place {
    dms: Dms,
    namespace: Namespace,
}

/// Measures, on the cluster of `KUBECONFIG` or on a plane of its own.
pub(crate) fn measure(runtime: &Runtime, plan: Plan, progress: &Progress, table: &mut Table) -> Result<()> {
    progress.step("kubernetes: starts a control plane and dms");
    let plane = if std::env::var_os("KUBECONFIG").is_some() { Plane::shared() } else { Plane::own() };
    let database = runtime.block_on(Database::empty());
    let here = start(&plane, &database);
    // Programs, their caches and those of the server are warm then for both.
    here.helm(1, 1, "warm", READY)?;
    here.dm(1, "warm", READY)?;
    for (stage, pods) in [(READY, "ready at once"), (SLOW, "ready after 5 s")] {
        if plan.quick && stage == SLOW {
            return Ok(());
        }
        let mut rounds = Vec::new();
        for round in 1..=plan.rounds {
            progress.step(&format!("kubernetes: 1 staging, {pods}, round {round}"));
            let name = format!("{stage}-{round}");
            let helm = here.helm(1, 1, &name, stage)?;
            let dm = here.dm(1, &name, stage)?;
            rounds.push([helm, dm.running, dm.told]);
        }
        table.part();
        line(table, &format!("helm upgrade --install --wait, {pods}"), &rounds, 0, &[]);
        line(table, "dmc create to Running", &rounds, 1, &[(0, "helm")]);
        line(table, "dmc create --wait, to its end", &rounds, 2, &[(0, "helm")]);
    }
    let mut rounds = Vec::new();
    for round in 1..=plan.rounds.div_ceil(3) {
        progress.step(&format!("kubernetes: {MANY} stagings at once, round {round}"));
        let name = |what: &str| format!("{what}-{round}");
        let some = here.helm(MANY, MAX_RUNS, &name("some"), READY)?;
        let all = here.helm(MANY, MANY, &name("all"), READY)?;
        let dm = here.dm(MANY, &name("many"), READY)?;
        rounds.push([some, all, dm.running, dm.told]);
    }
    table.part();
    line(table, &format!("helm, {MANY}, {MAX_RUNS} at once"), &rounds, 0, &[]);
    line(table, &format!("helm, {MANY}, all at once"), &rounds, 1, &[]);
    let beside = [(0, "helm, as many at once as dms"), (1, "helm, all at once")];
    line(table, &format!("dmc create to Running, {MANY}"), &rounds, 2, &beside);
    line(table, &format!("dmc create --wait, to the end of {MANY}"), &rounds, 3, &beside);
    Ok(())
}

/// A line of times in one column of the rounds, beside others.
fn line<const N: usize>(table: &mut Table, what: &str, rounds: &[[Duration; N]], at: usize, beside: &[(usize, &str)]) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
    let longest = rounds.iter().map(|round| milliseconds(round[at])).fold(0.0, f64::max);
    let ratios: Vec<String> = beside
        .iter()
        .map(|(other, name)| {
            let ratio = median(rounds.iter().map(|round| round[at].as_secs_f64() / round[*other].as_secs_f64()));
            format!("{ratio:.2} times {name}")
        })
        .collect();
    table.times(what, median(rounds.iter().map(|round| milliseconds(round[at]))), longest, &ratios.join(", "));
}

fn start(plane: &Plane, database: &Database) -> Place {
    let namespace = plane.namespace();
    let wrappers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wrappers/kubernetes");
    let dms = Setup::new()
        .database(database)
        .wrappers(&wrappers)
        .argument(format!("--namespace={}", namespace.name()))
        .argument(format!("--max-runs={MAX_RUNS}"))
        .variable("PATH", &plane.path().to_string_lossy())
        .variable("HOME", &namespace.folder().display().to_string())
        .variable("KUBECONFIG", &plane.kubeconfig().display().to_string())
        .variable("DM_WRAPPER_CHART__PATH", &chart(CHART).display().to_string())
        .start();
    Place { dms, namespace }
}

/// How long stagings took, all together.
struct Took {
    /// Until the log has the last of them as running.
    running: Duration,
    /// Until the last `dmc` that waited has ended, which looks from time to time.
    told: Duration,
}

impl Place {
    /// How long helm takes for so many releases, so many of them at once; they are removed again.
    fn helm(&self, releases: usize, at_once: usize, name: &str, stage: &str) -> Result<Duration> {
        let names: Vec<String> = (0..releases).map(|number| format!("helm-{name}-{number}")).collect();
        let took = timed(&names, at_once, |name| {
            let mut helm = self.namespace.helm();
            helm.args(["upgrade", "--install", "--wait", "--set", &format!("stage={stage}"), name]).arg(chart(CHART));
            helm
        })?;
        timed(&names, at_once, |name| {
            let mut helm = self.namespace.helm();
            helm.args(["uninstall", "--wait", name]);
            helm
        })?;
        Ok(took)
    }

    /// How long it takes until so many stagings, asked for at once, are running; they are removed again.
    fn dm(&self, stagings: usize, name: &str, stage: &str) -> Result<Took> {
        let names: Vec<String> = (0..stagings).map(|number| format!("dm-{name}-{number}")).collect();
        let write = |arguments: &[&str]| self.dmc(&[arguments, &["--wait", "-y", "-q"]].concat());
        let stage = format!("stage={stage}");
        let begun = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let told = timed(&names, stagings, |name| write(&["create", name, "--tag", "1.0.0", "--staging", &stage]))?;
        let running = names.iter().map(|name| self.running(name)).collect::<Result<Vec<_>>>()?;
        let running = running.into_iter().max().unwrap_or_default().saturating_sub(begun);
        timed(&names, stagings, |name| write(&["delete", name]))?;
        timed(&names, stagings, |name| write(&["cleanup", name]))?;
        Ok(Took { running, told })
    }

    /// When the log has a staging as running, since 1970.
    fn running(&self, name: &str) -> Result<Duration> {
        let history = run(&mut self.dmc(&["history", name, "-o", "json"]))?;
        let events: Vec<dm_api::Event> = serde_json::from_slice(&history)?;
        let event = events.iter().find(|event| event.event_type == "BecameRunning");
        let at = event.with_context(|| format!("{name} never became running"))?.at;
        Ok(Duration::from_millis(u64::try_from(at.timestamp_millis())?))
    }

    fn dmc(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(executable().with_file_name("dmc"));
        command.env_clear().env("DM_HOME", self.dms.home()).args(arguments);
        command
    }
}

/// How long it takes until a command for each name has ended well, so many at once.
fn timed(names: &[String], at_once: usize, command: impl Fn(&str) -> Command + Sync) -> Result<Duration> {
    let waiting = Mutex::new(names.iter());
    let work = || {
        loop {
            let next = waiting.lock().map_err(|_| anyhow!("another call has failed"))?.next();
            let Some(name) = next else { return anyhow::Ok(()) };
            run(&mut command(name))?;
        }
    };
    let started = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a call has panicked"))?)
    })?;
    Ok(started.elapsed())
}

/// Runs a command to its end, which must be a good one, and gives what it printed.
fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
    Ok(output.stdout)
}
