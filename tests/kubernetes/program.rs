//! The one program behind all verbs, as it is built for images and for `script/server`.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::world::repository;

/// The verbs of `wrappers/kubernetes`.
const VERBS: [&str; 11] = [
    "create",
    "update",
    "delete",
    "restore",
    "cleanup",
    "check",
    "archive_check",
    "info",
    "defaults",
    "config_check",
    "tags",
];

#[test]
fn it_is_one_static_program_and_each_verb_is_a_link_to_it() {
    let folder = repository().join("wrappers/kubernetes");
    for verb in VERBS {
        assert_eq!(fs::read_link(folder.join(verb)).unwrap().to_str(), Some("dm-kubernetes"), "{verb}");
    }
    assert!(needs_a_loader(&fs::read("/bin/sh").unwrap()), "the search finds a loader where there is one");
    assert!(!needs_a_loader(&fs::read(folder.join("dm-kubernetes")).unwrap()), "it runs where there is nothing else");
}

#[test]
fn called_wrongly_it_says_how_and_means_nothing_else() {
    let program = repository().join("wrappers/kubernetes/dm-kubernetes");
    for (name, arguments, word) in [
        ("dm-kubernetes", &[][..], "is no verb"),
        ("check", &["--name", "a", "--colour", "red"], "unknown argument --colour"),
        ("create", &["--tag", "1"], "--name is missing"),
        ("tags", &[], "one argument"),
    ] {
        let output = Command::new(&program).arg0(name).args(arguments).env_clear().output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{name} {arguments:?}: {said}");
        assert!(said.contains(word), "{name} {arguments:?}: {said}");
    }
}

/// Whether a program of 64 bits names another one that loads it (`PT_INTERP`).
fn needs_a_loader(elf: &[u8]) -> bool {
    let number = |at: usize, bytes: usize| {
        elf[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (start, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|at| number(start + at * size, 4) == 3)
}
