//! What every source file keeps to.

use crate::tree::{Source, sources};

fn none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

fn rust() -> impl Iterator<Item = Source> {
    sources(".rs").into_iter()
}

#[test]
fn every_module_says_what_it_owns() {
    let breaches: Vec<String> = rust().filter(|file| !file.text.starts_with("//!")).map(|file| file.path).collect();
    none("a module opens with //!", &breaches);
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let breaches: Vec<String> = rust()
        .map(|file| (file.production().lines().count(), file.path))
        .filter(|(lines, _)| *lines > 600)
        .map(|(lines, path)| format!("{path}: {lines}"))
        .collect();
    none("a file has at most 600 lines", &breaches);
}

#[test]
fn nothing_is_unwrapped_or_printed_outside_tests_and_output() {
    let mut breaches = Vec::new();
    // A build script speaks to cargo on its standard output, a shim to its `dms` on its standard error.
    let prints =
        |path: &str| path == "crates/cli/src/output.rs" || path.ends_with("/main.rs") || path.ends_with("/build.rs");
    let complains = |path: &str| path == "crates/server/src/runner/shim.rs";
    for file in rust().filter(|file| !file.is_for_tests() && !prints(&file.path)) {
        for (number, line) in file.production().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let printed = if complains(&file.path) { code.replace("eprintln!(", "") } else { code.to_owned() };
            let barred = ["print!(", "println!(", ".unwrap()", "dbg!(", "todo!("];
            if barred.iter().any(|barred| printed.contains(barred)) {
                breaches.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none("no unwrap, dbg!, todo! or println! outside tests and output", &breaches);
}

#[test]
fn no_test_sleeps_or_is_ignored() {
    let mut breaches = Vec::new();
    for file in rust().filter(|file| file.is_for_tests() && file.path != "tests/tidy/files.rs") {
        for (number, line) in file.text.lines().enumerate() {
            // `tests/src/eventually.rs` holds the one loop that looks again at a fact until its deadline.
            let sleeps = line.contains("sleep(") && file.path != "tests/src/eventually.rs";
            if sleeps || line.contains("#[ignore") {
                breaches.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none("a test waits on a fact with a deadline, and none is ignored", &breaches);
}

#[test]
fn sql_lives_in_its_three_rooms() {
    let may = |path: &str| {
        path.starts_with("crates/eventstore/")
            || path.starts_with("crates/projector/")
            || path.starts_with("crates/server/src/db/")
            || path.starts_with("tests/")
            || path.starts_with("bench/")
    };
    let speaks_sql = |file: &Source| {
        ["sqlx::query", "query!(", "query_as!(", "query_scalar!(", "raw_sql("]
            .iter()
            .any(|call| file.text.contains(call))
    };
    let breaches: Vec<String> =
        rust().filter(|file| !may(&file.path) && speaks_sql(file)).map(|file| file.path).collect();
    none("SQL lives in eventstore, projector and server/src/db", &breaches);
    assert!(
        rust().any(|file| may(&file.path) && !file.path.starts_with("tests/") && speaks_sql(&file)),
        "the search finds SQL where it is"
    );
}

#[test]
fn status_codes_live_in_one_file() {
    let knows = |file: &Source| file.text.contains("StatusCode::");
    let breaches: Vec<String> = rust()
        .filter(|file| file.path.starts_with("crates/server/src/") && file.path != "crates/server/src/error.rs")
        .filter(|file| knows(&Source { path: file.path.clone(), text: file.production().to_owned() }))
        .map(|file| file.path)
        .collect();
    none("only error.rs knows HTTP status codes", &breaches);
    assert!(
        rust().any(|file| file.path == "crates/server/src/error.rs" && knows(&file)),
        "the search finds them where they are"
    );
}

#[test]
fn nothing_is_unsafe() {
    let breaches: Vec<String> = rust()
        .filter(|file| file.path != "tests/tidy/files.rs")
        .filter(|file| file.text.lines().any(|line| line.split("//").next().unwrap_or_default().contains("unsafe ")))
        .map(|file| file.path)
        .collect();
    none("no unsafe", &breaches);
}
