//! From what went wrong to a problem document (RFC 9457): the only place that knows HTTP status codes.
//!
//! An `ApiError` becomes a response without a body; `http::context` writes the document, because only there
//! the id of the request is known. What is internal goes to the log, never to the client.

use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use dm_api::{Problem, UnderWay, Violation};
use dm_domain::ids::{RunId, StagingName, Version};
use dm_domain::staging::moment;
use uuid::Uuid;

mod causes;

pub(crate) use causes::{outcome_unknown, stopping};

/// The media type of a problem document.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// The status of an answer to a command that opened a run.
pub(crate) const ACCEPTED: StatusCode = StatusCode::ACCEPTED;

/// The status of an answer of a `dms` that requests should not be sent to.
pub(crate) const NOT_READY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// A kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    /// The stable name.
    pub(crate) name: &'static str,
    /// The HTTP status that it is sent with.
    pub(crate) status: StatusCode,
    /// For the OpenAPI document.
    pub(crate) means: &'static str,
}

/// Every code that a problem document can have, with its HTTP status and its meaning.
///
/// Codes are stable for ever: scripts look at them. A new one is for what a client would handle differently.
pub(crate) mod codes {
    use axum::http::StatusCode;

    use super::Code;

    macro_rules! codes {
        ($($constant:ident: $status:ident $name:literal, $means:literal;)*) => {
            $(
                #[doc = $means]
                pub(crate) const $constant: Code = Code { name: $name, status: StatusCode::$status, means: $means };
            )*

            /// All of them, by status.
            pub(crate) const ALL: &[Code] = &[$($constant),*];
        };
    }

    codes! {
        INVALID_REQUEST: BAD_REQUEST "invalid_request", "something in the request breaks a rule; `errors` names each";
        MALFORMED_JSON: BAD_REQUEST "malformed_json", "the body is not a JSON document";
        SECRETS_UNAVAILABLE: BAD_REQUEST "secrets_unavailable", "this `dms` cannot seal secrets, so it takes none";
        CONFIGURATION_REFUSED: BAD_REQUEST "configuration_refused", "the product does not accept this configuration; `detail` has its words";
        KEY_CONFLICT: BAD_REQUEST "key_conflict", "a key is both a value and a branch";
        KEY_TWICE: BAD_REQUEST "key_twice", "a key is named more than once among set, unset and reset";
        TOO_MANY_OVERRIDES: BAD_REQUEST "too_many_overrides", "the staging would have more than 500 overrides";
        CONFIGURATION_TOO_LARGE: BAD_REQUEST "configuration_too_large", "the effective configuration would have more than 512 KiB";
        INVALID_VALUE: BAD_REQUEST "invalid_value", "a value breaks a rule";
        NOT_SIGNED_IN: UNAUTHORIZED "not_signed_in", "nobody is signed in on this connection";
        NOT_ALLOWED: FORBIDDEN "not_allowed", "the caller's role does not allow this";
        BAD_IDENTITY: FORBIDDEN "bad_identity", "the client certificate is valid but names nobody that `dms` knows how to read";
        ROUTE_NOT_FOUND: NOT_FOUND "route_not_found", "there is no such route";
        STAGING_NOT_FOUND: NOT_FOUND "staging_not_found", "the name has no staging; `cleaned_up_at` says when it last had one";
        RUN_NOT_FOUND: NOT_FOUND "run_not_found", "there is no such run";
        METHOD_NOT_ALLOWED: METHOD_NOT_ALLOWED "method_not_allowed", "the route does not have this method; `Allow` names those it has";
        BODY_TIMEOUT: REQUEST_TIMEOUT "body_timeout", "the body did not arrive within 30 s";
        STAGING_EXISTS: CONFLICT "staging_exists", "the name is taken";
        WRONG_STATUS: CONFLICT "wrong_status", "the staging's status does not allow this";
        BUSY: CONFLICT "busy", "a run of this staging is under way; `run` names it";
        OTHER_RUN: CONFLICT "other_run", "another run than the one named is under way";
        FORCED_CLEANUP: CONFLICT "forced_cleanup", "the last run was a forced cleanup, which is not repeated this way";
        TOO_YOUNG: CONFLICT "too_young", "it has not been archived for long enough";
        UNKNOWN_BASE: CONFLICT "unknown_base", "`base` is no version of this staging's configuration";
        EDIT_CONFLICT: CONFLICT "edit_conflict", "somebody else changed the same thing since `base`";
        STALE_RUN: CONFLICT "stale_run", "the run has moved on";
        BODY_TOO_LARGE: PAYLOAD_TOO_LARGE "body_too_large", "the body has more than 2 MiB";
        UNSUPPORTED_MEDIA_TYPE: UNSUPPORTED_MEDIA_TYPE "unsupported_media_type", "the body is not `application/json`";
        KEY_REUSED: UNPROCESSABLE_ENTITY "key_reused", "the idempotency key was used for another request";
        OVERLOADED: TOO_MANY_REQUESTS "overloaded", "too many commands are waiting";
        INTERNAL: INTERNAL_SERVER_ERROR "internal", "a fault of `dms`; its log has more under the `request_id`";
        UNAVAILABLE: SERVICE_UNAVAILABLE "unavailable", "the database is away; nothing was changed";
        OUTCOME_UNKNOWN: SERVICE_UNAVAILABLE "outcome_unknown", "it is not known whether the command was carried out; the same request with the same key tells";
        CONTENDED: SERVICE_UNAVAILABLE "contended", "the staging changes too fast; nothing was changed";
        BEHIND: SERVICE_UNAVAILABLE "behind", "the read model has not reached `at_least` in time";
        UNREADABLE: SERVICE_UNAVAILABLE "unreadable", "the log has an event that this build does not know, so nothing is decided on it";
        TIMED_OUT: SERVICE_UNAVAILABLE "timed_out", "the answer took too long";
        STOPPING: SERVICE_UNAVAILABLE "stopping", "this `dms` stops; nothing was changed";
        DEFAULTS_UNAVAILABLE: SERVICE_UNAVAILABLE "defaults_unavailable", "the wrapper `defaults` gave no answer; `detail` has the cause";
        TAGS_UNAVAILABLE: SERVICE_UNAVAILABLE "tags_unavailable", "the wrapper `tags` gave no answer; `detail` has the cause";
        INIT_UNFINISHED: SERVICE_UNAVAILABLE "init_unfinished", "the wrapper `init` has not ended well yet, so no other is asked; `detail` has the cause";
        CONFIG_CHECK_UNAVAILABLE: SERVICE_UNAVAILABLE "config_check_unavailable", "the wrapper `config_check` gave no answer; `detail` has the cause";
    }
}

/// Why a request was not carried out.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Box<Refusal>);

/// What a problem document says, without the id of the request.
#[derive(Debug, Clone)]
struct Refusal {
    code: Code,
    detail: String,
    hint: Option<String>,
    errors: Vec<Violation>,
    run: Option<RunId>,
    under_way: Option<UnderWay>,
    version: Option<Version>,
    cleaned_up_at: Option<DateTime<Utc>>,
    retry_after_seconds: Option<u32>,
    cause: Option<String>,
}

impl ApiError {
    /// A refusal of this kind; `detail` is for people.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Refusal {
            code,
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
            run: None,
            under_way: None,
            version: None,
            cleaned_up_at: None,
            retry_after_seconds: None,
            cause: None,
        }))
    }

    /// A fault of `dms`: the cause goes to the log.
    pub(crate) fn internal(cause: impl fmt::Display) -> Self {
        Self::new(codes::INTERNAL, "something is wrong in dms; its log has more under this request's id").because(cause)
    }

    /// A name without a staging; says when it last had one.
    pub(crate) fn no_staging(name: &StagingName, cleaned_up_at: Option<DateTime<Utc>>) -> Self {
        let detail = match cleaned_up_at {
            Some(at) => format!("there is no staging {name}; it was cleaned up at {}", moment(at)),
            None => format!("there is no staging {name}"),
        };
        let mut error = Self::new(codes::STAGING_NOT_FOUND, detail);
        error.0.cleaned_up_at = cleaned_up_at;
        error
    }

    /// What to do instead.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What of the request is at fault.
    pub(crate) fn errors(mut self, errors: Vec<Violation>) -> Self {
        self.0.errors = errors;
        self
    }

    /// The same refusal of a request that stood elsewhere: `place` says where each pointer is then.
    pub(crate) fn moved(mut self, place: impl Fn(&str) -> String) -> Self {
        for violation in &mut self.0.errors {
            violation.pointer = place(&violation.pointer);
        }
        self
    }

    /// When to try again.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// What only the log is told.
    fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// What kind of refusal it is.
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// What only the log is told.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The whole document.
    pub(crate) fn problem(&self, request_id: Uuid) -> Problem {
        let refusal = &self.0;
        let status = refusal.code.status;
        Problem {
            kind: "about:blank".to_owned(),
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            code: refusal.code.name.to_owned(),
            detail: refusal.detail.clone(),
            hint: refusal.hint.clone(),
            errors: refusal.errors.clone(),
            run: refusal.run.map(|run| run.0),
            under_way: refusal.under_way.clone(),
            version: refusal.version.map(|version| version.0),
            cleaned_up_at: refusal.cleaned_up_at,
            request_id,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.0.code.status.into_response();
        if let Some(seconds) = self.0.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_code_means_two_things() {
        let names: BTreeSet<_> = codes::ALL.iter().map(|code| code.name).collect();
        assert_eq!(names.len(), codes::ALL.len());
    }
}
