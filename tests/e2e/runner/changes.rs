//! Wrappers whose file changes, vanishes or is no program: an attempt runs what was claimed or says that it did not, and
//! what cannot be executed has failed for a cause that names the file.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use dm_api::{Accepted, Staging, Status};
use dm_tests::dms::executable_file;
use reqwest::Method;
use serde_json::json;

use super::world::World;

/// A wrapper that waits in its middle, and ends with this code afterwards.
fn wrapper(code: u8) -> String {
    format!("#!/bin/bash\ntouch begun.$DM_RUN_ID\nuntil [ -e go.$DM_RUN_ID ]; do sleep 0.02; done\nexit {code}\n")
}

impl World {
    /// Puts a program in the place of a wrapper, as an operator should.
    fn replace(&self, verb: &str, content: &[u8]) {
        executable_file(&self.file("new"), content);
        fs::rename(self.file("new"), self.file(verb)).expect("a file");
    }

    async fn begun(&self, name: &str) -> Accepted {
        let run = self.create(name).await;
        self.wait_for_file(&format!("begun.{}", run.run.expect("a run"))).await;
        run
    }

    async fn end(&self, name: &str, run: &Accepted, status: Status) -> Staging {
        fs::write(self.file(&format!("go.{}", run.run.expect("a run"))), "").expect("a file");
        self.wait_status(name, status).await
    }

    async fn executed(&self, name: &str) -> Vec<String> {
        let path = format!("/stagings/{name}/events");
        let answer = self.dms.client().request(Method::GET, self.url(&path)).send().await.expect("dms answers");
        let events: serde_json::Value = answer.json().await.expect("events");
        let items = events["items"].as_array().expect("events").iter();
        let started = items.filter(|event| event["type"] == "RunStarted");
        started.map(|event| event["data"]["digest"].as_str().unwrap_or("none").to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_that_is_replaced_or_vanishes_while_it_runs_goes_on_as_it_was() {
    let world = World::start("", &[], |setup| setup).await;
    world.replace("create", wrapper(0).as_bytes());
    let changes: [(&str, &dyn Fn()); 3] = [
        ("renamed", &|| world.replace("create", wrapper(7).as_bytes())),
        ("chmodded", &|| fs::set_permissions(world.file("create"), Permissions::from_mode(0o644)).expect("ours")),
        ("deleted", &|| fs::remove_file(world.file("create")).expect("it is there")),
    ];
    for (name, change) in changes {
        world.replace("create", wrapper(0).as_bytes());
        let run = world.begun(name).await;
        change();
        world.end(name, &run, Status::Running).await;
        assert_eq!(world.run(&run).await.outcome.as_deref(), Some("exit 0"), "{name}");
        // The next run is the new file's, if there is one.
        let next = world.create(&format!("{name}-next")).await;
        fs::write(world.file(&format!("go.{}", next.run.expect("a run"))), "").expect("a file");
        let staging = world.wait_status(&format!("{name}-next"), Status::Failure).await;
        let cause = staging.cause.expect("there is one");
        match name {
            "renamed" => assert_eq!(world.run(&next).await.outcome.as_deref(), Some("exit 7")),
            "chmodded" => assert!(cause.contains("it is not executable"), "{cause}"),
            _ => assert!(cause.contains("No such file"), "{cause}"),
        }
    }
    assert_ne!(world.executed("renamed").await, world.executed("renamed-next").await);
    assert!(!world.dms.log().contains("overwritten"), "{}", world.dms.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_that_is_overwritten_while_it_runs_is_said_to_have_been() {
    let world = World::start("", &[], |setup| setup).await;
    world.replace("create", wrapper(3).as_bytes());
    let run = world.begun("demo").await;
    // The shell has read it as far as it has come, or further.
    let mut file = File::options().write(true).open(world.file("create")).expect("it is there");
    file.write_all(wrapper(7).as_bytes()).expect("it is ours");
    let staging = world.end("demo", &run, Status::Failure).await;
    let cause = staging.cause.expect("there is one");
    let expected = format!("the wrapper {} was overwritten while it ran", world.file("create").display());
    assert!(cause.contains(&expected), "{cause}");
    assert_eq!(staging.reason.as_deref(), Some("run_failed"));
    assert!(world.dms.log().contains("overwritten while it ran"), "{}", world.dms.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_executed_at_the_claim_is_a_failed_run_whose_cause_names_the_file() {
    let world = World::start("", &[], |setup| setup).await;
    let create = world.file("create");
    let cases: [(&str, &str, &dyn Fn()); 8] = [
        ("missing", "No such file", &|| ()),
        ("not-executable", "it is not executable", &|| fs::write(&create, "#!/bin/sh\n").expect("a file")),
        ("folder", "it is not a file", &|| fs::create_dir(&create).expect("a folder")),
        ("interpreter", "its interpreter /no/such/shell cannot be executed", &|| {
            executable_file(&create, b"#!/no/such/shell -e\nexit 0\n");
        }),
        ("no-interpreter", "neither a program nor a script", &|| executable_file(&create, b"exit 0\n")),
        ("empty", "neither a program nor a script", &|| executable_file(&create, b"")),
        ("broken", "it is no program for this machine, or broken", &|| {
            executable_file(&create, b"\x7fELF and then nothing that makes sense\nexit 0\n");
        }),
        ("loop", "Too many", &|| std::os::unix::fs::symlink(&create, &create).expect("a link")),
    ];
    for (name, expected, make) in cases {
        let _ = fs::remove_file(&create).or_else(|_| fs::remove_dir(&create));
        make();
        let run = world.create(name).await;
        let staging = world.wait_status(name, Status::Failure).await;
        assert_eq!(staging.reason.as_deref(), Some("run_failed"), "{name}");
        let cause = staging.cause.expect("there is one");
        assert!(cause.contains(expected) && cause.contains(&*create.to_string_lossy()), "{name}: {cause}");
        assert_eq!(world.run(&run).await.attempt, 1, "{name}");
    }
    // A repaired wrapper is taken as it is, without a new start.
    let _ = fs::remove_file(&create);
    executable_file(&create, b"#!/bin/sh\nexit 0\n");
    world.post("/stagings/missing/retry", json!({})).await;
    world.wait_status("missing", Status::Running).await;
}
