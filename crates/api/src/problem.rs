//! Refusals on the wire: RFC 9457 problem documents.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the code says it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// Stable name of this kind of problem; what a script looks at.
    pub code: String,
    /// What happened, to what.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What of the request is at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Violation>,
    /// The run that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
    /// More of the run that is in the way, when the staging is busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_way: Option<UnderWay>,
    /// The version of the event that is in the way of an edit: somebody else's change of the same thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// When the staging that was asked for was cleaned up, if its name ever had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleaned_up_at: Option<DateTime<Utc>>,
    /// Names this request in the server's log; also in the header `x-request-id`.
    pub request_id: Uuid,
}

/// What a busy staging is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnderWay {
    /// What the run does: `create`, `update`, `restore`, `delete` or `cleanup`.
    pub verb: String,
    /// Who asked for it.
    pub by: String,
    /// When it was accepted.
    pub since: DateTime<Utc>,
    /// How long ago that was when this answer was made, in milliseconds, by the clock of the log. It tells without any
    /// other clock whether the run was accepted before or after its reader began.
    pub age_ms: i64,
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Violation {
    /// Where: a JSON pointer into the body, `?name` of a query parameter, `header:name`, or `path:name`.
    pub pointer: String,
    /// Stable name of the rule.
    pub rule: String,
    /// The rule in words.
    pub detail: String,
}
