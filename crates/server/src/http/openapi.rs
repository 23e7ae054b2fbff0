//! The OpenAPI document, generated from handlers, wire types and the table of codes.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::Json;
use dm_api::{Accepted, BODY_MAX, Problem};
use utoipa::openapi::security::{SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};

use crate::error::{Code, PROBLEM_JSON, codes};

/// The document.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "DM", version = "1", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        super::stagings::list,
        super::stagings::get,
        super::stagings::configuration,
        super::stagings::runs,
        super::stagings::events,
        super::commands::create,
        super::commands::update,
        super::commands::delete,
        super::commands::restore,
        super::commands::cleanup,
        super::commands::apply,
        super::commands::retry,
        super::commands::cancel,
        super::preview::preview,
        super::tags::list,
        super::runs::get,
        super::runs::output,
        super::service::whoami,
        super::service::version,
        super::service::openapi,
    ),
    servers((url = "/", description = "The server that this document comes from.")),
    tags(
        (name = "stagings", description = "Whole copies of a product: what they are, and what is asked of them."),
        (name = "runs", description = "Executions of wrappers, and what they print."),
        (name = "service", description = "The server itself, and who it takes you for."),
    ),
    components(schemas(Accepted, Problem)),
    modifiers(&Frame)
)]
pub(crate) struct Document;

/// What no handler says: how to sign in, the table of codes, the limits of every request.
struct Frame;

impl Modify for Frame {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        document.info.description = Some(description());
        let components = document.components.get_or_insert_default();
        let scheme = SecurityScheme::MutualTls {
            description: Some("A client certificate with the SAN URI spiffe://dm/dmc/ROLE/NAME.".to_owned()),
            deprecated: None,
            extensions: None,
        };
        components.add_security_scheme("certificate", scheme);
        document.security = Some(vec![SecurityRequirement::new("certificate", Vec::<String>::new())]);
    }
}

fn description() -> String {
    let mut text = format!(
        "Creates, updates, archives, restores and cleans up stagings.\n\n\
         Every answer from the log names the position that it reflects, in the header `DM-Position`; a read may ask for \
         `at_least=POSITION` and waits for it, at most 5 s. A body has at most {BODY_MAX} bytes, and an effective \
         configuration at most 524288. Unknown fields and parameters are refused. A refusal is a problem document \
         (RFC 9457); `code` is stable, and every answer has the header `X-Request-Id`.\n\n\
         | status | code | meaning |\n|---|---|---|\n"
    );
    for code in codes::ALL {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "| {} | `{}` | {} |", code.status.as_u16(), code.name, code.means);
    }
    text
}

/// The header of every write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only describes the header")]
pub(crate) struct WriteHeaders {
    /// Makes it safe to send the request again: the same key and request give the first answer, another request with
    /// the same key is refused. 1 to 255 visible ASCII characters. Without one, every request stands for itself.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!-~]+$", required = false)]
    idempotency_key: Option<String>,
}

/// The good answers of every write.
pub(crate) struct WriteAnswers;

impl IntoResponses for WriteAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let header = |description: &str| HeaderBuilder::new().description(Some(description));
        let answer = |description: &str| {
            let content = Content::new(Some(Ref::from_schema_name("Accepted")));
            let run = header("The run to follow; absent when there is none.").build();
            let position =
                header("The position of the log.").schema(Some(<i64 as utoipa::PartialSchema>::schema())).build();
            let response = ResponseBuilder::new().description(description).content("application/json", content);
            RefOr::T(response.header("Location", run).header("DM-Position", position).build())
        };
        BTreeMap::from([
            ("202".to_owned(), answer("Accepted: a run was opened; of a cancel, one is taken back or stopped.")),
            ("200".to_owned(), answer("All was already so, or is on its way: nothing had to happen.")),
        ])
    }
}

/// The parameter of every read.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes the parameter")]
pub(crate) struct AtLeast {
    /// Wait, at most 5 s, until the answer reflects the log up to this position.
    #[param(minimum = 0, required = false)]
    at_least: Option<i64>,
}

/// A body that is no JSON.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only describes the body")]
pub(crate) struct RawBytes(Vec<u8>);

/// Declares which refusals a group of routes can give.
macro_rules! refusals {
    ($($(#[$doc:meta])* $group:ident: $($code:ident)*;)*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $group;

            impl IntoResponses for $group {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    by_status(&[
                        codes::NOT_SIGNED_IN, codes::BAD_IDENTITY, codes::INTERNAL, codes::TIMED_OUT, codes::STOPPING,
                        $(codes::$code),*
                    ])
                }
            }
        )*
    };
}

refusals! {
    /// Of routes that read nothing from the database.
    ServiceRefusals: ;
    /// Of lists.
    ListRefusals: INVALID_REQUEST UNAVAILABLE BEHIND;
    /// Of the list of tags.
    TagRefusals: INVALID_REQUEST TAGS_UNAVAILABLE INIT_UNFINISHED;
    /// Of what belongs to one staging.
    StagingRefusals: INVALID_REQUEST STAGING_NOT_FOUND UNAVAILABLE BEHIND UNREADABLE;
    /// Of what belongs to one run.
    RunRefusals: INVALID_REQUEST RUN_NOT_FOUND UNAVAILABLE BEHIND;
    /// Of a create.
    CreateRefusals: INVALID_REQUEST MALFORMED_JSON SECRETS_UNAVAILABLE CONFIGURATION_REFUSED KEY_CONFLICT KEY_TWICE
        TOO_MANY_OVERRIDES CONFIGURATION_TOO_LARGE INVALID_VALUE NOT_ALLOWED BODY_TIMEOUT STAGING_EXISTS BUSY
        BODY_TOO_LARGE UNSUPPORTED_MEDIA_TYPE KEY_REUSED OVERLOADED UNAVAILABLE OUTCOME_UNKNOWN CONTENDED UNREADABLE
        DEFAULTS_UNAVAILABLE CONFIG_CHECK_UNAVAILABLE
        INIT_UNFINISHED;
    /// Of a change of settings.
    ChangeRefusals: INVALID_REQUEST MALFORMED_JSON SECRETS_UNAVAILABLE CONFIGURATION_REFUSED KEY_CONFLICT KEY_TWICE
        TOO_MANY_OVERRIDES CONFIGURATION_TOO_LARGE INVALID_VALUE NOT_ALLOWED BODY_TIMEOUT STAGING_NOT_FOUND
        WRONG_STATUS BUSY UNKNOWN_BASE EDIT_CONFLICT BODY_TOO_LARGE UNSUPPORTED_MEDIA_TYPE KEY_REUSED OVERLOADED
        UNAVAILABLE OUTCOME_UNKNOWN CONTENDED UNREADABLE DEFAULTS_UNAVAILABLE CONFIG_CHECK_UNAVAILABLE
        INIT_UNFINISHED;
    /// Of an apply.
    ApplyRefusals: INVALID_REQUEST MALFORMED_JSON SECRETS_UNAVAILABLE CONFIGURATION_REFUSED KEY_CONFLICT KEY_TWICE
        TOO_MANY_OVERRIDES CONFIGURATION_TOO_LARGE INVALID_VALUE NOT_ALLOWED BODY_TIMEOUT BUSY UNKNOWN_BASE
        EDIT_CONFLICT BODY_TOO_LARGE UNSUPPORTED_MEDIA_TYPE KEY_REUSED OVERLOADED UNAVAILABLE OUTCOME_UNKNOWN CONTENDED
        UNREADABLE DEFAULTS_UNAVAILABLE CONFIG_CHECK_UNAVAILABLE
        INIT_UNFINISHED;
    /// Of a retry.
    RetryRefusals: INVALID_REQUEST MALFORMED_JSON CONFIGURATION_REFUSED KEY_CONFLICT TOO_MANY_OVERRIDES
        CONFIGURATION_TOO_LARGE NOT_ALLOWED BODY_TIMEOUT STAGING_NOT_FOUND WRONG_STATUS BUSY FORCED_CLEANUP
        BODY_TOO_LARGE UNSUPPORTED_MEDIA_TYPE KEY_REUSED OVERLOADED UNAVAILABLE OUTCOME_UNKNOWN CONTENDED UNREADABLE
        DEFAULTS_UNAVAILABLE CONFIG_CHECK_UNAVAILABLE
        INIT_UNFINISHED;
    /// Of a cleanup.
    CleanupRefusals: INVALID_REQUEST MALFORMED_JSON NOT_ALLOWED BODY_TIMEOUT STAGING_NOT_FOUND WRONG_STATUS BUSY
        TOO_YOUNG BODY_TOO_LARGE UNSUPPORTED_MEDIA_TYPE KEY_REUSED OVERLOADED UNAVAILABLE OUTCOME_UNKNOWN CONTENDED
        UNREADABLE;
    /// Of a cancel.
    CancelRefusals: INVALID_REQUEST MALFORMED_JSON NOT_ALLOWED BODY_TIMEOUT STAGING_NOT_FOUND WRONG_STATUS OTHER_RUN
        BODY_TOO_LARGE UNSUPPORTED_MEDIA_TYPE KEY_REUSED OVERLOADED UNAVAILABLE OUTCOME_UNKNOWN CONTENDED UNREADABLE;
    /// Of a look ahead: those of every command, but for what an append may meet.
    PreviewRefusals: INVALID_REQUEST MALFORMED_JSON SECRETS_UNAVAILABLE CONFIGURATION_REFUSED KEY_CONFLICT KEY_TWICE
        TOO_MANY_OVERRIDES CONFIGURATION_TOO_LARGE INVALID_VALUE NOT_ALLOWED BODY_TIMEOUT STAGING_NOT_FOUND
        STAGING_EXISTS WRONG_STATUS BUSY OTHER_RUN FORCED_CLEANUP TOO_YOUNG UNKNOWN_BASE EDIT_CONFLICT BODY_TOO_LARGE
        UNSUPPORTED_MEDIA_TYPE UNAVAILABLE UNREADABLE DEFAULTS_UNAVAILABLE CONFIG_CHECK_UNAVAILABLE
        INIT_UNFINISHED;
    /// Of a write without settings.
    PlainRefusals: INVALID_REQUEST MALFORMED_JSON NOT_ALLOWED BODY_TIMEOUT STAGING_NOT_FOUND WRONG_STATUS BUSY
        BODY_TOO_LARGE UNSUPPORTED_MEDIA_TYPE KEY_REUSED OVERLOADED UNAVAILABLE OUTCOME_UNKNOWN CONTENDED UNREADABLE;
}

fn by_status(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut grouped = BTreeMap::<u16, Vec<Code>>::new();
    for code in codes {
        grouped.entry(code.status.as_u16()).or_default().push(*code);
    }
    let response = |(status, codes): (u16, Vec<Code>)| {
        let lines: Vec<String> = codes.iter().map(|code| format!("`{}`: {}", code.name, code.means)).collect();
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let mut response = ResponseBuilder::new().description(lines.join("\n\n")).content(PROBLEM_JSON, content);
        if status == 429 || status == 503 {
            let header = HeaderBuilder::new().description(Some("Seconds after which to try again."));
            response = response.header("Retry-After", header.build());
        }
        (status.to_string(), RefOr::T(response.build()))
    };
    grouped.into_iter().map(response).collect()
}

/// The document, as an answer.
pub(crate) fn answer() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_belongs_to_an_operation() {
        let document = serde_json::to_value(Document::openapi()).expect("it can be written");
        let operations = document["paths"].to_string();
        // The first two are answers of no route; the last is for the runner, which does not come by HTTP.
        let elsewhere = [codes::ROUTE_NOT_FOUND, codes::METHOD_NOT_ALLOWED, codes::STALE_RUN];
        for code in codes::ALL {
            let declared = operations.contains(&format!("`{}`: {}", code.name, code.means.replace('"', "\\\"")));
            assert_eq!(declared, !elsewhere.contains(code), "{}", code.name);
        }
    }

    #[test]
    fn no_operation_has_the_name_of_another() {
        let document = serde_json::to_value(Document::openapi()).expect("it can be written");
        let operations = document["paths"].as_object().expect("paths").values().filter_map(|path| path.as_object());
        let names: Vec<_> =
            operations.flat_map(|methods| methods.values()).map(|of| of["operationId"].to_string()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }
}
