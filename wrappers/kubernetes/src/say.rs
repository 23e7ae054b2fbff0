//! What a verb says while it works: lines of its output, and the report that `dms` reads beside it.

use std::fs::File;
use std::io::{self, Write as _};

/// Characters of a cause that `dms` keeps.
pub(crate) const CAUSE_MAX: usize = 2_000;

/// A line of the output. Nobody may be listening any more, which is no reason to stop.
pub(crate) fn line(text: &str) {
    let mut stdout = io::stdout().lock();
    let _nobody_listens = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Bytes of the output, as another program has printed them.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _nobody_listens = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// What is being done now.
pub(crate) fn step(text: &str) {
    line(text);
    report("step", text);
}

/// Why it failed, in a sentence.
pub(crate) fn cause(text: &str) {
    let _nobody_listens = writeln!(io::stderr().lock(), "{text}");
    report("cause", &shortened(text, CAUSE_MAX));
}

fn report(key: &str, text: &str) {
    let Some(path) = std::env::var_os("DM_REPORT").filter(|path| !path.is_empty()) else { return };
    let mut entry = serde_json::Map::new();
    entry.insert(key.to_owned(), text.into());
    let mut line = serde_json::Value::Object(entry).to_string();
    line.push('\n');
    // In one write, so that lines of two writers do not mix. Without a report the output still has it.
    let _no_report =
        File::options().create(true).append(true).open(path).and_then(|mut file| file.write_all(line.as_bytes()));
}

/// The text, or its first characters and a sign that there is more.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters.saturating_sub(1)) {
        Some((end, _)) if text.chars().nth(characters).is_some() => format!("{}…", &text[..end]),
        Some(_) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_long_is_shortened() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
        assert_eq!(shortened("", 3), "");
    }
}
