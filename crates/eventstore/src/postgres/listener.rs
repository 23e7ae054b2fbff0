//! Hears that the log has grown: by notification, and by asking all the time because notifications can be lost.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::envelope::Position;
use crate::notifications::Notifications;
use crate::outage::Outage;
use crate::pool::Pool;
use crate::postgres::read;

/// The channel on which `append_batch` notifies, with the newest position as payload.
const CHANNEL: &str = "dm_log";
/// How often the database is asked without a notification.
/// With what follows a new event is so seen within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The pause before a new connection.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Listens for ever, on a connection of its own.
pub(super) async fn listen(options: PgConnectOptions, pool: Pool, newest: Arc<watch::Sender<Position>>) {
    let options = options.application_name("dms listener");
    let mut outage = Outage::default();
    loop {
        let error = listen_once(&options, &pool, &newest, &mut outage).await;
        if outage.begins() {
            tracing::warn!(error = &error as &dyn Error, "the log is not listened to; it is polled");
        }
        sleep(RECONNECT_PAUSE).await;
    }
}

/// Asks for the end of the log, for ever.
pub(super) async fn poll(pool: Pool, newest: Arc<watch::Sender<Position>>) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut outage = Outage::default();
    loop {
        ticks.tick().await;
        match read::head(&pool).await {
            Ok(head) => {
                tell(&newest, head.position);
                if outage.ends() {
                    tracing::info!("the database answers again");
                }
            }
            Err(error) if outage.begins() => {
                tracing::warn!(error = &error as &dyn Error, "the database does not answer");
            }
            Err(_) => {}
        }
    }
}

/// Listens until the connection is lost; says by what.
async fn listen_once(
    options: &PgConnectOptions,
    pool: &Pool,
    newest: &watch::Sender<Position>,
    outage: &mut Outage,
) -> sqlx::Error {
    let listening = async {
        let mut notifications = Notifications::listen(options, CHANNEL).await?;
        // What was appended while nobody listened.
        tell(newest, read::head(pool).await?.position);
        if outage.ends() {
            tracing::info!("the log is listened to again");
        }
        loop {
            if let Ok(position) = notifications.next().await?.parse() {
                tell(newest, Position(position));
            }
        }
    };
    let Err(error): Result<std::convert::Infallible, sqlx::Error> = listening.await;
    error
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
