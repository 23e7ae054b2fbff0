//! `DM_HOME`, the private PostgreSQL, starts and stops.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use dm_tests::dms::{self, Dms, Setup};
use dm_tests::eventually::{eventually, eventually_blocking};
use dm_tests::postgres::Database;
use dm_tests::processes;
use dm_tests::proxy::Proxy;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);

fn complaint(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("dms writes UTF-8");
    assert!(output.stdout.is_empty(), "a dms that does not start says nothing on standard output");
    text
}

/// The private PostgreSQL's main process.
fn postmaster(dms: &Dms) -> Option<Pid> {
    let mark = fs::read_to_string(dms.home().join("postgres/data/postmaster.pid")).ok()?;
    mark.lines().next()?.trim().parse().ok().map(Pid::from_raw)
}

/// What has ended and waits for its parent to notice has no arguments.
fn is_there(pid: Pid) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|arguments| !arguments.is_empty())
}

async fn answers(dms: &Dms) -> bool {
    let answer = dms.client().get(dms.url("/api/v1/version")).send().await.expect("dms answers");
    answer.status().is_success()
}

#[tokio::test]
async fn an_empty_home_becomes_a_working_dm_and_a_stop_leaves_nothing_running() {
    let mut dms = Setup::new().start();
    assert!(answers(&dms).await);
    let postmaster = postmaster(&dms).expect("a private PostgreSQL");
    assert!(!processes::of(dms.home()).is_empty(), "what runs is found");
    assert!(dms.terminate().success());
    assert!(!is_there(postmaster), "PostgreSQL ends before dms does");
    assert_eq!(processes::of(dms.home()), []);
}

#[tokio::test]
async fn an_ordinary_user_gets_a_working_dm() {
    let mut dms = Setup::new().ordinary_user().start();
    assert!(answers(&dms).await);
    let home = fs::metadata(dms.home()).expect("a home");
    assert_eq!(home.permissions().mode() & 0o777, 0o700);
    let data = fs::metadata(dms.home().join("postgres/data")).expect("a database");
    assert_eq!(data.uid(), home.uid(), "the database belongs to who runs dms");
    assert!(dms.terminate().success());
}

#[test]
fn root_gives_the_database_to_somebody_else_and_keeps_private_things_private() {
    let dms = Setup::new().start();
    let of = |path: &str| {
        let found = fs::metadata(dms.home().join(path)).expect("it is there");
        (found.permissions().mode() & 0o777, found.uid())
    };
    let own = nix::unistd::geteuid();
    let (mode, owner) = of("postgres");
    assert_eq!((mode, owner == 0), (0o700, false), "PostgreSQL's folder belongs to its own user alone");
    assert_eq!(of("certs"), (0o700, own.as_raw()));
    assert_eq!(of("dmc.toml"), (0o600, own.as_raw()));
    assert_eq!(of("certs/server.key").0, 0o600);
    assert_eq!(of("").0, if own.is_root() { 0o711 } else { 0o700 });
}

#[tokio::test]
async fn a_second_start_says_who_holds_the_home() {
    let dms = Setup::new().start();
    let said =
        complaint(&Command::new(dms::executable()).args(["serve", "--home"]).arg(dms.home()).output().expect("dms"));
    assert!(said.contains(&format!("held by another dms: pid {}, since 20", dms.pid())), "{said}");
    assert!(answers(&dms).await, "the first goes on");
}

#[test]
fn a_home_of_somebody_else_and_one_that_postgresql_cannot_reach_are_named() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can make either.
        return;
    }
    let setup = Setup::new();
    let home = setup.home_path().to_owned();
    fs::create_dir(&home).expect("the folder is ours");
    let nobody = nix::unistd::User::from_name("nobody").expect("users can be looked up").expect("there is nobody");
    nix::unistd::chown(&home, Some(nobody.uid), None).expect("root gives folders away");
    let said = complaint(&setup.fail());
    assert!(said.contains("belongs to nobody"), "{said}");

    let setup = Setup::new();
    let closed = setup.home_path().with_file_name("closed");
    fs::create_dir(&closed).expect("the folder is ours");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
    let said = complaint(&setup.home(closed.join("home")).fail());
    assert!(said.contains(&format!("may not enter {}", closed.display())), "{said}");
}

#[test]
fn a_signal_during_the_start_leaves_nothing_running() {
    let folder = Setup::new();
    let home = folder.home_path();
    let log = fs::File::create(home.with_file_name("log")).expect("the folder is ours");
    let mut child = Command::new(dms::executable())
        .args(["serve", "--listen=127.0.0.1:0", "--listen-dmc=127.0.0.1:0", "--listen-metrics=127.0.0.1:0", "--home"])
        .arg(home)
        .stdout(log)
        .spawn()
        .expect("dms was built");
    eventually_blocking("the home is held", SOON, || home.join("starts").exists().then_some(()));
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGINT).expect("it runs");
    let status = eventually_blocking("dms ends", SOON, || child.try_wait().expect("it is ours"));
    assert_eq!(status.code(), Some(130));
    assert_eq!(fs::read_to_string(home.with_file_name("log")).expect("the folder is ours"), "", "it was never ready");
    eventually_blocking("all of it has ended", SOON, || processes::of(home).is_empty().then_some(()));
}

#[tokio::test]
async fn a_start_after_a_kill_has_the_database_again() {
    let mut dms = Setup::new().start();
    let before = postmaster(&dms).expect("a private PostgreSQL");
    assert_eq!(dms.kill().signal(), Some(Signal::SIGKILL as i32));
    // At once: PostgreSQL may still be about to end.
    dms.restart();
    assert!(answers(&dms).await);
    assert!(!is_there(before));
    assert_eq!(fs::read_to_string(dms.home().join("starts")).expect("starts are counted").trim(), "2");
}

#[test]
fn a_killed_dms_takes_its_database_with_it() {
    let mut dms = Setup::new().start();
    let home = dms.home().to_owned();
    assert!(!processes::of(&home).is_empty());
    dms.kill();
    eventually_blocking("PostgreSQL has ended", SOON, || processes::of(&home).is_empty().then_some(()));
}

#[test]
fn the_mark_of_a_server_that_is_gone_stops_nobody() {
    let mut dms = Setup::new().start();
    assert!(dms.terminate().success());
    // A number that lives again, as another program: PostgreSQL by itself would refuse.
    let mark = dms.home().join("postgres/data/postmaster.pid");
    fs::write(&mark, format!("{}\n", std::process::id())).expect("the mark can be written");
    let owner = fs::metadata(dms.home().join("postgres")).expect("a folder");
    std::os::unix::fs::chown(&mark, Some(owner.uid()), None).expect("it is given to its owner");
    dms.restart();
}

#[tokio::test]
async fn a_crashed_database_is_started_again() {
    let dms = Setup::new().start();
    let before = postmaster(&dms).expect("a private PostgreSQL");
    kill(before, Signal::SIGKILL).expect("it runs");
    eventually_blocking("PostgreSQL runs again", SOON, || {
        postmaster(&dms).filter(|pid| *pid != before && is_there(*pid))
    });
    assert!(answers(&dms).await);
}

#[tokio::test]
async fn a_home_with_a_long_path_works() {
    let setup = Setup::new();
    let home = setup.home_path().with_file_name("h".repeat(120));
    let mut dms = setup.home(&home).start();
    assert!(answers(&dms).await);
    let mark = fs::read_to_string(home.join("postgres/data/postmaster.pid")).expect("a private PostgreSQL");
    let sockets = std::path::Path::new(mark.lines().nth(4).expect("the folder of sockets"));
    assert!(sockets.is_dir() && !sockets.starts_with(&home));
    assert!(dms.terminate().success());
    assert!(!sockets.exists(), "what is kept elsewhere is not left there");
}

#[tokio::test]
async fn a_given_database_is_migrated_and_used() {
    let database = Database::empty().await;
    let url = database.url();
    let unready = complaint(&Setup::new().argument(format!("--database-url={url}")).fail());
    assert!(unready.contains("dms migrate"), "{unready}");
    for _ in ["once", "again"] {
        let migrated = Command::new(dms::executable()).args(["migrate", "--database-url", &url]).output().expect("dms");
        assert!(migrated.status.success(), "{migrated:?}");
    }
    let dms = Setup::new().argument(format!("--database-url={url}")).start();
    assert!(answers(&dms).await);
    assert!(!dms.home().join("postgres").exists(), "no private PostgreSQL is made");
}

/// What `migrations/README.md` grants to the role that serves.
fn grants(role: &str) -> String {
    let page = include_str!("../../migrations/README.md");
    let block = page.split("```").find(|block| block.contains("GRANT ")).expect("the page has them");
    block.trim_start_matches("sql").replace(" TO dms;", &format!(" TO {role};"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grants_of_the_docs_are_enough_and_without_them_what_is_missing_is_named() {
    let database = Database::empty().await;
    let migrated = Command::new(dms::executable()).args(["migrate", "--database-url", &database.url()]).output();
    assert!(migrated.expect("dms runs").status.success());
    let pool = database.pool().await;
    let role = format!("serves_{}", Uuid::new_v4().simple());
    let sql = async |text: String| sqlx::raw_sql(AssertSqlSafe(text)).execute(&pool).await.expect("it is accepted");
    sql(format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON _sqlx_migrations TO {role}")).await;
    let url = format!("--database-url={}", database.url().replacen("//dm@", &format!("//{role}@"), 1));

    let said = complaint(&Setup::new().argument(url.clone()).fail());
    assert!(said.contains("may not read audit"), "{said}");

    sql(grants(&role)).await;
    let mut dms = Setup::new().argument(url).start();
    let body = serde_json::json!({"name": "demo", "tag": "1"});
    let answer = dms.client().post(dms.url("/api/v1/stagings")).json(&body).send().await.expect("dms answers");
    assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap_or_default());
    eventually("it runs", SOON, async || {
        let answer = dms.client().get(dms.url("/api/v1/stagings/demo")).send().await.ok()?;
        (answer.json::<dm_api::Staging>().await.ok()?.status == dm_api::Status::Running).then_some(())
    })
    .await;
    assert!(dms.terminate().success());
    sql(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let database = Database::empty().await;
    let mut dms = Setup::new().database(&database).start();
    assert!(dms.terminate().success());
    let pool = database.pool().await;
    sqlx::raw_sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99999999, 'from the future', true, '', 0)",
    )
    .execute(&pool)
    .await
    .expect("migrations are recorded");
    pool.close().await;
    let said = complaint(&Setup::new().database(&database).fail());
    assert!(said.contains("made by a newer dms"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_wakes_nobody_is_refused() {
    let database = Database::empty().await;
    let mut dms = Setup::new().database(&database).start();
    assert!(dms.terminate().success());
    let options = database.options();
    let folder = options.get_socket().expect("the test cluster has a socket").clone();
    let proxy = Proxy::unix(&folder.join(".s.PGSQL.5432"));
    proxy.lose_notifications();
    let between = proxy.socket().parent().expect("it is in a folder").display().to_string();
    let url = database.url().replace(&folder.display().to_string(), &between) + "&sslmode=disable";
    let refused = tokio::task::spawn_blocking(move || Setup::new().database_url(&url).fail());
    let said = complaint(&refused.await.expect("dms ends"));
    assert!(said.contains("does not pass notifications on") && said.contains("session mode"), "{said}");
}

#[test]
fn a_database_that_is_not_there_is_named_without_its_password() {
    let url = "postgres://somebody:topsecret@127.0.0.1:1/dm";
    let output = Setup::new().argument(format!("--database-url={url}")).fail();
    let said = complaint(&output);
    assert!(said.contains("the database does not answer") && said.contains("refused"), "{said}");
    assert!(!said.contains("topsecret"), "{said}");
}

#[test]
fn settings_come_from_flag_then_variable_then_file() {
    let setup = Setup::new();
    let home = setup.home_path().to_owned();
    fs::create_dir(&home).expect("the folder is ours");
    let file = home.join("dms.toml");
    fs::write(&file, "max-runs = 300\n").expect("the folder is ours");
    let said = complaint(&Setup::new().home(&home).fail());
    assert!(said.contains("max-runs is 300"), "{said}");
    let said = complaint(&Setup::new().home(&home).variable("DM_MAX_RUNS", "400").fail());
    assert!(said.contains("max-runs is 400"), "{said}");
    let said = complaint(&Setup::new().home(&home).variable("DM_MAX_RUNS", "400").argument("--max-runs=500").fail());
    assert!(said.contains("max-runs is 500"), "{said}");
    fs::write(&file, "max-rums = 3\n").expect("the folder is ours");
    let said = complaint(&Setup::new().home(&home).fail());
    assert!(said.contains("dms.toml") && said.contains("max-rums"), "{said}");
}

#[test]
fn a_time_below_its_minimum_is_refused_unless_a_test_asks() {
    let said = complaint(&Setup::new().argument("--status-timeout=3s").fail());
    assert!(said.contains("status-timeout is 3s; it must be 30s to 2h"), "{said}");
    drop(Setup::new().argument("--status-timeout=3s").argument("--allow-short-times").start());
}

#[test]
fn a_taken_port_that_was_asked_for_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let said = complaint(&Setup::new().argument(format!("--listen={address}")).fail());
    assert!(said.contains("--listen") && said.contains(&address.to_string()), "{said}");
}

#[test]
fn postgresql_is_found_off_path_and_its_absence_is_one_line() {
    // The harness starts dms with a path on which no program of PostgreSQL is.
    assert!(Command::new("initdb").env("PATH", "/usr/bin:/bin").arg("--version").output().is_err());
    drop(Setup::new().start());
    let said = complaint(&Setup::new().argument("--postgres-bin=/nonexistent").fail());
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("/nonexistent"), "{said}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut dms = Setup::new().start();
    // A request that never ends keeps an orderly stop waiting.
    let open = std::net::TcpStream::connect(dms.page()).expect("the page listens");
    std::io::Write::write_all(&mut &open, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n")
        .expect("it is read");
    kill(dms.pid(), Signal::SIGTERM).expect("dms runs");
    eventually_blocking("dms has begun to stop", SOON, || dms.log().contains("stopping").then_some(()));
    let status = dms.terminate();
    assert!(status.code() == Some(130) || status.success(), "{status:?}");
}
