//! `dms` as operators live with it: its settings, its probes, its private database, the end of its home.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use dm_tests::dms::{Dms, Setup, executable};
use dm_tests::eventually::{eventually, eventually_blocking};
use dm_tests::postgres::Database;
use dm_tests::processes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// By when anything in these tests has happened, on a busy machine.
const SOON: Duration = Duration::from_mins(1);

fn dms(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(executable());
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").envs(variables.iter().copied());
    command.output().expect("dms was built")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn wrappers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wrappers/local").canonicalize().expect("it is there")
}

#[test]
fn every_setting_says_who_set_it() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("dms.toml");
    fs::write(&path, "check-interval = '1m'\nmax-runs = 3\n").expect("the folder is ours");
    let (at, folder) = (home.path().display().to_string(), wrappers().display().to_string());
    let arguments = ["config", "--json", "--home", &at, "--wrappers", &folder, "--max-checks=4"];
    let url = "postgres://dm:s3cret@db/dm";
    let variables = [("DM_DATABASE_URL", url), ("DM_MAX_RUNS", "5"), ("DM_LISTEN", "127.0.0.1:1")];
    let shown = dms(&arguments, &variables);
    assert!(shown.status.success(), "{shown:?}");
    assert!(!said(&shown).contains("s3cret"), "{shown:?}");
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("one document");
    let of = |setting: &str| {
        let found = shown.as_array().expect("a list").iter().find(|of| of["setting"] == setting);
        let found = found.unwrap_or_else(|| panic!("{setting} is not shown"));
        (found["value"].clone(), found["source"].as_str().expect("text").to_owned())
    };
    let file = path.display().to_string();
    assert_eq!(of("max-checks"), (json!("4"), "--max-checks".to_owned()));
    assert_eq!(of("max-runs"), (json!("5"), "DM_MAX_RUNS".to_owned()), "a variable wins over the file");
    assert_eq!(of("check-interval"), (json!("1m"), file.clone()));
    assert_eq!(of("status-timeout"), (json!("5m"), "default".to_owned()));
    assert_eq!(of("database-url"), (json!("postgres://dm:***@db/dm"), "DM_DATABASE_URL".to_owned()));
    assert_eq!(of("listen").0, json!("127.0.0.1:1"));
    assert_eq!((of("home").0, of("config").0), (json!(at), json!(file)));
    assert_eq!(of("postgres-bin"), (Value::Null, "default".to_owned()));

    let flags = said(&dms(&["serve", "--help"], &[]));
    for setting in shown.as_array().expect("a list") {
        assert!(flags.contains(&format!("--{}", setting["setting"].as_str().expect("text"))), "{setting}");
    }
    let table = said(&dms(&arguments[..1], &[("DM_HOME", &at), ("DM_WRAPPERS", &folder)]));
    assert!(table.lines().any(|line| line.starts_with("max-runs") && line.ends_with("dms.toml")), "{table}");

    let relative = dms(&["config", "--home", "here"], &[]);
    assert!(!relative.status.success() && said(&relative).contains("here is not an absolute path"), "{relative:?}");

    fs::write(&path, "max-rums = 3\n").expect("the folder is ours");
    let refused = dms(&arguments[..1], &[("DM_HOME", &at)]);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("unknown field `max-rums`") && said(&refused).contains("dms.toml"), "{refused:?}");
}

fn postgres_of(dms: &Dms) -> Pid {
    let mark = dms.home().join("postgres/data/postmaster.pid");
    let pid = fs::read_to_string(mark).expect("it runs").lines().next().expect("a pid").trim().to_owned();
    Pid::from_raw(pid.parse().expect("a pid"))
}

async fn created(dms: &Dms, name: &str) -> bool {
    let body = json!({"name": name, "tag": "v1"});
    let sent = dms.client().post(dms.url("/api/v1/stagings")).json(&body).send().await;
    sent.is_ok_and(|answer| answer.status() == 202)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_database_that_is_killed_comes_back_by_itself_and_can_be_rebuilt_beside_a_serving_dms() {
    let dms = tokio::task::spawn_blocking(|| Setup::new().start()).await.expect("dms starts");
    assert!(created(&dms, "before").await);
    let killed = postgres_of(&dms);
    kill(killed, Signal::SIGKILL).expect("it runs");
    eventually("dms is back by itself", SOON, async || created(&dms, "after").await.then_some(())).await;
    assert_ne!(postgres_of(&dms), killed);
    let log = dms.log();
    assert!(log.contains("PostgreSQL has ended; starting it again"), "{log}");

    let home = dms.home().display().to_string();
    let rebuild = || {
        let home = home.clone();
        tokio::task::spawn_blocking(move || super_dms(&["rebuild", "--home", &home]))
    };
    let beside = rebuild().await.expect("it ends");
    assert!(beside.status.success(), "{}", said(&beside));
    assert!(said(&beside).contains("stagings: rebuilt from"), "{}", said(&beside));
    let mut dms = dms;
    tokio::task::block_in_place(|| dms.terminate());
    let alone = rebuild().await.expect("it ends");
    assert!(alone.status.success(), "{}", said(&alone));
    tokio::task::block_in_place(|| dms.restart());
    let list = dms.client().get(dms.url("/api/v1/stagings")).send().await.expect("dms answers");
    let list: Value = list.json().await.expect("a list");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2));
}

fn super_dms(arguments: &[&str]) -> Output {
    let folder = wrappers().display().to_string();
    dms(arguments, &[("DM_WRAPPERS", &folder)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_is_named_in_log_metric_and_probe_and_the_others_go_on() {
    let database = Database::empty().await;
    let setup = Setup::new().database(&database);
    let dms = tokio::task::spawn_blocking(|| setup.start()).await.expect("dms starts");
    assert!(created(&dms, "bad").await);
    eventually("bad runs", SOON, async || is_running(&dms, "bad").await.then_some(())).await;
    sqlx::raw_sql(
        "INSERT INTO events SELECT h.position + 1, 'bad', v.version + 1, 'OfALaterBuild', 1, '{}', e.meta, h.at
           FROM log_head h, (SELECT max(version) AS version FROM events WHERE stream_id = 'bad') v,
                (SELECT meta FROM events WHERE stream_id = 'bad' AND version = 1) e;
         UPDATE log_head SET position = position + 1",
    )
    .execute(&database.pool().await)
    .await
    .expect("an event of a later build");
    let at = |path: &str| format!("http://{}{path}", dms.metrics());
    let text = async |path: &str| {
        let answer = dms.client().get(at(path)).send().await.expect("dms answers");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    eventually("the probe names it", SOON, async || {
        let (status, probe) = text("/readyz").await;
        let probe: Value = serde_json::from_str(&probe).expect("a document");
        let named = probe["quarantined"].as_array()?.iter().any(|one| one["key"] == "bad");
        assert_eq!(status, 200, "the rest goes on");
        named.then_some(())
    })
    .await;
    assert!(text("/metrics").await.1.contains("dm_projection_quarantined 2\n"));
    let log = dms.log();
    assert!(log.contains("bad") && log.contains("OfALaterBuild"), "{log}");
    assert!(created(&dms, "good").await);
    eventually("good runs", SOON, async || is_running(&dms, "good").await.then_some(())).await;
    let update = dms.client().patch(dms.url("/api/v1/stagings/bad")).json(&json!({})).send().await;
    let problem: Value = update.expect("dms answers").json().await.expect("a problem");
    assert_eq!((&problem["status"], &problem["code"]), (&json!(503), &json!("unreadable")), "nothing is guessed");
}

async fn is_running(dms: &Dms, name: &str) -> bool {
    let answer = dms.client().get(dms.url(&format!("/api/v1/stagings/{name}"))).send().await.expect("dms answers");
    let staging: Value = answer.json().await.expect("a document");
    staging["status"] == "Running" && staging["activity"].is_null() && staging["links_due"] == false
}

#[test]
fn a_home_is_removed_with_everything_in_it_and_nothing_else_is() {
    let foreign = tempfile::tempdir().expect("a folder");
    fs::write(foreign.path().join("precious"), "").expect("the folder is ours");
    let purge = |home: &Path, yes: &[&str]| {
        let home = home.display().to_string();
        dms(&[&["home", "purge", "--home", &home], yes].concat(), &[])
    };
    let refused = purge(foreign.path(), &["-y"]);
    assert!(!refused.status.success() && said(&refused).contains("is no home of a dms"), "{refused:?}");
    assert!(foreign.path().join("precious").exists());

    let mut dms = Setup::new().wrappers(&wrappers()).start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        assert!(created(&dms, "demo").await);
        eventually("demo runs", SOON, async || is_running(&dms, "demo").await.then_some(())).await;
    });
    let home = dms.home().to_owned();
    let held = purge(&home, &["-y"]);
    assert!(!held.status.success() && said(&held).contains("is held by another dms: pid"), "{held:?}");
    dms.terminate();
    assert!(!processes::of(&home).is_empty(), "the demo staging goes on without dms");
    let link = foreign.path().join("link");
    std::os::unix::fs::symlink(&home, &link).expect("the folder is ours");
    assert!(said(&purge(&link, &["-y"])).contains("is no home of a dms"));
    let unsure = purge(&home, &[]);
    assert!(!unsure.status.success() && said(&unsure).contains("give -y"), "{unsure:?}");
    assert!(said(&unsure).contains("the demo staging demo"), "{unsure:?}");
    let gone = purge(&home, &["-y"]);
    assert!(gone.status.success(), "{gone:?}");
    assert!(!home.exists());
    eventually_blocking("nothing of it runs", SOON, || processes::of(&home).is_empty().then_some(()));
    assert!(!purge(&home, &["-y"]).status.success(), "there is nothing any more");
}
