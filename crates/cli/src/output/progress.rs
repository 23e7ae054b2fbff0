//! A state that changes: one live line on a terminal, a line per change elsewhere. Prints nothing itself elsewhere; it
//! says whether there is something new to print.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the live line moves.
const TICK: Duration = Duration::from_millis(120);

/// The state of one thing.
#[derive(Debug)]
pub(crate) struct Progress {
    name: String,
    bar: Option<ProgressBar>,
    last: String,
}

impl Progress {
    pub(super) fn new(name: &str, live: bool) -> Self {
        let bar = live.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_prefix(name.to_owned());
            let style = ProgressStyle::with_template("{spinner} {prefix}  {elapsed}  {wide_msg}")
                .expect("invariant: the template of the live line is well formed");
            bar.set_style(style);
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { name: name.to_owned(), bar, last: String::new() }
    }

    /// Whose state it is.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the line is live: only then are details worth asking for.
    pub(crate) fn is_live(&self) -> bool {
        self.bar.is_some()
    }

    /// Takes the live line away, so that something else can be printed.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Takes a state; true if it is new and there is no live line to show it.
    pub(super) fn show(&mut self, state: &str, detail: &str) -> bool {
        if let Some(bar) = &self.bar {
            bar.set_message(if detail.is_empty() { state.to_owned() } else { format!("{state}  │ {detail}") });
            return false;
        }
        let new = self.last != state;
        state.clone_into(&mut self.last);
        new
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_only_a_change_is_news() {
        let mut progress = Progress::new("demo", false);
        assert!(progress.show("create queued", ""));
        assert!(!progress.show("create queued", "another line of output"));
        assert!(progress.show("running create", ""));
    }
}
