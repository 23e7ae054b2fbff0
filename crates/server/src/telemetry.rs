//! Logs of `dms` itself, and what it tells the person who starts it.
//!
//! Logs go to standard error. Standard output carries the few lines that say where `dms` is.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::LogFormat;

/// Starts logging. Has no effect the second time.
pub fn start(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    let builder =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?).with_writer(stderr).with_target(false);
    // Only a second start can fail, and then logging is already there.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
    };
    Ok(())
}

/// Whether a live line stands on the terminal.
static LIVE: AtomicBool = AtomicBool::new(false);

/// A line on the terminal that says what is being done, until something else is written or this value is dropped. Silent
/// elsewhere.
#[derive(Debug)]
pub struct LiveLine {
    shown: bool,
}

impl LiveLine {
    /// For a start in the foreground.
    pub fn new() -> Self {
        Self { shown: io::stderr().is_terminal() }
    }

    /// Replaces the line.
    pub fn say(&self, what: &str) {
        if self.shown {
            // A terminal that is gone is no reason to stop.
            let _ = write!(stderr(), "{what} ...");
            LIVE.store(true, Ordering::Relaxed);
        }
    }
}

impl Default for LiveLine {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        stderr();
    }
}

/// Standard error, with no live line in the way.
fn stderr() -> io::Stderr {
    if LIVE.swap(false, Ordering::Relaxed) {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    io::stderr()
}

/// Writes a line to standard output; one that is closed is no reason to stop.
pub fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a question to standard error, where the answer is typed behind it.
pub fn ask(question: &str) {
    let mut stderr = stderr();
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
}

/// Writes a line to standard error, for the person who starts it.
pub fn tell(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}
