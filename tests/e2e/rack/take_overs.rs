//! Two `dms`, twenty stagings, commands to both, while owners are killed or frozen in turn.

use dm_tests::postgres::Database;
use dm_tests::rack::take_overs::{self, Goal};
use dm_tests::rack::{Rack, seed};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_over_finds_nothing_alive_and_nothing_accepted_is_lost() {
    let database = Database::empty().await;
    let scenario = take_overs::scenario(seed("take-overs"));
    let mut rack = Rack::start(&database.url(), &scenario, 2, take_overs::setup);
    let figures = take_overs::go(&mut rack, Goal::Faults(2), |_| ()).await;
    assert!(!figures.took.is_empty(), "a fault has cut a living wrapper short: {figures:?}");
    let sums = rack.close().await;
    assert!(sums.accepted > 20 && sums.ended == sums.accepted, "{sums:?}");
    eprintln!("{} kills, {} stops, {} take-overs, {sums:?}", figures.kills, figures.stops, figures.took.len());
}
