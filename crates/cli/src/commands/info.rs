//! `dmc info`: everything of one staging, from what it is down to why and what can be done next.

use chrono::{DateTime, Utc};
use dm_api::{Action, Configuration, ConfigurationKey, Run, RunState, Staging};
use dm_domain::ids::StagingName;
use serde::Serialize;

use crate::client::Client;
use crate::commands::list::tint;
use crate::commands::runs;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::output::harmless::harmless;
use crate::output::table::{Cell, Table, Tint};
use crate::wait::last_lines;
use crate::words;
use crate::write::goal;

/// The document that `-o json` prints: the staging, with its configuration and its last run.
#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
struct Info {
    #[serde(flatten)]
    staging: Staging,
    configuration: Configuration,
    run: Run,
}

pub(super) async fn run(client: &Client, out: &mut Output, name: &StagingName) -> Result<Exit, Error> {
    let staging: Staging = client.get(&format!("/stagings/{name}"), &[]).await?;
    let configuration = client.get(&format!("/stagings/{name}/configuration"), &[]).await?;
    let run: Run = client.get(&format!("/runs/{}", staging.last_run), &[]).await?;
    let info = Info { staging, configuration, run };
    let lines = if info.run.state == RunState::Failed { last_lines(client, info.run.id).await } else { Vec::new() };
    out.document(&info, &[name], |out, wide| {
        for (title, facts) in sections(&info, &lines, wide, Utc::now()) {
            if facts.is_empty() {
                continue;
            }
            if let Some(title) = title {
                out.line("")?;
                out.heading(&title)?;
            }
            out.table(&facts)?;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

/// Headlines and what stands under them, from what it is to what can be done.
fn sections(info: &Info, last_lines: &[String], wide: bool, now: DateTime<Utc>) -> [(Option<String>, Table); 6] {
    let Info { staging, configuration, run } = info;
    [
        (None, summary(staging, now)),
        (Some("Why".to_owned()), causes(staging, run, last_lines)),
        (Some("Links".to_owned()), links(staging)),
        (Some("Last run".to_owned()), last_run(run)),
        (Some(format!("Configuration (version {})", configuration.version)), keys(&configuration.keys)),
        (Some("Next".to_owned()), next(staging, wide)),
    ]
}

fn summary(staging: &Staging, now: DateTime<Utc>) -> Table {
    let ago = |at| format!("{} ({} ago)", words::moment(at), words::age(at, now));
    let mut facts = Table::of_facts().indented(0);
    fact(&mut facts, "name", staging.name.as_str());
    facts.row(["status".into(), Cell::tinted(words::status(staging.status), tint(staging.status))]);
    if let Some(activity) = &staging.activity {
        let what = words::activity(activity, staging.live.queued_ahead);
        fact(&mut facts, "activity", format!("{what}, asked by {} at {}", activity.by, words::moment(activity.since)));
    }
    if let Some(line) = &staging.live.last_line {
        fact(&mut facts, "output", line.as_str());
    }
    fact(&mut facts, "tag", staging.tag.as_str());
    fact(&mut facts, "created", format!("{} by {}", ago(staging.created_at), staging.created_by));
    fact(&mut facts, "changed", ago(staging.changed_at));
    if let Some(at) = staging.archived_at {
        fact(&mut facts, "archived", ago(at));
    }
    if let Some(at) = staging.live.checked_at {
        fact(&mut facts, "checked", ago(at));
    }
    if let Some(at) = staging.unreadable_since {
        fact(&mut facts, "unreadable", format!("checks cannot tell since {}", ago(at)));
    }
    facts
}

/// From what is wrong to what began it.
fn causes(staging: &Staging, run: &Run, last_lines: &[String]) -> Table {
    let mut facts = Table::of_facts();
    let Some(reason) = &staging.reason else { return facts };
    facts.row(["reason".into(), Cell::tinted(reason.as_str(), Tint::Bad)]);
    if let Some(cause) = &staging.cause {
        fact(&mut facts, "cause", cause.as_str());
    }
    let of_the_run = run.reason.as_ref() == Some(reason);
    if of_the_run {
        let outcome = run.outcome.as_deref().map_or_else(String::new, |outcome| format!(": {outcome}"));
        let request = format!("{} of {}, attempt {}{outcome}", run.verb, words::moment(run.requested_at), run.attempt);
        fact(&mut facts, "run", request);
        let comment = run.comment.as_deref().map_or_else(String::new, |comment| format!(": {comment}"));
        fact(&mut facts, "asked", format!("by {}{comment}", run.by));
    }
    let known = staging.cause.as_deref().unwrap_or_default();
    if of_the_run && !last_lines.iter().all(|line| known.contains(line.trim_end())) {
        fact(&mut facts, "output", last_lines.join("\n"));
    }
    facts
}

fn links(staging: &Staging) -> Table {
    let mut facts = Table::of_facts();
    for link in &staging.links {
        fact(&mut facts, &link.name, link.url.as_str());
    }
    if let Some(cause) = &staging.links_cause {
        facts.row(["unknown".into(), Cell::tinted(cause.as_str(), Tint::Bad)]);
    }
    facts
}

fn last_run(run: &Run) -> Table {
    let mut facts = Table::of_facts();
    let took = runs::took(run).map_or_else(String::new, |took| format!(" after {took}"));
    let state = format!("{}{took}", words::run_state(run.state));
    facts.row([run.verb.as_str().into(), Cell::tinted(state, runs::tint(run.state))]);
    fact(&mut facts, "id", run.id.to_string());
    fact(&mut facts, "asked", format!("{} by {}", words::moment(run.requested_at), run.by));
    if let Some(comment) = &run.comment {
        fact(&mut facts, "reason", comment.as_str());
    }
    if run.attempt > 1 {
        fact(&mut facts, "attempts", run.attempt.to_string());
    }
    facts
}

/// Every key, with where it comes from: only overrides are marked, for a default is what one expects.
fn keys(keys: &[ConfigurationKey]) -> Table {
    let mut facts = Table::of_facts();
    for key in keys {
        let (value, origin) = match (value(key), key.overridden) {
            (None, _) => (Cell::tinted("hidden", Tint::Faint), Cell::tinted("override", Tint::Busy)),
            (Some(value), true) => (value.into(), Cell::tinted("override", Tint::Busy)),
            (Some(value), false) => (value.into(), Cell::tinted("default", Tint::Faint)),
        };
        facts.row([words::level(key.level).into(), key.key.as_str().into(), value, origin]);
    }
    facts
}

/// A value in one line. JSON, and a text that would not be seen as it is, are shown as JSON.
pub(crate) fn value(key: &ConfigurationKey) -> Option<String> {
    if key.secret {
        return Some("(secret)".to_owned());
    }
    match (&key.text, &key.json) {
        (Some(text), _) => {
            let plain = !text.is_empty() && text.trim() == text && harmless(text) == *text && !text.contains('\t');
            Some(if plain { text.clone() } else { serde_json::Value::from(text.as_str()).to_string() })
        }
        (None, Some(json)) => Some(format!("{} (JSON)", json.get())),
        (None, None) => None,
    }
}

/// What can be done now; what is so already, or under way, is not offered again.
fn next(staging: &Staging, wide: bool) -> Table {
    let mut facts = Table::of_facts();
    let name = &staging.name;
    if let Some(activity) = &staging.activity {
        let wait = format!("dmc wait {name} --for {}", goal(&activity.verb));
        facts.row([format!("dmc logs {name} -f").into(), Cell::tinted("follow its output", Tint::Faint)]);
        facts.row([wait.into(), Cell::tinted("wait for its end", Tint::Faint)]);
    }
    for action in staging.allowed_actions.iter().filter(|action| !action.quiet) {
        let (command, effect) = command(action.action);
        let command = command.replace("NAME", name);
        match (&action.because, action.allowed) {
            (_, true) => facts.row([command.into(), Cell::tinted(effect, Tint::Faint)]),
            (Some(because), false) if wide => {
                facts.row([command.into(), Cell::tinted(format!("not now: {because}"), Tint::Faint)]);
            }
            (_, false) => {}
        }
    }
    facts
}

/// How to ask for an action here, and what it does.
fn command(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Update => ("dmc update NAME --tag TAG", "another tag or other overrides"),
        Action::Delete => ("dmc delete NAME", "archive it: volumes stay"),
        Action::Restore => ("dmc restore NAME", "bring it back with its volumes"),
        Action::Cleanup => ("dmc cleanup NAME", "remove everything, volumes included"),
        Action::Retry => ("dmc retry NAME", "the last run again"),
        Action::Cancel => ("dmc cancel NAME", "stop what is under way"),
    }
}

fn fact(facts: &mut Table, name: &str, value: impl Into<String>) {
    facts.row([name.into(), Cell::tinted(value, Tint::Plain)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use dm_api::{Activity, ActivityKind, AllowedAction, Level};

    fn info(name: &str, lines: &[&str], wide: bool) -> String {
        let info: Info = golden::document(name);
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        sections(&info, &lines, wide, golden::noon())
            .map(|(title, facts)| format!("[{}]\n{}\n", title.unwrap_or_default(), facts.render(Some(80), true, false)))
            .concat()
    }

    #[test]
    fn info_shows_what_is_and_what_can_be_done() {
        golden::assert("info-running", &info("info-running", &[], false));
        golden::assert("info-running-wide", &info("info-running", &[], true));
    }

    #[test]
    fn what_is_under_way_is_followed_and_not_offered_again() {
        let mut info: Info = golden::document("info-running");
        let action = |action, quiet| AllowedAction { action, allowed: true, quiet, because: None };
        info.staging.allowed_actions = vec![action(Action::Restore, true), action(Action::Cleanup, false)];
        info.staging.activity = Some(Activity {
            kind: ActivityKind::Running,
            verb: "restore".to_owned(),
            run: info.run.id,
            attempt: 1,
            by: "admin/anna".to_owned(),
            since: golden::noon(),
        });
        insta::assert_snapshot!(next(&info.staging, false).render(None, false, false), @"
        dmc logs demo -f             follow its output
        dmc wait demo --for running  wait for its end
        dmc cleanup demo             remove everything, volumes included
        ");
    }

    #[test]
    fn info_shows_the_chain_of_causes() {
        golden::assert("info-failed", &info("info-failed", &["looking for the chart", "another line"], false));
    }

    fn shown(text: Option<&str>, json: Option<&str>) -> Option<String> {
        value(&ConfigurationKey {
            level: Level::App,
            key: "k".to_owned(),
            text: text.map(str::to_owned),
            json: json.map(|json| serde_json::value::RawValue::from_string(json.to_owned()).unwrap()),
            secret: false,
            overridden: true,
        })
    }

    #[test]
    fn a_value_is_shown_so_that_it_cannot_be_taken_for_another() {
        assert_eq!(shown(Some("hello $HOME"), None).as_deref(), Some("hello $HOME"));
        assert_eq!(shown(Some(" blank "), None).as_deref(), Some("\" blank \""));
        assert_eq!(shown(Some("two\nlines"), None).as_deref(), Some("\"two\\nlines\""));
        assert_eq!(shown(Some(""), None).as_deref(), Some("\"\""));
        assert_eq!(shown(Some("2"), None).as_deref(), Some("2"));
        assert_eq!(shown(None, Some("2")).as_deref(), Some("2 (JSON)"));
        assert_eq!(shown(None, None), None);
    }
}
