//! The faults of Octopod, the ancestor of DM, as they follow from its source, and what DM does instead: a test for each,
//! from outside.
//!
//! | # | Octopod | DM | test, `fault_NN_...` |
//! |---|---|---|---|
//! | 1 | writes an action down after its script has ended, so a crash loses it | request, configuration and who asked stand in the log before the wrapper runs, and it is done after the crash | `01_what_was_asked_is_in_the_log_before_its_wrapper_runs_and_is_done_after_a_kill` |
//! | 2 | locks in the memory of one process | two `dms` never act at once on one staging | `02_two_dms_never_act_at_once_on_one_staging` |
//! | 3 | leaves a failed create pending, and calls a failed one running when old pods pass | a failed run is a failure at once, and no check hides it | `03_a_failed_run_is_a_failure_at_once_and_no_check_hides_it` |
//! | 4 | shows Running during an update, and fails it by checks meanwhile | the update shows, and nothing is checked beside it | `04_an_update_shows_and_is_not_checked_while_it_runs` |
//! | 5 | checks one after another, so one that hangs stalls all | checks that hang delay only their own staging | `05_checks_that_hang_delay_nobody_elses` |
//! | 6 | ends each round of checks at defaults that do not parse | the command that needs them is refused, everything else goes on | `06_defaults_that_do_not_parse_refuse_their_command_and_nothing_else` |
//! | 7 | ends when a loop meets an error of the database | a refused statement costs its own command, a lost connection nothing | `07_an_error_of_the_database_ends_no_loop` |
//! | 8 | takes a failing defaults script for no defaults | the command is refused in the script's words | `08_failing_defaults_are_no_empty_defaults` |
//! | 9 | calls one failed check a failure, and moves the time of change | one changes neither status nor time | `09_one_failed_check_is_no_failure_and_moves_no_time` |
//! | 10 | waits for ever for an archive that does not end | it is a failure, from which people can go on | `10_a_delete_that_does_not_end_is_a_failure_to_go_on_from` |
//! | 11 | deletes logs and record at cleanup | events, runs and output stay, those of the cleanup included | `11_a_cleanup_keeps_events_runs_and_output` |
//! | 12 | cleans up what is running | refused, nothing runs | `12_a_cleanup_of_what_is_not_archived_is_refused` |
//! | 17 | keeps overrides only, and works out the past by the defaults of today | each run has its effective configuration | `17_history_holds_the_configuration_that_each_run_had` |
//! | 18 | checks the configuration of an update with the old tag | the new tag and the new values are checked | `18_what_is_checked_is_the_new_configuration` |
//! | 20 | overwrites edits of others | disjoint ones both land, of the same key the later is refused | `20_edits_of_different_keys_both_land_and_of_the_same_key_conflict` |
//! | 21 | cannot show a failed cleanup | `dmc` shows it everywhere | `21_a_failed_cleanup_can_be_shown` |
//! | 23 | keeps output in memory to the end, and loses it at a byte that is no UTF-8 | output streams, byte for byte | `23_output_streams_and_any_byte_is_kept` |
//! | 24 | sends SIGTERM to one process at a time limit, and leaves the rest | nothing of the tree is left, whatever it ignores | `24_a_time_limit_ends_the_whole_tree` |

mod accepted;
mod checks;
mod configuration;
mod ends;

use dm_api::{Accepted, Event, EventList, Problem};
use dm_tests::dms::{Dms, Setup};
use serde_json::{Value, json};

use super::world::World;

const VERBS: [&str; 5] = ["create", "update", "restore", "delete", "cleanup"];

/// A request for an update.
fn patch(world: &World, name: &str, body: &Value) -> reqwest::RequestBuilder {
    world.dms.client().patch(world.url(&format!("/stagings/{name}"))).json(body)
}

async fn update(world: &World, name: &str, body: Value) -> Accepted {
    world.write(patch(world, name, &body)).await
}

/// An override of the product.
fn set(key: &str, text: &str) -> Value {
    json!([{"level": "app", "key": key, "text": text}])
}

/// Sends a request that is refused.
async fn refused(request: reqwest::RequestBuilder) -> Problem {
    let answer = request.send().await.expect("dms answers");
    let (status, text) = (answer.status(), answer.text().await.expect("an answer"));
    assert!(!status.is_success(), "{status}: {text}");
    let problem: Problem = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert!(!problem.detail.is_empty(), "{problem:?}");
    problem
}

/// The events of a name, as far as any other answer has shown them. Without its links, which are read some time after it
/// has begun to run.
async fn events(world: &World, name: &str) -> Vec<Event> {
    let answer = world.dms.client().get(world.url("/stagings?limit=1")).send().await.expect("dms answers");
    let position = answer.headers()[dm_api::POSITION].to_str().expect("a number");
    let url = world.url(&format!("/stagings/{name}/events?limit=200&at_least={position}"));
    let list: EventList = world.dms.client().get(url).send().await.expect("dms answers").json().await.expect("events");
    list.items.into_iter().filter(|event| event.event_type != "LinksRead").collect()
}

async fn types(world: &World, name: &str) -> Vec<String> {
    events(world, name).await.into_iter().map(|event| event.event_type).collect()
}

/// How many lines with a text the wrappers have written into a file of theirs.
fn lines(world: &World, file: &str, text: &str) -> usize {
    let written = std::fs::read_to_string(world.file(file)).unwrap_or_default();
    written.lines().filter(|line| *line == text).count()
}

fn touch(world: &World, file: &str) {
    std::fs::write(world.file(file), "").expect("the folder is ours");
}

/// Another `dms` on the same database.
async fn another(world: &World, change: impl FnOnce(Setup) -> Setup) -> Dms {
    let setup = change(world.setup());
    tokio::task::spawn_blocking(move || setup.start()).await.expect("dms starts")
}

/// What `dmc` prints, which ends well.
fn dmc(world: &World, arguments: &[&str]) -> String {
    let output = super::client::dmc(world.dms.home(), arguments).output().expect("dmc was built");
    assert!(output.status.success(), "dmc {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
