//! Commands: one result for each key, the right refusal in each state, and a receipt that leads further.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dm_domain::staging::moment;
use dm_tests::dms::{Setup, executable, executable_file};
use dm_tests::eventually::eventually;
use dm_tests::tls;
use nix::unistd::{User, geteuid};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use super::{Answer, Api, RUN, refusal, run_of, text};

const ALL: &str = "/api/v1/stagings";
const ONE: &str = "/api/v1/stagings/web";

/// A folder of wrappers that succeed at once, but for those given as shell lines.
pub(super) fn wrappers(special: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::Builder::new().prefix("dm-wrappers-").tempdir_in("/var/tmp").expect("a folder");
    let write = |verb: &str, line: &str| {
        executable_file(&folder.path().join(verb), format!("#!/bin/sh\n{line}\n").as_bytes());
    };
    for verb in ["create", "update", "delete", "cleanup", "check", "archive_check"] {
        write(verb, "exit 0");
    }
    for (verb, line) in special {
        write(verb, line);
    }
    fs::write(folder.path().join("wrappers.toml"), "contract = 1\n").expect("the folder is ours");
    folder
}

/// Certificates for whoever runs the tests, who administers, and for a user: the folder, and the user's certificate and key.
pub(super) fn certificates() -> (TempDir, [PathBuf; 2]) {
    let folder = tempfile::tempdir().expect("a folder");
    let login = User::from_uid(geteuid()).expect("users can be looked up").expect("everybody has a name").name;
    let mut command = Command::new(executable());
    command.args(["certs", "--client", &format!("admin/{login}"), "--client", "user/ben", "--dir"]).arg(folder.path());
    assert!(command.output().expect("dms was built").status.success());
    let of = |ending: &str| folder.path().join(format!("user-ben.{ending}"));
    let files = [of("crt"), of("key")];
    (folder, files)
}

/// A shell line that ends when the file is there.
fn until(file: &Path) -> String {
    format!("while [ ! -e '{}' ]; do sleep 0.05; done", file.display())
}

#[tokio::test]
async fn the_same_key_twice_is_one_command() {
    let api = Api::start().await;
    let body = json!({"name": "web", "tag": "v1"}).to_string();
    let first = api.send(Method::POST, ALL, Some("key-of-sixteen-chars"), &body).await;
    let again = api.send(Method::POST, ALL, Some("key-of-sixteen-chars"), &body).await;
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!((again.status, again.json()), (first.status, first.json()));
    assert_eq!(api.asked("web").await, ["CreateRequested"]);

    let other = json!({"name": "web", "tag": "v2"}).to_string();
    for (method, path, body) in [(Method::POST, ALL, other.as_str()), (Method::POST, "/api/v1/stagings/web/delete", "")]
    {
        let answer = api.send(method, path, Some("key-of-sixteen-chars"), body).await;
        assert_eq!(answer.refusal(), refusal(422, "key_reused"));
    }
    assert_eq!(api.asked("web").await, ["CreateRequested"]);

    for key in ["", "a b", "schlüssel", &"k".repeat(256)] {
        let answer = api.send(Method::POST, ALL, Some(key), &body).await;
        assert_eq!(answer.problem().errors[0].pointer, "header:idempotency-key", "{key}");
    }
}

#[tokio::test]
async fn a_receipt_leads_to_the_run_and_to_ones_own_write() {
    let api = Api::start().await;
    let answer = api.post(ALL, &json!({"name": "web", "tag": "v1", "reason": "for the demo"})).await;
    let accepted = answer.json();
    let run = run_of(&accepted);
    assert_eq!((answer.status.as_u16(), &accepted["quiet"], &accepted["version"]), (202, &json!(false), &json!(1)));
    assert_eq!(answer.header("location"), format!("/api/v1/runs/{run}"));
    assert_eq!(answer.header(dm_api::POSITION), accepted["position"].to_string());

    let path = format!("/api/v1/runs/{run}?at_least={}", accepted["position"]);
    let answer = api.get(&path).await;
    let run = answer.json();
    assert_eq!(answer.header(dm_api::POSITION), run["position"].to_string());
    assert_eq!(
        (&run["staging"], &run["verb"], &run["comment"]),
        (&json!("web"), &json!("create"), &json!("for the demo"))
    );
    let staging = api.get(ONE).await.json();
    let allowed: Vec<_> =
        staging["allowed_actions"].as_array().expect("a list").iter().map(|one| &one["action"]).collect();
    assert_eq!(allowed, ["update", "delete", "restore", "cleanup", "retry", "cancel"]);
    assert_eq!(staging["last_run"], accepted["run"]);
    assert!(text(&staging["created_by"]).starts_with("admin/"), "{staging}");
}

#[tokio::test]
async fn wrong_states_are_refused_and_say_what_to_do() {
    let api = Api::start().await;
    let unknown = ["delete", "restore", "cleanup"].map(|verb| format!("{ONE}/{verb}"));
    for path in &unknown {
        assert_eq!(api.post(path, &json!({})).await.refusal(), refusal(404, "staging_not_found"));
    }
    assert_eq!(api.patch(ONE, &json!({})).await.refusal(), refusal(404, "staging_not_found"));
    assert_eq!(api.asked("web").await, Vec::<String>::new());

    api.running("web").await;
    let exists = api.post(ALL, &json!({"name": "web", "tag": "v1"})).await;
    assert_eq!(exists.refusal(), refusal(409, "staging_exists"));
    for verb in ["restore", "cleanup"] {
        let answer = api.post(&format!("{ONE}/{verb}"), &json!({})).await;
        assert_eq!(answer.refusal(), refusal(409, "wrong_status"));
    }
    assert_eq!(api.asked("web").await, ["CreateRequested"]);

    assert_eq!(api.post(&format!("{ONE}/delete"), &json!({})).await.status, 202);
    api.has_status("web", "Archived").await;
    let answer = api.patch(ONE, &json!({"tag": "v2"})).await;
    assert_eq!(answer.refusal(), refusal(409, "wrong_status"));
    assert_eq!(answer.problem().hint.as_deref(), Some("restore it"));
    let quiet = api.post(&format!("{ONE}/delete"), &json!({})).await;
    assert_eq!((quiet.status.as_u16(), &quiet.json()["quiet"]), (200, &json!(true)));
    assert_eq!(api.asked("web").await, ["CreateRequested", "DeleteRequested"]);
}

#[tokio::test]
async fn a_busy_staging_names_its_run() {
    let gate = tempfile::tempdir().expect("a folder");
    let open = gate.path().join("open");
    let folder = wrappers(&[("create", &until(&open))]);
    let api = Api::of(Setup::new().wrappers(folder.path())).await;
    let run = run_of(&api.created("web").await);
    for verb in ["delete", "restore", "cleanup"] {
        let problem = api.post(&format!("{ONE}/{verb}"), &json!({})).await.problem();
        assert_eq!((problem.status, problem.code.as_str(), problem.run), (409, "busy", Some(run)));
        let under_way = problem.under_way.expect("it says what is in the way");
        assert_eq!((under_way.verb.as_str(), under_way.by.starts_with("admin/")), ("create", true));
        assert!((0..60_000).contains(&under_way.age_ms), "{under_way:?}");
    }
    assert_eq!(api.patch(ONE, &json!({})).await.refusal(), refusal(409, "busy"));
    assert_eq!(api.asked("web").await, ["CreateRequested"]);
    fs::write(open, "").expect("the folder is ours");
    api.has_status("web", "Running").await;
}

#[tokio::test]
async fn what_is_asked_again_while_it_is_under_way_is_quiet_and_names_the_run() {
    let gate = tempfile::tempdir().expect("a folder");
    let open = gate.path().join("open");
    let folder = wrappers(&[("delete", &until(&open)), ("restore", &until(&open))]);
    let api = Api::of(Setup::new().wrappers(folder.path())).await;
    api.running("web").await;
    for (verb, status) in [("delete", "Archived"), ("restore", "Running")] {
        let path = format!("{ONE}/{verb}");
        let run = run_of(&api.post(&path, &json!({})).await.json());
        let again = api.post(&path, &json!({})).await;
        let accepted = again.json();
        assert_eq!((again.status.as_u16(), &accepted["quiet"], run_of(&accepted)), (200, &json!(true), run));
        assert_eq!(again.header("location"), format!("/api/v1/runs/{run}"));
        fs::write(&open, "").expect("the folder is ours");
        api.has_status("web", status).await;
        fs::remove_file(&open).expect("the file is ours");
    }
    assert_eq!(api.asked("web").await, ["CreateRequested", "DeleteRequested", "RestoreRequested"]);
}

#[tokio::test]
async fn a_name_lives_and_lives_again() {
    let api = Api::start().await;
    api.running("web").await;
    for (verb, status) in [("delete", "Archived"), ("restore", "Running"), ("delete", "Archived")] {
        assert_eq!(api.post(&format!("{ONE}/{verb}"), &json!({})).await.status, 202);
        api.has_status("web", status).await;
    }
    assert_eq!(api.send(Method::POST, &format!("{ONE}/cleanup"), None, "").await.status, 202);
    let gone = eventually("web is gone", RUN, || async {
        let answer = api.get(ONE).await;
        (answer.status == 404).then(|| answer.problem())
    })
    .await;
    let at = gone.cleaned_up_at.expect("it was there once");
    assert!(gone.detail.contains(&moment(at).to_string()), "{gone:?}");
    assert_eq!(api.get(&format!("{ONE}/configuration")).await.problem().cleaned_up_at, Some(at));
    let update = api.patch(ONE, &json!({})).await.problem();
    assert_eq!((update.status, update.cleaned_up_at, update.detail), (404, Some(at), gone.detail));

    let told = ["CreateRequested", "DeleteRequested", "RestoreRequested", "DeleteRequested", "CleanupRequested"];
    assert_eq!(api.asked("web").await, told);
    let runs = api.get(&format!("{ONE}/runs")).await.json();
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(5));

    api.running("web").await;
    assert!(api.get(ONE).await.json()["incarnation"].as_i64() > Some(1));
}

#[tokio::test]
async fn an_edit_is_refused_only_where_somebody_else_was() {
    let api = Api::start().await;
    api.running("web").await;
    let edit = |base: i64, key: &str| json!({"base": base, "set": [{"level": "app", "key": key, "text": "x"}]});
    assert_eq!(api.patch(ONE, &edit(1, "a")).await.status, 202);
    api.has_status("web", "Running").await;
    let conflict = api.patch(ONE, &edit(1, "a")).await.problem();
    assert_eq!((conflict.status, conflict.code.as_str()), (409, "edit_conflict"));
    let theirs = api.get(ONE).await.json()["configuration_version"].as_i64();
    assert_eq!(conflict.version, theirs, "it names the other's event");
    assert!(conflict.detail.contains(&format!("version {}", theirs.expect("a number"))), "{conflict:?}");
    assert_eq!(api.patch(ONE, &edit(1, "b")).await.status, 202);
    api.has_status("web", "Running").await;
    let unknown = api.patch(ONE, &edit(2, "c")).await;
    assert_eq!(unknown.refusal(), refusal(409, "unknown_base"));
    assert_eq!(unknown.problem().errors[0].pointer, "/base");
    assert_eq!(api.get(ONE).await.json()["overrides"], 2);
}

#[tokio::test]
async fn what_wrappers_say_of_a_configuration_is_told_and_nothing_is_appended() {
    let gate = tempfile::tempdir().expect("a folder");
    let (broken, picky) = (gate.path().join("broken"), gate.path().join("picky"));
    let defaults = format!("[ ! -e '{}' ] || {{ echo lost >&2; exit 3; }}; echo app,greeting,hello", broken.display());
    let check = format!("[ ! -e '{}' ] || {{ echo 'no such greeting'; exit 1; }}", picky.display());
    let folder = wrappers(&[("defaults", &defaults), ("config_check", &check)]);
    let api = Api::of(Setup::new().wrappers(folder.path())).await;
    let body = json!({"name": "web", "tag": "v1"});

    fs::write(&broken, "").expect("the folder is ours");
    let answer = api.post(ALL, &body).await;
    assert_eq!(answer.refusal(), refusal(503, "defaults_unavailable"));
    assert!(answer.problem().detail.contains("lost"), "{answer:?}");
    assert!(!answer.header("retry-after").is_empty());
    fs::remove_file(&broken).expect("the file is ours");

    fs::write(&picky, "").expect("the folder is ours");
    let answer = api.post(ALL, &body).await;
    assert_eq!(answer.refusal(), refusal(400, "configuration_refused"));
    assert!(answer.problem().detail.contains("no such greeting"), "{answer:?}");
    assert_eq!(api.asked("web").await, Vec::<String>::new());
    fs::remove_file(&picky).expect("the file is ours");

    let position = api.post(ALL, &body).await.json()["position"].to_string();
    api.has_status("web", "Running").await;
    let configuration = api.get(&format!("{ONE}/configuration?at_least={position}")).await.json();
    let expected = json!([{"level": "app", "key": "greeting", "text": "hello", "overridden": false}]);
    assert_eq!(configuration["keys"], expected);
}

#[tokio::test]
async fn defaults_that_cannot_be_read_change_nothing_of_what_runs() {
    let gate = tempfile::tempdir().expect("a folder");
    let mode = gate.path().join("mode");
    let script = format!(
        "case $(cat '{0}' 2> /dev/null) in
           fails) echo 'the registry is away' >&2; exit 3 ;;
           hangs) exec sleep 600 ;;
           garbage) echo '<html>Bad Gateway</html>' ;;
           long) head -c 2000000 /dev/zero | tr '\\0' x ;;
           *) echo app,colour,blue ;;
         esac",
        mode.display()
    );
    let folder = wrappers(&[("defaults", &script)]);
    fs::write(folder.path().join("wrappers.toml"), "contract = 1\n[limits]\ndefaults = 1\n").expect("a file");
    let api = Api::of(Setup::new().wrappers(folder.path())).await;
    api.running("web").await;
    let before = api.get(ONE).await.json();
    for (word, cause) in [
        ("fails", "exited with 3: the registry is away"),
        ("hangs", "was stopped at its time limit"),
        ("garbage", "line 1: 1 fields, but must be level,key,value"),
        ("long", "printed more than"),
    ] {
        fs::write(&mode, word).expect("the folder is ours");
        let create = api.post(ALL, &json!({"name": "new", "tag": "v1"})).await;
        assert_eq!(create.refusal(), refusal(503, "defaults_unavailable"), "{word}");
        assert!(create.problem().detail.contains(cause), "{word}: {create:?}");
        assert_eq!(api.patch(ONE, &json!({"tag": "v2"})).await.refusal(), refusal(503, "defaults_unavailable"));
    }
    assert_eq!(api.asked("new").await, Vec::<String>::new());
    assert_eq!(api.asked("web").await, ["CreateRequested"]);
    let after = api.get(ONE).await.json();
    assert_eq!(
        (&after["status"], &after["configuration_version"]),
        (&before["status"], &before["configuration_version"])
    );
    assert_eq!(api.post(&format!("{ONE}/delete"), &json!({})).await.status, 202, "a delete needs no defaults");
}

#[tokio::test]
async fn an_apply_makes_it_so_whatever_it_was() {
    let gate = tempfile::tempdir().expect("a folder");
    let open = gate.path().join("open");
    let folder = wrappers(&[("create", &until(&open)), ("defaults", "echo app,colour,blue")]);
    let api = Api::of(Setup::new().wrappers(folder.path())).await;
    let apply = async |body: serde_json::Value| api.put(ONE, &body).await;
    let colour = |value: &str| json!({"tag": "v1", "set": [{"level": "app", "key": "colour", "text": value}]});

    let created = apply(colour("red")).await;
    assert_eq!(created.status, 202, "{created:?}");
    let same = apply(colour("red")).await;
    assert_eq!((same.status.as_u16(), run_of(&same.json())), (200, run_of(&created.json())), "just that is under way");
    assert_eq!(apply(colour("blue")).await.refusal(), refusal(409, "busy"));
    fs::write(&open, "").expect("the folder is ours");
    api.has_status("web", "Running").await;

    let quiet = apply(json!({"tag": "v1"})).await;
    assert_eq!((quiet.status.as_u16(), &quiet.json()["quiet"]), (200, &json!(true)), "what is not named stays");
    assert_eq!(api.asked("web").await, ["CreateRequested"]);
    assert_eq!(apply(json!({"tag": "v1", "always": true})).await.status, 202);
    api.has_status("web", "Running").await;
    assert_eq!(apply(json!({"tag": "v2", "reset": [{"level": "app", "key": "colour"}]})).await.status, 202);
    api.has_status("web", "Running").await;
    assert_eq!(api.get(ONE).await.json()["tag"], "v2");
    assert_eq!(api.post(&format!("{ONE}/delete"), &json!({})).await.status, 202);
    api.has_status("web", "Archived").await;
    assert_eq!(apply(json!({"tag": "v2"})).await.status, 202);
    api.has_status("web", "Running").await;
    let asked = api.asked("web").await;
    let told = ["CreateRequested", "UpdateRequested", "UpdateRequested", "DeleteRequested", "RestoreRequested"];
    assert_eq!(asked, told);
}

#[tokio::test]
async fn a_failed_run_can_be_retried_and_a_forced_cleanup_needs_its_force_again() {
    let gate = tempfile::tempdir().expect("a folder");
    let broken = gate.path().join("broken");
    fs::write(&broken, "").expect("the folder is ours");
    let fails = format!("[ ! -e '{}' ]", broken.display());
    let folder = wrappers(&[("create", &fails), ("cleanup", &fails)]);
    let (certs, user) = certificates();
    let setup = Setup::new().wrappers(folder.path()).argument(format!("--certs={}", certs.path().display()));
    let api = Api::of(setup).await;
    api.created("web").await;
    api.has_status("web", "Failure").await;
    let retry = format!("{ONE}/retry");
    let cleanup = format!("{ONE}/cleanup");
    let force = json!({"force": true, "reason": "it never came up", "on_behalf": "the shop team"});

    assert_eq!(api.post(&cleanup, &json!({})).await.refusal(), refusal(409, "wrong_status"));
    assert_eq!(api.post(&cleanup, &force).await.status, 202);
    api.has_status("web", "Failure").await;
    assert_eq!(api.get(ONE).await.json()["reason"], "cleanup_failed");
    assert_eq!(api.post(&retry, &json!({})).await.refusal(), refusal(409, "forced_cleanup"));
    let events = api.get(&format!("{ONE}/events")).await.json();
    let forced = events["items"].as_array().expect("a list").iter().find(|event| event["type"] == "CleanupRequested");
    assert_eq!(forced.expect("it is there")["on_behalf"], "the shop team");

    let update = api.patch(ONE, &json!({})).await;
    assert_eq!(update.status, 202);
    api.has_status("web", "Running").await;
    assert_eq!(api.post(&retry, &json!({})).await.refusal(), refusal(409, "wrong_status"));
    let user = tls::client(&certs.path().join("ca.crt"), Some((&user[0], &user[1])), api.dms.dmc());
    let as_user =
        async |path: &str, body: &serde_json::Value| Answer::of(user.post(api.dms.url(path)).json(body)).await;
    assert_eq!(as_user(&cleanup, &force).await.refusal(), refusal(403, "not_allowed"));
    assert_eq!(as_user(&format!("{ONE}/delete"), &json!({})).await.status, 202, "a user may do the rest");
}

#[tokio::test]
async fn a_cleanup_by_age_spares_what_is_young() {
    let api = Api::start().await;
    api.running("web").await;
    let cleanup = format!("{ONE}/cleanup");
    assert_eq!(api.post(&cleanup, &json!({"archived_for": 0})).await.refusal(), refusal(409, "wrong_status"));
    assert_eq!(api.post(&format!("{ONE}/delete"), &json!({})).await.status, 202);
    api.has_status("web", "Archived").await;
    assert_eq!(api.post(&cleanup, &json!({"archived_for": 3600})).await.refusal(), refusal(409, "too_young"));
    let old = async |seconds: u32| {
        let answer = api.get(&format!("{ALL}?archived_for={seconds}")).await.json();
        answer["items"].as_array().expect("a list").len()
    };
    assert_eq!((old(3600).await, old(0).await), (0, 1));
    assert_eq!(api.post(&cleanup, &json!({"archived_for": 0})).await.status, 202);
}

#[tokio::test]
async fn a_cancel_takes_back_what_has_not_begun_and_stops_what_has() {
    let gate = tempfile::tempdir().expect("a folder");
    let open = gate.path().join("open");
    let folder = wrappers(&[("create", &until(&open))]);
    let api = Api::of(Setup::new().argument("--max-runs=1").wrappers(folder.path())).await;
    let first = run_of(&api.created("web").await);
    eventually("web runs", RUN, || async {
        (api.get(ONE).await.json()["activity"]["kind"] == "running").then_some(())
    })
    .await;
    let second = run_of(&api.created("shop").await);
    let cancel = |name: &str| format!("{ALL}/{name}/cancel");
    let other = api.post(&cancel("shop"), &json!({"run": first})).await;
    assert_eq!(other.refusal(), refusal(409, "other_run"));
    let withdrawn = api.post(&cancel("shop"), &json!({"run": second})).await;
    assert_eq!((withdrawn.status.as_u16(), run_of(&withdrawn.json())), (202, second));
    let seen = format!("/api/v1/runs/{second}?at_least={}", withdrawn.json()["position"]);
    assert_eq!(api.get(&seen).await.json()["state"], "withdrawn");
    assert_eq!(api.post(&cancel("shop"), &json!({})).await.refusal(), refusal(404, "staging_not_found"));

    assert_eq!(api.post(&cancel("web"), &json!({})).await.status, 202);
    api.has_status("web", "Failure").await;
    let web = api.get(ONE).await.json();
    assert_eq!(web["reason"], "cancelled");
    assert!(text(&web["cause"]).starts_with("cancelled by admin/"), "{web}");
    assert_eq!(api.post(&cancel("web"), &json!({})).await.refusal(), refusal(409, "wrong_status"));
}
