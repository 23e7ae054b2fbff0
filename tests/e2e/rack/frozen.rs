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

/// How long they stay frozen, the last one too.
const FROZEN: Duration = Duration::from_mins(1);

/// Between two that freeze: what each of them costs is to be seen apart.
const APART: Duration = Duration::from_secs(12);

/// The longest time within which nothing may have been answered.
const GAP: Duration = Duration::from_secs(10);

fn setup(setup: Setup) -> Setup {
    setup.argument("--lease-ttl=5s").argument("--lease-renewal=500ms").argument("--awaiting-interval=100ms")
}

/// Writes through one `dms`, reads what it wrote, and keeps how long that was not possible.
struct Look {
    number: usize,
    count: usize,
    last: Instant,
    longest: Duration,
}

impl Look {
    async fn once(&mut self, rack: &Rack) {
        self.count += 1;
        if self.write_and_read(rack).await {
            self.last = Instant::now();
        }
        self.longest = self.longest.max(self.last.elapsed());
        pause(Duration::from_secs(1)).await;
        self.longest = self.longest.max(self.last.elapsed());
    }

    async fn write_and_read(&self, rack: &Rack) -> bool {
        let name = format!("w-{}", self.count);
        let command = Command::new(format!("the-create-of-{name}"), "create", &name, "v1");
        let target = rack.target(self.number);
        let Some(answer) = command.send(&target).await else {
            rack.client.settle(command, Dice::new(0)).await;
            return false;
        };
        let Answer::Accepted(accepted) = &answer else { panic!("{answer:?}") };
        rack.client.keep(&command, &answer, Duration::ZERO);
        let url = format!("{}/stagings/{name}?at_least={}", target.base, accepted.position);
        let read = target.client.get(url).timeout(GAP).send().await;
        read.is_ok_and(|read| read.status() == 200)
    }

    async fn until(&mut self, rack: &Rack, end: Instant) {
        while Instant::now() < end {
            self.once(rack).await;
        }
    }
}

/// Asks for something through a `dms` that is about to freeze; whatever comes of it, it is settled through another.
fn ask(rack: &Rack, number: usize, count: usize, asked: &mut JoinSet<Answer>) {
    let name = format!("f-{number}-{count}");
    let command = Command::new(format!("the-create-of-{name}"), "create", &name, "v1");
    let (client, target) = (rack.client.clone(), rack.target(number));
    asked.spawn(async move {
        let _ = command.send(&target).await;
        client.settle(command, Dice::new(0)).await
    });
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
    let mut rack = Rack::start(&database.url(), &scenario, 0, setup);
    let (appending, append_url) = Tripwire::before(&database.url());
    let (projecting, project_url) = Tripwire::before(&database.url());
    for url in [&append_url, &project_url, &database.url(), &database.url()] {
        rack.add(setup(rack.setup(url)));
    }
    // The last one is never frozen.
    let healthy = rack.replicas.len() - 1;
    let mut look = Look { number: healthy, count: 0, last: Instant::now(), longest: Duration::ZERO };
    let mut asked = JoinSet::new();
    rack.replicas[2].freeze();
    let points = [(&appending, "append_batch"), (&projecting, "INSERT INTO stagings")];
    for (number, (wire, sql)) in points.into_iter().enumerate() {
        look.until(&rack, Instant::now() + APART).await;
        let pid = rack.replicas[number].pid();
        wire.arm(Trigger { sql, with: "", moment: Moment::Done }, move || {
            kill(pid, Signal::SIGSTOP).expect("dms runs");
        });
        let armed = Instant::now();
        while wire.count() == 0 {
            assert!(armed.elapsed() < FROZEN, "{sql} is said");
            ask(&rack, number, look.count, &mut asked);
            look.once(&rack).await;
        }
    }
    look.until(&rack, Instant::now() + FROZEN).await;
    eprintln!("{} writes and reads, the longest gap {:?}", look.count, look.longest);
    assert!(look.longest < GAP, "nothing was answered for {:?}", look.longest);
    for number in 0..healthy {
        rack.replicas[number].thaw();
    }
    asked.join_all().await;
    rack.close().await;
}
