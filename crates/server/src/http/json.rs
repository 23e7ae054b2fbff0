//! JSON as override values: brought to its shortest form without a change of meaning.
//!
//! Works on the text, so that a number keeps every digit its author wrote; the text has been parsed before.

/// Arrays and objects within each other; readers of JSON commonly end at 128.
const DEPTH_MAX: usize = 100;

/// Why a JSON value is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonFault {
    /// U+0000 in a text, escaped or not.
    Nul,
    /// Half of a pair of escapes, which stands for no character.
    Surrogate,
    /// Too many arrays and objects within each other.
    Depth,
}

impl JsonFault {
    /// The stable name of the rule.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Nul => "nul",
            Self::Surrogate => "json_surrogate",
            Self::Depth => "json_depth",
        }
    }

    /// The rule in words.
    pub(crate) fn detail(self) -> String {
        match self {
            Self::Nul => "value must not contain U+0000, also not as \\u0000".to_owned(),
            Self::Surrogate => {
                "value has an escape that stands for no character: \\uD800 to \\uDFFF come in pairs".to_owned()
            }
            Self::Depth => format!("value has more than {DEPTH_MAX} arrays and objects within each other"),
        }
    }
}

/// A JSON value without white space between its tokens; everything else is as it was.
pub(crate) fn shortest(json: &str) -> Result<String, JsonFault> {
    let mut short = String::with_capacity(json.len());
    let mut rest = json;
    let mut depth = 0_usize;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '"' => string_length(rest)?,
            ' ' | '\t' | '\n' | '\r' => {
                rest = &rest[1..];
                continue;
            }
            '[' | '{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(JsonFault::Depth);
                }
                1
            }
            ']' | '}' => {
                depth = depth.saturating_sub(1);
                1
            }
            other => other.len_utf8(),
        };
        short.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    Ok(short)
}

/// The bytes of the string at the start of `json`, quotes included.
fn string_length(json: &str) -> Result<usize, JsonFault> {
    let bytes = json.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => at += unicode_escape_length(&json[at..])?,
            b'\\' => at += 2,
            0 => return Err(JsonFault::Nul),
            _ => at += 1,
        }
    }
    Ok(bytes.len())
}

/// The bytes of the `\u` escape at the start of `json`, both halves of a pair included.
fn unicode_escape_length(json: &str) -> Result<usize, JsonFault> {
    let unit = |from: usize| {
        let digits = json.get(from..from + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    match unit(0) {
        Some(0) => Err(JsonFault::Nul),
        Some(0xD800..=0xDBFF) => match unit(6) {
            Some(0xDC00..=0xDFFF) => Ok(12),
            Some(_) | None => Err(JsonFault::Surrogate),
        },
        Some(0xDC00..=0xDFFF) | None => Err(JsonFault::Surrogate),
        Some(_) => Ok(6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_goes() {
        for (given, short) in [
            (" { \"a b\" : [ 1 , 2.50 ,\t-0.0e+10 ] ,\n\"c\" : null } ", "{\"a b\":[1,2.50,-0.0e+10],\"c\":null}"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("\" \\\" \\\\\"", "\" \\\" \\\\\""),
            ("\"\u{1F600} \\ud83d\\ude00 \\u00e9 \\n\"", "\"\u{1F600} \\ud83d\\ude00 \\u00e9 \\n\""),
            ("true", "true"),
        ] {
            assert_eq!(shortest(given).as_deref(), Ok(short));
            assert!(serde_json::from_str::<serde_json::Value>(short).is_ok());
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(shortest(r#"{"a":"x\u0000"}"#), Err(JsonFault::Nul));
        assert_eq!(shortest(r#"{"\u0000":1}"#), Err(JsonFault::Nul));
        assert_eq!(shortest(r#""\\u0000""#).as_deref(), Ok(r#""\\u0000""#));
        assert_eq!(shortest(r#""\ud800""#), Err(JsonFault::Surrogate));
        assert_eq!(shortest(r#""\ud800\u0041""#), Err(JsonFault::Surrogate));
        assert_eq!(shortest(r#""\udc00""#), Err(JsonFault::Surrogate));
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(shortest(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(shortest(&nested(DEPTH_MAX + 1)), Err(JsonFault::Depth));
        assert!(shortest(&format!("[{}]", vec!["[]"; 1000].join(","))).is_ok());
    }
}
