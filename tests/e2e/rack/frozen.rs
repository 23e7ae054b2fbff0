//! A `dms` that freezes at the worst moments holds nobody up: the others append, project and answer meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dm_tests::dms::Setup;
use dm_tests::eventually::pause;
use dm_tests::postgres::Database;
use dm_tests::rack::books::Answer;
use dm_tests::rack::client::Command;
use dm_tests::rack::dice::Dice;
use dm_tests::rack::scenario::{Behaviour, Scenario};
use dm_tests::rack::{Rack, seed};
use dm_tests::tripwire::{Moment, Trigger, Tripwire};
use nix::sys::signal::{Signal, kill};
use tokio::task::JoinSet;

/// How long they stay frozen.
const FROZEN: Duration = Duration::from_mins(1);

/// The longest time within which nothing may have been answered.
const GAP: Duration = Duration::from_secs(10);

fn setup(setup: Setup) -> Setup {
    setup.argument("--lease-ttl=5s").argument("--lease-renewal=500ms").argument("--awaiting-interval=100ms")
}

/// Reads through this `dms` what was written through it.
async fn write_and_read(rack: &Rack, number: usize, count: usize) -> bool {
    let name = format!("w-{count}");
    let command = Command::new(format!("the-create-of-{name}"), "create", &name, "v1");
    let target = rack.target(number);
    let begun = Instant::now();
    let Some(answer) = command.send(&target).await else { return false };
    let Answer::Accepted(accepted) = &answer else { panic!("{answer:?}") };
    rack.client.keep(&command, &answer, begun.elapsed());
    let url = format!("{}/stagings/{name}?at_least={}", target.base, accepted.position);
    let read = target.client.get(url).timeout(GAP).send().await;
    read.is_ok_and(|read| read.status() == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_freeze_in_an_append_in_a_projection_and_while_listening_hold_nobody_up() {
    let database = Database::empty().await;
    let scenario = Scenario {
        seed: seed("frozen replicas"),
        runs: Behaviour { lasts_ms: (10, 50), ..Behaviour::default() },
        checks: Behaviour { lasts_ms: (5, 10), ..Behaviour::default() },
        hanging: BTreeSet::new(),
        beat_ms: 5,
    };
    // The last one is never frozen.
    let mut rack = Rack::start(&database.url(), &scenario, 0, setup);
    let (appending, append_url) = Tripwire::before(&database.url());
    let (projecting, project_url) = Tripwire::before(&database.url());
    for url in [&append_url, &project_url, &database.url(), &database.url()] {
        rack.add(setup(rack.setup(url)));
    }
    let healthy = rack.replicas.len() - 1;
    let points = [
        (&appending, Trigger { sql: "append_batch", with: "", moment: Moment::Done }),
        (&projecting, Trigger { sql: "INSERT INTO stagings", with: "", moment: Moment::Done }),
    ];
    for (number, (wire, trigger)) in points.into_iter().enumerate() {
        let pid = rack.replicas[number].pid();
        wire.arm(trigger, move || kill(pid, Signal::SIGSTOP).expect("dms runs"));
    }
    let begun = Instant::now();
    let (mut count, mut last, mut longest) = (0, Instant::now(), Duration::ZERO);
    rack.replicas[2].freeze();
    let mut freezing = JoinSet::new();
    // What is written through each of the others freezes it, sooner or later.
    while begun.elapsed() < FROZEN || points.iter().any(|(wire, _)| wire.count() == 0) {
        assert!(begun.elapsed() < 3 * FROZEN, "both wires are tripped");
        for (number, (wire, _)) in points.iter().enumerate() {
            if wire.count() == 0 {
                let name = format!("f-{number}-{count}");
                let command = Command::new(format!("the-create-of-{name}"), "create", &name, "v1");
                let (client, target) = (rack.client.clone(), rack.target(number));
                freezing.spawn(async move {
                    // Whatever comes of it through that one, it is settled through another.
                    let _ = command.send(&target).await;
                    client.settle(command, Dice::new(0)).await
                });
            }
        }
        if write_and_read(&rack, healthy, count).await {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        count += 1;
        pause(Duration::from_secs(1)).await;
    }
    longest = longest.max(last.elapsed());
    eprintln!("{count} writes and reads, the longest gap {longest:?}");
    assert!(longest < GAP, "nothing was answered for {longest:?}");
    for number in 0..healthy {
        rack.replicas[number].thaw();
    }
    freezing.join_all().await;
    rack.close().await;
}
