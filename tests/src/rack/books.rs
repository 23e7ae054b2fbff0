//! The books: what clients were told, what the log holds, and what wrappers have written down, held against each other.
//! Pure: whoever keeps the rack brings the facts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use dm_domain::ids::RunId;
use dm_domain::staging::State;
use uuid::Uuid;

use crate::processes::Process;
use crate::rack::history::{Attempt, History};
use crate::rack::records::{Call, Record, Sign};

/// How much later than the log's clock a sign of life may seem: two clocks of one machine are read one after the other.
const CLOCKS_DIFFER: i64 = 5_000_000;

/// What a client was told of a command.
#[derive(Debug, Clone)]
pub struct Told {
    /// The key it was sent with.
    pub key: String,
    /// For which staging.
    pub staging: String,
    /// What was asked.
    pub verb: &'static str,
    /// The answer.
    pub answer: Answer,
}

/// An answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was accepted, or nothing had to happen.
    Accepted(Accepted),
    /// It was refused, with this status and code.
    Refused(u16, String),
    /// Nothing was said in time.
    Silence,
}

/// What an accepted command is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted {
    /// The run.
    pub run: Option<Uuid>,
    /// The version of the stream.
    pub version: i64,
    /// The position of the log.
    pub position: i64,
    /// Whether nothing had to happen.
    pub quiet: bool,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A command was accepted, and the log does not hold what was said of it.
    Lost(String),
    /// A command stands in the log more than once.
    Doubled(String),
    /// A run has not come to its end.
    Open(String),
    /// Two calls of one staging lived at once.
    Overlap(String),
    /// A wrapper lived without a claim, before it, or after its end was recorded.
    OutsideItsClaim(String),
    /// A process is left.
    Left(String),
    /// A read model does not say what the log says.
    Differs(String),
}

/// All that is held against each other.
#[derive(Debug)]
pub struct Books<'a> {
    /// What clients were told.
    pub told: &'a [Told],
    /// The log.
    pub history: &'a History,
    /// What wrappers have written down, by staging.
    pub records: &'a BTreeMap<String, Vec<Record>>,
    /// The time of day, in nanoseconds, at which the machine was started.
    pub machine_started: i64,
    /// What still runs.
    pub left: &'a [Process],
}

/// A row of the table that is shown at the end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sums {
    /// Commands that were accepted, with a run of their own.
    pub accepted: usize,
    /// Of those, runs that have come to their end.
    pub ended: usize,
    /// Commands for which nothing had to happen.
    pub quiet: usize,
    /// Commands that were refused.
    pub refused: usize,
    /// Calls of wrappers.
    pub calls: usize,
}

impl Books<'_> {
    /// Everything that must not be.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.commands();
        findings.extend(self.open());
        for (staging, records) in self.records {
            findings.extend(overlaps(staging, records));
        }
        findings.extend(self.claims());
        let left = self.left.iter().map(|process| Finding::Left(format!("{} {}", process.pid, process.command)));
        findings.extend(left);
        findings.sort();
        findings
    }

    /// How much there was.
    pub fn sums(&self) -> Sums {
        let open: BTreeSet<RunId> = self.history.states.values().filter_map(State::run_under_way).collect();
        let requests = self.history.requests();
        let mut sums = Sums::default();
        for told in self.told {
            match &told.answer {
                Answer::Accepted(Accepted { quiet: true, .. }) => sums.quiet += 1,
                Answer::Accepted(accepted) => {
                    sums.accepted += 1;
                    let run = accepted.run.map(RunId);
                    sums.ended +=
                        usize::from(run.is_some_and(|run| requests.contains_key(&run) && !open.contains(&run)));
                }
                Answer::Refused(..) => sums.refused += 1,
                Answer::Silence => {}
            }
        }
        sums.calls = self.records.values().map(|records| calls(records).len()).sum();
        sums
    }

    /// What was accepted stands in the log once, as it was told; what stands there was asked for.
    fn commands(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut by_key: BTreeMap<&str, BTreeSet<&Accepted>> = BTreeMap::new();
        for told in self.told {
            let Answer::Accepted(accepted) = &told.answer else { continue };
            by_key.entry(&told.key).or_default().insert(accepted);
            if let Err(why) = self.stands(told, accepted) {
                findings.push(Finding::Lost(format!("{} {} ({}): {why}", told.verb, told.staging, told.key)));
            }
        }
        let (asked, logged) = (self.asked(), self.history.commands_of_people().len());
        if logged > asked {
            findings.push(Finding::Doubled(format!("{asked} commands were accepted, and the log holds {logged}")));
        }
        for (key, answers) in by_key {
            if answers.len() > 1 {
                findings.push(Finding::Doubled(format!("{key} was answered in {} ways: {answers:?}", answers.len())));
            }
        }
        for (run, requests) in self.history.requests() {
            if requests.len() > 1 {
                findings.push(Finding::Doubled(format!("{} requests open run {run}", requests.len())));
            }
        }
        findings
    }

    /// How many commands stand in the log if each was carried out once; any number when somebody was told nothing.
    fn asked(&self) -> usize {
        let mut keys = BTreeSet::new();
        for told in self.told {
            match &told.answer {
                Answer::Silence => return usize::MAX,
                Answer::Accepted(accepted) if !accepted.quiet => drop(keys.insert(&told.key)),
                Answer::Accepted(_) | Answer::Refused(..) => {}
            }
        }
        keys.len()
    }

    fn stands(&self, told: &Told, accepted: &Accepted) -> Result<(), String> {
        let at = usize::try_from(accepted.position).unwrap_or_default();
        let fact = at.checked_sub(1).and_then(|index| self.history.facts.get(index));
        let Some(fact) = fact else { return Err(format!("there is no position {at}")) };
        if accepted.quiet {
            return Ok(());
        }
        if fact.staging.as_str() != told.staging || fact.recorded.version.0 != accepted.version {
            let (staging, version) = (&fact.staging, fact.recorded.version);
            return Err(format!("position {at} is version {version} of {staging}, and it was told {accepted:?}"));
        }
        let run = dm_eventstore::codec::run(&fact.recorded.event);
        if accepted.run.is_some_and(|told| told != run.0) {
            return Err(format!("position {at} is of run {run}, and it was told {accepted:?}"));
        }
        Ok(())
    }

    fn open(&self) -> Vec<Finding> {
        let states = self.history.states.iter();
        states
            .filter_map(|(name, state)| Some((name, state, state.run_under_way()?)))
            .map(|(name, state, run)| Finding::Open(format!("{name}: run {run}, {:?}", state.activity())))
            .collect()
    }

    /// Lifecycle wrappers live between the claim of their attempt and its recorded end, once each.
    fn claims(&self) -> Vec<Finding> {
        let attempts = self.history.attempts();
        let mut findings = Vec::new();
        for (staging, records) in self.records {
            let mut begun = BTreeSet::new();
            let lifecycle = calls(records).into_iter().filter(|(call, _)| !is_question(&call.verb));
            for (call, (first, last)) in lifecycle {
                let run = Uuid::parse_str(&call.run).map_or(RunId(Uuid::nil()), RunId);
                let what = format!("{} of {staging}, run {run}, attempt {}", call.verb, call.attempt);
                if !begun.insert((run, call.attempt)) {
                    findings.push(Finding::OutsideItsClaim(format!("{what} began twice")));
                }
                let times = (self.of_day(first), self.of_day(last));
                if let Err(why) = within(attempts.get(&(run, call.attempt)), times) {
                    findings.push(Finding::OutsideItsClaim(format!("{what} {why}")));
                }
            }
        }
        findings
    }

    fn of_day(&self, at: u64) -> i64 {
        self.machine_started + i64::try_from(at).unwrap_or(i64::MAX)
    }
}

/// Whether a wrapper only looks.
pub fn is_question(verb: &str) -> bool {
    matches!(verb, "check" | "archive_check" | "info")
}

/// Calls with their first and their last sign of life, in the order in which they began.
pub fn calls(records: &[Record]) -> Vec<(Call, (u64, u64))> {
    let mut spans: BTreeMap<&Call, (u64, u64)> = BTreeMap::new();
    for record in records {
        let span = spans.entry(&record.call).or_insert((record.at, record.at));
        *span = (span.0.min(record.at), span.1.max(record.at));
    }
    let mut calls: Vec<_> = spans.into_iter().map(|(call, span)| (call.clone(), span)).collect();
    calls.sort_by_key(|(_, span)| *span);
    calls
}

/// Calls that came to their own end.
pub fn ended(records: &[Record]) -> BTreeSet<&Call> {
    records.iter().filter(|record| record.sign == Sign::End).map(|record| &record.call).collect()
}

/// Calls of one staging that lived at once, by their signs of life.
pub fn overlaps(staging: &str, records: &[Record]) -> Vec<Finding> {
    let calls = calls(records);
    let mut findings = Vec::new();
    let mut longest: Option<&(Call, (u64, u64))> = None;
    for call in &calls {
        if let Some(other) = longest.filter(|other| call.1.0 <= other.1.1) {
            let ms = other.1.1.saturating_sub(call.1.0) / 1_000_000;
            findings.push(Finding::Overlap(format!("{staging}: {:?} lived {ms} ms beside {:?}", other.0, call.0)));
        }
        if longest.is_none_or(|other| other.1.1 < call.1.1) {
            longest = Some(call);
        }
    }
    findings
}

fn within(attempt: Option<&Attempt>, (first, last): (i64, i64)) -> Result<(), String> {
    let nanos = |at: &chrono::DateTime<chrono::Utc>| at.timestamp_nanos_opt().unwrap_or_default();
    let Some(attempt) = attempt else { return Err("was never claimed".to_owned()) };
    let [claimed] = &attempt.claimed[..] else {
        return Err(format!("was claimed {} times", attempt.claimed.len()));
    };
    if first + CLOCKS_DIFFER < nanos(claimed) {
        return Err(format!("began {} ms before its claim", (nanos(claimed) - first) / 1_000_000));
    }
    match &attempt.over[..] {
        [] => Ok(()),
        [over] if last <= nanos(over) + CLOCKS_DIFFER => Ok(()),
        [over] => Err(format!("lived {} ms after its recorded end", (last - nanos(over)) / 1_000_000)),
        more => Err(format!("has ended {} times", more.len())),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, what) = match self {
            Self::Lost(what) => ("lost", what),
            Self::Doubled(what) => ("done twice", what),
            Self::Open(what) => ("not ended", what),
            Self::Overlap(what) => ("at once", what),
            Self::OutsideItsClaim(what) => ("outside its claim", what),
            Self::Left(what) => ("left", what),
            Self::Differs(what) => ("read model differs", what),
        };
        write!(f, "{kind}: {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(verb: &str, pid: u32, at: u64) -> Record {
        let call = Call { verb: verb.to_owned(), run: Uuid::nil().to_string(), attempt: 1, pid };
        Record { sign: Sign::Beat, call, at }
    }

    #[test]
    fn calls_one_after_the_other_do_not_overlap_and_calls_at_once_do() {
        let apart = [record("create", 1, 10), record("create", 1, 20), record("check", 2, 21), record("check", 2, 30)];
        assert_eq!(overlaps("a", &apart), []);
        let mut at_once = apart.to_vec();
        at_once.push(record("create", 1, 22));
        assert!(matches!(&overlaps("a", &at_once)[..], [Finding::Overlap(_)]), "{:?}", overlaps("a", &at_once));
        // Also when one lies wholly within the other, with a third in between.
        let within = [record("create", 1, 0), record("create", 1, 100), record("check", 2, 5), record("check", 3, 50)];
        assert_eq!(overlaps("a", &within).len(), 2);
    }

    #[test]
    fn a_command_that_the_log_does_not_hold_is_found() {
        let accepted = Accepted { run: Some(Uuid::nil()), version: 1, position: 1, quiet: false };
        let told = Told {
            key: "k".to_owned(),
            staging: "a".to_owned(),
            verb: "create",
            answer: Answer::Accepted(accepted.clone()),
        };
        let other = Told { answer: Answer::Accepted(Accepted { position: 2, ..accepted }), ..told.clone() };
        let (history, records) = (History::default(), BTreeMap::new());
        let books = Books { told: &[told, other], history: &history, records: &records, machine_started: 0, left: &[] };
        let findings = books.findings();
        assert!(matches!(findings[..], [Finding::Lost(_), Finding::Lost(_), Finding::Doubled(_)]), "{findings:?}");
        assert_eq!(books.sums(), Sums { accepted: 2, ..Sums::default() });
    }
}
