//! ARCHITECTURE.md tells the truth about what there is.

use std::collections::BTreeSet;
use std::path::Path;

use crate::tree::{root, sources};

fn text() -> String {
    std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there")
}

#[test]
fn every_file_of_every_crate_is_on_the_map() {
    let text = text();
    let on_the_map = |path: &str| {
        // A file is on the map by its own name, or by a folder above it that is described as one.
        let mut steps: Vec<&str> = path.split('/').skip(2).collect();
        let name = steps.pop().unwrap_or_default();
        let roots = ["lib.rs", "main.rs"];
        roots.contains(&name)
            || text.contains(&format!("`{name}`"))
            || (0..steps.len()).any(|from| {
                (from + 1..=steps.len()).any(|to| text.contains(&format!("`{}/`", steps[from..to].join("/"))))
            })
    };
    let missing: Vec<String> = sources(".rs")
        .into_iter()
        .map(|file| file.path)
        .filter(|path| path.starts_with("crates/") && !on_the_map(path))
        .collect();
    assert!(missing.is_empty(), "not in ARCHITECTURE.md:\n  {}", missing.join("\n  "));
}

#[test]
fn the_map_names_nothing_that_is_not_there() {
    let names: BTreeSet<String> =
        sources(".rs").into_iter().map(|file| file.path.rsplit('/').next().unwrap_or_default().to_owned()).collect();
    let gone: Vec<String> = text()
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|quoted| Path::new(quoted).extension().is_some_and(|ending| ending == "rs") && !quoted.contains(' '))
        .filter(|quoted| !names.contains(quoted.rsplit('/').next().unwrap_or_default()))
        .map(str::to_owned)
        .collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names files that are not there:\n  {}", gone.join("\n  "));
}

#[test]
fn every_crate_and_script_is_described() {
    let text = text();
    for (ending, start) in [("Cargo.toml", "crates/"), ("", "script/")] {
        for file in sources(ending).into_iter().filter(|file| file.path.starts_with(start)) {
            let place =
                if ending.is_empty() { file.path } else { file.path.trim_end_matches("/Cargo.toml").to_owned() };
            assert!(text.contains(&format!("`{place}`")), "ARCHITECTURE.md does not describe {place}");
        }
    }
}
