//! Five hundred stagings, of which five checks hang: nobody else's comes late.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dm_domain::ids::{Actor, CommandId, Owner, RunId, StagingName, Tag, Version};
use dm_domain::overrides::{Keys, Values};
use dm_domain::staging::Event;
use dm_domain::staging::event::{
    ConfigurationRequested, Links, LinksRead, OfAttempt, Outcome, RunFinished, RunStarted,
};
use dm_eventstore::{Append, BodyMac, Channel, CommandKey, Metadata, StreamId, codec};
use dm_tests::eventually::eventually;
use dm_tests::postgres::Database;
use dm_tests::rack::books::calls;
use dm_tests::rack::records::{self, Record};
use dm_tests::rack::scenario::{Behaviour, Scenario};
use dm_tests::rack::{Rack, seed, soak};
use uuid::Uuid;

/// Between two checks of a staging at rest: the default.
const INTERVAL: Duration = Duration::from_secs(30);
/// How late a check may come.
const LATE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn of_500_stagings_5_whose_checks_hang_make_no_other_check_late() {
    let database = Database::empty().await;
    let hanging: BTreeSet<String> = soak::names().into_iter().step_by(100).collect();
    let scenario = Scenario {
        seed: seed("hanging checks"),
        runs: Behaviour::default(),
        checks: Behaviour { lasts_ms: (1, 5), ..Behaviour::default() },
        hanging: hanging.clone(),
        beat_ms: 1_000,
    };
    let rack = Rack::start(&database.url(), &scenario, 1, |setup| setup);
    for name in soak::names() {
        rack.store.append(running(&name)).await.expect("the database is there");
    }

    let from = records::now();
    let begun = Instant::now();
    // Whoever is not checked within this was checked late.
    let long = INTERVAL + LATE + Duration::from_secs(5);
    eventually("everybody was checked, or late", 2 * long, async || (begun.elapsed() > long).then_some(())).await;
    let until = records::now();
    let records = rack.records();
    let late = |name: &String, records: &[Record]| {
        let starts = calls(records).into_iter().filter(|(call, _)| call.verb == "check").map(|(_, (first, _))| first);
        let mut at: Vec<u64> = starts.filter(|at| (from..until).contains(at)).collect();
        // Before the first one and after the last one it waits as well.
        at.insert(0, from);
        at.push(until);
        let longest = at.windows(2).map(|two| Duration::from_nanos(two[1] - two[0])).max().expect("there are two");
        (longest.saturating_sub(INTERVAL), name.clone())
    };
    let others = records.iter().filter(|(name, _)| !hanging.contains(*name));
    let latest = others.map(|(name, records)| late(name, records)).max().expect("there are others");
    eprintln!("the latest check of the others came {:?} late", latest.0);
    assert!(latest.0 <= LATE, "{latest:?}");
    for name in &hanging {
        let checks = calls(&records[name]).into_iter().filter(|(call, _)| call.verb == "check");
        let longest = checks.map(|(_, (first, last))| last - first).max().expect("it was checked");
        assert!(longest > 5_000_000_000, "{name} hangs, and lived for {longest} ns");
    }
    rack.close().await;
}

/// The life of a staging until it runs.
fn running(name: &str) -> Append {
    let (run, attempt) = (RunId(Uuid::new_v4()), 1);
    let events = [
        Event::CreateRequested(ConfigurationRequested {
            run,
            tag: Tag::parse("v1").expect("a tag"),
            set: Values::default(),
            unset: Keys::default(),
            reset: Keys::default(),
            effective: Values::default(),
            status_timeout: Duration::from_mins(5),
            from: None,
        }),
        Event::RunStarted(RunStarted {
            run,
            attempt,
            owner: Owner { id: Uuid::new_v4(), start: 1 },
            executable: "/create".to_owned(),
            digest: None,
            time_limit: Duration::from_mins(5),
            ask: false,
        }),
        Event::RunFinished(RunFinished { run, attempt, outcome: Outcome::Exited(0) }),
        Event::BecameRunning(OfAttempt { run, attempt }),
        Event::LinksRead(LinksRead { run, attempt, links: Links::Found(Vec::new()) }),
    ];
    let command_id = CommandId(Uuid::new_v4());
    Append {
        stream: StreamId::from(&StagingName::parse(name).expect("a name")),
        expected: Version::NONE,
        events: events.iter().map(codec::encode).collect(),
        meta: Metadata {
            actor: Actor::system(),
            channel: Channel::System,
            reason: None,
            command_id,
            correlation_id: run.0,
            on_behalf: None,
        },
        command: CommandKey { id: command_id, mac: BodyMac([0; 32]) },
        run: Some(run),
        lease: None,
    }
}
