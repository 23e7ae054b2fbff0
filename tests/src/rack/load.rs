//! A steady stream of commands, as many a second as was asked for, until it is stopped.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::eventually::pause;
use crate::rack::client::{Client, Command};
use crate::rack::dice::Dice;

/// Most commands that are under way at once.
const AT_ONCE: usize = 64;

/// Commands that are being sent.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Load {
    /// Begins to send whatever comes up for these stagings.
    pub fn start(client: &Client, stagings: Vec<String>, per_second: u64, mut dice: Dice) -> Self {
        let (stop, stopped) = watch::channel(false);
        let client = client.clone();
        let between = Duration::from_micros(1_000_000 / per_second.max(1));
        let task = tokio::spawn(async move {
            let room = Arc::new(Semaphore::new(AT_ONCE));
            let mut sent = JoinSet::new();
            while !*stopped.borrow() {
                pause(between).await;
                let room = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
                let (client, command) = (client.clone(), Command::any(&mut dice, &stagings));
                let dice = Dice::new(dice.number());
                sent.spawn(async move {
                    client.settle(command, dice).await;
                    drop(room);
                });
                while sent.try_join_next().is_some() {}
            }
            while let Some(done) = sent.join_next().await {
                done.expect("a client does not panic");
            }
        });
        Self { stop, task }
    }

    /// Sends no more, and waits until everything that was sent is settled.
    ///
    /// # Panics
    /// When a client has panicked.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.expect("the stream of commands does not panic");
    }
}
