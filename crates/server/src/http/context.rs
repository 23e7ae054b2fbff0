//! What surrounds every request: its id, its time limit, its metrics, and the body of a refusal.
//!
//! Owns nothing of what a route does. A panic of a handler ends here, as a refusal like any other.

use std::any::Any;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use dm_api::REQUEST_ID;
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use crate::access::identity::{Identity, IdentityError};
use crate::app::App;
use crate::error::{ApiError, PROBLEM_JSON, codes, outcome_unknown, stopping};
use crate::http::asked::not_signed_in;
use crate::metrics::Metrics;

/// The longest that a request may take: more than the longest `wait`, and more than the wrappers that a command asks.
const TIME_LIMIT: Duration = Duration::from_mins(2);

/// How often the log is told of requests that could not be served: an outage refuses all of them.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// Names a request in the log and in its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId(pub(crate) Uuid);

/// Answers what no route answers.
pub(crate) fn refuse_the_rest<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.fallback(no_route).method_not_allowed_fallback(no_method)
}

/// Puts around all routes what every request needs.
pub(crate) fn surround<S: Clone + Send + Sync + 'static>(routes: Router<S>, metrics: &Metrics) -> Router<S> {
    let around = Around { metrics: metrics.clone(), refusals: Arc::default() };
    routes.layer(CatchPanicLayer::custom(panicked)).layer(from_fn_with_state(around, answer))
}

#[derive(Clone)]
struct Around {
    metrics: Metrics,
    refusals: Arc<Mutex<Refusals>>,
}

/// Requests that could not be served for a reason that they share with others. The log is told of one each
/// [`TOLD_EVERY`], and of how many there were.
#[derive(Debug, Default)]
struct Refusals {
    told: Option<Instant>,
    /// Since then.
    untold: u64,
}

impl Refusals {
    /// One more: how many went before it untold, if it is to be told itself.
    fn tell(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|told| now.duration_since(told) < TOLD_EVERY) {
            self.untold += 1;
            return None;
        }
        self.told = Some(now);
        Some(mem::take(&mut self.untold))
    }
}

/// The outermost layer of every router.
async fn answer(State(around): State<Around>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = Uuid::now_v7();
    request.extensions_mut().insert(RequestId(id));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none".to_owned(), |route| route.as_str().to_owned());

    let mut response = match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => overdue(&method).into_response(),
    };
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        write_problem(&mut response, &error, id, &around.refusals);
    }
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(REQUEST_ID), value(&id.to_string()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

    let status = response.status();
    around.metrics.request(&route, status.as_u16());
    tracing::debug!(
        request.id = %id, %method, route, status = status.as_u16(),
        duration_ms = started.elapsed().as_millis(), "request"
    );
    response
}

/// Sees to it that a request has an answer also from a `dms` that stops.
pub(crate) async fn until_the_end(State(app): State<App>, request: Request, next: Next) -> Response {
    let reads = request.method() == Method::GET;
    let mut response = tokio::select! {
        response = next.run(request) => response,
        () = app.last_call.cancelled() => if reads { stopping() } else { outcome_unknown() }.into_response(),
    };
    if app.stopping.is_cancelled() {
        // The next request comes on a new connection, and so, behind a balancer, to another replica.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Lets only those through whom the listener knows.
pub(crate) async fn signed_in(request: Request, next: Next) -> Response {
    if request.extensions().get::<Identity>().is_some() {
        return next.run(request).await;
    }
    let error = match request.extensions().get::<IdentityError>() {
        Some(error) => ApiError::new(codes::BAD_IDENTITY, error.to_string())
            .hint("use a certificate that `dms certs` made for `dmc`; its SAN URI is spiffe://dm/dmc/<role>/<name>"),
        None => not_signed_in(),
    };
    error.into_response()
}

/// Turns a panic into a refusal.
#[expect(clippy::needless_pass_by_value, reason = "the layer wants a function of this shape")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned());
    ApiError::internal(message).into_response()
}

/// The answer on a path that no route has.
async fn no_route() -> ApiError {
    ApiError::new(codes::ROUTE_NOT_FOUND, "there is no such route").hint("GET /api/v1/openapi.json names them all")
}

/// The answer to a method that the route does not have.
async fn no_method() -> ApiError {
    ApiError::new(codes::METHOD_NOT_ALLOWED, "the route does not have this method")
}

fn overdue(method: &Method) -> ApiError {
    if method == Method::GET {
        ApiError::new(codes::TIMED_OUT, format!("there was no answer within {} s", TIME_LIMIT.as_secs())).retry_after(1)
    } else {
        outcome_unknown()
    }
}

fn write_problem(response: &mut Response, error: &ApiError, id: Uuid, refusals: &Mutex<Refusals>) {
    if let Some(cause) = error.cause() {
        if error.code() == codes::INTERNAL {
            tracing::error!(request.id = %id, code = error.code().name, cause, "a fault of dms");
        } else if let Some(untold) = refusals.lock().unwrap_or_else(PoisonError::into_inner).tell(Instant::now()) {
            tracing::warn!(request.id = %id, code = error.code().name, cause, untold, "a request could not be served");
        }
    }
    // A problem consists of texts and numbers, which can always be written.
    *response.body_mut() = serde_json::to_vec(&error.problem(id)).unwrap_or_default().into();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.remove(header::CONTENT_LENGTH);
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::{get, post};
    use dm_api::Problem;
    use tower::ServiceExt;

    use super::*;

    async fn refused(method: &str, path: &str) -> (Problem, Response<()>) {
        async fn boom() {
            panic!("the secret is 123");
        }
        let metrics = Metrics::new();
        let routes = Router::new().route("/boom", get(boom)).route("/post", post(|| async {}));
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("it is a request");
        let routes = surround(refuse_the_rest(routes), &metrics);
        let (parts, body) = routes.oneshot(request).await.expect("it is answered").into_parts();
        let bytes = to_bytes(body, 10_000).await.expect("it is whole");
        let counted = format!("status=\"{}\"}} 1", parts.status.as_u16());
        assert!(metrics.encode().expect("metrics can be written").contains(&counted));
        (serde_json::from_slice(&bytes).expect("a problem document"), Response::from_parts(parts, ()))
    }

    #[tokio::test]
    async fn a_panic_is_a_refusal_that_keeps_its_words() {
        let (problem, response) = refused("GET", "/boom").await;
        assert_eq!((problem.status, problem.code.as_str()), (500, "internal"));
        assert!(!problem.detail.contains("123"));
        let headers = response.headers();
        assert_eq!(headers[header::CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(headers[REQUEST_ID], problem.request_id.to_string());
    }

    #[test]
    fn of_the_requests_of_an_outage_one_a_minute_is_told_with_the_number_of_the_others() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.tell(start), Some(0));
        for second in 1..60 {
            assert_eq!(refusals.tell(start + Duration::from_secs(second)), None);
        }
        assert_eq!(refusals.tell(start + TOLD_EVERY), Some(59));
        assert_eq!(refusals.tell(start + TOLD_EVERY * 2), Some(0));
    }

    #[tokio::test]
    async fn what_no_route_answers_is_a_refusal() {
        assert_eq!(refused("GET", "/nowhere").await.0.code, "route_not_found");
        let (problem, response) = refused("GET", "/post").await;
        assert_eq!(problem.code, "method_not_allowed");
        assert_eq!(response.headers()[header::ALLOW], "POST");
    }
}
