//! What people see: a live line while it runs, and one table at the end.

use std::cell::Cell;
use std::fmt;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Instant;

use crate::window::Window;

/// Says on standard error what is being measured: one moving line on a terminal, a line for each step elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    moving: bool,
    shown: Cell<bool>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { started: Instant::now(), moving: stderr().is_terminal(), shown: Cell::new(false) }
    }
}

impl Progress {
    /// What comes next.
    pub(crate) fn step(&self, what: &str) {
        let (before, after) = if self.moving { ("\r\x1b[K", "") } else { ("", "\n") };
        // A measurement does not end because nobody listens.
        let _ = write!(stderr(), "{before}{:4} s  {what}{after}", self.started.elapsed().as_secs());
        self.shown.set(true);
    }

    /// Nothing comes next.
    pub(crate) fn done(&self) {
        if self.moving && self.shown.get() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// The table of all that was measured.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Vec<[String; 7]>,
}

const HEADER: [&str; 7] = ["", "per second", "p50 ms", "p99 ms", "rate ratio", "p99 ratio", ""];

impl Table {
    /// A line of what a closed loop came to, with its ratios to what was measured beside it.
    pub(crate) fn window(&mut self, what: &str, window: Window, ratios: Option<(f64, f64)>, remark: &str) {
        let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        self.lines.push([
            what.to_owned(),
            thousands(window.rate),
            format!("{:.2}", window.p50),
            format!("{:.2}", window.p99),
            ratio(ratios.map(|(rate, _)| rate)),
            ratio(ratios.map(|(_, p99)| p99)),
            remark.to_owned(),
        ]);
    }

    /// A line of a rate alone.
    pub(crate) fn rate(&mut self, what: &str, rate: f64, ratio: Option<f64>, remark: &str) {
        let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let none = String::new;
        self.lines.push([what.to_owned(), thousands(rate), none(), none(), ratio, none(), remark.to_owned()]);
    }

    /// A line of times alone.
    pub(crate) fn times(&mut self, what: &str, p50: f64, p99: f64, remark: &str) {
        let times = [what.to_owned(), String::new(), format!("{p50:.2}"), format!("{p99:.2}")];
        let [what, rate, p50, p99] = times;
        self.lines.push([what, rate, p50, p99, String::new(), String::new(), remark.to_owned()]);
    }

    /// A line of words.
    pub(crate) fn remark(&mut self, what: &str, remark: &str) {
        let mut line: [String; 7] = Default::default();
        what.clone_into(&mut line[0]);
        remark.clone_into(&mut line[6]);
        self.lines.push(line);
    }

    /// Parts what comes next from what is there.
    pub(crate) fn part(&mut self) {
        if !self.lines.is_empty() {
            self.lines.push(Default::default());
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = HEADER.map(str::to_owned);
        let all = || std::iter::once(&header).chain(&self.lines);
        let widths: [usize; 6] =
            std::array::from_fn(|column| all().map(|line| line[column].chars().count()).max().unwrap_or_default());
        for line in all() {
            let [what, numbers @ .., remark] = line;
            let mut cells = vec![format!("{what:width$}", width = widths[0])];
            cells.extend(numbers.iter().zip(&widths[1..]).map(|(number, width)| format!("{number:>width$}")));
            cells.push(remark.clone());
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A whole number with a comma between thousands.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
