//! How long `dmc` takes to start, and what an idle `dms` holds in memory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dm_tests::dms::{Setup, executable};
use dm_tests::postgres::Database;
use dm_tests::processes;
use tokio::runtime::Runtime;

use crate::Plan;
use crate::table::{Progress, Table};
use crate::window::percentile;

/// How often `dmc` is started.
const STARTS: u32 = 50;
/// How long a `dms` is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(3);

pub(crate) fn measure(runtime: &Runtime, plan: Plan, progress: &Progress, table: &mut Table) -> Result<()> {
    table.part();
    progress.step("program: starts dmc");
    let starts = if plan.quick { STARTS / 5 } else { STARTS };
    let mut took = (0..starts).map(|_| start_dmc()).collect::<Result<Vec<_>>>()?;
    took.sort_unstable();
    let remark = format!("{starts} starts");
    table.times("dmc --version", percentile(&took, 50), percentile(&took, 99), &remark);

    progress.step("program: memory of an idle dms");
    let database = runtime.block_on(Database::empty());
    let dms = Setup::new().database(&database).start();
    std::thread::sleep(IDLE);
    let memory = processes::memory(dms.pid()).context("dms has ended")?;
    let (mib, tenths) = (memory.resident / 1024, memory.resident % 1024 * 10 / 1024);
    table.remark("memory of an idle dms", &format!("{mib}.{tenths} MiB resident"));
    Ok(())
}

fn start_dmc() -> Result<Duration> {
    let dmc = executable().with_file_name("dmc");
    let started = Instant::now();
    let status = Command::new(dmc).arg("--version").stdout(Stdio::null()).status().context("dmc was not built")?;
    let took = started.elapsed();
    ensure!(status.success(), "dmc --version ended with {status}");
    Ok(took)
}
