//! Writes on the wire: what people ask for, and the answer that it was accepted.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::object::objects;

/// Who an override is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Handed to the product.
    App,
    /// Shapes the environment itself.
    Staging,
}

/// A key and the value to give it: exactly one of `text` and `json`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideSet {
    /// Whom it is for.
    pub level: Level,
    /// Dotted key, at most 253 bytes.
    #[schema(max_length = 253, example = "web.replicas")]
    pub key: String,
    /// A text, kept byte for byte; at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 65536)]
    pub text: Option<String>,
    /// A JSON value; at most 64 KiB in its shortest form.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub json: Option<Box<RawValue>>,
    /// Whether the value is to be sealed. Not available yet: refused with `secrets_unavailable`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// A key of one level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideKey {
    /// Whom it is for.
    pub level: Level,
    /// Dotted key, at most 253 bytes.
    #[schema(max_length = 253, example = "web.replicas")]
    pub key: String,
}

/// Body of `POST /stagings`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// A DNS label of at most 40 characters that starts with a letter.
    #[schema(max_length = 40, pattern = "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", example = "web")]
    pub name: String,
    /// The version to deploy.
    #[schema(max_length = 128, pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", example = "v1")]
    pub tag: String,
    /// Overrides with a value.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub set: Vec<OverrideSet>,
    /// Defaults to hide.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub unset: Vec<OverrideKey>,
    /// Why, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2000)]
    pub reason: Option<String>,
    /// For whom you act, in your own words; shown as a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub on_behalf: Option<String>,
}

/// Body of `PATCH /stagings/{name}`: what to change; everything else stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Another tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128, pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
    pub tag: Option<String>,
    /// Overrides to give a value.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub set: Vec<OverrideSet>,
    /// Defaults to hide.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub unset: Vec<OverrideKey>,
    /// Overrides to drop, so that the default applies again.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub reset: Vec<OverrideKey>,
    /// The `configuration_version` that you saw; a change of the same thing made since then is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<i64>,
    /// Why, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2000)]
    pub reason: Option<String>,
    /// For whom you act, in your own words; shown as a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub on_behalf: Option<String>,
}

/// Body of `POST /stagings/{name}/restore`: as an update.
pub type Restore = Update;

/// Body of `POST /stagings/{name}/delete`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// Why, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2000)]
    pub reason: Option<String>,
    /// For whom you act, in your own words; shown as a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub on_behalf: Option<String>,
}

/// Body of `POST /stagings/{name}/cleanup`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cleanup {
    /// Also when it is in `Failure`; needs the role `admin` and a `reason`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Only if it has been archived for at least this many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 3_153_600_000_u64)]
    pub archived_for: Option<u64>,
    /// Why, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2000)]
    pub reason: Option<String>,
    /// For whom you act, in your own words; shown as a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub on_behalf: Option<String>,
}

/// Body of `PUT /stagings/{name}`: what the staging shall have, whatever it is now; everything else stays.
///
/// Creates it, restores it, updates it, or does nothing when all is already so.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The version to deploy.
    #[schema(max_length = 128, pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", example = "v1")]
    pub tag: String,
    /// Overrides to give a value.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub set: Vec<OverrideSet>,
    /// Defaults to hide.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub unset: Vec<OverrideKey>,
    /// Overrides to drop, so that the default applies again.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub reset: Vec<OverrideKey>,
    /// Start a run also when all is already so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
    /// The `configuration_version` that you saw; a change of the same thing made since then is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<i64>,
    /// Why, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2000)]
    pub reason: Option<String>,
    /// For whom you act, in your own words; shown as a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub on_behalf: Option<String>,
}

/// Body of `POST /stagings/{name}/retry`: the verb of the last run again.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Why, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2000)]
    pub reason: Option<String>,
    /// For whom you act, in your own words; shown as a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub on_behalf: Option<String>,
}

/// Body of `POST /stagings/{name}/cancel`: stop what is under way, or take it back before it has begun.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// The run that is meant; if another one is under way, it is refused. Without it, whatever is under way is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
    /// Why, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2000)]
    pub reason: Option<String>,
    /// For whom you act, in your own words; shown as a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub on_behalf: Option<String>,
}

/// Answer to every write: 202 when a run was opened, 200 when all was already so.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// The run to follow, also at `Location`; of a quiet answer the one under way, if any.
    pub run: Option<Uuid>,
    /// The version of the staging's stream now.
    pub version: i64,
    /// The position of the log; give it as `at_least` to read your own write.
    pub position: i64,
    /// Whether nothing had to happen.
    pub quiet: bool,
}

/// Reads a field that is there: `null` is a JSON value like any other, and only a missing field is none.
pub(crate) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_a_json_value_and_not_a_missing_one() {
        let set: OverrideSet = serde_json::from_str(r#"{"level":"app","key":"k","json":null}"#).expect("it is valid");
        assert_eq!(set.json.map(|json| json.get().to_owned()).as_deref(), Some("null"));
        let set: OverrideSet = serde_json::from_str(r#"{"level":"app","key":"k","text":"t"}"#).expect("it is valid");
        assert!(set.json.is_none());
    }

    #[test]
    fn a_number_keeps_all_its_digits() {
        let digits = "123456789012345678901234567890.10";
        let body = format!(r#"{{"level":"app","key":"k","json":{digits}}}"#);
        let set: OverrideSet = serde_json::from_str(&body).expect("it is valid");
        assert_eq!(serde_json::to_string(&set).expect("it can be written"), body);
    }
}
