//! Times, ages and durations in words, and the sentences that several verbs share. Prints nothing.

use std::time::Duration;

use chrono::{DateTime, Local, TimeDelta, Utc};
use dm_api::{Activity, ActivityKind, Level, RunState, Staging, Status};

/// The longest time that can be given: what is longer is a typing mistake.
const DURATION_MAX: Duration = Duration::from_hours(30 * 24);

/// The longest age: a hundred years.
const AGE_MAX: Duration = Duration::from_hours(36_500 * 24);

/// Reads `500ms`, `90s`, `30m`, `1h30m`, `14d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    match sum(text)? {
        Duration::ZERO => Err(format!("'{text}' is no time at all; the least is 1ms")),
        sum if sum > DURATION_MAX => Err(format!("'{text}' is too long; the most is 30d")),
        sum => Ok(sum),
    }
}

/// Reads an age in whole seconds: `0s`, `12h`, `14d`.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    match sum(text)? {
        sum if sum.subsec_nanos() > 0 => Err(format!("'{text}' is not in whole seconds")),
        sum if sum > AGE_MAX => Err(format!("'{text}' is too long; the most is 36500d")),
        sum => Ok(sum),
    }
}

/// Adds up `1h30m`.
fn sum(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a time; write it like 90s, 30m or 1h30m");
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let milliseconds: u64 = match &tail[..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let count: u64 = number.parse().map_err(|_| wrong())?;
        sum = sum.saturating_add(Duration::from_millis(count.saturating_mul(milliseconds)));
        rest = &tail[unit..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(sum) }
}

/// How long ago, in one unit, as a column shows it: `4s`, `12m`, `3h`, `9d`.
pub(crate) fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long something took: `40 ms`, `3.2 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn took(span: TimeDelta) -> String {
    let milliseconds = span.num_milliseconds().max(0);
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..10_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        10_000..60_000 => format!("{} s", milliseconds / 1_000),
        60_000..3_600_000 => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
        _ => format!("{} h {} min", milliseconds / 3_600_000, milliseconds % 3_600_000 / 60_000),
    }
}

/// A moment in the time zone of whoever reads it.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The status as it is written everywhere.
pub(crate) fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "Running",
        Status::Failure => "Failure",
        Status::CreatePending => "CreatePending",
        Status::UpdatePending => "UpdatePending",
        Status::DeletePending => "DeletePending",
        Status::Archived => "Archived",
    }
}

/// The level as flags and files write it.
pub(crate) fn level(level: Level) -> &'static str {
    match level {
        Level::App => "app",
        Level::Staging => "staging",
    }
}

/// Where a run is.
pub(crate) fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "queued",
        RunState::Running => "running",
        RunState::WaitingForCheck => "waiting for check",
        RunState::Succeeded => "succeeded",
        RunState::Failed => "failed",
        RunState::Withdrawn => "withdrawn",
    }
}

/// What a cancel has made of a run.
pub(crate) fn run_state_of_cancel(state: RunState) -> &'static str {
    match state {
        RunState::Withdrawn => "taken back before it began",
        RunState::Failed | RunState::Succeeded => "stopped",
        RunState::Queued | RunState::Running | RunState::WaitingForCheck => "being stopped",
    }
}

/// What is going on with a staging, in a few words.
pub(crate) fn activity(activity: &Activity, queued_ahead: Option<u32>) -> String {
    let verb = &activity.verb;
    match (activity.kind, queued_ahead) {
        (ActivityKind::Queued, Some(ahead)) => format!("{verb} queued, {ahead} ahead"),
        (ActivityKind::Queued, None) => format!("{verb} queued"),
        (ActivityKind::Running, _) if activity.attempt > 1 => {
            format!("running {verb}, attempt {}", activity.attempt)
        }
        (ActivityKind::Running, _) => format!("running {verb}"),
        (ActivityKind::WaitingForCheck, _) => format!("{verb} done, waiting for check"),
    }
}

/// The one thing to know of a staging beside its status: what goes on, else what is wrong.
pub(crate) fn what(staging: &Staging) -> String {
    if let Some(under_way) = &staging.activity {
        return activity(under_way, staging.live.queued_ahead);
    }
    match (&staging.reason, &staging.cause) {
        (Some(reason), Some(cause)) => format!("{reason}: {}", brief(cause)),
        (Some(reason), None) => reason.clone(),
        (None, _) if staging.unreadable_since.is_some() => "checks cannot tell".to_owned(),
        (None, _) => String::new(),
    }
}

/// The last line of a text, which of a wrapper's output is the one that tells most; where there are more, it says so. A
/// first line that introduces the rest, with a colon, stands before it.
pub(crate) fn brief(text: &str) -> String {
    let text = text.trim_end();
    let (Some((first, _)), Some((_, last))) = (text.split_once('\n'), text.rsplit_once('\n')) else {
        return text.to_owned();
    };
    let introduction = Some(first.trim_end()).filter(|first| first.ends_with(':'));
    format!("{}… {}", introduction.map(|first| format!("{first} ")).unwrap_or_default(), last.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_people_write_it() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("14d"), Ok(Duration::from_hours(14 * 24)));
    }

    #[test]
    fn of_many_lines_the_last_is_shown_and_one_that_introduces_them() {
        assert_eq!(brief("no such tag\n"), "no such tag");
        assert_eq!(brief("pulling\nstill pulling\nno such tag"), "… no such tag");
        assert_eq!(brief("pod web-1 crashed; its last lines:\none\ntwo\n"), "pod web-1 crashed; its last lines: … two");
        assert_eq!(brief("one:\ntwo"), "one: … two");
        assert_eq!(brief(""), "");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "30", "m", "0s", "1x", "-3s", "3 s", "99999999999999999999s", "31d"] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn an_age_has_one_unit() {
        let now = Utc::now();
        let ago = |seconds| age(now - TimeDelta::seconds(seconds), now);
        assert_eq!([-5, 59, 60, 7_199, 86_400, 172_800].map(ago), ["0s", "59s", "1m", "1h", "24h", "2d"]);
    }

    #[test]
    fn a_duration_is_as_exact_as_it_is_short() {
        let took_ms = |milliseconds| took(TimeDelta::milliseconds(milliseconds));
        assert_eq!(
            [420, 3_250, 12_300, 200_000, 7_500_000].map(took_ms),
            ["420 ms", "3.2 s", "12 s", "3 min 20 s", "2 h 5 min"]
        );
    }
}
