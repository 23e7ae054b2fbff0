//! Asks `dms` and reads its answers. Every write carries a key and is sent again under it until its time is up, so a
//! lost answer is never a lost or a doubled command. Shows nothing but that it waits.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use dm_api::{IDEMPOTENCY_KEY, PREFIX, Problem};
use reqwest::{Method, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::{ConnectionArgs, ShowArgs};
use crate::connect::{Connection, REQUEST_TIMEOUT};
use crate::exit::Error;
use crate::output::Output;
use crate::overrides::Edits;
use crate::problem::refusal;
use crate::settings::Settings;

/// How long a write is tried again, unless `--wait --timeout` says more.
pub(crate) const WRITE_PATIENCE: Duration = Duration::from_mins(1);

/// Between two tries; doubled each time up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long a write may take on its way: `dms` may have to ask wrappers before it accepts, and ends a request itself
/// after two minutes.
const WRITE_TIMEOUT_MIN: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT_MAX: Duration = Duration::from_secs(130);

/// The most that is read of an answer that is no success, in bytes.
const PROBLEM_BYTES_MAX: usize = 1024 * 1024;

/// Names and values after the `?`.
pub(crate) type Query<'a> = &'a [(&'a str, String)];

/// A command to send.
#[derive(Debug)]
pub(crate) struct Write<'a, B> {
    /// How.
    pub(crate) method: Method,
    /// Where, after the prefix.
    pub(crate) path: String,
    /// What.
    pub(crate) body: &'a B,
    /// Names the command.
    pub(crate) key: String,
    /// Until when it is sent again.
    pub(crate) deadline: Instant,
    /// What was typed, to name it in a refusal.
    pub(crate) edits: &'a Edits,
}

/// One `dms`.
#[derive(Debug)]
pub(crate) struct Client {
    args: ConnectionArgs,
    connection: RefCell<Connection>,
    /// When this `dmc` began.
    began: Instant,
    /// For the note that a read has to wait.
    notes: RefCell<Output>,
    noted: Cell<bool>,
}

impl Client {
    /// Sets up the way; the first request goes it.
    pub(crate) fn new(args: &ConnectionArgs, show: &ShowArgs) -> Result<Self, Error> {
        let began = Instant::now();
        let connection = RefCell::new(Connection::new(&Settings::find(args)?)?);
        let notes = RefCell::new(Output::new(show));
        Ok(Self { args: args.clone(), connection, began, notes, noted: Cell::new(false) })
    }

    /// When this `dmc` began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Where it is, as people know it.
    pub(crate) fn shown(&self) -> String {
        self.connection.borrow().shown.clone()
    }

    /// Reads once.
    pub(crate) async fn get_once<T: DeserializeOwned>(&self, path: &str, query: Query<'_>) -> Result<T, Error> {
        let request = self.request(Method::GET, path).query(query).timeout(REQUEST_TIMEOUT);
        self.decode(self.send(request).await?).await
    }

    /// Reads; while `dms` is not ready or cannot be reached, as while it starts anew, it is tried again, and said once.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: Query<'_>) -> Result<T, Error> {
        self.patiently(async || self.get_once(path, query).await).await
    }

    /// Asks a question that changes nothing, with a body.
    pub(crate) async fn ask<T: DeserializeOwned, B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        edits: &Edits,
    ) -> Result<T, Error> {
        self.patiently(async || {
            let request = self.request(method.clone(), path).timeout(WRITE_TIMEOUT_MAX).json(body);
            self.decode_body(self.checked(self.send(request).await?, edits).await?).await
        })
        .await
    }

    async fn patiently<T>(&self, mut once: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
        let deadline = Instant::now() + self.args.retry_for;
        let mut pause = PAUSE_MIN;
        loop {
            let error = match once().await {
                Err(error) => error,
                result => return result,
            };
            let text = error.to_string();
            let wait = again(error, deadline, &mut pause)?;
            if !self.noted.replace(true) {
                self.notes.borrow_mut().note(&format!("{text}; trying again (Ctrl-C gives up)"));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Reads a body as it comes, with the headers that describe it.
    pub(crate) async fn get_raw(&self, path: &str, query: Query<'_>, wait: Duration) -> Result<Response, Error> {
        let request = self.request(Method::GET, path).query(query).timeout(REQUEST_TIMEOUT + wait);
        self.checked(self.send(request).await?, &Edits::default()).await
    }

    /// The next piece of such a body.
    pub(crate) async fn chunk(&self, response: &mut Response) -> Result<Option<Vec<u8>>, Error> {
        let chunk = response.chunk().await.map_err(|error| self.explain(&error))?;
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }

    /// Sends a command under its key until there is an answer or its time is up.
    pub(crate) async fn write<T: DeserializeOwned, B: Serialize + Sync>(
        &self,
        write: &Write<'_, B>,
        out: &mut Output,
    ) -> Result<T, Error> {
        let mut pause = PAUSE_MIN;
        let mut said = false;
        loop {
            let error = match self.write_once(write).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let text = error.to_string();
            let wait = again(error, write.deadline, &mut pause)?;
            if !said {
                out.note(&format!("{text}; trying again (Ctrl-C gives up)"));
                said = true;
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn write_once<T: DeserializeOwned, B: Serialize + Sync>(&self, write: &Write<'_, B>) -> Result<T, Error> {
        let left = write.deadline.saturating_duration_since(Instant::now());
        let request = self
            .request(write.method.clone(), &write.path)
            .header(IDEMPOTENCY_KEY, &write.key)
            .timeout(left.clamp(WRITE_TIMEOUT_MIN, WRITE_TIMEOUT_MAX))
            .json(write.body);
        let response = self.checked(self.send(request).await?, write.edits).await?;
        self.decode_body(response).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let connection = self.connection.borrow();
        let mut url = connection.base.clone();
        url.set_path(&format!("{PREFIX}{path}"));
        connection.http.request(method, url)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Error> {
        request.send().await.map_err(|error| self.explain(&error))
    }

    /// What a request that got no answer means. A `dms` that starts anew may have another port and other certificates,
    /// and it writes both down: the next request goes by what is written then.
    fn explain(&self, error: &reqwest::Error) -> Error {
        let explained = self.connection.borrow().explain(error);
        if matches!(explained, Error::Unreachable { .. })
            && let Ok(connection) = Settings::find(&self.args).and_then(|settings| Connection::new(&settings))
        {
            self.connection.replace(connection);
        }
        explained
    }

    async fn decode<T: DeserializeOwned>(&self, response: Response) -> Result<T, Error> {
        let response = self.checked(response, &Edits::default()).await?;
        self.decode_body(response).await
    }

    async fn decode_body<T: DeserializeOwned>(&self, response: Response) -> Result<T, Error> {
        let bytes = response.bytes().await.map_err(|error| self.explain(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.unexpected(error.to_string()))
    }

    /// A success as it is, everything else as an error.
    async fn checked(&self, mut response: Response, edits: &Edits) -> Result<Response, Error> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = retry_after(&response);
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            body.extend_from_slice(&chunk);
            if body.len() > PROBLEM_BYTES_MAX {
                return Err(self.unexpected(format!("HTTP {status} with an endless body")));
            }
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(refusal(problem, retry_after, edits)),
            Err(_) if status == StatusCode::SERVICE_UNAVAILABLE => {
                Err(self.connection.borrow().unreachable("it is not ready (HTTP 503)", false))
            }
            Err(_) => Err(self.unexpected(format!("HTTP {status} without a reason"))),
        }
    }

    fn unexpected(&self, cause: String) -> Error {
        Error::Unexpected { url: self.shown(), cause }
    }
}

/// Whether asking again can help: the link was lost, or `dms` itself says so.
pub(crate) fn is_passing(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Problem { problem, .. } => matches!(problem.status, 429 | 502 | 503 | 504),
        Error::Usage { .. }
        | Error::NotConfigured { .. }
        | Error::Settings { .. }
        | Error::Untrusted { .. }
        | Error::CertificateRefused { .. }
        | Error::Unexpected { .. }
        | Error::NotFound { .. }
        | Error::TimedOut { .. }
        | Error::Interrupted { .. }
        | Error::ReaderGone
        | Error::System { .. } => false,
    }
}

/// How long to wait before the next try, or the error if there is none.
fn again(error: Error, deadline: Instant, pause: &mut Duration) -> Result<Duration, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    if !is_passing(&error) || left.is_zero() {
        return Err(error);
    }
    let asked = if let Error::Problem { retry_after, .. } = &error { *retry_after } else { None };
    let wait = asked.unwrap_or(*pause).min(left);
    *pause = (*pause * 2).min(PAUSE_MAX);
    Ok(wait)
}

/// What `Retry-After` asks for, in its form of whole seconds, which is the one that `dms` uses.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
