//! What is said on the demo host's socket: one line of JSON each way, then the connection ends.
//!
//! Owns the types and the caller's half. Must not know how the host does what it is asked.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use dm_domain::ids::{StagingName, Tag};
use dm_domain::overrides::Levels;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Most bytes of a request or a reply. A configuration has at most 512 KiB, is carried twice, and JSON may write a byte
/// as six.
pub(super) const LINE_MAX: u64 = 8 * 1024 * 1024;

/// How long a caller waits for the reply; longer than the host's slowest work.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// What can be asked of the host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Request {
    /// Whether it is there.
    Ping,
    /// Do something with one staging.
    Staging {
        /// Which.
        name: StagingName,
        /// What.
        work: Work,
    },
    /// What is true of all, without asking them.
    List,
    /// End, and every process with it; their files stay.
    End,
}

/// What can be done with a staging.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Work {
    /// Start it with these settings in place of what runs.
    Start(Settings),
    /// Start it as it was, after its process was killed.
    StartAgain,
    /// End its process and keep its files.
    Stop,
    /// End its process and remove its files.
    Remove,
    /// Say what is true of it, its own answer over HTTP included.
    Status,
}

/// What the host says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// It is there.
    Pong,
    /// What is true of the staging after the work.
    Staging(Report),
    /// What is true of each, by name.
    Stagings(Vec<Report>),
    /// It was not done, and why.
    Refused(String),
}

/// What a staging runs with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The version of the product.
    pub(super) tag: Tag,
    /// Per level: each key and its value, as the wrapper got them as arguments.
    pub(super) overrides: Levels<BTreeMap<String, String>>,
    /// Per level: the values file, byte for byte.
    pub(super) values: Levels<Box<RawValue>>,
}

/// What is true of a staging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    /// Which.
    pub(super) name: StagingName,
    /// How it is.
    pub(super) state: State,
    /// Where it answers or would answer.
    pub(super) url: Option<String>,
    /// The tag that it says it runs, or was told to run.
    pub(super) tag: Option<Tag>,
    /// Its visits, if it has been asked.
    pub(super) visits: Option<u64>,
    /// Its process.
    pub(super) pid: Option<u32>,
    /// Why it is not as it should be.
    pub(super) cause: Option<String>,
}

/// How a staging is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Its process is there and, if it was asked, answers.
    Running,
    /// Its process is there and does not answer.
    Silent,
    /// It should run, but its process has ended.
    Dead,
    /// It was stopped; its files are kept.
    Stopped,
    /// Nothing of it is here.
    Absent,
}

impl State {
    /// The word for it on the console, on which wrappers branch.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Silent => "silent",
            Self::Dead => "dead",
            Self::Stopped => "stopped",
            Self::Absent => "absent",
        }
    }
}

/// Asks the host that listens on `socket` and waits for its reply, at most 30 s.
pub(super) fn call(socket: &Path, request: &Request) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = Vec::new();
    BufReader::new(stream.take(LINE_MAX)).read_until(b'\n', &mut reply)?;
    if reply.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the demo host hung up"));
    }
    Ok(serde_json::from_slice(&reply)?)
}
