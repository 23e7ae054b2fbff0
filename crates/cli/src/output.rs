//! The only place that prints. Data goes to stdout and nothing else does; notes, hints, errors and questions go to
//! stderr. Colours and live lines are for terminals only.
//!
//! A text that somebody else wrote (a cause, a value, a reason) never reaches a terminal with its control sequences
//! alive: see [`mod@harmless`]. It must not know what a staging is.

pub(crate) mod harmless;
pub(crate) mod progress;
pub(crate) mod table;

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write};

use serde::Serialize;

use crate::args::{Format, ShowArgs};
use crate::exit::Error;
use crate::output::harmless::{Harmless, harmless};
use crate::output::progress::Progress;
use crate::output::table::Table;

/// Where and how to print.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    headers: bool,
    quiet: bool,
    data: io::Stdout,
    stdout: Stream,
    stderr: Stream,
    raw: Harmless,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    terminal: bool,
    colour: bool,
    live: bool,
}

impl Output {
    /// Looks at what stdout and stderr are.
    pub(crate) fn new(args: &ShowArgs) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let stream =
            |terminal: bool| Stream { terminal, colour: terminal && !no_colour && !dumb, live: terminal && !dumb };
        Self {
            format: args.output,
            headers: !args.no_headers,
            quiet: args.quiet,
            data: io::stdout(),
            stdout: stream(io::stdout().is_terminal()),
            stderr: stream(io::stderr().is_terminal()),
            raw: Harmless::default(),
        }
    }

    /// What was asked for with `-o`.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Prints a document in the form that was asked for: as data, as the names in it, or as `people` read it, with all
    /// columns or without.
    pub(crate) fn document<T: Serialize>(
        &mut self,
        document: &T,
        names: &[impl Display],
        people: impl FnOnce(&mut Self, bool) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self.format {
            Format::Json => self.json(document),
            Format::Yaml => self.yaml(document),
            Format::Name => names.iter().try_for_each(|name| self.line(&name.to_string())),
            Format::Table => people(self, false),
            Format::Wide => people(self, true),
        }
    }

    /// One YAML document. Its values are those of the JSON document, so that both say the same.
    fn yaml<T: Serialize>(&mut self, value: &T) -> Result<(), Error> {
        let value = serde_json::to_value(value).map_err(io::Error::from).map_err(written)?;
        let text = serde_saphyr::to_string(&value).map_err(io::Error::other).map_err(written)?;
        self.line(text.trim_end())
    }

    /// Whether a person sees the data as it comes.
    pub(crate) fn is_terminal(&self) -> bool {
        self.stdout.terminal
    }

    /// One JSON document: indented for people, one line for programs.
    fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Error> {
        let text =
            if self.stdout.terminal { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        self.line(&text.map_err(io::Error::from).map_err(written)?)
    }

    /// One of many JSON documents, each on a line of its own.
    pub(crate) fn json_line<T: Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.line(&serde_json::to_string(value).map_err(io::Error::from).map_err(written)?)
    }

    /// A line of data. Its text is ours or has been made harmless.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Error> {
        let mut stdout = self.data.lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(written)
    }

    /// Rows under a line of headers, if they have one; nothing for no rows, headers included. Who asks for `-o wide`
    /// asks for all of it, and the terminal may wrap the lines.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Error> {
        let width =
            if self.stdout.terminal && self.format != Format::Wide { comfy_table::Table::new().width() } else { None };
        let text = table.render(width, self.headers, self.stdout.colour);
        if text.is_empty() { Ok(()) } else { self.line(&text) }
    }

    /// The headline of a section.
    pub(crate) fn heading(&mut self, text: &str) -> Result<(), Error> {
        let text = if self.stdout.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
        self.line(&text)
    }

    /// Output of a wrapper: harmless on a terminal, byte for byte elsewhere.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = self.data.lock();
        if self.stdout.terminal { stdout.write_all(self.raw.feed(bytes).as_bytes()) } else { stdout.write_all(bytes) }
            .and_then(|()| stdout.flush())
            .map_err(written)
    }

    /// What was kept back in the hope of the rest of a character.
    pub(crate) fn end_of_bytes(&mut self) -> Result<(), Error> {
        let rest = self.raw.finish();
        let mut stdout = self.data.lock();
        stdout.write_all(rest.as_bytes()).and_then(|()| stdout.flush()).map_err(written)
    }

    /// Something worth knowing that is no data.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.quiet {
            self.say(None, text);
        }
    }

    /// What to do next.
    pub(crate) fn hint(&mut self, text: &str) {
        if !self.quiet {
            self.say(Some(("hint", "\x1b[36m")), text);
        }
    }

    /// A line that belongs to a failure.
    pub(crate) fn always(&mut self, text: &str) {
        self.say(None, text);
    }

    /// What went wrong, as one line and those that belong to it.
    pub(crate) fn failure(&mut self, text: &str) {
        self.say(Some(("error", "\x1b[1;31m")), text);
    }

    /// An error with its violations and its hint.
    pub(crate) fn error(&mut self, error: &Error) {
        if matches!(error, Error::ReaderGone) {
            return;
        }
        self.failure(&error.to_string());
        if let Error::Problem { violations, .. } = error {
            for violation in violations {
                self.say(None, &format!("  {violation}"));
            }
        }
        if let Some(hint) = error.hint() {
            self.say(Some(("hint", "\x1b[36m")), &hint);
        }
    }

    /// A place for a state that changes.
    pub(crate) fn progress(&self, name: &str) -> Progress {
        Progress::new(name, self.stderr.live && !self.quiet)
    }

    /// Shows a new state: in place on a terminal, as a line elsewhere.
    pub(crate) fn show(&mut self, progress: &mut Progress, state: &str, detail: &str) {
        if progress.show(&harmless(state), &harmless(detail)) {
            self.note(&format!("{}: {state}", progress.name()));
        }
    }

    /// Asks whether to go on, on a terminal; elsewhere that is an error that names `-y`.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<bool, Error> {
        if !io::stdin().is_terminal() || !self.stderr.terminal {
            return Err(Error::Usage {
                message: "this needs a yes, and there is no terminal to ask on".to_owned(),
                hint: Some("give -y".to_owned()),
            });
        }
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{} [y/N] ", harmless(question)).and_then(|()| stderr.flush());
        let mut answer = String::new();
        io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|source| Error::System { what: "cannot read the answer", source })?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// A line on stderr. When stderr cannot be written to there is nobody left to tell.
    fn say(&mut self, label: Option<(&str, &str)>, text: &str) {
        let text = text.lines().map(harmless).collect::<Vec<_>>().join("\n");
        let mut stderr = io::stderr().lock();
        let _ = match label {
            None => writeln!(stderr, "{text}"),
            Some((label, colour)) if self.stderr.colour => writeln!(stderr, "{colour}{label}:\x1b[0m {text}"),
            Some((label, _)) => writeln!(stderr, "{label}: {text}"),
        };
    }
}

/// A reader that has gone, as `head` does, has what it wanted.
fn written(source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::BrokenPipe {
        Error::ReaderGone
    } else {
        Error::System { what: "cannot write to stdout", source }
    }
}
