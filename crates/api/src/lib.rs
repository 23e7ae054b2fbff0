//! The wire, as types: requests, answers and problems, shared by `dms`, `dmc`, the tests and the OpenAPI document.
//!
//! Types only. No logic, no IO, no rule: what a request may say is checked by the server, which refuses unknown
//! fields; a client ignores fields that it does not know.

pub mod commands;
pub mod events;
mod object;
pub mod preview;
pub mod problem;
pub mod runs;
pub mod service;
pub mod stagings;
pub mod tags;

pub use commands::{
    Accepted, Apply, Cancel, Cleanup, Create, Delete, Level, OverrideKey, OverrideSet, Restore, Retry, Update,
};
pub use events::{Event, EventList};
pub use object::Object;
pub use preview::{ConfigurationChange, Effect, Execute, Preview, PreviewRequest, Previewed};
pub use problem::{Problem, UnderWay, Violation};
pub use runs::{Run, RunList, RunState};
pub use service::{Quarantined, Readiness, Version, WhoAmI};
pub use stagings::{
    Action, Activity, ActivityKind, AllowedAction, Configuration, ConfigurationKey, Link, Live, Staging, StagingList,
    Status,
};
pub use tags::{TagItem, TagList};

/// The prefix of every route of this version.
pub const PREFIX: &str = "/api/v1";

/// The header that carries the caller's idempotency key, 1 to 255 visible ASCII characters.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The header that carries the position of the log that an answer reflects.
pub const POSITION: &str = "dm-position";

/// The header that names a request in the server's log.
pub const REQUEST_ID: &str = "x-request-id";

/// The items of a page when no `limit` is given.
pub const PAGE_DEFAULT: u32 = 100;

/// The most items of a page.
pub const PAGE_MAX: u32 = 200;

/// The most bytes of a request's body.
pub const BODY_MAX: usize = 2 * 1024 * 1024;
