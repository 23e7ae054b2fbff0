//! What every folder of wrappers promises. A promise is a function below; its name is the sentence that people read in the
//! report.
//!
//! It knows its folder by [`Home`] only, so that whoever has a folder can try all of them.

mod interrupted;
mod life;
mod looking;
mod values;

use super::harness::{self, Home};
pub(super) use interrupted::{
    a_verb_killed_at_any_point_ends_right_when_it_is_run_again, nothing_stays_behind_when_a_verb_ends,
};
pub(super) use life::{
    a_staging_lives_its_whole_life, cleanup_ends_what_still_runs, delete_and_cleanup_succeed_on_nothing,
    every_verb_twice_has_the_effect_of_once, stagings_side_by_side_do_not_touch_each_other,
    update_completes_what_is_not_there,
};
pub(super) use looking::{
    a_fine_configuration_passes_config_check_without_a_word, info_and_defaults_print_lines_as_the_contract_has_them,
    looking_changes_nothing, tags_prints_the_tags_that_contain_a_text,
    what_a_verb_reports_are_json_lines_that_dms_knows,
};
pub(super) use values::{an_argument_of_another_contract_is_refused, no_text_in_a_value_breaks_a_verb};

/// The verbs that a folder must have.
pub(super) const REQUIRED: [&str; 6] = ["create", "update", "delete", "cleanup", "check", "archive_check"];

/// A life in which each verb has something to do, with the check that shall pass after it.
fn whole_life(home: &Home) -> [(&'static str, &'static str); 6] {
    [
        ("create", "check"),
        ("update", "check"),
        ("delete", "archive_check"),
        (home.restore(), "check"),
        ("delete", "archive_check"),
        ("cleanup", "archive_check"),
    ]
}

/// Hands the names of all promises to a macro.
macro_rules! every_promise {
    ($to:ident) => {
        $to! {
            a_staging_lives_its_whole_life
            every_verb_twice_has_the_effect_of_once
            delete_and_cleanup_succeed_on_nothing
            update_completes_what_is_not_there
            cleanup_ends_what_still_runs
            stagings_side_by_side_do_not_touch_each_other
            a_verb_killed_at_any_point_ends_right_when_it_is_run_again
            nothing_stays_behind_when_a_verb_ends
            looking_changes_nothing
            a_fine_configuration_passes_config_check_without_a_word
            info_and_defaults_print_lines_as_the_contract_has_them
            tags_prints_the_tags_that_contain_a_text
            what_a_verb_reports_are_json_lines_that_dms_knows
            no_text_in_a_value_breaks_a_verb
            an_argument_of_another_contract_is_refused
        }
    };
}
pub(super) use every_promise;
