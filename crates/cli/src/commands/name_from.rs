//! `dmc name-from`: a name for a staging from any text. Asks nobody; the same text gives the same name for ever.

use dm_domain::ids::StagingName;

use crate::exit::{Error, Exit};
use crate::output::Output;

/// Most characters of a name, and of the part that a cut text keeps: the rest is a dash and six of its hash.
const LENGTH_MAX: usize = 40;
const KEPT: usize = LENGTH_MAX - 7;

pub(super) fn run(out: &mut Output, text: &str) -> Result<Exit, Error> {
    let name = name_from(text).ok_or_else(|| Error::usage("there is no letter or digit in that text"))?;
    let name = StagingName::parse(&name).map_err(|invalid| Error::usage(invalid.to_string()))?;
    out.document(&name.as_str(), &[&name], |out, _| out.line(name.as_str()))?;
    Ok(Exit::Done)
}

/// Small letters and digits stay, capitals become small, everything else becomes a dash; a name begins with a letter. Of a
/// text that is too long the beginning stays, with a hash of all of it behind, so that different ones rarely meet.
fn name_from(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    let mut name = name.trim_end_matches('-').to_owned();
    if name.is_empty() {
        return None;
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "s-");
    }
    if name.len() > LENGTH_MAX {
        let kept = name[..KEPT].trim_end_matches('-').to_owned();
        name = format!("{kept}-{:06x}", fnv1a(text.as_bytes()) & 0xff_ffff);
    }
    Some(name)
}

/// FNV-1a, 64 bits (IETF draft-eastlake-fnv): short, and fixed for ever.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_gives_the_same_name_for_ever() {
        for (text, name) in [
            ("main", "main"),
            ("feature/LOGIN-42_fix!", "feature-login-42-fix"),
            ("--Weird  Name--", "weird-name"),
            ("42", "s-42"),
            ("2024.1", "s-2024-1"),
            ("a", "a"),
            ("Straße", "stra-e"),
            ("x23456789-123456789-123456789-123456789-", "x23456789-123456789-123456789-123456789"),
            ("feature/a-very-long-name-that-nobody-can-type-1", "feature-a-very-long-name-that-nob-0ec61f"),
            ("feature/a-very-long-name-that-nobody-can-type-2", "feature-a-very-long-name-that-nob-0ec7d2"),
        ] {
            assert_eq!(name_from(text).as_deref(), Some(name), "{text}");
        }
    }

    #[test]
    fn a_text_without_letters_and_digits_gives_no_name() {
        for text in ["", "---", "\u{1f600}", " / "] {
            assert_eq!(name_from(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_name_is_one() {
        for length in 1..200 {
            for text in ["a-".repeat(length), "7".repeat(length), format!("{}Ü", "z".repeat(length))] {
                let name = name_from(&text).unwrap();
                assert!(StagingName::parse(&name).is_ok(), "{text} gives {name}");
            }
        }
    }
}
