//! The wire: what goes in is judged by its form, answered with a receipt or a problem document, and read back as it was.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dm_tests::dms::{Dms, Setup};
use dm_tests::eventually::eventually;
use dm_tests::postgres::Database;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

mod ahead;
mod bodies;
mod commands;
mod described;
mod description;
mod reads;
mod repeated;

/// How long a run of a wrapper that does nothing may take on a busy machine.
const RUN: Duration = Duration::from_mins(1);

/// A `dms` with a client of its own.
struct Api {
    dms: Dms,
    client: reqwest::Client,
    /// The position of the last write, for reads that must see it.
    written: AtomicI64,
    /// Goes after the `dms` that uses it.
    _database: Database,
}

/// An answer, read whole.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    bytes: Vec<u8>,
}

impl Api {
    async fn start() -> Self {
        Self::of(Setup::new()).await
    }

    async fn of(setup: Setup) -> Self {
        let database = Database::empty().await;
        let dms = setup.database(&database).start();
        let client = dms.client();
        Self { dms, client, written: AtomicI64::new(0), _database: database }
    }

    async fn send(&self, method: Method, path: &str, key: Option<&str>, body: &str) -> Answer {
        let mut request = self.client.request(method.clone(), self.dms.url(path)).body(body.to_owned());
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(key) = key {
            request = request.header(dm_api::IDEMPOTENCY_KEY, key);
        }
        let answer = Answer::of(request).await;
        described::check(method.as_str(), path, &answer);
        if answer.status.is_success() && answer.headers.contains_key(header::LOCATION) {
            let position = answer.header(dm_api::POSITION).parse().expect("a number");
            self.written.store(position, Ordering::SeqCst);
        }
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, "").await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, None, &body.to_string()).await
    }

    async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, None, &body.to_string()).await
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, None, &body.to_string()).await
    }

    /// Creates a staging and waits until it runs.
    async fn running(&self, name: &str) {
        self.created(name).await;
        self.has_status(name, "Running").await;
    }

    /// Creates a staging.
    async fn created(&self, name: &str) -> Value {
        let answer = self.post("/api/v1/stagings", &json!({"name": name, "tag": "v1"})).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()
    }

    /// Waits for a status.
    async fn has_status(&self, name: &str, status: &str) {
        let path = format!("/api/v1/stagings/{name}?at_least={}", self.written.load(Ordering::SeqCst));
        eventually(&format!("{name} is {status}"), RUN, || async {
            let staging = self.get(&path).await.json();
            (staging["status"] == status && staging["activity"].is_null()).then_some(())
        })
        .await;
    }

    /// The types of the events that people caused on a name.
    async fn asked(&self, name: &str) -> Vec<String> {
        let written = self.written.load(Ordering::SeqCst);
        let answer = self.get(&format!("/api/v1/stagings/{name}/events?limit=200&at_least={written}")).await;
        if answer.status == 404 {
            return Vec::new();
        }
        let events = answer.json();
        let events = events["items"].as_array().expect("a list").iter();
        events.filter(|event| event["actor"] != "system").map(|event| text(&event["type"])).collect()
    }
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.timeout(RUN).send().await.expect("dms answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("the answer is whole").to_vec();
        Self { status, headers, bytes }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().expect("it is text")
    }

    /// The problem document, which is whole and fits its answer.
    fn problem(&self) -> dm_api::Problem {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem: dm_api::Problem = serde_json::from_slice(&self.bytes).expect("a problem document");
        assert_eq!(problem.status, self.status.as_u16());
        assert_eq!(problem.request_id.to_string(), self.header(dm_api::REQUEST_ID));
        assert!(!problem.detail.is_empty() && !problem.title.is_empty(), "{problem:?}");
        problem
    }

    /// Status and code of a refusal.
    fn refusal(&self) -> (u16, String) {
        let problem = self.problem();
        (problem.status, problem.code)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn run_of(accepted: &Value) -> Uuid {
    accepted["run"].as_str().and_then(|run| run.parse().ok()).unwrap_or_else(|| panic!("no run in {accepted}"))
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
