//! Reads a request's body within its limits, and parses it so that a fault names its field.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use dm_api::{BODY_MAX, Object, Violation};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::error::{ApiError, codes};
use crate::http::violations::token;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// How much of a body that is too large is read and dropped, so that its sender sees the refusal rather than a
/// connection that breaks.
const DRAINED_MAX: usize = 4 * BODY_MAX;

/// The bytes of a body.
pub(crate) async fn read(body: Body) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(ARRIVAL, collect(body)).await {
        Ok(read) => read,
        Err(_) => Err(ApiError::new(
            codes::BODY_TIMEOUT,
            format!("the body did not arrive within {} s; nothing was changed", ARRIVAL.as_secs()),
        )),
    }
}

async fn collect(body: Body) -> Result<Bytes, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut seen = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|broken| malformed("", &format!("the body ends too early ({broken})")))?;
        seen = seen.saturating_add(chunk.len());
        if seen <= BODY_MAX {
            bytes.extend_from_slice(&chunk);
        } else if seen > DRAINED_MAX {
            break;
        }
    }
    if seen > BODY_MAX {
        return Err(ApiError::new(codes::BODY_TOO_LARGE, format!("the body has more than {BODY_MAX} bytes")));
    }
    Ok(bytes.into())
}

/// The value that a body says. Without a body it is the empty object.
pub(crate) fn parse<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, ApiError> {
    let bytes = if bytes.is_empty() { b"{}" } else { require_json(headers).map(|()| bytes)? };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let Object(parsed) = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| fault(&error))?;
    deserializer.end().map_err(|error| malformed("", &error.to_string()))?;
    Ok(parsed)
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let violation = Violation {
        pointer: "header:content-type".to_owned(),
        rule: "media_type".to_owned(),
        detail: "must be application/json".to_owned(),
    };
    Err(ApiError::new(codes::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json").errors(vec![violation]))
}

/// A document that is JSON, but not of the shape that is wanted; or no JSON at all.
fn fault(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => pointer.extend(["/", &index.to_string()]),
            Segment::Map { key } | Segment::Enum { variant: key } => pointer.extend(["/", &token(key)]),
            Segment::Unknown => {}
        }
    }
    let inner = error.inner();
    let detail = inner.to_string();
    if !inner.is_data() {
        return malformed(&pointer, &detail);
    }
    // serde tells kinds of faults apart only by their text; the names in it are those of our own types.
    let (rule, field) = if detail.starts_with("unknown field") {
        ("unknown_field", None)
    } else if let Some(field) = named(&detail, "missing field") {
        ("missing_field", Some(field))
    } else if let Some(field) = named(&detail, "duplicate field") {
        ("duplicate_field", Some(field))
    } else if detail.starts_with("unknown variant") {
        ("unknown_value", None)
    } else {
        ("wrong_type", None)
    };
    if let Some(field) = field {
        pointer.push('/');
        pointer.push_str(field);
    }
    let place = if pointer.is_empty() { "body" } else { &pointer };
    ApiError::new(codes::INVALID_REQUEST, format!("{place}: {detail}")).errors(vec![Violation {
        pointer: pointer.clone(),
        rule: rule.to_owned(),
        detail,
    }])
}

/// The name in backticks after `what`.
fn named<'a>(detail: &'a str, what: &str) -> Option<&'a str> {
    detail.strip_prefix(what)?.split('`').nth(1)
}

fn malformed(pointer: &str, detail: &str) -> ApiError {
    let violation =
        Violation { pointer: pointer.to_owned(), rule: "json".to_owned(), detail: format!("not JSON: {detail}") };
    ApiError::new(codes::MALFORMED_JSON, format!("the body is not a JSON document: {detail}")).errors(vec![violation])
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use dm_api::{Create, Update};
    use uuid::Uuid;

    use super::*;

    /// The code, pointer and rule with which a body is refused.
    fn refused<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> (String, String, String) {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let problem = parse::<T>(&headers, body.as_bytes()).expect_err("it is refused").problem(Uuid::nil());
        let [violation] = &problem.errors[..] else { panic!("not one fault: {problem:?}") };
        (problem.code, violation.pointer.clone(), violation.rule.clone())
    }

    #[test]
    fn a_fault_names_its_field_and_rule() {
        for (body, code, pointer, rule) in [
            ("", "invalid_request", "/name", "missing_field"),
            ("{", "malformed_json", "", "json"),
            ("[]", "invalid_request", "", "wrong_type"),
            ("[\"web\",\"1\"]", "invalid_request", "", "wrong_type"),
            ("null", "invalid_request", "", "wrong_type"),
            (r#"{"name":"web"}"#, "invalid_request", "/tag", "missing_field"),
            (r#"{"name":"web","tag":1}"#, "invalid_request", "/tag", "wrong_type"),
            (r#"{"name":"web","tag":"1","tag":"2"}"#, "invalid_request", "/tag", "duplicate_field"),
            (r#"{"name":"web","tag":"1","a/b~":1}"#, "invalid_request", "/a~1b~0", "unknown_field"),
            (r#"{"name":"web","tag":"1","set":{}}"#, "invalid_request", "/set", "wrong_type"),
            (r#"{"name":"web","tag":"1","set":[["app","k","v"]]}"#, "invalid_request", "/set/0", "wrong_type"),
            (r#"{"name":"web","tag":"1","set":[{"level":"app"}]}"#, "invalid_request", "/set/0/key", "missing_field"),
            (
                r#"{"name":"web","tag":"1","set":[{"level":"ap","key":"k"}]}"#,
                "invalid_request",
                "/set/0/level",
                "unknown_value",
            ),
            (
                r#"{"name":"web","tag":"1","unset":[{"level":"app","key":"k","x":1}]}"#,
                "invalid_request",
                "/unset/0/x",
                "unknown_field",
            ),
            (
                r#"{"name":"web","tag":"1","set":[{"level":"app","key":"k","json":nul}]}"#,
                "malformed_json",
                "/set/0/json",
                "json",
            ),
        ] {
            let expected = (code.to_owned(), pointer.to_owned(), rule.to_owned());
            assert_eq!(refused::<Create>(body), expected, "{body}");
        }
        assert_eq!(refused::<Update>("{} x").2, "json");
        assert_eq!(refused::<Update>(r#"{"base":"7"}"#).1, "/base");
        assert_eq!(refused::<Update>(r#"{"base":1e99}"#).1, "/base");
    }

    #[test]
    fn a_body_needs_its_media_type_and_may_be_absent() {
        let json =
            |value: &'static str| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
        assert!(parse::<Update>(&HeaderMap::new(), b"").is_ok());
        assert!(parse::<Update>(&json("Application/JSON; charset=utf-8"), b"{}").is_ok());
        for headers in [HeaderMap::new(), json("text/plain"), json("application/x-www-form-urlencoded")] {
            let error = parse::<Update>(&headers, b"{}").expect_err("it is refused");
            assert_eq!(error.code(), codes::UNSUPPORTED_MEDIA_TYPE);
        }
    }

    #[tokio::test]
    async fn a_body_ends_at_its_limit() {
        assert_eq!(read(Body::from(vec![b' '; BODY_MAX])).await.expect("it is read").len(), BODY_MAX);
        let error = read(Body::from(vec![b' '; BODY_MAX + 1])).await.expect_err("it is refused");
        assert_eq!(error.code(), codes::BODY_TOO_LARGE);
    }
}
