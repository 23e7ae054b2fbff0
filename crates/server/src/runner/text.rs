//! Bytes that wrappers print, as text that is safe to show and to keep in an event.

use std::collections::VecDeque;

use super::supervise::Sink;

/// Bytes of the end of an output that are remembered.
const TAIL_MAX: usize = 8 * 1024;
/// Lines of it that make a cause.
const CAUSE_LINES: usize = 10;
/// Characters that a cause may have.
const CAUSE_MAX: usize = 2_000;

/// The end of an output.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: VecDeque<u8>,
}

impl Sink for Tail {
    fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_MAX)..];
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(TAIL_MAX);
        self.bytes.drain(..excess);
        self.bytes.extend(bytes);
    }
}

impl Tail {
    /// The last line that has something to show.
    pub(crate) fn last_line(&self) -> Option<String> {
        self.lines().pop()
    }

    /// The last lines, as the cause of a failure; none when nothing was printed.
    pub(crate) fn cause(&self) -> Option<String> {
        let lines = self.lines();
        let text = lines[lines.len().saturating_sub(CAUSE_LINES)..].join("\n");
        (!text.is_empty()).then(|| shorten_front(&text))
    }

    fn lines(&self) -> Vec<String> {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        // A carriage return starts the line anew, as progress bars do.
        harmless(&bytes).split('\n').map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    }
}

/// Text without control sequences: what is not UTF-8 becomes U+FFFD, escape sequences and control characters go, a
/// carriage return becomes a line feed.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\n' | '\t' => shown.push(character),
            '\r' => shown.push('\n'),
            _ if character.is_control() => {}
            _ => shown.push(character),
        }
    }
    shown
}

/// Skips what follows ESC (ECMA-48): a control sequence up to its final byte, a string up to its end, or one character.
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.next_if(|next| *next != '\n') {
        Some('[') => while characters.next_if(|next| !('@'..='~').contains(next) && *next != '\n').is_some() {},
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while characters.next_if(|next| !matches!(next, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
            if characters.next_if_eq(&'\u{1b}').is_some() {
                characters.next_if_eq(&'\\');
            }
            return;
        }
        Some(_) | None => return,
    }
    characters.next_if(|next| *next != '\n');
}

/// At most [`CAUSE_MAX`] characters; the end matters most.
fn shorten_front(text: &str) -> String {
    let length = text.chars().count();
    if length <= CAUSE_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(length + 1 - CAUSE_MAX).collect();
    format!("…{kept}")
}

/// At most [`CAUSE_MAX`] characters, made harmless; the beginning matters most.
pub(crate) fn cause(text: &str) -> String {
    let shown = harmless(text.as_bytes());
    let shown = shown.trim();
    match shown.char_indices().nth(CAUSE_MAX - 1) {
        Some((end, _)) if shown[end..].chars().count() > 1 => format!("{}…", &shown[..end]),
        Some(_) | None => shown.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_do_not_survive() {
        for (bytes, shown) in [
            (&b"\x1b[31mred\x1b[0m"[..], "red"),
            (b"\x1b]0;title\x07text", "text"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"a\x00b\x07c\x7f", "abc"),
            (b"50%\r100%\n", "50%\n100%\n"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"\xc2\x9b31m", "31m"),
            (b"\x1b", ""),
            (b"\x1b[", ""),
            (b"\x1b[31\nnext", "\nnext"),
            ("tab\t \u{1f600}".as_bytes(), "tab\t \u{1f600}"),
        ] {
            assert_eq!(harmless(bytes), shown, "{bytes:?}");
        }
    }

    #[test]
    fn the_last_lines_are_the_cause() {
        let mut tail = Tail::default();
        assert_eq!((tail.cause(), tail.last_line()), (None, None));
        for number in 1..=5_000 {
            tail.push(format!("line {number}\r\n\n").as_bytes());
        }
        let cause = tail.cause().expect("there are lines");
        assert!(cause.starts_with("line 4991\n") && cause.ends_with("line 5000"), "{cause}");
        assert_eq!(tail.last_line().as_deref(), Some("line 5000"));
    }

    #[test]
    fn a_cause_has_a_bounded_length() {
        let mut tail = Tail::default();
        tail.push(&b"x".repeat(3 * TAIL_MAX));
        assert_eq!(tail.cause().expect("there is a line").chars().count(), CAUSE_MAX);
        assert_eq!(cause(&"é".repeat(CAUSE_MAX)).chars().count(), CAUSE_MAX);
        assert_eq!(cause(&"é".repeat(CAUSE_MAX + 1)).chars().count(), CAUSE_MAX);
        assert!(cause(&"é".repeat(CAUSE_MAX + 1)).ends_with('…'));
    }
}
