//! What `dms` and its shim say to each other: JSON, one message a line, over the socket that is the shim's standard
//! input. First the [`Spec`], then [`Order`]s one way and [`Notice`]s the other.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::runner::boottime::Moment;
use crate::runner::executable::Pinned;

/// What to run, and for how long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// Absolute path of the wrapper, then its arguments.
    pub(crate) argv: Vec<String>,
    /// All of the wrapper's environment.
    pub(crate) env: BTreeMap<String, String>,
    /// The wrapper's working directory.
    pub(crate) cwd: PathBuf,
    /// The file that the shim keeps locked for its life.
    pub(crate) lock: PathBuf,
    /// When the lease behind it ends at the latest, unless an [`Order::Deadline`] moves it.
    pub(crate) deadline: Moment,
    /// Time limit of the wrapper, in milliseconds from its start.
    pub(crate) limit_ms: u64,
    /// Between SIGTERM and SIGKILL, in milliseconds.
    pub(crate) grace_ms: u64,
    /// What the wrapper's file has to be when it is executed, where that was fixed before.
    #[serde(default)]
    pub(crate) pinned: Option<Pinned>,
}

/// What `dms` says after the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The lease was renewed.
    Deadline(Moment),
    /// Stop the wrapper and all that it has started.
    Stop,
}

/// What the shim says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Notice {
    /// The wrapper runs, with this process id.
    Started(i32),
    /// The wrapper could not be started, for this cause. Nothing else follows.
    NotStarted(String),
    /// The stop of a wrapper that had not ended has begun.
    Stopping(StopCause),
    /// The wrapper has ended by itself or was stopped, with this code.
    Exited(i32),
    /// The wrapper was ended by this signal.
    Signalled(i32),
    /// Nothing that the wrapper has started is left. The last message.
    Gone,
}

/// Why a shim stops a wrapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StopCause {
    /// It was told to.
    Asked,
    /// The time limit of the wrapper is over.
    TimeLimit,
    /// The lease was not renewed in time.
    Deadline,
    /// The socket was closed: `dms` is gone.
    Closed,
}
