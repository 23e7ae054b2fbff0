//! Folders that break a promise, each in one place: the promise says so.

use std::future::Future;

use super::pages::{executable, smallest_folder, smallest_script};
use super::{Home, promises};

/// What this promise says of a folder; none if it holds.
fn complaint<F: Future<Output = ()>>(
    promise: impl FnOnce(Home) -> F + Send,
    folder: &std::path::Path,
) -> Option<String> {
    std::thread::scope(|scope| {
        let tried = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { promise(Home::of(folder).await).await });
        });
        let panic = tried.join().err()?;
        Some(panic.downcast_ref::<String>().cloned().unwrap_or_default())
    })
}

/// The README's folder with a fault, and what the promise must say of it.
macro_rules! breaks {
    ($($promise:ident: $from:literal => $to:literal, $says:literal;)*) => {
        $(
            #[test]
            fn $promise() {
                let script = smallest_script();
                assert!(script.contains($from), "the README's script has {:?}", $from);
                let folder = smallest_folder(&script.replacen($from, $to, 1));
                let said = complaint(|home| async move { promises::$promise(&home).await }, folder.path());
                let said = said.expect("a promise is broken, and nothing was said");
                assert!(said.contains($says), "{said}");
            }
        )*
    };
}

breaks! {
    a_staging_lives_its_whole_life: "exit 3" => "exit 1", "check --tag v0: exit code 1";
    every_verb_twice_has_the_effect_of_once: "mkdir -p" => "mkdir -p \"${staging%/*}\"; mkdir", "create twice: exit code 1";
    delete_and_cleanup_succeed_on_nothing: "delete) rm -f" => "delete) rm", "delete nothing: exit code 1";
    update_completes_what_is_not_there: "create | update)" => "create | update) [[ $verb = create || -e $staging ]]",
        "update absent: exit code 1";
    cleanup_ends_what_still_runs: "cleanup) rm -rf" => "cleanup) [[ ! -e $staging/tag ]]; rm -rf",
        "cleanup forced: exit code 1";
    stagings_side_by_side_do_not_touch_each_other: "rm -rf \"$staging\"" => "rm -rf \"$staging\"*", "check pr-10";
    a_verb_killed_at_any_point_ends_right_when_it_is_run_again:
        "create | update)" => "create | update) mkdir -p \"$DM_HOME\"; mkdir \"$DM_HOME/half\"; sleep 0.3; rmdir \"$DM_HOME/half\"",
        "create killed: exit code 1";
    nothing_stays_behind_when_a_verb_ends: "create | update)" => "create | update) setsid sleep 60 &",
        "create has ended, and this of it still ran: [\"sleep 60\"]";
    looking_changes_nothing: "archive_check)" => "archive_check) rm -f \"$staging/tag\";", "check looked-at: exit code 1";
    what_a_verb_reports_are_json_lines_that_dms_knows: "create | update)" => "create | update) echo hello >>\"$DM_REPORT\"",
        "create reported \"hello\"";
    no_text_in_a_value_breaks_a_verb: "--app-override |" => "--app-override) eval \"value=\\\"$2\\\"\" || true;;", "was run by a shell";
    an_argument_of_another_contract_is_refused: "exit 64" => ";;", "took --from-the-future";
}

/// The README's folder with one more wrapper, which prints something, and what the promise must say of it.
macro_rules! prints {
    ($($name:ident: $promise:ident, $verb:literal $prints:literal, $says:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let folder = smallest_folder(&smallest_script());
                executable(&folder.path().join($verb), &format!("#!/bin/sh\nprintf '{}'\n", $prints));
                let said = complaint(|home| async move { promises::$promise(&home).await }, folder.path());
                let said = said.expect("a promise is broken, and nothing was said");
                assert!(said.contains($says), "{said}");
            }
        )*
    };
}

prints! {
    a_word_of_config_check: a_fine_configuration_passes_config_check_without_a_word, "config_check" "fine\n",
        "config_check prints nothing";
    a_link_without_an_address: info_and_defaults_print_lines_as_the_contract_has_them, "info" "page,here\n", "is no link";
    a_default_without_a_level: info_and_defaults_print_lines_as_the_contract_has_them, "defaults" "a,b\n",
        "are not 3 fields";
    a_default_that_stands_there_twice: info_and_defaults_print_lines_as_the_contract_has_them, "defaults"
        "app,a,1\napp,a,2\n", "is empty or not the first";
    a_tag_that_is_none: tags_prints_the_tags_that_contain_a_text, "tags" "v 1,,\n", "is no tag";
    tags_that_nobody_has_asked_for: tags_prints_the_tags_that_contain_a_text, "tags" "v1,,\nv2,,\n", "tags \"2\"";
}
