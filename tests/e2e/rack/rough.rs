//! A rough client, for a short time; `script/soak rough` lets it go on for longer.

use dm_tests::postgres::Database;
use dm_tests::rack::books::Answer;
use dm_tests::rack::{Rack, rough, seed};

/// How many commands it sends, copies and repetitions not counted.
const COMMANDS: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rough_client_was_told_is_what_the_log_holds() {
    let database = Database::empty().await;
    let rack = Rack::start(&database.url(), &rough::scenario(seed("rough client")), 2, rough::setup);
    rough::go(&rack, COMMANDS, |_| ()).await;
    let told = rack.client.told();
    assert!(told.iter().all(|told| told.answer != Answer::Silence), "everything is settled");
    let sums = rack.close().await;
    assert!(sums.accepted > COMMANDS / 50 && sums.quiet > 0 && sums.refused > COMMANDS / 10, "{sums:?}");
}
