//! kubedog beside a roll-out: its stream stands in the run's output, it decides nothing, and it is gone when the run ends.

use std::fs;

use dm_tests::dms::executable_file;
use dm_tests::kubernetes::Plane;
use dm_tests::processes;
use serde_json::Value;

use super::{LEAN, holds, is_done, is_failure};
use crate::world::{Start, local};

#[test]
fn steps_and_the_stream_of_kubedog_stand_in_the_output() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    is_done(&world, "create", "web", "1", &[&LEAN[..], &["web.stage=slow"]].concat());
    let output = world.output("web");
    eprintln!("{output}");
    let mut rest = output.as_str();
    let steps = [
        "applying web with tag 1 in namespace ",
        "helm upgrade --install",
        "waiting for deployment web-web (0 of 1)",
        "web is ready",
    ];
    for step in steps {
        rest = rest.split_once(step).unwrap_or_else(|| panic!("{step:?} does not follow in:\n{output}")).1;
    }
    // A table of its own, with the resource and how far it is.
    holds(&output, &["Status progress", "DEPLOYMENT", "\u{2502} web-web", "REPLICAS"]);
    assert!(!output.contains('\u{1b}'), "it can be stored as text");
}

#[test]
fn without_kubedog_nothing_is_changed_and_it_is_named() {
    let plane = Plane::shared();
    let start = Start::on(&plane);
    let bin = start.namespace().folder().join("bin");
    fs::create_dir(&bin).expect("the folder is ours");
    for tool in ["helm", "kubectl"] {
        std::os::unix::fs::symlink(plane.tools().join(tool), bin.join(tool)).expect("the folder is ours");
    }
    let world = start.path(format!("{}:/usr/bin:/bin", bin.display())).start();
    let cause = is_failure(&world, "create", "web", "1", &LEAN, "run_failed");
    holds(&cause, &["kubedog is missing: it is not on PATH (", "install it, or name it in the settings below [tools]"]);
    for kinds in ["deployments,services,configmaps,secrets,pods", "ingresses,jobs"] {
        let ours = |object: &Value| object["metadata"]["name"].as_str().is_some_and(|name| name.contains("web"));
        assert!(!world.namespace.get(kinds, "").iter().any(ours));
    }
    world.set("tools.kubedog = \"/nowhere/kubedog\"", &local("product"));
    let cause = is_failure(&world, "update", "web", "2", &[], "run_failed");
    holds(&cause, &["/nowhere/kubedog is missing: there is no such file"]);
}

/// A kubedog that behaves by the name of the staging; it keeps its number.
const STRANGE: &str = r#"#!/bin/bash
echo $$ >>"$(dirname "$0")/pids"
asked=$(cat)
case $asked in
    *'"hangs-web"'*) trap '' TERM INT HUP; echo begun; while :; do read -r -t 60 <> <(:); done ;;
    *'"child-web"'*)
        setsid bash -c 'trap "" TERM; exec -a strange-kubedog-child tail -f /dev/null' &
        wait
        ;;
    *'"crash-web"'*) kill -SEGV $$ ;;
    *'"flood-web"'*) exec yes 'flood-web flows and flows and flows' ;;
    *'"fails-web"'*) echo 'fails-web FAILED: it is all over'; exit 1 ;;
    *) exit 2 ;;
esac
"#;

#[test]
fn a_kubedog_that_hangs_crashes_floods_or_says_failed_decides_nothing_and_is_gone_at_the_end() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    let folder = world.namespace.folder();
    let program = folder.join("strange-kubedog");
    executable_file(&program, STRANGE.as_bytes());
    world.set(&format!("tools.kubedog = \"{}\"", program.display()), &local("product"));
    let cases = [
        ("hangs", "kubedog is stopped"),
        ("child", "child is ready"),
        ("crash", "crash is ready"),
        ("flood", "flood-web flows"),
        ("fails", "FAILED: it is all over"),
        ("wrong", "wrong is ready"),
    ];
    std::thread::scope(|scope| {
        for (name, says) in cases {
            let world = &world;
            scope.spawn(move || {
                is_done(world, "create", name, "1", &[&LEAN[..], &["web.stage=slow"]].concat());
                holds(&world.output(name), &[says, &format!("{name} is ready")]);
                // One that has failed is found, whatever it says.
                if name == "hangs" || name == "flood" {
                    let cause = is_failure(world, "update", name, "2", &["web.stage=missing"], "run_failed");
                    holds(&cause, &["pod ", "not found"]);
                }
            });
        }
    });
    let started = fs::read_to_string(folder.join("pids")).expect("it was called");
    assert_eq!(started.lines().count(), cases.len() + 2, "once for each run");
    let left = processes::of(folder);
    let left: Vec<_> = left.iter().filter(|process| process.command.contains("strange-kubedog")).collect();
    assert!(left.is_empty(), "{left:?}");
}
