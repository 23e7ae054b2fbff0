//! A real `dms` with wrappers that do what a test says and write down what they do.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dm_api::{Accepted, Run, Staging, Status};
use dm_tests::dms::{Dms, Setup, executable_file};
use dm_tests::eventually::eventually;
use dm_tests::postgres::Database;
use serde_json::{Value, json};
use tempfile::TempDir;

/// By when anything in these tests has happened, on a busy machine.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// Every wrapper is this script. What a verb does stands in `do.VERB`; without one it succeeds. Lifecycle verbs write down
/// when they start and when they end, and whether an earlier attempt of their run still lives.
const WRAPPER: &str = r#"#!/bin/bash
cd "$(dirname "$0")" || exit 99
verb=$(basename "$0")
case $verb in
  create | update | restore | delete | cleanup)
    while read -r kind _ run _ pid _; do
      if [ "$kind $run" = "start $DM_RUN_ID" ] && kill -0 "$pid" 2> /dev/null; then
        echo "$verb $DM_RUN_ID $DM_ATTEMPT starts beside $pid" >> overlaps
      fi
    done < <(cat records 2> /dev/null)
    echo "start $verb $DM_RUN_ID $DM_ATTEMPT $$ $(date +%s%N)" >> records
    trap 'echo "end $verb $DM_RUN_ID $DM_ATTEMPT $$ $(date +%s%N)" >> records' EXIT ;;
esac
if [ -e "do.$verb" ]; then . "./do.$verb"; fi
"#;

/// A line of the wrappers' own records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) is_start: bool,
    pub(super) verb: String,
    pub(super) run: String,
    pub(super) attempt: u32,
    pub(super) pid: i32,
}

pub(super) struct World {
    pub(super) dms: Dms,
    wrappers: TempDir,
    url: String,
    /// The newest position that an answer has reflected: each read model comes to it in its own time.
    seen: AtomicI64,
    // After `dms`, which uses it.
    database: Option<Database>,
}

impl World {
    /// `programs` beside the required ones; `change` adds arguments.
    pub(super) async fn start(manifest: &str, programs: &[&str], change: impl FnOnce(Setup) -> Setup) -> Self {
        let database = Database::empty().await;
        let world = Self::on(&database.url(), manifest, programs, change).await;
        Self { database: Some(database), ..world }
    }

    /// The same on a database that the test looks after.
    pub(super) async fn on(url: &str, manifest: &str, programs: &[&str], change: impl FnOnce(Setup) -> Setup) -> Self {
        let wrappers = tempfile::Builder::new().prefix("dm-wrappers-").tempdir_in("/var/tmp").expect("a folder");
        let required = ["create", "update", "delete", "cleanup", "check", "archive_check"];
        for verb in required.iter().chain(programs) {
            executable_file(&wrappers.path().join(verb), WRAPPER.as_bytes());
        }
        fs::write(wrappers.path().join("wrappers.toml"), format!("contract = 1\n{manifest}")).expect("a file");
        let setup = change(setup(url, wrappers.path()));
        let dms = tokio::task::spawn_blocking(move || setup.start()).await.expect("dms starts");
        Self { dms, wrappers, url: url.to_owned(), seen: AtomicI64::new(0), database: None }
    }

    /// For another `dms` on the same database, with the same wrappers.
    pub(super) fn setup(&self) -> Setup {
        setup(&self.url, self.wrappers.path())
    }

    /// Connections to its database.
    pub(super) async fn pool(&self) -> sqlx::PgPool {
        self.database.as_ref().expect("a database of the tests' own cluster").pool().await
    }

    /// From its next call on, a wrapper does this.
    pub(super) fn script(&self, verb: &str, script: &str) {
        // Renamed into place, so that no wrapper reads a half of it.
        let new = self.file(&format!("new.{verb}"));
        fs::write(&new, script).expect("a file");
        fs::rename(new, self.file(&format!("do.{verb}"))).expect("a file");
    }

    /// In the folder in which wrappers work.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.wrappers.path().join(name)
    }

    pub(super) async fn wait_for_file(&self, name: &str) {
        eventually(name, SOON, async || self.file(name).exists().then_some(())).await;
    }

    /// What the wrappers have written down; none of them has found itself beside another.
    pub(super) fn records(&self) -> Vec<Record> {
        assert_eq!(fs::read_to_string(self.file("overlaps")).unwrap_or_default(), "");
        let text = fs::read_to_string(self.file("records")).unwrap_or_default();
        text.lines().map(record).collect()
    }

    pub(super) async fn create(&self, name: &str) -> Accepted {
        self.post("/stagings", json!({"name": name, "tag": "v1"})).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Accepted {
        let request = self.dms.client().post(self.url(path)).json(&body);
        self.write(request).await
    }

    /// Sends a request that changes something, and waits until readers see it.
    pub(super) async fn write(&self, request: reqwest::RequestBuilder) -> Accepted {
        let answer = request.send().await.expect("dms answers");
        let status = answer.status();
        let text = answer.text().await.expect("an answer");
        assert!(status.is_success(), "{status}: {text}");
        let accepted: Accepted = serde_json::from_str(&text).expect("an answer to a write");
        let url = self.url(&format!("/stagings?at_least={}", accepted.position));
        let read = self.dms.client().get(url).send().await.expect("dms answers");
        assert!(read.status().is_success(), "{read:?}");
        accepted
    }

    pub(super) async fn staging(&self, name: &str) -> Staging {
        let answer = self.read(&format!("/stagings/{name}")).await;
        answer.json().await.expect("a staging")
    }

    pub(super) async fn run(&self, of: &Accepted) -> Run {
        let run = of.run.expect("a run");
        let answer = self.read(&format!("/runs/{run}")).await;
        answer.json().await.expect("a run")
    }

    /// What has been seen in one read model is seen in all others from then on.
    pub(super) async fn read(&self, path: &str) -> reqwest::Response {
        let url = self.url(&format!("{path}?at_least={}", self.seen.load(Ordering::Relaxed)));
        let answer = self.dms.client().get(url).send().await.expect("dms answers");
        let position = answer.headers().get(dm_api::POSITION).and_then(|position| position.to_str().ok()?.parse().ok());
        self.seen.fetch_max(position.unwrap_or(0), Ordering::Relaxed);
        answer
    }

    /// Waits until a staging has a status and nothing goes on.
    pub(super) async fn wait_status(&self, name: &str, status: Status) -> Staging {
        let what = format!("{name} is {status:?}");
        eventually(&what, SOON, async || {
            let staging = self.staging(name).await;
            (staging.status == status && staging.activity.is_none()).then_some(staging)
        })
        .await
    }

    /// The output of a run's newest attempt from an offset, with the headers that tell of it.
    pub(super) async fn output(&self, of: &Accepted, from: i64) -> (Vec<u8>, reqwest::header::HeaderMap) {
        let run = of.run.expect("a run");
        let url = self.url(&format!("/runs/{run}/output?from={from}"));
        let answer = self.dms.client().get(url).send().await.expect("dms answers");
        assert!(answer.status().is_success(), "{answer:?}");
        let headers = answer.headers().clone();
        (answer.bytes().await.expect("a body").to_vec(), headers)
    }

    pub(super) fn url(&self, path: &str) -> String {
        self.dms.url(&format!("/api/v1{path}"))
    }
}

/// Starts a `dms` that has ended again, in the same home.
pub(super) async fn restart(mut world: World) -> World {
    tokio::task::spawn_blocking(move || {
        world.dms.restart();
        world
    })
    .await
    .expect("dms starts")
}

fn setup(url: &str, wrappers: &Path) -> Setup {
    Setup::new()
        .database_url(url)
        .wrappers(wrappers)
        .argument("--allow-short-times")
        .argument("--awaiting-interval=200ms")
        .argument("--check-interval=200ms")
        .argument("--grace=500ms")
        .argument("--stop-grace=500ms")
}

fn record(line: &str) -> Record {
    let fields: Vec<_> = line.split(' ').collect();
    Record {
        is_start: fields[0] == "start",
        verb: fields[1].to_owned(),
        run: fields[2].to_owned(),
        attempt: fields[3].parse().expect("a number"),
        pid: fields[4].parse().expect("a number"),
    }
}
