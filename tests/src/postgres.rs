//! A database for one test, cloned from a template that has all migrations.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use crate::proxy::Proxy;

/// A database of its own; dropped with this value.
#[derive(Debug)]
pub struct Database {
    name: String,
    cluster: PgConnectOptions,
}

impl Database {
    /// Clones the template.
    ///
    /// # Panics
    /// Without a cluster: run tests by `script/test`, or one alone by `script/lib/with-postgres cargo nextest run ...`.
    pub async fn create() -> Self {
        Self::made_by("dm_template").await
    }

    /// A database without any table, as an operator hands it to `dms migrate`.
    ///
    /// # Panics
    /// As [`Database::create`].
    pub async fn empty() -> Self {
        Self::made_by("template0").await
    }

    async fn made_by(template: &str) -> Self {
        let url = std::env::var("DM_TEST_DATABASE_URL")
            .expect("DM_TEST_DATABASE_URL is not set: run `script/lib/with-postgres cargo nextest run ...`");
        let cluster = PgConnectOptions::from_str(&url).expect("DM_TEST_DATABASE_URL is a URL");
        let name = format!("t_{}", Uuid::new_v4().simple());
        let mut connection = PgConnection::connect_with(&cluster).await.expect("the test cluster answers");
        // Cloning fails while another test is being cloned from the same template at the same moment.
        for statement in
            ["SELECT pg_advisory_lock(1)".to_owned(), format!("CREATE DATABASE {name} TEMPLATE {template}")]
        {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("the template can be cloned");
        }
        connection.close().await.expect("the test cluster answers");
        Self { name, cluster }
    }

    /// How to connect to it.
    pub fn options(&self) -> PgConnectOptions {
        self.cluster.clone().database(&self.name)
    }

    /// A pool of connections to it.
    pub async fn pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(20).connect_with(self.options()).await.expect("the test database answers")
    }

    /// A proxy in front of it, and how to connect through that.
    ///
    /// # Panics
    /// When the cluster does not listen on a unix socket.
    pub fn proxied(&self) -> (Proxy, PgConnectOptions) {
        let options = self.options();
        let folder = options.get_socket().expect("the test cluster listens on a unix socket");
        let proxy = Proxy::unix(&folder.join(format!(".s.PGSQL.{}", options.get_port())));
        let through = options.clone().socket(proxy.folder());
        (proxy, through)
    }

    /// Its URL through a proxy of [`Database::proxied`].
    ///
    /// # Panics
    /// As [`Database::url`].
    pub fn url_through(&self, proxy: &Proxy) -> String {
        let url = self.url();
        let (base, _) = url.split_once("host=").expect("the URL names the folder of a unix socket");
        format!("{base}host={}", proxy.folder().display())
    }

    /// Its URL, for a `dms` of its own.
    pub fn url(&self) -> String {
        let base = std::env::var("DM_TEST_DATABASE_URL").expect("checked when the database was made");
        base.replacen("/postgres?", &format!("/{}?", self.name), 1)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (name, cluster) = (self.name.clone(), self.cluster.clone());
        // A runtime cannot be entered from within another one, hence the thread.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&cluster).await?;
                sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")))
                    .execute(&mut connection)
                    .await?;
                anyhow::Ok(())
            })
        })
        .join();
        if !std::thread::panicking() {
            dropped.expect("the thread ends").expect("the test database can be dropped");
        }
    }
}
