//! Hears that the log has grown: by notification, and by asking each second because notifications can be lost.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::envelope::Position;
use crate::outage::Outage;
use crate::postgres::read;

/// The channel on which `append_batch` notifies, with the newest position as payload.
const CHANNEL: &str = "dm_log";
/// How often the database is asked without a notification.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// After how long a silence the connection is tried.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long connecting, or the trial of a silent connection, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before a new connection.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Listens for ever, on a connection of its own.
pub(super) async fn listen(options: PgConnectOptions, pool: PgPool, newest: Arc<watch::Sender<Position>>) {
    let own = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ANSWER_TIMEOUT)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(options.application_name("dms listener"));
    let mut outage = Outage::default();
    loop {
        if let Err(error) = listen_once(&own, &pool, &newest, &mut outage).await
            && outage.begins()
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the log is not listened to; it is polled");
        }
        sleep(RECONNECT_PAUSE).await;
    }
}

/// Asks for the end of the log each second, for ever.
pub(super) async fn poll(pool: PgPool, newest: Arc<watch::Sender<Position>>) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match read::head(&pool).await {
            Ok(head) => tell(&newest, head.position),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the end of the log cannot be read");
            }
        }
    }
}

/// Listens until the connection is lost.
async fn listen_once(
    own: &PgPool,
    pool: &PgPool,
    newest: &watch::Sender<Position>,
    outage: &mut Outage,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(own).await?;
    listener.eager_reconnect(false);
    answered(listener.listen(CHANNEL)).await?;
    // What was appended while nobody listened.
    tell(newest, read::head(pool).await?.position);
    if outage.ends() {
        tracing::info!("the log is listened to again");
    }
    loop {
        match timeout(SILENCE_MAX, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                if let Ok(position) = notification.payload().parse() {
                    tell(newest, Position(position));
                }
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            // A connection can die without a word.
            Err(_) => {
                answered(sqlx::query("SELECT 1").execute(&mut listener)).await?;
            }
        }
    }
}

async fn answered<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER_TIMEOUT, query).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn tell(newest: &watch::Sender<Position>, position: Position) {
    newest.send_if_modified(|known| {
        let newer = position > *known;
        if newer {
            *known = position;
        }
        newer
    });
}
