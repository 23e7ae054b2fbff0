//! One command, sent again and again and at once, to two `dms`: one result.

use dm_tests::dms::{Dms, Setup};
use dm_tests::eventually::eventually;
use dm_tests::postgres::Database;
use dm_tests::tls;
use reqwest::{Client, Method, header};
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::task::{JoinSet, block_in_place};

use super::commands::certificates;
use super::{Answer, RUN, refusal, run_of};

/// How often each command is sent.
const TIMES: usize = 64;

const ONE: &str = "/api/v1/stagings/web";
const DELETE: &str = "/api/v1/stagings/web/delete";
const KEY: &str = "key-of-sixteen-chars";

/// Two `dms` of one database, who know the same people.
struct Two {
    dms: [Dms; 2],
    pool: PgPool,
    certificates: TempDir,
    // After those who use it.
    _database: Database,
}

/// A request that is sent many times.
#[derive(Clone)]
struct Letter {
    method: Method,
    path: &'static str,
    body: String,
}

fn letter(method: Method, path: &'static str, body: &Value) -> Letter {
    Letter { method, path, body: body.to_string() }
}

impl Two {
    async fn start() -> Self {
        let database = Database::empty().await;
        let (certificates, _) = certificates();
        let setup = || {
            Setup::new()
                .database(&database)
                .argument(format!("--certs={}", certificates.path().display()))
                .argument("--allow-short-times")
                .argument("--awaiting-interval=200ms")
        };
        let dms = block_in_place(|| [setup().start(), setup().start()]);
        Self { dms, pool: database.pool().await, certificates, _database: database }
    }

    fn restarted(&mut self) {
        block_in_place(|| {
            for dms in &mut self.dms {
                dms.terminate();
            }
            for dms in &mut self.dms {
                dms.restart();
            }
        });
    }

    /// Clients of both for whoever runs the tests.
    fn admin(&self) -> Vec<(Client, String)> {
        self.dms.iter().map(|dms| (dms.client(), dms.url(""))).collect()
    }

    /// Clients of both for somebody else.
    fn user(&self) -> Vec<(Client, String)> {
        let file = |name: &str| self.certificates.path().join(name);
        let shown = (file("user-ben.crt"), file("user-ben.key"));
        let client = |dms: &Dms| tls::client(&file("ca.crt"), Some((&shown.0, &shown.1)), dms.dmc());
        self.dms.iter().map(|dms| (client(dms), dms.url(""))).collect()
    }

    async fn send(&self, letter: &Letter, key: &str) -> Answer {
        let (client, url) = self.admin().swap_remove(0);
        send(client, url, letter.clone(), key.to_owned()).await
    }

    async fn has_status(&self, status: &str) {
        let head = sqlx::query_scalar::<_, i64>("SELECT position FROM log_head").fetch_one(&self.pool).await;
        let url = self.dms[0].url(&format!("{ONE}?at_least={}", head.expect("the log can be read")));
        eventually(&format!("web is {status}"), RUN, async || {
            let staging = Answer::of(self.dms[0].client().get(&url)).await.json();
            (staging["status"] == status && staging["activity"].is_null()).then_some(())
        })
        .await;
    }

    /// How many commands are remembered with such an end, and how many requests of people stand in the log.
    async fn counted(&self, quiet: bool) -> (i64, i64) {
        let commands = "SELECT count(*) FROM commands c WHERE stream_id = 'web' AND quiet = $1 AND (quiet OR EXISTS
             (SELECT FROM events e WHERE e.stream_id = 'web' AND e.version = c.to_version AND e.type LIKE '%Requested'))";
        let commands = sqlx::query_scalar(commands).bind(quiet).fetch_one(&self.pool);
        let requests = "SELECT count(*) FROM events WHERE stream_id = 'web' AND type LIKE '%Requested'";
        let requests = sqlx::query_scalar(requests).fetch_one(&self.pool);
        (commands.await.expect("the log can be read"), requests.await.expect("the log can be read"))
    }
}

async fn send(client: Client, url: String, letter: Letter, key: String) -> Answer {
    let request = client.request(letter.method, format!("{url}{}", letter.path)).header(dm_api::IDEMPOTENCY_KEY, key);
    Answer::of(request.header(header::CONTENT_TYPE, "application/json").body(letter.body)).await
}

/// Sends a letter many times at once, to each of these in turn.
async fn at_once(to: &[(Client, String)], letter: &Letter) -> Vec<Answer> {
    let mut letters = JoinSet::new();
    for (client, url) in to.iter().cycle().take(TIMES) {
        letters.spawn(send(client.clone(), url.clone(), letter.clone(), KEY.to_owned()));
    }
    letters.join_all().await
}

/// What all these answers say, which is the same.
#[track_caller]
fn the_one(answers: &[Answer]) -> (u16, Value) {
    let said = |answer: &Answer| (answer.status.as_u16(), answer.json());
    assert_eq!(answers.len(), TIMES);
    let first = said(&answers[0]);
    for answer in answers {
        assert_eq!(said(answer), first);
        assert_eq!(answer.headers.get(header::LOCATION), answers[0].headers.get(header::LOCATION));
        assert_eq!(answer.header(dm_api::POSITION), first.1["position"].to_string());
    }
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_sent_64_times_at_once_over_two_dms_has_one_result_also_after_their_restart() {
    let mut two = Two::start().await;
    let create = letter(Method::POST, "/api/v1/stagings", &json!({"name": "web", "tag": "v1"}));
    let update = letter(Method::PATCH, ONE, &json!({"tag": "v2"}));

    let created = the_one(&at_once(&two.admin(), &create).await);
    assert_eq!((created.0, &created.1["version"]), (202, &json!(1)));
    assert_eq!(two.counted(false).await, (1, 1));
    two.has_status("Running").await;
    two.restarted();
    assert_eq!(the_one(&at_once(&two.admin(), &create).await), created);

    // The same key with another request is refused, however often and wherever.
    for answer in at_once(&two.admin(), &update).await {
        assert_eq!(answer.refusal(), refusal(422, "key_reused"));
    }
    assert_eq!(two.counted(false).await, (1, 1));
    assert_eq!(two.send(&update, "another-key-of-mine").await.status, 202);
    two.has_status("Running").await;
    let third = letter(Method::PATCH, ONE, &json!({"tag": "v3"}));
    assert_eq!(two.send(&third, "another-key-of-mine").await.refusal(), refusal(422, "key_reused"));

    // The key of somebody else is another key.
    let theirs = the_one(&at_once(&two.user(), &update).await);
    assert_eq!(theirs.0, 202);
    assert_ne!(run_of(&theirs.1), run_of(&created.1));
    two.has_status("Running").await;
    assert_eq!(two.counted(false).await, (3, 3));
    assert_eq!(the_one(&at_once(&two.admin(), &create).await), created);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_command_that_is_sent_64_times_at_once_over_two_dms_has_one_result_also_after_their_restart() {
    let mut two = Two::start().await;
    let create = letter(Method::POST, "/api/v1/stagings", &json!({"name": "web", "tag": "v1"}));
    let delete = letter(Method::POST, DELETE, &json!({}));
    for (letter, status) in [(&create, "Running"), (&delete, "Archived")] {
        assert_eq!(two.send(letter, &format!("the-key-for-{status}")).await.status, 202);
        two.has_status(status).await;
    }
    assert_eq!(two.counted(true).await, (0, 2));

    let quiet = the_one(&at_once(&two.admin(), &delete).await);
    assert_eq!((quiet.0, &quiet.1["quiet"]), (200, &json!(true)));
    assert_eq!(two.counted(true).await, (1, 2));
    let other = letter(Method::POST, DELETE, &json!({"reason": "another body"}));
    assert_eq!(two.send(&other, KEY).await.refusal(), refusal(422, "key_reused"));

    // Two people at once, with the same key: two commands.
    let both: Vec<_> = two.admin().into_iter().chain(two.user()).collect();
    assert_eq!(the_one(&at_once(&both, &delete).await), quiet, "nothing has changed, so it is the same");
    assert_eq!(two.counted(true).await, (2, 2));

    // Now it would be accepted; what was answered once is answered again.
    let restore = letter(Method::POST, "/api/v1/stagings/web/restore", &json!({}));
    assert_eq!(two.send(&restore, "the-key-of-a-restore").await.status, 202);
    two.has_status("Running").await;
    two.restarted();
    assert_eq!(the_one(&at_once(&two.admin(), &delete).await), quiet);
    assert_eq!(two.counted(true).await, (2, 3));
}
