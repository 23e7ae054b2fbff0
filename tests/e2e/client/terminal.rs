//! `dmc` on a terminal: it fits, it has colours unless they are not wanted, and it obeys no control sequence of others.

use std::process::Command;

use super::{World, dmc_executable};

/// Runs `dmc` on a terminal of its own, by `script` of util-linux, and gives what that terminal was sent.
fn on_a_terminal(world: &World, columns: u32, variables: &[(&str, &str)], line: &str, answer: &str) -> (i32, String) {
    let inner = format!("stty cols {columns}; exec {} {line}", dmc_executable().display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &inner, "/dev/null"]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm").env("DM_HOME", world.dms.home());
    command.envs(variables.iter().copied());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("script is there");
    let mut stdin = child.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut stdin, answer.as_bytes()).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    (output.status.code().expect("it ends by itself"), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_list_fits_the_terminal_and_says_where_it_was_cut_off() {
    let world = World::new();
    let name = "a-name-of-exactly-forty-characters-here1";
    world.dmc(&["create", name, "--tag", "fails", "--wait"]).says(1, &[]);
    for columns in [80, 120] {
        let (code, text) = on_a_terminal(&world, columns, &[("NO_COLOR", "1")], "list", "");
        assert_eq!(code, 0);
        assert_eq!(text.lines().count(), 2, "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= columns as usize, "wider than {columns}: {line:?}");
        }
        assert!(!text.contains('\x1b'), "{text:?}");
    }
}

#[test]
fn a_status_has_a_colour_unless_it_is_not_wanted() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "1", "--wait"]);
    let (_, coloured) = on_a_terminal(&world, 80, &[], "list", "");
    assert!(coloured.contains('\x1b') && coloured.contains("Running"), "{coloured:?}");
    let (_, plain) = on_a_terminal(&world, 80, &[("NO_COLOR", "1")], "list", "");
    assert!(!plain.contains('\x1b') && plain.contains("Running"), "{plain:?}");
}

#[test]
fn control_sequences_of_a_wrapper_are_shown_and_not_obeyed() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "noise", "--wait"]);
    let (_, text) = on_a_terminal(&world, 80, &[], "logs demo", "");
    assert!(text.starts_with("a^[[31mb^G\\xffc\r\none\r\n"), "{text:?}");
}

#[test]
fn a_wait_has_one_live_line_that_goes_away() {
    let world = World::new();
    let (code, text) = on_a_terminal(&world, 80, &[("NO_COLOR", "1")], "create demo --tag 1 --wait", "");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("demo: create succeeded after"), "{text:?}");
    assert!(!text.contains("demo: running create\r\n"), "a line per change beside the live line: {text:?}");
}

#[test]
fn a_cleanup_asks_and_takes_a_no() {
    let world = World::new();
    world.ok(&["create", "demo", "--tag", "1", "--wait"]);
    world.ok(&["delete", "demo", "--wait"]);
    let (code, text) = on_a_terminal(&world, 80, &[], "cleanup demo --wait", "n\n");
    assert_eq!(code, 130, "{text}");
    assert!(text.contains("cannot be undone. Go on? [y/N]") && text.contains("nothing was done"), "{text:?}");
    assert_eq!(world.json(&["info", "demo"])["status"], "Archived");
    let (code, text) = on_a_terminal(&world, 80, &[], "cleanup demo --wait", "y\n");
    assert_eq!(code, 0, "{text}");
    world.dmc(&["info", "demo"]).says(7, &["cleaned up"]);
}
