//! Bytes of others, made harmless for a terminal: control sequences are shown and not obeyed.
//!
//! Line breaks and tabs stay; other control characters are shown as `^[`, bytes that are no UTF-8 as `\x9b`, and
//! characters that reorder or hide text as `\u{202e}`.

use std::fmt::Write;

/// One line: a line break is shown too.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut shown, character, false);
    }
    shown
}

/// A stream of bytes that may be cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Harmless {
    /// The beginning of a character whose rest has not come yet; at most 3 bytes.
    kept: Vec<u8>,
    /// Whether the last character was a carriage return, which is harmless before a line break only.
    carriage_return: bool,
}

impl Harmless {
    /// What can be shown so far.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.kept);
        all.extend_from_slice(bytes);
        let mut shown = String::with_capacity(all.len());
        let mut rest = all.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.text(&mut shown, text);
                    return shown;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    self.text(&mut shown, &String::from_utf8_lossy(good));
                    let Some(length) = error.error_len() else {
                        self.kept = bad.to_vec();
                        return shown;
                    };
                    self.end_line_or_show(&mut shown);
                    push_bytes(&mut shown, &bad[..length]);
                    rest = &bad[length..];
                }
            }
        }
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> String {
        let mut shown = String::new();
        self.end_line_or_show(&mut shown);
        push_bytes(&mut shown, &std::mem::take(&mut self.kept));
        shown
    }

    fn text(&mut self, shown: &mut String, text: &str) {
        for character in text.chars() {
            if std::mem::take(&mut self.carriage_return) && character != '\n' {
                shown.push_str("^M");
            }
            if character == '\r' {
                self.carriage_return = true;
            } else {
                push(shown, character, true);
            }
        }
    }

    fn end_line_or_show(&mut self, shown: &mut String) {
        if std::mem::take(&mut self.carriage_return) {
            shown.push_str("^M");
        }
    }
}

fn push(shown: &mut String, character: char, breaks: bool) {
    match character {
        '\t' => shown.push('\t'),
        '\n' if breaks => shown.push('\n'),
        '\u{7f}' => shown.push_str("^?"),
        '\0'..='\u{1f}' => {
            shown.push('^');
            shown.push(char::from(character as u8 + b'@'));
        }
        '\u{80}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => {
            // Writing into a String cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        }
        plain => shown.push(plain),
    }
}

fn push_bytes(shown: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(shown, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(pieces: &[&[u8]]) -> String {
        let mut stream = Harmless::default();
        let shown: String = pieces.iter().map(|piece| stream.feed(piece)).collect();
        shown + &stream.finish()
    }

    #[test]
    fn a_control_sequence_is_shown_and_not_obeyed() {
        assert_eq!(harmless("\x1b[2J\x07 \x7f \u{9b}1m"), "^[[2J^G ^? \\u{9b}1m");
        assert_eq!(harmless("two\nlines"), "two^Jlines");
        assert_eq!(harmless("admin\u{202e}txt"), "admin\\u{202e}txt");
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(fed(&["tab\tline\r\nnext — 🚀\n".as_bytes()]), "tab\tline\nnext — 🚀\n");
        assert_eq!(fed(&[b"50%\r", b"100%\r", b"\n"]), "50%^M100%\n");
        assert_eq!(fed(&[b"end\r"]), "end^M");
    }

    #[test]
    fn a_character_that_is_cut_is_put_together_again() {
        let rocket = "🚀".as_bytes();
        for cut in 1..4 {
            assert_eq!(fed(&[&rocket[..cut], &rocket[cut..]]), "🚀");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_numbers() {
        assert_eq!(fed(&[b"a\xffb\x9b", b"1m", &[0xf0, 0x9f]]), "a\\xffb\\x9b1m\\xf0\\x9f");
        assert_eq!(fed(&[b"nul\0"]), "nul^@");
    }
}
