//! What was accepted is done, once, and nobody is told anything else meanwhile.

use dm_api::{ActivityKind, Status};
use dm_tests::eventually::eventually;
use reqwest::StatusCode;
use serde_json::json;

use super::{VERBS, another, events, lines, patch, refused, set, touch, types, update};
use crate::world::{SOON, World, restart};

#[tokio::test(flavor = "multi_thread")]
async fn fault_01_what_was_asked_is_in_the_log_before_its_wrapper_runs_and_is_done_after_a_kill() {
    let mut world = World::start("", &[], |setup| setup).await;
    world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    world.script("update", "if [ $DM_ATTEMPT = 1 ]; then touch half; sleep 600; fi");
    let asked = json!({"tag": "v2", "set": set("color", "red"), "reason": "for the demo", "on_behalf": "anna"});
    let run = update(&world, "demo", asked).await;
    world.wait_for_file("half").await;
    let pool = world.pool().await;
    let log = "SELECT type FROM events WHERE stream_id = 'demo' AND version > $1 ORDER BY version";
    let before: Vec<String> =
        sqlx::query_scalar(log).bind(run.version - 1).fetch_all(&pool).await.expect("the log can be read");
    assert_eq!(before, ["UpdateRequested", "RunStarted"], "it stands in the log while the wrapper is half way");

    world.dms.kill();
    let world = restart(world).await;
    let staging = world.wait_status("demo", Status::Running).await;
    assert_eq!((staging.tag.as_str(), staging.overrides, staging.last_run), ("v2", 1, run.run.expect("a run")));
    assert_eq!(world.run(&run).await.attempt, 2);
    let history = events(&world, "demo").await;
    let ours: Vec<_> = history.iter().filter(|event| event.run == run.run).collect();
    let told = |event: &dm_api::Event| (event.reason.clone(), event.on_behalf.clone());
    assert_eq!(told(ours[0]), (Some("for the demo".to_owned()), Some("anna".to_owned())));
    assert!(ours[0].actor.starts_with("admin/"), "{:?}", ours[0]);
    let types: Vec<_> = ours.iter().map(|event| event.event_type.as_str()).collect();
    let expected = ["UpdateRequested", "RunStarted", "RunInterrupted", "RunStarted", "RunFinished", "BecameRunning"];
    assert_eq!(types, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_02_two_dms_never_act_at_once_on_one_staging() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    const ROUNDS: u32 = 4;
    let mut world = World::start("", &[], |setup| setup).await;
    // Whatever has to do with a staging holds a lock of its own for as long as it lives.
    let alone = "exec 9>> lock.$8; flock -n 9 || echo \"$verb beside another on $8\" >> overlaps";
    for verb in VERBS.into_iter().chain(["check", "archive_check"]) {
        world.script(verb, alone);
    }
    world.script("update", &format!("{alone}; until [ -e go.${{10}} ]; do sleep 0.02; done"));
    let mut other = another(&world, |setup| setup).await;
    for name in NAMES {
        world.create(name).await;
        world.wait_status(name, Status::Running).await;
    }
    let mut runs = Vec::new();
    for round in 1..=ROUNDS {
        let tag = format!("v{round}");
        for name in NAMES {
            let body = json!({"tag": tag});
            let there = other.client().patch(other.url(&format!("/api/v1/stagings/{name}"))).json(&body);
            let (one, two) = tokio::join!(patch(&world, name, &body).send(), there.send());
            let mut answers = [one.expect("dms answers"), two.expect("dms answers")];
            answers.sort_by_key(reqwest::Response::status);
            let statuses = [answers[0].status(), answers[1].status()];
            assert_eq!(statuses, [StatusCode::ACCEPTED, StatusCode::CONFLICT], "only one of two acts on {name}");
            let [accepted, _] = answers;
            let accepted: dm_api::Accepted = accepted.json().await.expect("a receipt");
            runs.push(accepted.run.expect("a run").to_string());
        }
        if round == ROUNDS {
            // As when a new version is rolled out.
            tokio::task::block_in_place(|| {
                other.terminate();
                other.restart();
            });
        }
        touch(&world, &format!("go.{tag}"));
        for name in NAMES {
            world.wait_status(name, Status::Running).await;
        }
    }
    let records = world.records();
    for run in runs {
        let ends = records.iter().filter(|record| record.run == run && !record.is_start);
        assert!(ends.count() >= 1, "{run} was done: {records:?}");
    }
    tokio::task::spawn_blocking(move || {
        drop(other);
        world.dms.terminate();
    })
    .await
    .expect("both stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_03_a_failed_run_is_a_failure_at_once_and_no_check_hides_it() {
    let world = World::start("", &[], |setup| setup).await;
    // What runs from before passes every check.
    world.script("check", "echo $8 >> checked");
    world.script("create", "case $8 in fails) echo 'no such chart'; exit 3 ;; esac");
    world.create("fails").await;
    let failed = world.wait_status("fails", Status::Failure).await;
    assert_eq!(failed.reason.as_deref(), Some("run_failed"));
    assert_eq!(failed.cause.as_deref(), Some("no such chart"));
    world.create("old").await;
    world.wait_status("old", Status::Running).await;
    world.script("update", "exit 4");
    update(&world, "old", json!({"tag": "v2"})).await;
    world.wait_status("old", Status::Failure).await;
    let checked = lines(&world, "checked", "old");

    world.create("other").await;
    eventually("others are checked", SOON, async || (lines(&world, "checked", "other") >= 5).then_some(())).await;
    for name in ["fails", "old"] {
        assert_eq!(world.staging(name).await.status, Status::Failure, "{name}");
    }
    assert_eq!((lines(&world, "checked", "fails"), lines(&world, "checked", "old")), (0, checked));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_04_an_update_shows_and_is_not_checked_while_it_runs() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("update", "touch during; until [ -e go ]; do sleep 0.02; done; rm during");
    world.script("check", "if [ -e during ]; then echo $8 >> checked; [ $8 != demo ]; fi");
    for name in ["demo", "other"] {
        world.create(name).await;
        world.wait_status(name, Status::Running).await;
    }
    let before = types(&world, "demo").await.len();
    update(&world, "demo", json!({"tag": "v2"})).await;
    assert_eq!(world.staging("demo").await.status, Status::UpdatePending, "from its first moment on");
    eventually("others are checked", SOON, async || (lines(&world, "checked", "other") >= 5).then_some(())).await;
    let staging = world.staging("demo").await;
    let activity = staging.activity.expect("it is busy");
    assert_eq!(
        (staging.status, activity.kind, activity.verb.as_str()),
        (Status::UpdatePending, ActivityKind::Running, "update")
    );
    assert_eq!(lines(&world, "checked", "demo"), 0, "nothing looks at what is half done");
    touch(&world, "go");
    world.wait_status("demo", Status::Running).await;
    let since = types(&world, "demo").await.split_off(before);
    assert_eq!(since, ["UpdateRequested", "RunStarted", "RunFinished", "BecameRunning"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_07_an_error_of_the_database_ends_no_loop() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("check", "echo $8 >> checked");
    world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    let pool = world.pool().await;
    let run = async |sql: &'static str| sqlx::raw_sql(sql).execute(&pool).await.expect("it can be done");

    // What the database refuses is one command's; those that were sent together with it are carried out.
    run("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW
           WHEN (NEW.stream_id = 'cursed' OR NEW.stream_id = 'stuck' AND NEW.type = 'RunStarted')
           EXECUTE FUNCTION refuse()")
    .await;
    let cursed = world.dms.client().post(world.url("/stagings")).json(&json!({"name": "cursed", "tag": "v1"}));
    let (problem, stuck, _) = tokio::join!(refused(cursed), world.create("stuck"), world.create("well"));
    assert_eq!((problem.status, problem.code.as_str()), (500, "internal"));
    world.wait_status("well", Status::Running).await;
    assert_eq!(world.run(&stuck).await.attempt, 0, "its claim is refused again and again");

    // Every connection is lost, and claims, renewals and checks fail for a while.
    run("ALTER TABLE leases RENAME TO leases_away;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()")
    .await;
    let errors = async || {
        let sql = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.expect("there are statistics")
    };
    let before = errors().await;
    eventually("the loops have met it", SOON, async || (errors().await >= before + 10).then_some(())).await;
    run("ALTER TABLE leases_away RENAME TO leases; DROP TRIGGER refuse ON events").await;
    let checked = lines(&world, "checked", "demo");
    eventually("it is checked again", SOON, async || (lines(&world, "checked", "demo") > checked + 2).then_some(()))
        .await;
    world.create("cursed").await;
    for name in ["demo", "well", "stuck", "cursed"] {
        world.wait_status(name, Status::Running).await;
    }
}
