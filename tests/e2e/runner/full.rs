//! The disk of PostgreSQL is full.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dm_api::{Problem, Status};
use dm_tests::cluster::{Cluster, Sizes};
use dm_tests::eventually::eventually;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::world::{SOON, World};

/// By when a request is answered, whatever the disk does.
const ANSWER: Duration = Duration::from_secs(12);

/// Room for an empty cluster, and some.
const SIZES: Sizes = Sizes { tables: 96, wal: 16 };

/// Most commands that find room on a full disk, in pages that are there already.
const COMMANDS_MAX: usize = 3_000;

impl World {
    /// Creates a staging, large enough to need room.
    async fn try_create(&self, name: &str) -> (StatusCode, Value) {
        // Of a kind that cannot be compressed.
        let value: String = (0..2_000).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
        let change = json!([{"level": "app", "key": "text", "text": value}]);
        let body = json!({"name": name, "tag": "v1", "set": change});
        let sent = Instant::now();
        let answer = self.dms.client().post(self.url("/stagings")).json(&body).send().await.expect("dms answers");
        assert!(sent.elapsed() < ANSWER, "an answer after {:?}", sent.elapsed());
        (answer.status(), answer.json().await.expect("JSON"))
    }

    /// Creates until it is refused: what was accepted, and why no more was.
    async fn create_until_refused(&self) -> (Vec<String>, Problem) {
        let mut accepted = Vec::new();
        for number in 0..COMMANDS_MAX {
            let name = format!("s{number}");
            let (status, body) = self.try_create(&name).await;
            if status == 503 {
                return (accepted, serde_json::from_value(body).expect("a problem"));
            }
            assert_eq!(status, 202, "{body}");
            accepted.push(name);
        }
        panic!("{COMMANDS_MAX} commands found room on a full disk");
    }

    async fn is_there(&self, name: &str) -> bool {
        let answer = self.dms.client().get(self.url(&format!("/stagings/{name}"))).send().await;
        answer.expect("dms answers").status().is_success()
    }

    /// There is room again: commands are taken, and what was accepted before is there.
    async fn recovers(&self, accepted: &[String]) {
        eventually("commands are taken again", SOON, async || (self.try_create("after").await.0 == 202).then_some(()))
            .await;
        for name in accepted {
            eventually("what was accepted is there", SOON, async || self.is_there(name).await.then_some(())).await;
        }
        self.wait_status("before", Status::Running).await;
        self.wait_status("after", Status::Running).await;
        let (status, text) = self.probe("/readyz").await;
        assert!(status == 200 && !text.contains("disk"), "{status} {text}");
    }
}

async fn cluster() -> Cluster {
    tokio::task::spawn_blocking(|| Cluster::on_disks(SIZES)).await.expect("PostgreSQL starts")
}

/// One run at a time: what is created here is to be in the log, not to run.
async fn world(cluster: &Cluster) -> World {
    let world = World::on(&cluster.url(), "", &[], |setup| setup.argument("--max-runs=1")).await;
    world.create("before").await;
    world.wait_status("before", Status::Running).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_of_the_tables_is_full_commands_are_refused_with_the_reason_and_reads_go_on() {
    let cluster = cluster().await;
    let world = world(&cluster).await;
    cluster.tables().fill();
    let (accepted, problem) = world.create_until_refused().await;
    assert_eq!(
        (problem.code.as_str(), problem.detail.as_str()),
        ("unavailable", "the disk of the database is full; nothing was changed")
    );
    let (status, text) = world.probe("/readyz").await;
    assert!(status == 200 && text.contains("\"writes\":\"its disk is full\""), "{status} {text}");
    assert!(world.is_there("before").await, "reads go on");
    let (status, _) = world.try_create("after").await;
    assert_eq!(status, 503);

    cluster.tables().free();
    world.recovers(&accepted).await;
}

/// Goes on to the last file of the write-ahead log that is there already.
async fn use_up(direct: &mut PgConnection) {
    let ahead = "SELECT count(*) FROM pg_ls_waldir()
        WHERE name ~ '^[0-9A-F]{24}$' AND name > pg_walfile_name(pg_current_wal_insert_lsn())";
    while sqlx::query_scalar::<_, i64>(ahead).fetch_one(&mut *direct).await.unwrap() > 0 {
        for step in ["SELECT pg_logical_emit_message(false, '', 'x')::text", "SELECT pg_switch_wal()::text"] {
            sqlx::query(step).execute(&mut *direct).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_disk_of_the_write_ahead_log_is_full_dms_lives_and_goes_on_once_postgresql_does() {
    let cluster = cluster().await;
    let world = world(&cluster).await;
    // What keeps all of it is what fills such disks.
    let mut direct = PgConnection::connect(&cluster.url()).await.unwrap();
    sqlx::query("SELECT pg_create_physical_replication_slot('slow', true)").execute(&mut direct).await.unwrap();
    cluster.wal().fill();
    use_up(&mut direct).await;
    drop(direct);
    // PostgreSQL panics, and starts again as long as it can: what it says depends on the moment.
    let (accepted, problem) = world.create_until_refused().await;
    assert!(["unavailable", "outcome_unknown"].contains(&problem.code.as_str()), "{problem:?}");
    assert_eq!(world.probe("/livez").await.0, 200);

    cluster.wal().free();
    let cluster = Arc::new(cluster);
    eventually("PostgreSQL is back", SOON, async || {
        let cluster = Arc::clone(&cluster);
        let url = cluster.url();
        // As an operator would, if it has given up.
        let started = tokio::task::spawn_blocking(move || cluster.is_up() || cluster.try_again()).await;
        if !started.expect("it does not panic") {
            return None;
        }
        PgConnection::connect(&url).await.ok()
    })
    .await;
    world.recovers(&accepted).await;
}
