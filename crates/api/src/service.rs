//! The service itself on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The version of `dms`.
    pub version: String,
    /// The version of the wire: `v1`.
    pub api: String,
}

/// Answer of `GET /whoami`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The name in events: `admin/anna`.
    pub actor: String,
    /// `viewer`, `user` or `admin`.
    pub role: String,
}

/// Answer of `GET /readyz` on the listener for probes: 200 when ready, else 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether requests should be sent here.
    pub ready: bool,
    /// Whether `dms` is going down.
    pub stopping: bool,
    /// What is wrong with the database; absent when it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// What keeps the database from being written to though it answers: its disk is full. Reads go on, so this alone makes
    /// nothing unready; absent when nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<String>,
    /// Why no wrapper is called yet: `init` has not ended well. Reads and history are served all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// How many events the read models have yet to apply; absent while the database does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// How many runs wait for a place, of all replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// How many runs have a wrapper that runs, of all replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// What the read models could not apply; the rest goes on, so this alone makes nothing unready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Quarantined>,
}

/// A staging that a read model has stopped to follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quarantined {
    /// Which read model.
    pub projection: String,
    /// Which staging.
    pub key: String,
    /// The event that could not be applied.
    pub position: i64,
    /// Why, in words.
    pub cause: String,
}
