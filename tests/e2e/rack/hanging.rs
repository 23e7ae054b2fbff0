//! Five hundred stagings, of which five checks hang: nobody else's comes late.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dm_tests::eventually::eventually;
use dm_tests::postgres::Database;
use dm_tests::rack::books::calls;
use dm_tests::rack::records::Record;
use dm_tests::rack::scenario::{Behaviour, Scenario};
use dm_tests::rack::{Rack, seed, soak};

/// Between two checks of a staging at rest: the default.
const INTERVAL: Duration = Duration::from_secs(30);
/// How late a check may come.
const LATE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn of_500_stagings_5_whose_checks_hang_make_no_other_check_late() {
    let database = Database::empty().await;
    let seed = seed("hanging checks");
    let scenario = Scenario {
        seed,
        runs: Behaviour { lasts_ms: (1, 5), ..Behaviour::default() },
        checks: Behaviour { lasts_ms: (1, 5), ..Behaviour::default() },
        hanging: BTreeSet::new(),
        beat_ms: 1_000,
    };
    let rack = Rack::start(&database.url(), &scenario, 1, |setup| setup.argument("--awaiting-interval=100ms"));
    soak::populate(&rack, |_| ()).await;
    eventually("all of them run", Duration::from_mins(2), async || {
        let running = "SELECT count(*) FROM stagings WHERE valid_to IS NULL AND status = 'Running'";
        let running: i64 = sqlx::query_scalar(running).fetch_one(&rack.pool).await.ok()?;
        (running == 500).then_some(())
    })
    .await;
    let hanging: BTreeSet<String> = soak::names().into_iter().step_by(100).collect();
    Scenario { hanging: hanging.clone(), ..scenario }.write(rack.wrappers()).expect("the folder is ours");

    let from = dm_tests::rack::records::now();
    let begun = Instant::now();
    // Long enough for the second check of everybody, were it as late as it may be.
    let long = INTERVAL + INTERVAL + LATE;
    eventually("everybody was checked twice, or late", long + LATE, async || (begun.elapsed() > long).then_some(()))
        .await;
    let until = dm_tests::rack::records::now();
    let records = rack.records();
    let late = |name: &String, records: &[Record]| {
        let starts = calls(records).into_iter().filter(|(call, _)| call.verb == "check").map(|(_, (first, _))| first);
        let mut at: Vec<u64> = starts.filter(|at| *at > from).collect();
        // The one before counts from the start at the latest, and the one that is still to come until the end.
        at.insert(0, from);
        at.push(until);
        let longest = at.windows(2).map(|two| Duration::from_nanos(two[1] - two[0])).max().expect("there are two");
        (longest.saturating_sub(INTERVAL), name.clone())
    };
    let others = records.iter().filter(|(name, _)| !hanging.contains(*name));
    let latest = others.map(|(name, records)| late(name, records)).max().expect("there are others");
    eprintln!("the latest check of the others came {:?} late", latest.0);
    assert!(latest.0 <= LATE, "{latest:?}");
    for name in &hanging {
        let hang = calls(&records[name]).into_iter().rfind(|(call, _)| call.verb == "check").expect("it was checked");
        assert!(hang.1.1 - hang.1.0 > 5_000_000_000, "{name} hangs: {hang:?}");
    }
    rack.close().await;
}
