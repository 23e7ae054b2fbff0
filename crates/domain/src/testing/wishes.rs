//! Wishes with plain values, spelled shortly.

use std::time::Duration;

use crate::ids::{Attempt, RunId, Version};
use crate::overrides::{Edit, Keys, Values};
use crate::staging::command::{Change, CheckResult, Create, ReportCheck, StartRun};
use crate::staging::event::{Interruption, Links, Outcome};
use crate::staging::{Verb, Wish};
use crate::testing::facts::{STATUS_TIMEOUT, TIME_LIMIT, app, owner, run, tag};

/// A create with a tag and texts on the app level.
pub fn create(tag_text: &str, set: &[(&str, &str)]) -> Wish {
    Wish::Create(Create {
        tag: tag(tag_text),
        set: app(set),
        unset: Keys::default(),
        defaults: Values::default(),
        status_timeout: STATUS_TIMEOUT,
        from: None,
    })
}

/// An edit of nothing.
pub fn unchanged() -> Change {
    Change {
        edit: Edit::default(),
        base: None,
        defaults: Values::default(),
        status_timeout: STATUS_TIMEOUT,
        from: None,
    }
}

/// Another tag.
pub fn to_tag(text: &str) -> Change {
    edit(Edit { tag: Some(tag(text)), ..Edit::default() })
}

/// Texts on the app level.
pub fn setting(set: &[(&str, &str)]) -> Change {
    edit(Edit { set: app(set), ..Edit::default() })
}

/// An edit over no defaults, without a base.
pub fn edit(edit: Edit) -> Change {
    Change { edit, ..unchanged() }
}

/// The same change by somebody who saw this version.
pub fn on_base(change: Change, base: i64) -> Change {
    Change { base: Some(Version(base)), ..change }
}

/// The same change over these texts as defaults of the app level.
pub fn over_defaults(change: Change, defaults: &[(&str, &str)]) -> Change {
    Change { defaults: app(defaults), ..change }
}

/// An apply that is content with what is there.
pub fn apply(change: Change) -> Wish {
    Wish::Apply { change, always: false }
}

/// A delete.
pub fn delete() -> Wish {
    Wish::Delete { status_timeout: STATUS_TIMEOUT }
}

/// A cleanup, forced or not.
pub fn cleanup(force: bool) -> Wish {
    Wish::Cleanup { force, archived_for: None }
}

/// A cleanup of what has been archived for some seconds.
pub fn cleanup_after(seconds: u64) -> Wish {
    Wish::Cleanup { force: false, archived_for: Some(Duration::from_secs(seconds)) }
}

/// A retry over texts as defaults of the app level.
pub fn retry(defaults: &[(&str, &str)]) -> Wish {
    Wish::Retry { defaults: app(defaults), status_timeout: STATUS_TIMEOUT }
}

/// A cancel of whatever is under way.
pub fn cancel() -> Wish {
    Wish::Cancel { run: None }
}

/// A claim of a wrapper that may be repeated.
pub fn start(number: u128, attempt: Attempt, verb: Verb) -> Wish {
    Wish::StartRun(claim(run(number), attempt, verb))
}

/// A claim of a wrapper that may not be repeated.
pub fn start_ask(number: u128, attempt: Attempt, verb: Verb) -> Wish {
    Wish::StartRun(StartRun { ask: true, ..claim(run(number), attempt, verb) })
}

/// A claim, by the owner of [`owner`].
pub fn claim(run: RunId, attempt: Attempt, verb: Verb) -> StartRun {
    StartRun {
        run,
        attempt,
        owner: owner(),
        verb,
        executable: "/wrappers/one".to_owned(),
        digest: Some("d1".to_owned()),
        time_limit: TIME_LIMIT,
        ask: false,
    }
}

/// The end of an attempt, with nothing said about why.
pub fn finish(number: u128, attempt: Attempt, outcome: Outcome) -> Wish {
    Wish::FinishRun { run: run(number), attempt, outcome, cause: None }
}

/// A lost attempt.
pub fn interrupt(number: u128, attempt: Attempt, reason: Interruption) -> Wish {
    Wish::InterruptRun { run: run(number), attempt, reason }
}

/// A check of the incarnation that began with version 1, the first one of its kind.
pub fn check(number: u128, attempt: Attempt, result: CheckResult) -> Wish {
    check_after(number, attempt, None, result)
}

/// The same, after another check.
pub fn check_after(number: u128, attempt: Attempt, before: Option<CheckResult>, result: CheckResult) -> Wish {
    let cause = if result == CheckResult::Pass { "" } else { "down" };
    Wish::ReportCheck(ReportCheck {
        incarnation: Version(1),
        run: run(number),
        attempt,
        result,
        before,
        cause: cause.to_owned(),
    })
}

/// No links, read.
pub fn links(number: u128, attempt: Attempt) -> Wish {
    Wish::ReportLinks { run: run(number), attempt, links: Links::Found(vec![]) }
}
