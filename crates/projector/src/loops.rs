//! What goes on by itself: a loop for each read model, and one that hears how far they are.
//!
//! A loop waits for a wake-up or a second, whichever is first, and steps until nothing is left. While the database is away
//! it backs off and goes on.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use dm_eventstore::{Notifications, Outage, Position};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::step::{Means, Stepped, Table, step};
use crate::{ProjectionError, checkpoint, rebuild};

/// A wake-up is only a hint, so each loop looks at least this often.
const POLL: Duration = Duration::from_secs(1);

/// A step that takes longer has lost its database; a usual one takes a hundredth of this.
const STEP_DEADLINE: Duration = Duration::from_secs(8);

/// How often rows of generations that are no more are looked for.
const SWEEP_EACH: Duration = Duration::from_mins(1);

/// How far each read model is, as far as somebody has said.
pub(crate) type Heard = watch::Sender<BTreeMap<String, Position>>;

/// Moves a read model until it is told to stop.
pub(crate) async fn keep<P: Table>(means: Means, stop: CancellationToken) {
    let mut heads = means.store.watch();
    let mut back_off = BackOff::default();
    let mut swept = Instant::now();
    let mut warned = false;
    let mut outage = Outage::default();
    while !stop.is_cancelled() {
        // Registered before the step, so that what is appended meanwhile wakes the next one.
        heads.borrow_and_update();
        let stepped = bounded::<P>(&means).await;
        if stepped.is_ok() && outage.ends() {
            tracing::info!(projection.name = P::NAME, "steps succeed again");
        }
        match stepped {
            Ok(Stepped::More) => continue,
            Ok(Stepped::Done | Stepped::Elsewhere) => back_off = BackOff::default(),
            Ok(Stepped::NewerBuild) => {
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!(projection.name = P::NAME, "the read model is a newer build's, and left to it");
                }
            }
            Err(error) => {
                if outage.begins() {
                    let error = &error as &dyn Error;
                    tracing::warn!(projection.name = P::NAME, error, "a step failed; it is tried again");
                }
                stop.run_until_cancelled(back_off.pause()).await;
                continue;
            }
        }
        if swept.elapsed() >= SWEEP_EACH {
            swept = Instant::now();
            if let Some(Err(error)) = stop.run_until_cancelled(rebuild::sweep::<P>(&means)).await {
                tracing::warn!(projection.name = P::NAME, error = &error as &dyn Error, "a sweep failed");
            }
        }
        stop.run_until_cancelled(news(&mut heads)).await;
    }
}

/// Hears from every replica, this one included, how far the read models are.
pub(crate) async fn listen(options: PgConnectOptions, heard: &Heard, stop: &CancellationToken) {
    let options = options.application_name("dms listener");
    let (mut back_off, mut outage) = (BackOff::default(), Outage::default());
    while let Some(Err(error)) = stop.run_until_cancelled(hear(&options, heard, &mut back_off, &mut outage)).await {
        if outage.begins() {
            tracing::warn!(error = &error as &dyn Error, "the read models are not listened to; it is tried again");
        }
        stop.run_until_cancelled(back_off.pause()).await;
    }
}

/// One step, within its time limit.
pub(crate) async fn bounded<P: Table>(means: &Means) -> Result<Stepped, ProjectionError> {
    tokio::time::timeout(STEP_DEADLINE, step::<P>(means)).await.map_err(|_| ProjectionError::TimedOut)?
}

/// Until the log has moved, or it is time to look anyway.
async fn news(heads: &mut watch::Receiver<Position>) {
    tokio::select! {
        () = tokio::time::sleep(POLL) => {}
        Ok(()) = heads.changed() => {}
    }
}

async fn hear(
    options: &PgConnectOptions,
    heard: &Heard,
    back_off: &mut BackOff,
    outage: &mut Outage,
) -> Result<(), sqlx::Error> {
    let mut notifications = Notifications::listen(options, checkpoint::CHANNEL).await?;
    *back_off = BackOff::default();
    if outage.ends() {
        tracing::info!("the read models are listened to again");
    }
    loop {
        let payload = notifications.next().await?;
        let news = payload.split_once(':');
        if let Some((name, at)) = news.and_then(|(name, at)| Some((name, at.parse().ok()?))) {
            heard.send_modify(|heard| advance(heard, name, Position(at)));
        }
    }
}

/// News may arrive in any order; a read model never goes back.
pub(crate) fn advance(heard: &mut BTreeMap<String, Position>, name: &str, at: Position) {
    let known = heard.entry(name.to_owned()).or_default();
    *known = at.max(*known);
}

/// Longer and longer pauses while something fails.
struct BackOff(Duration);

impl BackOff {
    const MAX: Duration = Duration::from_secs(5);

    async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = Self::MAX.min(self.0 * 2);
    }
}

impl Default for BackOff {
    fn default() -> Self {
        Self(Duration::from_millis(100))
    }
}
