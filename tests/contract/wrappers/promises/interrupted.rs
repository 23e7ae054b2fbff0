//! What becomes of a verb that is cut short, and what one leaves running.

use std::collections::BTreeMap;
use std::time::Duration;

use super::harness::Staging;
use super::{Home, whole_life};

/// When a verb is killed, in parts of the time that it takes undisturbed: at its very beginning, and close to its end.
const KILLED_AT: [f64; 6] = [0.0, 0.15, 0.35, 0.55, 0.75, 0.95];

/// The staging with the tag that it has during this verb of its life: another one from the update on.
fn during<'a>(home: &'a Home, staging: &Staging<'a>, verb: &str, updated: &mut bool) -> Staging<'a> {
    let [first, second, _] = home.tags();
    *updated |= verb == "update";
    staging.clone().tag(if *updated { second } else { first })
}

pub(in super::super) async fn a_verb_killed_at_any_point_ends_right_when_it_is_run_again(home: &Home) {
    let killed = home.staging("killed");
    let mut undisturbed: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut updated = false;
    for (verb, check) in whole_life(home) {
        let staging = during(home, &killed, verb, &mut updated);
        let took = staging.done(verb).await.took;
        // The shorter of two, so that the last kill does not come after the end.
        undisturbed.entry(verb).and_modify(|least| *least = took.min(*least)).or_insert(took);
        staging.reaches(check, 0).await;
    }
    for part in KILLED_AT {
        updated = false;
        for (verb, check) in whole_life(home) {
            let staging = during(home, &killed, verb, &mut updated);
            if home.repeats(verb) {
                staging.killed(verb, undisturbed[verb].mul_f64(part)).await;
            }
            staging.done(verb).await;
            staging.reaches(check, 0).await;
        }
    }
}

pub(in super::super) async fn nothing_stays_behind_when_a_verb_ends(home: &Home) {
    let staging = home.staging("behind");
    let optional = ["config_check", "defaults", "info"].into_iter().filter(|verb| home.has(verb));
    let looks: Vec<&str> = ["check", "archive_check"].into_iter().chain(optional).collect();
    for verb in ["create", "update", "delete", home.restore(), "cleanup"] {
        for verb in std::iter::once(&verb).chain(&looks) {
            let ended = staging.run(verb).await;
            assert!(ended.left.is_empty(), "{verb} has ended, and this of it still ran: {:?}", ended.left);
        }
    }
    if home.has("tags") {
        let ended = staging.query("").run("tags").await;
        assert!(ended.left.is_empty(), "tags has ended, and this of it still ran: {:?}", ended.left);
    }
}
