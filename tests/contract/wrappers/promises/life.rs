//! The whole life of a staging: alone, twice, out of order, and beside others.

use super::{Home, whole_life};

pub(in super::super) async fn a_staging_lives_its_whole_life(home: &Home) {
    let [first, second, other] = home.tags();
    let staging = home.staging("life").tag(first);
    staging.done("create").await;
    staging.reaches("check", 0).await;
    let ended = staging.clone().tag(other).run("check").await;
    assert_eq!(ended.code, Some(3), "tag {first} is running, so check --tag {other}: {ended}");

    let mut updated = staging.clone().tag(second).app("greeting", "Hello again");
    if !updated.is_accepted().await {
        updated = staging.clone().tag(second);
    }
    updated.done("update").await;
    updated.reaches("check", 0).await;
    let ended = staging.run("check").await;
    assert_eq!(ended.code, Some(3), "tag {second} is running, so check --tag {first}: {ended}");

    updated.done("delete").await;
    updated.reaches("archive_check", 0).await;
    let ended = updated.run("check").await;
    assert!(matches!(ended.code, Some(1 | 2)), "what is deleted fails its check: {ended}");

    updated.done(home.restore()).await;
    updated.reaches("check", 0).await;
    let ended = updated.run("archive_check").await;
    assert_eq!(ended.code, Some(1), "what runs is not gone, so archive_check: {ended}");

    updated.done("delete").await;
    updated.reaches("archive_check", 0).await;
    updated.done("cleanup").await;
    updated.done("archive_check").await;
}

pub(in super::super) async fn every_verb_twice_has_the_effect_of_once(home: &Home) {
    let [first, second, _] = home.tags();
    let mut staging = home.staging("twice").tag(first);
    for (verb, check) in whole_life(home) {
        if verb == "update" {
            staging = staging.tag(second);
        }
        staging.done(verb).await;
        if home.repeats(verb) {
            staging.done(verb).await;
        }
        staging.reaches(check, 0).await;
    }
}

pub(in super::super) async fn delete_and_cleanup_succeed_on_nothing(home: &Home) {
    let staging = home.staging("nothing");
    staging.done("delete").await;
    staging.done("cleanup").await;
    staging.done("delete").await;
    staging.done("archive_check").await;
    staging.done("cleanup").await;
}

pub(in super::super) async fn update_completes_what_is_not_there(home: &Home) {
    let staging = home.staging("absent");
    staging.done("update").await;
    staging.reaches("check", 0).await;
    staging.done("cleanup").await;
}

pub(in super::super) async fn cleanup_ends_what_still_runs(home: &Home) {
    let staging = home.staging("forced");
    staging.done("create").await;
    staging.reaches("check", 0).await;
    staging.done("cleanup").await;
    staging.reaches("archive_check", 0).await;
    let ended = staging.run("check").await;
    assert!(matches!(ended.code, Some(1 | 2)), "what is cleaned up fails its check: {ended}");
}

/// Two of the names begin with the third, which is what a careless pattern or selector takes for one staging.
pub(in super::super) async fn stagings_side_by_side_do_not_touch_each_other(home: &Home) {
    let [one, longer, dashed] = ["pr-1", "pr-10", "pr-1-a"].map(|name| home.staging(name));
    tokio::join!(one.done("create"), longer.done("create"), dashed.done("create"));
    for staging in [&one, &longer, &dashed] {
        staging.reaches("check", 0).await;
    }
    for verb in ["delete", "cleanup"] {
        one.done(verb).await;
        one.reaches("archive_check", 0).await;
        longer.done("check").await;
        dashed.done("check").await;
    }
    // The other way round: what goes is the longer name.
    one.done("create").await;
    one.reaches("check", 0).await;
    tokio::join!(longer.done("cleanup"), dashed.done("cleanup"));
    one.done("check").await;
    one.done("cleanup").await;
}
