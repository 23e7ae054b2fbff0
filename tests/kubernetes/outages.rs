//! An API server that is away, silent, slow, or refuses: nothing is believed of a staging that was not seen.

mod links;
mod own;

use std::time::{Duration, Instant};

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::Plane;
use serde_json::Value;

use crate::hand::{Called, Hand, PLAIN, plain};
use crate::world::{SEEN, Start, World};

/// How long an outage lasts.
const OUTAGE: Duration = Duration::from_secs(30);

/// What `dms` gives a check.
const CHECK: Duration = Duration::from_secs(20);

/// A staging that runs and one that is archived, while both are looked at by `dms` and by hand.
struct Scene {
    world: World,
    hand: Hand,
}

impl Scene {
    fn begin(plane: &Plane, start: Start<'_>) -> Self {
        let start = start.argument("--allow-short-times").argument("--check-interval=2s");
        let hand = Hand::on(plane, start.namespace(), "product", &plain(), "");
        let world = start.start();
        for name in ["steady", "asleep"] {
            world.done(&[&["create", name, "--tag=1.0.0"], &PLAIN[..], &["--staging=hook.enabled=false"]].concat());
        }
        world.done(&["delete", "asleep"]);
        assert_eq!(hand.call("check", "steady", "1.0.0").code, Some(0));
        assert_eq!(hand.call("archive_check", "asleep", "1.0.0").code, Some(0));
        // Each says no where that is so.
        assert_eq!(hand.call("check", "asleep", "1.0.0").code, Some(1));
        assert_eq!(hand.call("archive_check", "steady", "1.0.0").code, Some(1));
        Self { world, hand }
    }

    /// Types of all events of a staging that checks have caused.
    fn seen(&self, name: &str) -> Vec<String> {
        let events = self.world.events(name);
        let types = events.iter().filter_map(|event| event["type"].as_str());
        let checks = types.filter(|kind| {
            matches!(*kind, "BecameUnreadable" | "BecameReadable" | "CheckPassed" | "CheckFailed" | "Failed")
        });
        checks.map(str::to_owned).collect()
    }

    /// By the log: `dms` could not tell for so many times, and then again, and believed nothing else meanwhile.
    fn assert_only_unreadable(&self, times: usize) {
        let expected = ["BecameUnreadable", "BecameReadable"].repeat(times);
        let passed = |seen: &[String]| seen.iter().filter(|kind| *kind != "CheckPassed").cloned().collect::<Vec<_>>();
        eventually_blocking("checks can tell again", SEEN, || {
            (passed(&self.seen("steady")).len() >= expected.len()).then_some(())
        });
        assert_eq!(passed(&self.seen("steady")), expected);
        assert_eq!(passed(&self.seen("asleep")), Vec::<String>::new());
        let status = ["steady", "asleep"].map(|name| self.world.status(name));
        assert_eq!(status, ["Running", "Archived"]);
    }

    /// Until `dms` has said that it cannot tell.
    fn until_unreadable(&self) {
        eventually_blocking("checks cannot tell", SEEN, || {
            (self.seen("steady").last()? == "BecameUnreadable").then_some(())
        });
    }
}

/// Both checks have no answer, say so within their time, and say why.
fn assert_cannot_tell(hand: &Hand, why: &[&str]) {
    let looks = [("check", "steady"), ("archive_check", "asleep"), ("config_check", "steady")];
    std::thread::scope(|scope| {
        let calls = looks.map(|(verb, name)| (verb, scope.spawn(move || hand.call(verb, name, "1.0.0"))));
        for (verb, call) in calls {
            let called: Called = call.join().expect("the call ends");
            assert_eq!(called.code, Some(4), "{verb}: {called:?}");
            assert!(called.took < CHECK, "{verb}: {called:?}");
            assert!(why.iter().any(|why| called.cause().contains(why)), "{verb}: {called:?}");
        }
    });
}

/// Until an outage is over that has begun then.
fn last(began: Instant) {
    eventually_blocking("the outage has lasted", OUTAGE * 2, || (began.elapsed() >= OUTAGE).then_some(()));
}

/// A staging's deployment, if it is there.
fn deployment(world: &World, name: &str) -> Option<Value> {
    world.namespace.find("deployment", &format!("{name}-web"))
}
