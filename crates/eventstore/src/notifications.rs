//! Notifications of the database, on a connection that is known to live: a link can die without a word, and silence alone
//! says nothing.

use std::io;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::timeout;

/// After how long a silence the connection is tried.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// How long connecting, or the trial of a silent connection, may take. Together with the silence less than 10 s: by then
/// a dead link is noticed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Hears one channel.
#[derive(Debug)]
pub struct Notifications(PgListener);

impl Notifications {
    /// Listens from now on, on a connection of its own.
    pub async fn listen(options: &PgConnectOptions, channel: &str) -> Result<Self, sqlx::Error> {
        // A pool for this connection alone: one that is dead when it is dropped keeps its place in the pool for as long as
        // the kernel believes in it.
        let own = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ANSWER_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options.clone());
        let mut listener = PgListener::connect_with(&own).await?;
        listener.eager_reconnect(false);
        answered(listener.listen(channel)).await?;
        Ok(Self(listener))
    }

    /// The payload of the next one; an error when the connection is lost.
    pub async fn next(&mut self) -> Result<String, sqlx::Error> {
        loop {
            match timeout(SILENCE_MAX, self.0.try_recv()).await {
                Ok(Ok(Some(notification))) => return Ok(notification.payload().to_owned()),
                Ok(Ok(None)) => return Err(sqlx::Error::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    answered(sqlx::query("SELECT 1").execute(&mut self.0)).await?;
                }
            }
        }
    }
}

async fn answered<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER_TIMEOUT, query).await.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}
