//! The books find what is planted: a wrapper beside another one, a process that was left, a command that was lost.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use dm_tests::eventually::eventually;
use dm_tests::postgres::Database;
use dm_tests::rack::books::{Accepted, Answer, Finding};
use dm_tests::rack::client::Command as Asked;
use dm_tests::rack::dice::Dice;
use dm_tests::rack::scenario::{Behaviour, Scenario};
use dm_tests::rack::{Rack, seed};

const SOON: Duration = Duration::from_secs(30);

fn rack(database: &Database, seed: u64) -> Rack {
    let scenario = Scenario {
        seed,
        runs: Behaviour { lasts_ms: (1_500, 1_500), ..Behaviour::default() },
        checks: Behaviour { lasts_ms: (10, 10), ..Behaviour::default() },
        hanging: BTreeSet::new(),
        beat_ms: 10,
    };
    Rack::start(&database.url(), &scenario, 1, |setup| setup.argument("--awaiting-interval=100ms"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_double_run_a_leftover_and_a_lost_command_are_each_found() {
    let database = Database::empty().await;
    let mut rack = rack(&database, seed("planted"));
    let create = |name: &str| Asked::new(format!("the-create-of-{name}"), "create", name, "v1");
    for name in ["doubled", "sound"] {
        rack.client.settle(create(name), Dice::new(1)).await;
    }
    // The wrapper by hand, beside the one of the run.
    eventually("the wrapper lives", SOON, async || rack.records().contains_key("doubled").then_some(())).await;
    let run = rack.records()["doubled"].first().map(|record| record.call.run.clone()).expect("a record");
    let mut doubled = Command::new(rack.wrappers().join("create"))
        .args(["--name", "doubled", "--tag", "v1"])
        .envs([("DM_RUN_ID", run.as_str()), ("DM_ATTEMPT", "1")])
        .stdout(Stdio::null())
        .spawn()
        .expect("it can be started");
    rack.quiet().await;
    assert_eq!(rack.differences().await, []);
    assert!(doubled.wait().expect("it is a child of this process").success());

    let mut left = Command::new("sleep").arg("600").current_dir(rack.wrappers()).spawn().expect("it can be started");
    let nowhere = Accepted { run: Some(uuid::Uuid::nil()), version: 1, position: 9_999, quiet: false };
    rack.client.keep(&create("lost"), &Answer::Accepted(nowhere), Duration::ZERO);
    rack.stop();
    let (findings, sums) = rack.check();
    left.kill().expect("it is a child of this process");
    left.wait().expect("it is a child of this process");

    let found = |wanted: &dyn Fn(&Finding) -> bool| findings.iter().filter(|finding| wanted(finding)).count();
    assert_eq!(found(&|one| matches!(one, Finding::Lost(what) if what.contains("create lost"))), 1, "{findings:#?}");
    assert_eq!(found(&|one| matches!(one, Finding::Left(what) if what.contains("sleep 600"))), 1, "{findings:#?}");
    assert!(found(&|one| matches!(one, Finding::Overlap(what) if what.contains("doubled"))) >= 1, "{findings:#?}");
    let twice = |one: &Finding| matches!(one, Finding::OutsideItsClaim(what) if what.contains("began twice"));
    assert_eq!(found(&twice), 1, "{findings:#?}");
    assert_eq!(found(&|one| one.to_string().contains("sound")), 0, "{findings:#?}");
    assert_eq!((sums.accepted, sums.ended), (3, 2));
    let (later, _) = rack.check();
    assert_eq!(later.len(), findings.len() - 1, "what is not left any more is not found: {later:?}");
}
