//! `docs/lifecycle.md` draws what the domain does, no more and no less.
//!
//! The domain is explored breadth first: every state that commands lead to from a free name is asked for everything.
//! Two states are taken for one when the same would come of everything that can be asked of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, ensure};
use dm_domain::Decider;
use dm_domain::ids::Attempt;
use dm_domain::staging::event::{Interruption, Outcome};
use dm_domain::staging::{CheckResult, Command, Event, Reason, Recorded, Stage, Staging, State, Status, Verb, Wish};
use dm_domain::testing::facts::{anna, moment, run};
use dm_domain::testing::wishes;

/// The name in the drawing for a name that has no staging.
const FREE: &str = "[*]";

/// More states than that would mean that the exploration does not end.
const STATES_MAX: usize = 5_000;

/// An event and the statuses before and after it.
type Arrow = (String, &'static str, String);

/// Status, reason, and what is under way; none for a free name.
type Sight = Option<(Status, Option<Reason>, Option<(Stage, Verb, Attempt)>)>;

/// What people see of a state, and what came of everything that it was asked for.
type Shape = (Sight, Vec<Vec<Arrow>>);

#[test]
fn the_drawing_has_exactly_the_arrows_of_the_domain() -> Result<()> {
    let explored = explore()?;
    let changes = explored.iter().filter(|(from, _, to)| from != to);
    let real: BTreeSet<_> = changes.map(|(from, event, to)| (from.clone(), (*event).to_owned(), to.clone())).collect();
    let drawn = drawn(&page()?)?;
    let missing: Vec<_> = real.difference(&drawn).collect();
    let invented: Vec<_> = drawn.difference(&real).collect();
    ensure!(missing.is_empty() && invented.is_empty(), "not drawn: {missing:?}; drawn but not so: {invented:?}");
    ensure!(drawn.len() > 20, "the drawing was not found: {drawn:?}");
    Ok(())
}

#[test]
fn the_table_has_exactly_the_events_that_leave_the_status() -> Result<()> {
    let mut real: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, event, to) in explore()? {
        if from == to {
            real.entry(event.to_owned()).or_default().insert(from);
        }
    }
    assert_eq!(listed(&page()?)?, real);
    Ok(())
}

#[test]
fn the_exploration_comes_to_every_status() -> Result<()> {
    let reached: BTreeSet<String> = explore()?.into_iter().map(|(_, _, to)| to).collect();
    let all: BTreeSet<String> = Status::ALL.iter().map(ToString::to_string).chain([FREE.to_owned()]).collect();
    assert_eq!(reached, all);
    Ok(())
}

fn page() -> Result<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lifecycle.md");
    std::fs::read_to_string(path).context(path)
}

/// The arrows of the drawing: `From --> To : Event, Event`.
fn drawn(page: &str) -> Result<BTreeSet<(String, String, String)>> {
    let drawing = page.split("```mermaid").nth(1).and_then(|rest| rest.split("```").next()).context("no drawing")?;
    let mut arrows = BTreeSet::new();
    for line in drawing.lines().filter(|line| line.contains("-->")) {
        let (from, rest) = line.split_once("-->").context("an arrow")?;
        let (to, events) = rest.split_once(':').with_context(|| format!("an arrow without events: {line}"))?;
        for event in events.split(',') {
            let arrow = (from.trim().to_owned(), event.trim().to_owned(), to.trim().to_owned());
            ensure!(arrows.insert(arrow), "drawn twice: {line}");
        }
    }
    Ok(arrows)
}

/// The rows of the table under "Events that leave the status": event, and in which statuses it happens.
fn listed(page: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let section = page.split("## Events that leave the status").nth(1).context("no such section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, event, statuses, ..] = cells[..] else { continue };
        let statuses = statuses.split(',').map(|status| status.trim().to_owned()).collect();
        ensure!(rows.insert(event.trim_matches('`').to_owned(), statuses).is_none(), "listed twice: {line}");
    }
    Ok(rows)
}

/// Every event that can happen, with the statuses around it.
fn explore() -> Result<BTreeSet<Arrow>> {
    let mut arrows = BTreeSet::new();
    let mut seen: BTreeSet<Shape> = BTreeSet::new();
    let mut waiting = VecDeque::from([Staging::initial()]);
    while let Some(state) = waiting.pop_front() {
        let taken: Vec<(Vec<Arrow>, State)> = wishes_for(&state).into_iter().map(|wish| take(&state, wish)).collect();
        let outcomes = taken.iter().map(|(arrows, _)| arrows.clone()).collect();
        if !seen.insert((what_people_see(&state), outcomes)) {
            continue;
        }
        ensure!(seen.len() < STATES_MAX, "the exploration does not end");
        for (steps, next) in taken {
            if !steps.is_empty() {
                waiting.push_back(next);
            }
            arrows.extend(steps);
        }
    }
    Ok(arrows)
}

fn what_people_see(state: &State) -> Sight {
    let activity = state.activity().map(|activity| (activity.stage, activity.verb, activity.attempt));
    state.status().map(|status| (status, state.reason(), activity))
}

/// What comes of a wish, event by event, and the state after it; nothing when it is refused.
fn take(state: &State, (late, wish): (bool, Wish)) -> (Vec<Arrow>, State) {
    let next = state.version().0 + 1;
    let now = moment(if late { next + 10_000 } else { next });
    let number = u128::try_from(next).unwrap_or_default();
    let command = Command { now, actor: anna(), run: run(number), wish };
    let events = Staging::decide(state, &command).unwrap_or_default();
    events.into_iter().fold((vec![], state.clone()), |(mut arrows, state), event| {
        let (from, name) = (name(&state), event.type_name());
        let after = recorded(state, event);
        arrows.push((from, name, self::name(&after)));
        (arrows, after)
    })
}

fn recorded(state: State, event: Event) -> State {
    let version = state.version().next();
    // Times go with versions, so that a staging that is older is not another one.
    Staging::evolve(state, &Recorded { version, at: moment(version.0), actor: anna(), event })
}

fn name(state: &State) -> String {
    state.status().map_or_else(|| FREE.to_owned(), |status| status.to_string())
}

/// Everything that can be asked of a state, and whether it comes late.
fn wishes_for(state: &State) -> Vec<(bool, Wish)> {
    let last = state.last_run();
    let (run, attempt) = last.map_or((run(0), 0), |last| (last.run, last.attempt));
    let verb = last.map_or(Verb::Create, |last| last.verb);
    let people = [
        wishes::create("v1", &[]),
        Wish::Update(wishes::unchanged()),
        Wish::Restore(wishes::unchanged()),
        wishes::apply(wishes::to_tag("v1")),
        wishes::apply(wishes::to_tag("v2")),
        wishes::delete(),
        wishes::cleanup(false),
        wishes::cleanup(true),
        wishes::retry(&[]),
        wishes::cancel(),
    ];
    let outcomes = [Outcome::Exited(0), Outcome::Exited(7), Outcome::Cancelled];
    let ends = outcomes.map(|outcome| Wish::FinishRun { run, attempt, outcome, cause: None });
    let losses =
        [Interruption::OwnerLost, Interruption::Stopping].map(|reason| Wish::InterruptRun { run, attempt, reason });
    let mut all: Vec<(bool, Wish)> = people.into_iter().chain(ends).map(|wish| (false, wish)).collect();
    // A run may be interrupted in good order for ever; three times show all that comes of it.
    if attempt <= 3 {
        all.extend(losses.map(|wish| (false, wish)));
    }
    all.push((false, Wish::StartRun(wishes::claim(run, attempt + 1, verb))));
    all.push((false, Wish::ReportLinks { run, attempt, links: dm_domain::staging::event::Links::Found(vec![]) }));
    let results = [CheckResult::Pass, CheckResult::Failing, CheckResult::TagMismatch, CheckResult::CannotTell];
    for result in results {
        for late in [false, true] {
            all.push((late, check(state, result)));
        }
    }
    all
}

/// A check of what there is, after one that said the same.
fn check(state: &State, result: CheckResult) -> Wish {
    let last = state.last_run();
    Wish::ReportCheck(dm_domain::staging::ReportCheck {
        incarnation: state.incarnation().unwrap_or_default(),
        run: last.map_or(run(0), |last| last.run),
        attempt: last.map_or(0, |last| last.attempt),
        result,
        before: Some(result),
        cause: String::new(),
    })
}
