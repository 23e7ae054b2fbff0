//! What every folder of wrappers promises, and the smallest one of `wrappers/README.md` does.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::harness::{Home, REPORT_KEYS, Target, repository};

/// The verbs that a folder must have.
const REQUIRED: [&str; 6] = ["create", "update", "delete", "cleanup", "check", "archive_check"];

/// Makes each promise a test of its own for the folder that is tried, and tries all of them on the README's.
macro_rules! promises {
    ($($promise:ident)*) => {
        mod folder {
            use super::Home;

            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise(&Home::new().await).await;
                }
            )*
        }

        #[tokio::test]
        async fn the_smallest_folder_of_the_readme_keeps_every_promise() {
            let folder = smallest_folder();
            $($promise(&Home::of(folder.path()).await).await;)*
        }
    };
}

promises! {
    a_staging_lives_its_whole_life
    every_verb_twice_has_the_effect_of_once
    delete_and_cleanup_succeed_on_nothing
    update_completes_what_is_not_there
    a_verb_killed_at_any_point_ends_right_when_it_is_run_again
    cleanup_ends_what_still_runs
    an_argument_of_another_contract_is_refused
    what_a_verb_reports_are_json_lines_that_dms_knows
    info_and_defaults_print_lines_as_the_contract_has_them
}

async fn a_staging_lives_its_whole_life(home: &Home) {
    let staging = home.staging("life").tag("v1");
    staging.done("create").await;
    staging.reaches("check", 0).await;
    assert_eq!(staging.clone().tag("v0").run("check").await.code, Some(3), "another tag is running");

    let updated = staging.clone().tag("v2").app("greeting", "Hello again");
    updated.done("update").await;
    updated.reaches("check", 0).await;
    assert_eq!(staging.run("check").await.code, Some(3), "the old tag is not running");

    updated.done("delete").await;
    updated.reaches("archive_check", 0).await;
    assert!(matches!(updated.run("check").await.code, Some(1 | 2)), "what is deleted fails its check");

    updated.done(home.restore()).await;
    updated.reaches("check", 0).await;
    assert_eq!(updated.run("archive_check").await.code, Some(1), "what runs is not gone");

    updated.done("delete").await;
    updated.reaches("archive_check", 0).await;
    updated.done("cleanup").await;
    assert_eq!(updated.run("archive_check").await.code, Some(0), "what is cleaned up is gone");
}

async fn every_verb_twice_has_the_effect_of_once(home: &Home) {
    let staging = home.staging("twice").tag("v1");
    for (verb, check) in [
        ("create", "check"),
        ("update", "check"),
        ("delete", "archive_check"),
        (home.restore(), "check"),
        ("delete", "archive_check"),
        ("cleanup", "archive_check"),
    ] {
        staging.done(verb).await;
        staging.done(verb).await;
        staging.reaches(check, 0).await;
    }
}

async fn delete_and_cleanup_succeed_on_nothing(home: &Home) {
    let staging = home.staging("nothing").tag("v1");
    staging.done("delete").await;
    staging.done("cleanup").await;
    staging.done("delete").await;
    assert_eq!(staging.run("archive_check").await.code, Some(0));
}

async fn update_completes_what_is_not_there(home: &Home) {
    let staging = home.staging("absent").tag("v1");
    staging.done("update").await;
    staging.reaches("check", 0).await;
    staging.done("cleanup").await;
}

async fn a_verb_killed_at_any_point_ends_right_when_it_is_run_again(home: &Home) {
    let staging = home.staging("killed").tag("v1");
    for (verb, check) in
        [("create", "check"), ("update", "check"), ("delete", "archive_check"), ("cleanup", "archive_check")]
    {
        for after_ms in [0, 2, 5, 10, 20, 40] {
            staging.killed(verb, after_ms).await;
            staging.done(verb).await;
            staging.reaches(check, 0).await;
        }
    }
}

async fn cleanup_ends_what_still_runs(home: &Home) {
    let staging = home.staging("forced").tag("v1");
    staging.done("create").await;
    staging.reaches("check", 0).await;
    staging.done("cleanup").await;
    staging.reaches("archive_check", 0).await;
}

async fn an_argument_of_another_contract_is_refused(home: &Home) {
    let staging = home.staging("strange").tag("v1").argument("--from-the-future", "1");
    for verb in REQUIRED {
        let code = staging.run(verb).await.code;
        assert!(!matches!(code, None | Some(0..=3)), "{verb} took an argument that it does not know: {code:?}");
    }
}

async fn what_a_verb_reports_are_json_lines_that_dms_knows(home: &Home) {
    let staging = home.staging("reports").tag("v1");
    let mut lines = 0;
    for verb in ["check", "create", "check", "delete", "archive_check", "cleanup"] {
        let ended = staging.run(verb).await;
        for line in ended.report.lines() {
            let line: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{verb} reported {line:?}: {error}"));
            for (key, value) in line {
                assert!(REPORT_KEYS.contains(&key.as_str()) && value.is_string(), "{verb}: {key} is {value}");
                lines += 1;
            }
        }
    }
    assert!(lines > 0 || home.target() == Target::Other, "the demo reports its steps");
}

async fn info_and_defaults_print_lines_as_the_contract_has_them(home: &Home) {
    let staging = home.staging("lines").tag("v1");
    if home.has("defaults") {
        let ended = staging.done("defaults").await;
        for line in ended.stdout_lines() {
            let fields: Vec<&str> = line.splitn(3, ',').collect();
            assert!(matches!(fields[..], ["app" | "staging", key, _] if !key.is_empty()), "{line:?}");
        }
    }
    if home.has("info") {
        staging.done("create").await;
        staging.reaches("check", 0).await;
        let ended = staging.done("info").await;
        for line in ended.stdout_lines() {
            assert!(
                line.split_once(',').is_some_and(|(name, url)| !name.is_empty() && url.contains("://")),
                "{line:?}"
            );
        }
        staging.done("cleanup").await;
    }
}

/// The script of the README, called by its six names.
fn smallest_folder() -> tempfile::TempDir {
    let readme = fs::read_to_string(repository().join("wrappers/README.md")).unwrap();
    let (_, section) = readme.split_once("\n## The smallest folder\n").unwrap();
    let indented = section
        .lines()
        .skip_while(|line| !line.starts_with("    "))
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    let script: String = indented.map(|line| line.strip_prefix("    ").unwrap_or_default().to_owned() + "\n").collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smallest");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    for verb in REQUIRED {
        symlink("smallest", folder.path().join(verb)).unwrap();
    }
    folder
}
