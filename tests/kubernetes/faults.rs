//! The faults of Octopod, the ancestor of DM, that have to do with the cluster, and what holds here instead, with the real
//! wrappers; `tests/e2e/octopod.rs` has those of the server alone.
//!
//! | # | Octopod | DM | test, `fault_NN_...` |
//! |---|---|---|---|
//! | 3 | leaves a failed create pending, and calls a failed update running when old pods pass | a failed run is a failure with its cause, and old pods that are well do not hide it | `03_a_failed_run_is_a_failure_that_old_pods_do_not_hide` |
//! | 4 | shows Running during an update, and fails it by checks meanwhile | the update shows, and pods that are being replaced fail nothing | `04_an_update_shows_and_pods_on_their_way_fail_nothing` |
//! | 9 | calls one failed check a failure, and moves the time of change | pods that are away for one check change neither status nor time | `09_pods_that_are_away_for_one_check_are_no_failure` |
//! | 10 | waits for ever for an archive that does not end | it is a failure, from which people can go on | `10_a_delete_that_does_not_end_is_a_failure_to_go_on_from` |
//! | 12 | cleans up what is running | refused, and no object is touched | `12_a_cleanup_of_what_is_not_archived_touches_no_object` |
//! | 18 | checks the configuration of an update with the old tag | the chart is asked with the new tag and the new values | `18_the_chart_is_asked_with_the_new_configuration` |
//! | 23 | keeps output in memory to the end, and loses it at a byte that is no UTF-8 | what helm and kubedog print streams, byte for byte | `23_what_the_tools_print_streams_and_any_byte_is_kept` |
//! | 24 | sends SIGTERM to one process at a time limit, and leaves the rest | helm, kubectl and kubedog end with the wrapper, and the next run goes on | `24_a_time_limit_ends_the_tools_too` |
//! | 25 | restores everything to 1, calls an archive gone at any error, never sees a part, counts a "current" set as ready, cuts values at the last `=`, breaks at commas | each of these | `25_...` |

mod changes;
mod ends;
mod shipped;
mod status;

use std::fs;
use std::path::{Path, PathBuf};

use dm_tests::eventually::eventually_blocking;
use serde_json::Value;

use crate::world::{SEEN, World};

/// The types of a staging's events, without its links, which are read some time after it has begun to run.
fn types(world: &World, name: &str) -> Vec<String> {
    let history = world.json(&["history", name]);
    let history = history.as_array().expect("a list of events").iter();
    let types = history.map(|event| event["type"].as_str().expect("a type").to_owned());
    types.filter(|name| name != "LinksRead").collect()
}

/// Waits until a staging has a status.
fn becomes(world: &World, name: &str, status: &str) -> Value {
    let what = format!("{name} is {status}");
    eventually_blocking(&what, SEEN, || {
        let info = world.info(name);
        (info["status"] == status).then_some(info)
    })
}

/// A copy of a chart, to be changed.
fn copied(chart: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("chart");
    fs::create_dir_all(copy.join("templates")).expect("the folder is ours");
    for below in ["", "templates"] {
        for entry in fs::read_dir(chart.join(below)).expect("the chart is there").flatten() {
            if entry.path().is_file() {
                fs::copy(entry.path(), copy.join(below).join(entry.file_name())).expect("the folder is ours");
            }
        }
    }
    copy
}
