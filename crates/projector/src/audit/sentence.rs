//! Events in words: one sentence for each, in the words of the glossary.

use std::fmt::Write as _;

use dm_domain::ids::{Actor, Key};
use dm_domain::overrides::Level;
use dm_domain::staging::event::{
    ConfigurationRequested, Failed, Interruption, Links, Outcome, RunFinished, RunStarted,
};
use dm_domain::staging::{Event, Reason, Verb};

use crate::Poison;

/// Most characters of a sentence; what a cause has beyond is in the event.
const LENGTH_MAX: usize = 1_000;

/// Most keys that a sentence names.
const KEYS_MAX: usize = 5;

/// An event of a run that does `verb`, caused by `actor`.
pub(super) fn of(event: &Event, actor: &Actor, verb: Option<Verb>) -> String {
    let who = name(actor);
    let what = verb.map_or("run", Verb::name);
    bounded(match event {
        Event::CreateRequested(asked) => {
            format!("{who} asked for a new staging with tag {}{}", asked.tag, changes(asked))
        }
        Event::UpdateRequested(asked) => format!("{who} asked for an update to tag {}{}", asked.tag, changes(asked)),
        Event::RestoreRequested(asked) => format!("{who} asked for a restore with tag {}{}", asked.tag, changes(asked)),
        Event::DeleteRequested(_) => format!("{who} asked for a delete"),
        Event::CleanupRequested(asked) if asked.force => format!("{who} asked for a cleanup by force"),
        Event::CleanupRequested(_) => format!("{who} asked for a cleanup"),
        Event::RetryRequested(asked) => {
            format!("{who} asked for the {} again, with tag {}", asked.verb, asked.tag)
        }
        Event::RequestWithdrawn(withdrawn) if withdrawn.status.is_none() => {
            format!("{who} withdrew the {what} before it began; the name is free again")
        }
        Event::RequestWithdrawn(_) => format!("{who} withdrew the {what} before it began; all is as it was"),
        Event::CancelRequested(_) => format!("{who} asked to cancel the {what}"),
        Event::RunStarted(started) => self::started(started, what),
        Event::RunFinished(finished) => self::finished(finished, what),
        Event::RunInterrupted(interrupted) => match interrupted.reason {
            Interruption::OwnerLost => format!("the {what} was interrupted, because the dms that ran it was lost"),
            Interruption::Stopping => format!("the {what} was interrupted, because the dms that ran it was stopped"),
        },
        Event::BecameRunning(_) => "became Running, because a check passed".to_owned(),
        Event::BecameArchived(_) => "became Archived, because everything but the volumes is gone".to_owned(),
        Event::CleanedUp(_) => "was cleaned up; the name is free again".to_owned(),
        Event::Failed(failed) => self::failed(failed),
        Event::CheckFailed(failed) => with_cause("a check failed once", &failed.cause),
        Event::CheckPassed(_) => "a check passed again".to_owned(),
        Event::BecameUnreadable(unreadable) => with_cause("checks cannot tell any more", &unreadable.cause),
        Event::BecameReadable(_) => "checks can tell again".to_owned(),
        Event::LinksRead(read) => links(&read.links),
    })
}

/// An event that this build cannot read.
pub(super) fn unreadable(event_type: &str, poison: &Poison) -> String {
    bounded(with_cause(&format!("{event_type} happened, which this build cannot read"), &poison.0))
}

/// A person as people know them: `anna` of `admin/anna`. The line has the whole identity beside it.
fn name(actor: &Actor) -> &str {
    actor.0.rsplit('/').next().unwrap_or(&actor.0)
}

/// What a request changes of the overrides, and where it was copied from.
fn changes(asked: &ConfigurationRequested) -> String {
    let mut text = String::new();
    for level in Level::ALL {
        list(&mut text, level, "setting", asked.set.at(level).keys());
        list(&mut text, level, "unsetting", asked.unset.at(level).iter());
        list(&mut text, level, "resetting", asked.reset.at(level).iter());
    }
    if let Some(from) = &asked.from {
        // Writing to a string cannot fail.
        let _ = write!(text, ", as {} was at its version {}", from.name, from.version);
    }
    text
}

fn list<'a>(text: &mut String, level: Level, what: &str, keys: impl ExactSizeIterator<Item = &'a Key>) {
    let count = keys.len();
    if count == 0 {
        return;
    }
    let mut named: Vec<_> = keys.take(KEYS_MAX).map(ToString::to_string).collect();
    if count > KEYS_MAX {
        named.push(format!("{} more", count - KEYS_MAX));
    }
    let last = named.pop().unwrap_or_default();
    let all = if named.is_empty() { last } else { format!("{} and {last}", named.join(", ")) };
    let _ = write!(text, ", {what} {level} {all}");
}

fn started(started: &RunStarted, what: &str) -> String {
    match started.attempt {
        1 => format!("the {what} wrapper started"),
        attempt => format!("the {what} wrapper started again, attempt {attempt}"),
    }
}

fn finished(finished: &RunFinished, what: &str) -> String {
    match &finished.outcome {
        Outcome::Exited(code) => format!("the {what} wrapper exited {code}"),
        Outcome::Signalled(signal) => format!("the {what} wrapper was killed by signal {signal}"),
        Outcome::TimeLimit => format!("the {what} wrapper was stopped at its time limit"),
        Outcome::Cancelled => format!("the {what} wrapper was stopped, as somebody had asked"),
        Outcome::NotStarted(cause) => with_cause(&format!("the {what} wrapper could not start"), cause),
    }
}

fn failed(failed: &Failed) -> String {
    let what = match failed.reason {
        Reason::RunFailed => "failed, because its run failed",
        Reason::Interrupted => "failed, because its run was interrupted",
        Reason::Cancelled => "failed, because its run was cancelled",
        Reason::Unconfirmed => "failed, because it is unconfirmed",
        Reason::CheckFailed => "failed, because its checks fail",
        Reason::PartlyAvailable => "failed, because it is only partly available",
        Reason::TagMismatch => "failed, because another tag is running",
        Reason::CleanupFailed => "was not cleaned up",
    };
    with_cause(what, &failed.cause)
}

fn links(links: &Links) -> String {
    match links {
        Links::Found(links) => match links.len() {
            0 => "has no links".to_owned(),
            1 => "has a link".to_owned(),
            count => format!("has {count} links"),
        },
        Links::Unknown(cause) => with_cause("its links could not be read", cause),
    }
}

fn with_cause(what: &str, cause: &str) -> String {
    if cause.is_empty() { what.to_owned() } else { format!("{what}: {cause}") }
}

/// A history wants lines that can be read.
fn bounded(sentence: String) -> String {
    match sentence.char_indices().nth(LENGTH_MAX) {
        None => sentence,
        Some((end, _)) => format!("{}…", &sentence[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of keys called `a`, `b` and so on, as many as wanted.
    fn said(count: u8) -> String {
        let keys: Vec<_> = (0..count).map(|n| Key::parse(&char::from(b'a' + n).to_string()).expect("a key")).collect();
        let mut text = String::new();
        list(&mut text, Level::App, "setting", keys.iter());
        text
    }

    #[test]
    fn keys_are_listed_as_people_list_things() {
        assert_eq!(said(0), "");
        assert_eq!(said(1), ", setting app a");
        assert_eq!(said(2), ", setting app a and b");
        assert_eq!(said(3), ", setting app a, b and c");
        assert_eq!(said(7), ", setting app a, b, c, d, e and 2 more");
    }
}
