//! A client of several `dms`, as a pipeline is one: each command has a key of its own and is sent again, to any of them,
//! until somebody has said what became of it. What was said is kept for the books.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dm_api::IDEMPOTENCY_KEY;
use reqwest::Method;
use serde_json::{Value, json};

use crate::eventually::pause;
use crate::rack::books::{Accepted, Answer, Told};
use crate::rack::dice::Dice;

/// How long one `dms` may take; one that is frozen takes for ever.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a command is sent again.
const TRIED_FOR: Duration = Duration::from_mins(2);

/// Where the `dms` are: each with a client that knows its certificate and address. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Targets(Arc<Mutex<BTreeMap<usize, Target>>>);

/// One `dms`.
#[derive(Debug, Clone)]
pub struct Target {
    /// With a certificate that it trusts.
    pub client: reqwest::Client,
    /// Its address, up to `/api/v1`.
    pub base: String,
}

impl Targets {
    /// A `dms` is there, or it is elsewhere now.
    pub fn set(&self, number: usize, target: Target) {
        lock(&self.0).insert(number, target);
    }

    /// It is not there any more.
    pub fn remove(&self, number: usize) {
        lock(&self.0).remove(&number);
    }

    /// One of those that are there.
    pub fn any(&self, dice: &mut Dice) -> Option<Target> {
        let targets = lock(&self.0);
        let numbers: Vec<usize> = targets.keys().copied().collect();
        (!numbers.is_empty()).then(|| targets[dice.pick(&numbers)].clone())
    }

    /// A certain one.
    pub fn get(&self, number: usize) -> Option<Target> {
        lock(&self.0).get(&number).cloned()
    }
}

/// A command as it is sent.
#[derive(Debug, Clone)]
pub struct Command {
    /// Its key.
    pub key: String,
    /// For which staging.
    pub staging: String,
    /// What is asked.
    pub verb: &'static str,
    method: Method,
    path: String,
    body: Value,
}

impl Command {
    /// A command for a staging; the tag is used by those that take one.
    pub fn new(key: String, verb: &'static str, staging: &str, tag: &str) -> Self {
        let of = format!("/stagings/{staging}");
        let (method, path, body) = match verb {
            "create" => (Method::POST, "/stagings".to_owned(), json!({"name": staging, "tag": tag})),
            "update" => (Method::PATCH, of, json!({"tag": tag})),
            "apply" => (Method::PUT, of, json!({"tag": tag})),
            "restore" => (Method::POST, format!("{of}/restore"), json!({"tag": tag})),
            verb => (Method::POST, format!("{of}/{verb}"), json!({})),
        };
        Self { key, staging: staging.to_owned(), verb, method, path, body }
    }

    /// Whatever comes up: mostly what starts a run, so that there is something to break.
    pub fn any(dice: &mut Dice, stagings: &[String]) -> Self {
        const VERBS: [&str; 20] = [
            "create", "create", "create", "create", "update", "update", "update", "update", "update", "apply", "apply",
            "delete", "delete", "restore", "restore", "restore", "cleanup", "cleanup", "retry", "cancel",
        ];
        let (staging, verb) = (dice.pick(stagings).clone(), *dice.pick(&VERBS));
        let (key, tag) = (format!("key-of-the-rack-{:016x}", dice.number()), format!("v{}", dice.between(1, 9_999)));
        Self::new(key, verb, &staging, &tag)
    }

    /// Asks one `dms` once; none when nothing was said, or nothing that settles it.
    pub async fn send(&self, target: &Target) -> Option<Answer> {
        let request = target
            .client
            .request(self.method.clone(), format!("{}{}", target.base, self.path))
            .header(IDEMPOTENCY_KEY, &self.key)
            .timeout(PATIENCE)
            .json(&self.body);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        match status {
            200 | 202 => {
                let dm_api::Accepted { run, version, position, quiet } = answer.json().await.ok()?;
                Some(Answer::Accepted(Accepted { run, version, position, quiet }))
            }
            400..=499 if status != 429 => {
                let problem: dm_api::Problem = answer.json().await.ok()?;
                Some(Answer::Refused(status, problem.code))
            }
            429 | 503 => None,
            _ => panic!("{} {} was answered {status}: {:?}", self.verb, self.staging, answer.text().await),
        }
    }
}

/// Sends commands and keeps what was said. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    targets: Targets,
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Debug, Default)]
struct Ledger {
    told: Vec<Told>,
    waited: Vec<Duration>,
}

impl Client {
    /// Of these `dms`.
    pub fn new(targets: Targets) -> Self {
        Self { targets, ledger: Arc::default() }
    }

    /// Sends a command until it is settled, to whichever `dms` comes up.
    pub async fn settle(&self, command: Command, mut dice: Dice) -> Answer {
        let begun = Instant::now();
        let mut answer = Answer::Silence;
        while begun.elapsed() < TRIED_FOR {
            if let Some(target) = self.targets.any(&mut dice)
                && let Some(settled) = command.send(&target).await
            {
                answer = settled;
                break;
            }
            pause(Duration::from_millis(dice.between(20, 200))).await;
        }
        self.keep(&command, &answer, begun.elapsed());
        answer
    }

    /// Sends a command until it is settled; says whether it was accepted. One that is refused may be sent again: a refusal
    /// is not remembered.
    pub async fn is_accepted(&self, command: Command, dice: Dice) -> bool {
        matches!(self.settle(command, dice).await, Answer::Accepted(_))
    }

    /// Keeps what was said of a command.
    pub fn keep(&self, command: &Command, answer: &Answer, waited: Duration) {
        let Command { key, staging, verb, .. } = command.clone();
        let mut ledger = lock(&self.ledger);
        ledger.told.push(Told { key, staging, verb, answer: answer.clone() });
        ledger.waited.push(waited);
    }

    /// All that was said so far.
    pub fn told(&self) -> Vec<Told> {
        lock(&self.ledger).told.clone()
    }

    /// How long the answers after the first `after` have taken, shortest first, and how many there are by now.
    pub fn waited(&self, after: usize) -> (Vec<Duration>, usize) {
        let ledger = lock(&self.ledger);
        let mut waited = ledger.waited[after..].to_vec();
        waited.sort_unstable();
        (waited, ledger.waited.len())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
