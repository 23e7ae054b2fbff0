//! Ends of runs and results of checks, as people see them.

use std::time::Duration;

use dm_api::runs::output;
use dm_api::{ActivityKind, Status};
use dm_tests::eventually::eventually;
use serde_json::json;

use super::world::{SOON, World, restart};

#[tokio::test(flavor = "multi_thread")]
async fn a_staging_lives_from_create_to_cleanup() {
    let world = World::start("", &["info"], |setup| setup).await;
    world.script("info", "echo site,http://localhost/; printf '\"a, b\",http://x/\\n'");
    let created = world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    let links = eventually("links are read", SOON, async || {
        let links = world.staging("demo").await.links;
        (!links.is_empty()).then_some(links)
    })
    .await;
    let names: Vec<_> = links.iter().map(|link| (link.name.as_str(), link.url.as_str())).collect();
    assert_eq!(names, [("site", "http://localhost/"), ("a, b", "http://x/")]);
    world.post("/stagings/demo/delete", json!({})).await;
    world.wait_status("demo", Status::Archived).await;
    world.post("/stagings/demo/cleanup", json!({})).await;
    let gone = world.url("/stagings/demo");
    eventually("it is gone", SOON, async || {
        let answer = world.dms.client().get(&gone).send().await.expect("dms answers");
        (answer.status() == 404).then_some(())
    })
    .await;
    let verbs: Vec<_> = world.records().into_iter().map(|record| (record.is_start, record.verb)).collect();
    let expected = ["create", "delete", "cleanup"].into_iter().flat_map(|verb| [(true, verb), (false, verb)]);
    assert!(verbs.iter().map(|(start, verb)| (*start, verb.as_str())).eq(expected), "{verbs:?}");
    assert_eq!(world.run(&created).await.outcome.as_deref(), Some("exit 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_7_is_a_failure_within_a_second_with_the_last_lines_as_its_cause() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("create", "seq 1 100; printf '\\033[31mit broke\\033[0m\\n' >&2; touch ended; exit 7");
    let run = world.create("demo").await;
    world.wait_for_file("ended").await;
    let staging = eventually("it is a failure", Duration::from_secs(1), async || {
        let staging = world.staging("demo").await;
        (staging.status == Status::Failure).then_some(staging)
    })
    .await;
    assert_eq!(staging.reason.as_deref(), Some("run_failed"));
    let cause = staging.cause.expect("a cause");
    assert!(cause.contains("99\n100\nit broke") && !cause.contains("\n90\n"), "{cause}");
    let (output, headers) = world.output(&run, 0).await;
    assert!(output.ends_with(b"100\n\x1b[31mit broke\x1b[0m\n"), "bytes are kept as they came");
    assert_eq!(headers["dm-complete"], "true");
    assert!(world.dms.log().contains("exit 7"), "{}", world.dms.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wrapper_reports_is_the_cause_before_its_output() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("create", "echo noise; echo '{\"cause\":\"the quota is used up\"}' >> \"$DM_REPORT\"; exit 1");
    world.create("demo").await;
    let cause = world.wait_status("demo", Status::Failure).await.cause.expect("a cause");
    assert!(cause.contains("the quota is used up") && !cause.contains("noise"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pass_in_time_it_is_unconfirmed_and_a_later_pass_makes_it_run() {
    let world = World::start("", &[], |setup| setup.argument("--status-timeout=1s")).await;
    world.script("check", "echo 'no answer on port 80'; exit 1");
    world.create("demo").await;
    let activity = eventually("it waits for a check", SOON, async || world.staging("demo").await.activity).await;
    assert!(matches!(activity.kind, ActivityKind::Queued | ActivityKind::Running | ActivityKind::WaitingForCheck));
    let staging = world.wait_status("demo", Status::Failure).await;
    assert_eq!(staging.reason.as_deref(), Some("unconfirmed"));
    world.script("check", "exit 0");
    let staging = world.wait_status("demo", Status::Running).await;
    assert_eq!(staging.reason, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_failed_checks_in_a_row_make_a_running_staging_a_failure_and_a_pass_takes_it_back() {
    let world = World::start("", &[], |setup| setup).await;
    world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    for (code, reason) in [(1, "check_failed"), (2, "partly_available"), (3, "tag_mismatch")] {
        world.script("check", &format!("echo 'code {code}'; exit {code}"));
        let staging = eventually(reason, SOON, async || {
            let staging = world.staging("demo").await;
            (staging.reason.as_deref() == Some(reason)).then_some(staging)
        })
        .await;
        assert_eq!(staging.status, Status::Failure);
        assert!(staging.cause.is_some_and(|cause| cause.contains(&format!("code {code}"))));
    }
    world.script("check", "exit 0");
    world.wait_status("demo", Status::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_cannot_tell_changes_no_status_and_says_since_when() {
    let world = World::start("[limits]\ncheck = 1\n", &[], |setup| setup).await;
    world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    // Killed at its limit.
    world.script("check", "sleep 600");
    eventually("it is unreadable", SOON, async || world.staging("demo").await.unreadable_since).await;
    assert_eq!(world.staging("demo").await.status, Status::Running);
    world.script("check", "exit 0");
    eventually("it is readable again", SOON, async || {
        world.staging("demo").await.unreadable_since.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_wait_for_a_check_that_hangs() {
    let world = World::start("", &[], |setup| setup).await;
    world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    world.script("check", "touch hangs; sleep 600");
    world.wait_for_file("hangs").await;
    world.script("update", "touch updated");
    world.write(world.dms.client().patch(world.url("/stagings/demo")).json(&json!({"tag": "v2"}))).await;
    eventually("the update runs", Duration::from_secs(10), async || world.file("updated").exists().then_some(())).await;
    world.script("check", "exit 0");
    world.wait_status("demo", Status::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_that_vanished_is_a_failure_that_names_it() {
    let world = World::start("", &[], |setup| setup).await;
    std::fs::remove_file(world.file("create")).expect("it is there");
    world.create("demo").await;
    let staging = world.wait_status("demo", Status::Failure).await;
    assert_eq!(staging.reason.as_deref(), Some("run_failed"));
    let cause = staging.cause.expect("a cause");
    assert!(cause.contains("create") && cause.contains("No such file"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_kept_for_as_long_as_is_set_and_then_the_run_says_that_it_was_dropped() {
    let mut world = World::start("", &[], |setup| setup.argument("--keep-output=1ms")).await;
    world.script("create", "echo begun");
    let run = world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    assert_eq!(world.output(&run, 0).await.0, b"begun\n");
    // Looked for at the start, then each hour.
    world.dms.kill();
    world = restart(world).await;
    let headers = eventually("it is dropped", SOON, async || {
        let (bytes, headers) = world.output(&run, 0).await;
        bytes.is_empty().then_some(headers)
    })
    .await;
    assert_eq!(headers[output::DROPPED], "6");
    assert_eq!(headers[output::COMPLETE], "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_that_is_no_program_is_a_failure_and_no_success_of_a_shell() {
    let world = World::start("", &[], |setup| setup).await;
    for (name, content) in [("empty", ""), ("text", "echo hello\n")] {
        // What is there keeps its mode.
        std::fs::write(world.file("create"), content).expect("it is there");
        world.create(name).await;
        let staging = world.wait_status(name, Status::Failure).await;
        let cause = staging.cause.expect("a cause");
        assert!(cause.contains("create: neither a program nor a script"), "{cause}");
    }
}
