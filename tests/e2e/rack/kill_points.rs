//! A `dms` is killed at every point of its work at which that could cost something, and started again; the books say that
//! it has cost nothing.
//!
//! A point is a statement on its way to the database: before it, after it was carried out and before its answer, or right
//! after its answer. What lies between two statements lies between two points.

use std::collections::BTreeSet;
use std::time::Duration;

use dm_tests::dms::Setup;
use dm_tests::eventually::pause;
use dm_tests::postgres::Database;
use dm_tests::rack::client::Command;
use dm_tests::rack::dice::Dice;
use dm_tests::rack::scenario::{Behaviour, Scenario};
use dm_tests::rack::{Rack, seed};
use dm_tests::tripwire::Moment::{Answered, Before, Done};
use dm_tests::tripwire::{Moment, Trigger, Tripwire};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SOON: Duration = Duration::from_mins(1);

const APPEND: &str = "append_batch";

fn scenario(seed: u64) -> Scenario {
    Scenario {
        seed,
        runs: Behaviour { lasts_ms: (20, 150), deaf: 50, children: 1, fails: 0 },
        checks: Behaviour { lasts_ms: (5, 20), deaf: 50, children: 0, fails: 0 },
        hanging: BTreeSet::new(),
        beat_ms: 5,
    }
}

fn setup(setup: Setup) -> Setup {
    setup
        .argument("--lease-ttl=3s")
        .argument("--lease-renewal=300ms")
        .argument("--grace=300ms")
        .argument("--check-interval=300ms")
        .argument("--awaiting-interval=100ms")
}

/// One `dms` behind a wire.
struct Wired {
    rack: Rack,
    wire: Tripwire,
    // Last: everything else uses it.
    database: Database,
}

impl Wired {
    async fn start(of: &str) -> Self {
        let database = Database::empty().await;
        let (wire, url) = Tripwire::before(&database.url());
        let mut rack = Rack::start(&database.url(), &scenario(seed(of)), 0, |setup| setup);
        rack.add(setup(rack.setup(&url)));
        Self { rack, wire, database }
    }

    /// Lives the whole life of a staging, while `dms` is killed each time the trigger fits, so many times.
    async fn live(&mut self, name: &str, trigger: Trigger, times: usize) {
        let client = self.rack.client.clone();
        let seed = self.rack.seed;
        let story = {
            let (client, name) = (client.clone(), name.to_owned());
            async move {
                for (verb, tag) in [("create", "v1"), ("update", "v2"), ("delete", "v2"), ("cleanup", "v2")] {
                    let command = Command::new(format!("the-{verb}-of-{name}"), verb, &name, tag);
                    let mut dice = Dice::of(seed, &[verb, &name]);
                    // Refused as long as the one before is under way.
                    while !client.is_accepted(command.clone(), Dice::new(dice.number())).await {
                        pause(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        let story = tokio::spawn(story);
        for _ in 0..times {
            let pid = self.rack.replicas[0].pid();
            let before = self.wire.count();
            arm(&self.wire, trigger, pid);
            tokio::time::timeout(SOON, self.wire.tripped(before))
                .await
                .unwrap_or_else(|_| panic!("{name}: nothing like {trigger:?} was said"));
            self.rack.kill(0);
            self.rack.restart(0);
        }
        self.wire.disarm();
        tokio::time::timeout(SOON, story).await.expect("the story ends").expect("it does not panic");
        self.rack.quiet().await;
    }
}

/// Lives through each of these points, and checks the books.
async fn each(of: &str, points: &[(&'static str, &'static str, Moment, usize)]) {
    let mut wired = Wired::start(of).await;
    for (number, (sql, with, moment, times)) in points.iter().enumerate() {
        let trigger = Trigger { sql, with, moment: *moment };
        wired.live(&format!("s-{number}"), trigger, *times).await;
    }
    let sums = wired.rack.close().await;
    assert_eq!(sums.accepted, 4 * points.len(), "each staging has lived its whole life once: {sums:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_of_a_command_and_of_a_claim_costs_nothing() {
    each(
        "kill points of commands and claims",
        &[
            (APPEND, "CreateRequested", Before, 1),
            (APPEND, "CreateRequested", Done, 1),
            (APPEND, "UpdateRequested", Answered, 1),
            (APPEND, "RunStarted", Before, 1),
            (APPEND, "RunStarted", Done, 2),
            (APPEND, "RunStarted", Answered, 1),
            ("INSERT INTO stagings", "", Before, 1),
            ("INSERT INTO stagings", "", Done, 1),
            ("COMMIT", "", Done, 2),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_of_a_run_and_of_its_end_costs_nothing() {
    each(
        "kill points of runs",
        &[
            ("output_chunks", "", Done, 1),
            (APPEND, "RunFinished", Before, 2),
            (APPEND, "RunFinished", Done, 1),
            (APPEND, "RunFinished", Answered, 1),
            ("INSERT INTO leases", "", Before, 1),
            ("INSERT INTO leases", "", Done, 2),
            (APPEND, "BecameRunning", Before, 1),
            (APPEND, "BecameRunning", Done, 1),
            (APPEND, "CleanedUp", Before, 1),
            (APPEND, "CleanedUp", Done, 1),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_within_a_renewal_costs_nothing() {
    let mut wired = Wired::start("kill points of renewals").await;
    for (name, moment) in [("before", Before), ("done", Done)] {
        wired.live(name, Trigger { sql: "UPDATE leases", with: "", moment }, 2).await;
    }
    wired.rack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_within_the_recovery_from_a_kill_costs_nothing() {
    let mut wired = Wired::start("kill points of recovery").await;
    // The other one takes over once the lease of the first has expired, and is killed over it.
    let (wire, url) = Tripwire::before(&wired.database.url());
    wired.rack.add(setup(wired.rack.setup(&url)));
    let lost = Trigger { sql: APPEND, with: "RunFinished", moment: Before };
    for (name, moment) in [("before", Before), ("done", Done), ("answered", Answered)] {
        let recovery = Trigger { sql: APPEND, with: "RunInterrupted", moment };
        let before = [wired.wire.count(), wire.count()];
        for (number, wire) in [&wired.wire, &wire].into_iter().enumerate() {
            arm(wire, lost, wired.rack.replicas[number].pid());
        }
        let command = Command::new(format!("the-create-of-{name}"), "create", name, "v1");
        let client = wired.rack.client.clone();
        let asked = tokio::spawn(async move { client.is_accepted(command, Dice::new(1)).await });
        // Whoever has the run is killed over its end, the other one over the recovery.
        let first = tokio::select! {
            () = wired.wire.tripped(before[0]) => 0,
            () = wire.tripped(before[1]) => 1,
        };
        wired.rack.kill(first);
        let (other, number) = if first == 0 { (&wire, 1) } else { (&wired.wire, 0) };
        let count = other.count();
        arm(other, recovery, wired.rack.replicas[number].pid());
        tokio::time::timeout(SOON, other.tripped(count)).await.expect("the lost run is interrupted");
        wired.rack.kill(number);
        for wire in [&wired.wire, &wire] {
            wire.disarm();
        }
        for number in [0, 1] {
            wired.rack.restart(number);
        }
        assert!(asked.await.expect("it does not panic"));
        wired.rack.quiet().await;
    }
    wired.rack.close().await;
}

fn arm(wire: &Tripwire, trigger: Trigger, pid: Pid) {
    wire.arm(trigger, move || kill(pid, Signal::SIGKILL).expect("dms runs"));
}
