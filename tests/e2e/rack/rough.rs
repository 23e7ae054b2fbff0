//! A rough client: it repeats itself, sends several copies at once, cuts connections in the middle and comes back to what it
//! has asked long before. What it was told is what the log holds.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dm_tests::postgres::Database;
use dm_tests::rack::books::Answer;
use dm_tests::rack::client::{Client, Command, Targets};
use dm_tests::rack::dice::Dice;
use dm_tests::rack::scenario::{Behaviour, Scenario};
use dm_tests::rack::{Rack, seed};
use tokio::task::JoinSet;

/// How many commands it sends, copies and repetitions not counted.
const COMMANDS: usize = 10_000;
/// How many of them are under way at once.
const AT_ONCE: usize = 24;
const STAGINGS: usize = 40;
/// How many of the last commands it may come back to.
const REMEMBERED: usize = 500;

/// One client, which forgets nothing.
#[derive(Clone)]
struct Rough {
    client: Client,
    targets: Targets,
}

impl Rough {
    async fn ask(&self, command: Command, mut dice: Dice) {
        match dice.between(0, 9) {
            0 => self.at_once(command, &mut dice).await,
            1 => self.cut(command, &mut dice).await,
            _ => drop(self.client.settle(command, dice).await),
        }
    }

    /// Several copies at the same time.
    async fn at_once(&self, command: Command, dice: &mut Dice) {
        let mut copies = JoinSet::new();
        for _ in 0..dice.between(2, 4) {
            let (client, command, dice) = (self.client.clone(), command.clone(), Dice::new(dice.number()));
            copies.spawn(async move { client.settle(command, dice).await });
        }
        copies.join_all().await;
    }

    /// Hangs up in the middle of it, and asks again what became of it.
    async fn cut(&self, command: Command, dice: &mut Dice) {
        for _ in 0..dice.between(1, 3) {
            let Some(target) = self.targets.any(dice) else { continue };
            let patience = Duration::from_micros(dice.between(100, 20_000));
            let begun = Instant::now();
            if let Ok(Some(answer)) = tokio::time::timeout(patience, command.send(&target)).await {
                self.client.keep(&command, &answer, begun.elapsed());
            }
        }
        self.client.settle(command, dice.clone()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_commands_of_a_rough_client_were_done_as_it_was_told() {
    let database = Database::empty().await;
    let scenario = Scenario {
        seed: seed("rough client"),
        runs: Behaviour { lasts_ms: (1, 20), fails: 10, ..Behaviour::default() },
        checks: Behaviour { lasts_ms: (1, 5), fails: 2, ..Behaviour::default() },
        hanging: BTreeSet::new(),
        beat_ms: 10,
    };
    let rack = Rack::start(&database.url(), &scenario, 2, |setup| {
        setup.argument("--awaiting-interval=100ms").argument("--status-timeout=2s").argument("--max-runs=4")
    });
    let rough = Rough { client: rack.client.clone(), targets: rack.targets().clone() };
    let stagings: Vec<String> = (0..STAGINGS).map(|number| format!("s-{number:02}")).collect();
    let mut dice = Dice::of(rack.seed, &["rough"]);
    let (mut sent, mut remembered) = (JoinSet::new(), Vec::<Command>::new());
    for _ in 0..COMMANDS {
        let command = match remembered.len() {
            0 => Command::any(&mut dice, &stagings),
            _ if dice.percent(10) => dice.pick(&remembered).clone(),
            _ => Command::any(&mut dice, &stagings),
        };
        if remembered.len() >= REMEMBERED {
            remembered.swap_remove(0);
        }
        remembered.push(command.clone());
        let (rough, dice) = (rough.clone(), Dice::new(dice.number()));
        sent.spawn(async move { rough.ask(command, dice).await });
        while sent.len() >= AT_ONCE {
            sent.join_next().await.expect("there are some").expect("a client does not panic");
        }
    }
    sent.join_all().await;
    let told = rack.client.told();
    assert!(told.iter().all(|told| told.answer != Answer::Silence), "everything is settled");
    let sums = rack.close().await;
    eprintln!("{} answers: {sums:?}", told.len());
    assert!(sums.accepted > COMMANDS / 50 && sums.quiet > 0 && sums.refused > COMMANDS / 10, "{sums:?}");
}
