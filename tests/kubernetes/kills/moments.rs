//! helm, and a wrapper with all that it has started, killed at moments all over their time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dm_tests::eventually::eventually_blocking;
use dm_tests::kubernetes::{Namespace, Plane};
use dm_tests::processes;
use nix::sys::signal::{Signal, kill};

use super::{assert_one_release, is_pending, objects};
use crate::hand::{Hand, plain, run_id};
use crate::world::SEEN;

/// How many moments are tried of each verb.
const MOMENTS: u32 = 12;

/// How many stagings are worked on at once.
const WORKERS: usize = 3;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Helm,
    Tree,
}

/// How long they work when nobody kills them.
#[derive(Debug, Clone, Copy)]
struct Times {
    helm: Duration,
    tree: Duration,
}

/// What the kills have come to.
#[derive(Debug, Default)]
struct Counts {
    killed: AtomicUsize,
    pending: AtomicUsize,
}

#[test]
fn whoever_is_killed_at_any_moment_of_a_create_or_an_update_the_next_run_mends_it() {
    let plane = Plane::shared();
    let namespace = plane.namespace();
    let hand = Hand::on(&plane, &namespace, "product", &plain(), "");
    let times = ["create", "update"].map(|verb| whole(&hand, verb));
    let counts = Counts::default();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(moment) = u32::try_from(next.fetch_add(1, Ordering::Relaxed)).ok().filter(|at| *at < MOMENTS) {
            let name = format!("k{moment}");
            for (verb, tag, times) in [("create", "1.0.0", times[0]), ("update", "2.0.0", times[1])] {
                let victims = [Victim::Helm, Victim::Tree];
                // Each has the last word before the run that ends half of the time.
                let mut is_pending = false;
                for at in [moment, moment + 1] {
                    let victim = victims[at as usize % 2];
                    let killed = Killed { verb, name: &name, tag, victim, delay: times.part(victim, moment) };
                    is_pending = killed.run(&hand, &namespace, &counts);
                }
                mended(&hand, &namespace, (verb, &name, tag), is_pending);
            }
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    eprintln!("{times:?}, {counts:?}");
    // Otherwise the moments say nothing.
    assert!(counts.killed.load(Ordering::Relaxed) >= 2 * MOMENTS as usize, "{counts:?}");
    assert!(counts.pending.load(Ordering::Relaxed) >= MOMENTS as usize / 2, "{counts:?}");
    all_are_as_the_one_that_nobody_killed(&hand, &namespace);
}

impl Times {
    fn part(self, victim: Victim, moment: u32) -> Duration {
        let whole = match victim {
            Victim::Helm => self.helm,
            Victim::Tree => self.tree,
        };
        whole * (2 * moment + 1) / (2 * MOMENTS)
    }
}

/// A run to its end, with the times that it takes.
fn whole(hand: &Hand, verb: &str) -> Times {
    let tag = if verb == "create" { "1.0.0" } else { "2.0.0" };
    let mut running = hand.begin(verb, "whole", tag, &run_id());
    let (helm, seen) = running.helm().expect("helm is called");
    let helm = eventually_blocking("helm ends", SEEN, || processes::parent(helm).is_none().then(|| seen.elapsed()));
    let called = running.end();
    assert_eq!(called.code, Some(0), "{called:?}");
    Times { helm, tree: called.took }
}

/// A run that does not come to its end.
struct Killed<'a> {
    verb: &'a str,
    name: &'a str,
    tag: &'a str,
    victim: Victim,
    delay: Duration,
}

impl Killed<'_> {
    /// True if it has left the release pending.
    fn run(&self, hand: &Hand, namespace: &Namespace, counts: &Counts) -> bool {
        let run = run_id();
        let mut running = hand.begin(self.verb, self.name, self.tag, &run);
        match self.victim {
            Victim::Tree => {
                passed(Instant::now() + self.delay);
                counts.killed.fetch_add(usize::from(!running.has_ended()), Ordering::Relaxed);
                running.kill_tree();
            }
            Victim::Helm => {
                let Some((helm, seen)) = running.helm() else { panic!("{}: {:?}", self.name, running.end()) };
                passed(seen + self.delay);
                let is_there = processes::parent(helm).is_some() && kill(helm, Signal::SIGKILL).is_ok();
                let called = running.end();
                // It may have been at its last instructions.
                if called.code != Some(0) {
                    assert!(is_there && called.cause().contains("helm upgrade was killed"), "{called:?}");
                    counts.killed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        assert_eq!(hand.processes(self.name), [], "{:?} {} {}", self.victim, self.verb, self.name);
        let is_pending = is_pending(namespace, self.name);
        counts.pending.fetch_add(usize::from(is_pending), Ordering::Relaxed);
        is_pending
    }
}

/// Until a moment has come.
fn passed(moment: Instant) {
    eventually_blocking("the moment has come", SEEN, || (Instant::now() >= moment).then_some(()));
}

/// The same verb again: it succeeds, and says what it had to repair.
fn mended(hand: &Hand, namespace: &Namespace, (verb, name, tag): (&str, &str, &str), was_pending: bool) {
    let called = hand.done(verb, name, tag);
    let repaired = "repairing: helm was killed in run ";
    let said = [called.has_step(repaired), called.output.contains(repaired)];
    assert_eq!(said, [was_pending; 2], "{name}: {called:?}");
    assert_one_release(namespace, name);
    hand.until("check", name, tag);
}

/// Every staging has the same objects, and of those that are removed nothing stays.
fn all_are_as_the_one_that_nobody_killed(hand: &Hand, namespace: &Namespace) {
    let there = objects(namespace);
    let of = |name: &str| -> BTreeSet<(String, String)> {
        let parts = |full: &str| full.split(['-', '.']).any(|part| part == name);
        let own = there.iter().filter(|(_, full)| parts(full));
        own.map(|(kind, full)| (kind.clone(), full.replace(name, "NAME"))).collect()
    };
    let names: Vec<String> = (0..MOMENTS).map(|moment| format!("k{moment}")).collect();
    let whole = of("whole");
    assert!(whole.len() >= 4, "{whole:?}");
    for name in &names {
        assert_eq!(of(name), whole, "{name}");
    }
    assert_eq!(there.len(), whole.len() * (names.len() + 1), "{there:?}");
    // Killed in the middle of its time.
    hand.done("cleanup", "k6", "2.0.0");
    assert_eq!(super::revisions(namespace, "k6"), Vec::<serde_json::Value>::new());
    assert_eq!(objects(namespace).len(), whole.len() * names.len());
    assert_eq!(namespace.get("pods", "app.kubernetes.io/instance=k6"), Vec::<serde_json::Value>::new());
}
