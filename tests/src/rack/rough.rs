//! A rough client: it repeats itself, sends several copies at once, cuts connections in the middle and comes back to what it
//! has asked long before. What it was told is what the log holds.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::dms::Setup;
use crate::rack::Rack;
use crate::rack::client::{Client, Command, Targets};
use crate::rack::dice::Dice;
use crate::rack::scenario::{Behaviour, Scenario};

/// How many commands are under way at once.
const AT_ONCE: usize = 24;
/// How many stagings there are.
const STAGINGS: usize = 40;
/// How many of the last commands it may come back to.
const REMEMBERED: usize = 500;

/// One client, which forgets nothing.
#[derive(Clone)]
struct Rough {
    client: Client,
    targets: Targets,
    /// Refused after a copy of them was cut off, which may be on its way still.
    unsure: Arc<Mutex<Vec<Command>>>,
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
        if !self.client.is_accepted(command.clone(), dice.clone()).await {
            self.unsure.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        }
    }

    /// A refusal is not remembered, and a copy that was cut off may arrive after it: asked again when nothing is on its way
    /// any more, the key tells what became of it.
    async fn make_sure(&self, mut dice: Dice) {
        let unsure = std::mem::take(&mut *self.unsure.lock().unwrap_or_else(PoisonError::into_inner));
        for command in unsure {
            self.client.settle(command, Dice::new(dice.number())).await;
        }
    }
}

/// Wrappers that do not take long, so that states change quickly.
pub fn scenario(seed: u64) -> Scenario {
    Scenario {
        seed,
        runs: Behaviour { lasts_ms: (1, 20), fails: 10, ..Behaviour::default() },
        checks: Behaviour { lasts_ms: (1, 5), fails: 2, ..Behaviour::default() },
        hanging: BTreeSet::new(),
        beat_ms: 10,
    }
}

/// Short waits.
pub fn setup(setup: Setup) -> Setup {
    setup.argument("--awaiting-interval=100ms").argument("--status-timeout=2s").argument("--max-runs=4")
}

/// Sends so many commands, copies and repetitions not counted, and returns when every one is settled.
///
/// # Panics
/// When a client has panicked.
pub async fn go(rack: &Rack, count: usize, mut show: impl FnMut(usize)) {
    let rough = Rough { client: rack.client.clone(), targets: rack.targets().clone(), unsure: Arc::default() };
    let stagings: Vec<String> = (0..STAGINGS).map(|number| format!("s-{number:02}")).collect();
    let mut dice = Dice::of(rack.seed, &["rough"]);
    let (mut sent, mut remembered) = (JoinSet::new(), Vec::<Command>::new());
    for number in 0..count {
        let repeated = !remembered.is_empty() && dice.percent(10);
        let command = if repeated { dice.pick(&remembered).clone() } else { Command::any(&mut dice, &stagings) };
        if remembered.len() >= REMEMBERED {
            remembered.swap_remove(0);
        }
        remembered.push(command.clone());
        let (rough, dice) = (rough.clone(), Dice::new(dice.number()));
        sent.spawn(async move { rough.ask(command, dice).await });
        while sent.len() >= AT_ONCE {
            sent.join_next().await.expect("there are some").expect("a client does not panic");
        }
        show(number);
    }
    sent.join_all().await;
    rough.make_sure(dice).await;
}
