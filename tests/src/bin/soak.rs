//! The long runs of the rack, for `script/soak`: prints a line a second and a table at the end, and fails when the books
//! do not balance.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use dm_tests::rack::books::{Finding, Sums};
use dm_tests::rack::soak::{self, Faults, Sample, quantile};
use dm_tests::rack::take_overs::{self, Goal};
use dm_tests::rack::{Rack, rough, seed};

/// How many take-overs are enough, where no time is given.
const TAKE_OVERS: usize = 100;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let url = std::env::var("DM_TEST_DATABASE_URL").expect("script/soak starts a database");
    let findings = match arguments[..] {
        ["take-overs"] => run_take_overs(&url, TAKE_OVERS).await,
        ["take-overs", count] => run_take_overs(&url, count.parse().expect("a number of take-overs")).await,
        ["rough", count] => run_rough(&url, count.parse().expect("a number of commands")).await,
        [minutes] => {
            let minutes: u64 = minutes.parse().expect("a number of minutes");
            run_soak(&url, Duration::from_secs(minutes * 60)).await
        }
        _ => {
            eprintln!("usage: script/soak MINUTES | script/soak take-overs [COUNT] | script/soak rough COUNT");
            return ExitCode::from(2);
        }
    };
    for finding in findings.iter().take(50) {
        println!("FOUND {finding}");
    }
    println!("{}", if findings.is_empty() { "the books balance" } else { "the books DO NOT balance" });
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run_take_overs(url: &str, count: usize) -> Vec<Finding> {
    let mut rack = Rack::start(url, &take_overs::scenario(seed("take-overs")), 2, take_overs::setup);
    let begun = Instant::now();
    let figures = take_overs::go(&mut rack, Goal::TakeOvers(count), |figures| {
        let (kills, stops, done) = (figures.kills, figures.stops, figures.took.len());
        println!("{:4} s  {kills} kills, {stops} stops, {done} of {count} take-overs", begun.elapsed().as_secs());
    })
    .await;
    let (findings, sums) = rack.settle().await;
    let time = |percent| show(quantile(&figures.took, percent));
    table(&[
        ("kills of a dms", figures.kills.to_string()),
        ("stops of a dms, twice the life of a lease each", figures.stops.to_string()),
        ("living calls cut short and taken over", figures.took.len().to_string()),
        ("from fault to next call: p50, p99, max", [time(50), time(99), time(100)].join(", ")),
    ]);
    books(&findings, &sums);
    findings
}

async fn run_rough(url: &str, count: usize) -> Vec<Finding> {
    let rack = Rack::start(url, &rough::scenario(seed("rough client")), 2, rough::setup);
    let (begun, mut shown) = (Instant::now(), 0);
    rough::go(&rack, count, |number| {
        let second = begun.elapsed().as_secs();
        if second > shown {
            shown = second;
            println!("{second:4} s  {number} of {count} commands");
        }
    })
    .await;
    let answers = rack.client.told().len();
    let (findings, sums) = rack.settle().await;
    table(&[
        ("commands, copies and repetitions not counted", count.to_string()),
        ("answers to them", answers.to_string()),
    ]);
    books(&findings, &sums);
    findings
}

async fn run_soak(url: &str, time: Duration) -> Vec<Finding> {
    let mut rack = Rack::start(url, &soak::scenario(seed("soak")), 2, soak::setup);
    let begun = Instant::now();
    soak::populate(&rack, |number| {
        if number.is_multiple_of(50) {
            println!("{:4} s  {number} of {} stagings are created", begun.elapsed().as_secs(), soak::STAGINGS);
        }
    })
    .await;
    let (samples, faults) = soak::go(&mut rack, time, |sample| println!("{}", line(sample))).await;
    let (mut waited, _) = rack.client.waited(0);
    waited.sort_unstable();
    let (findings, sums) = rack.settle().await;
    report(&samples, faults, &waited);
    books(&findings, &sums);
    findings
}

fn line(sample: &Sample) -> String {
    let each = |values: &[String]| values.join(" + ");
    let memory: Vec<String> = sample.memory_kib.iter().map(|kib| mib(*kib)).collect();
    let files: Vec<String> = sample.files.iter().map(ToString::to_string).collect();
    let lag = sample.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
    format!(
        "{:4} s  {} MiB, {} files, lag {lag}, {} settled, p99 {}{}",
        sample.second,
        each(&memory),
        each(&files),
        sample.settled,
        show(sample.p99),
        sample.fault.as_ref().map_or_else(String::new, |fault| format!("  ! {fault}")),
    )
}

fn report(samples: &[Sample], faults: Faults, waited: &[Duration]) {
    // The first minute is warming up.
    let warm = &samples[samples.len().min(60)..];
    let all =
        |of: &dyn Fn(&Sample) -> Vec<u64>| warm.iter().flat_map(of).filter(|value| *value > 0).collect::<Vec<_>>();
    let memory = all(&|sample| sample.memory_kib.clone());
    let files = all(&|sample| sample.files.iter().map(|files| *files as u64).collect());
    let last = |of: &dyn Fn(&Sample) -> String| samples.last().map_or_else(String::new, of);
    let most = |values: &[u64]| values.iter().max().copied().unwrap_or_default();
    table(&[
        ("dms killed, dms frozen, shims killed", format!("{}, {}, {}", faults.kills, faults.stops, faults.shims)),
        ("memory of a dms after a minute: most", format!("{} MiB", mib(most(&memory)))),
        ("memory of each at the end", last(&|sample| format!("{:?} KiB", sample.memory_kib))),
        ("open files of a dms after a minute: most", most(&files).to_string()),
        ("open files of each at the end", last(&|sample| format!("{:?}", sample.files))),
        (
            "lag of the read models: most",
            format!("{} events", samples.iter().filter_map(|one| one.lag).max().unwrap_or(0)),
        ),
        ("commands settled: p50, p99, max", [50, 99, 100].map(|percent| show(quantile(waited, percent))).join(", ")),
    ]);
}

fn books(findings: &[Finding], sums: &Sums) {
    let count = |which: fn(&Finding) -> bool| findings.iter().filter(|finding| which(finding)).count().to_string();
    table(&[
        ("commands accepted with a run, and ended", format!("{}, {}", sums.accepted, sums.ended)),
        ("commands quiet, and refused", format!("{}, {}", sums.quiet, sums.refused)),
        ("calls of wrappers", sums.calls.to_string()),
        ("commands lost", count(|one| matches!(one, Finding::Lost(_)))),
        ("commands done twice", count(|one| matches!(one, Finding::Doubled(_)))),
        ("calls of one staging at once", count(|one| matches!(one, Finding::Overlap(_)))),
        ("wrappers alive outside their claim", count(|one| matches!(one, Finding::OutsideItsClaim(_)))),
        ("processes left", count(|one| matches!(one, Finding::Left(_)))),
        ("read models that differ from the log", count(|one| matches!(one, Finding::Differs(_)))),
    ]);
}

fn table(rows: &[(&str, String)]) {
    for (name, value) in rows {
        println!("  {name:<50}  {value}");
    }
}

fn show(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.3} s", time.as_secs_f64()))
}

fn mib(kib: u64) -> String {
    format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024)
}
