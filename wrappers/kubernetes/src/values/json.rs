//! JSON with every number as its author wrote it, read from DM and written for helm.
//!
//! A type of its own because the numbers of `serde_json::Value` are rounded, and the feature of that library that keeps them
//! would change how every other crate built beside this one reads its numbers.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::de::Error as _;
use serde_json::value::RawValue;

/// Lists and maps within each other: a key of DM has at most 127 levels, and a value 100.
const DEPTH_MAX: usize = 256;

/// A map of JSON, in the order of its keys.
pub(crate) type Map = BTreeMap<String, Json>;

/// A JSON value. Its `Display` is what helm reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    /// `null`: for helm, the absence of the chart's default.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text, byte for byte.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Map(Map),
}

/// A number, digit for digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number(String);

impl Number {
    /// A plain literal, as JSON has it, of a size that helm can hold: of `1e400` it would make a text without a word.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let starts = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let ends = text.ends_with(|last: char| last.is_ascii_digit());
        let plain = starts && ends && serde_json::from_str::<&RawValue>(text).is_ok();
        let fits = || text.parse::<f64>().is_ok_and(f64::is_finite);
        (plain && fits()).then(|| Self(text.to_owned()))
    }

    /// Whether it is written without a fraction and an exponent.
    pub(crate) fn is_whole(&self) -> bool {
        !self.0.contains(['.', 'e', 'E'])
    }

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Json {
    /// Reads a JSON text.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        read(serde_json::from_str(text)?, DEPTH_MAX)
    }

    /// A map without anything in it.
    pub(crate) fn empty() -> Self {
        Self::Map(Map::new())
    }

    /// Its map, if it is one.
    pub(crate) fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// What stands below these keys.
    pub(crate) fn at(&self, keys: &[String]) -> Option<&Self> {
        keys.iter().try_fold(self, |json, key| json.as_map()?.get(key))
    }
}

/// `RawValue` is read without recursion, so that the limit here is the only one.
fn read(raw: &RawValue, depth: usize) -> Result<Json, serde_json::Error> {
    let text = raw.get();
    let below = || {
        depth.checked_sub(1).ok_or_else(|| {
            serde_json::Error::custom(format!("there are more than {DEPTH_MAX} lists and maps within each other"))
        })
    };
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let (below, map) = (below()?, serde_json::from_str::<BTreeMap<String, &RawValue>>(text)?);
            Json::Map(map.into_iter().map(|(key, raw)| Ok((key, read(raw, below)?))).collect::<Result<_, _>>()?)
        }
        Some(b'[') => {
            let (below, list) = (below()?, serde_json::from_str::<Vec<&RawValue>>(text)?);
            Json::List(list.into_iter().map(|raw| read(raw, below)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Json::Text(serde_json::from_str(text)?),
        Some(b't' | b'f') => Json::Bool(serde_json::from_str(text)?),
        Some(b'n') => Json::Null,
        // A number that somebody gave as JSON may have any size: it goes as it is.
        Some(_) | None => Json::Number(Number(text.to_owned())),
    })
}

/// For what was read from YAML, whose numbers have been rounded by then.
impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(bool) => Self::Bool(bool),
            serde_json::Value::Number(number) => Self::Number(Number(number.to_string())),
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(list) => Self::List(list.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(map) => {
                Self::Map(map.into_iter().map(|(key, value)| (key, Self::from(value))).collect())
            }
        }
    }
}

/// JSON that is also YAML of the same meaning, since that is as what helm reads it.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Number(Number(digits)) => f.write_str(digits),
            Self::Text(text) => quoted(text, f),
            Self::List(list) => {
                f.write_char('[')?;
                for (at, json) in list.iter().enumerate() {
                    write!(f, "{}{json}", if at == 0 { "" } else { "," })?;
                }
                f.write_char(']')
            }
            Self::Map(map) => {
                f.write_char('{')?;
                for (at, (key, json)) in map.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    quoted(key, f)?;
                    write!(f, ":{json}")?;
                }
                f.write_char('}')
            }
        }
    }
}

/// The reader of YAML in helm refuses raw control characters, and folds the line breaks of Unicode; as escapes they arrive.
fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for char in text.chars() {
        match char {
            '"' | '\\' => write!(f, "\\{char}")?,
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                write!(f, "\\u{:04x}", u32::from(char))?;
            }
            other => f.write_char(other)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let text = r#"{"a":[1e10,12345678901234567890,-0.0E+5,1.50,1e400],"b":{"c":null,"d":true,"e":"1e10"}}"#;
        assert_eq!(Json::parse(text).unwrap().to_string(), text);
        assert_eq!(Json::parse(" [ 1.0 , {} ] ").unwrap().to_string(), "[1.0,{}]");
    }

    #[test]
    fn a_plain_literal_is_a_number_and_nothing_else_is() {
        for number in ["0", "-0", "1", "-1.5", "1e10", "1E-5", "0.30", "12345678901234567890", "9007199254740993"] {
            assert_eq!(Number::parse(number).unwrap().as_str(), number);
        }
        let traps = [
            "",
            " ",
            "0x10",
            "1_000",
            ".5",
            "5.",
            "+1",
            "NaN",
            "nan",
            "Infinity",
            "-inf",
            ".inf",
            "yes",
            "~",
            "null",
            " 1",
            "1 ",
            "1\n",
            "01",
            "0123",
            "0o17",
            "-",
            "--1",
            "1e",
            "1e+",
            "1.e5",
            "1,5",
            "1.2.3",
            "true",
            "\"1\"",
            "[1]",
            "1/2",
            "١",
            "1\u{0}",
            "1e400",
            "-1e400",
            "1:30",
            "1 1",
            "1,1",
            "2026-11-30",
        ];
        for trap in traps {
            assert_eq!(Number::parse(trap), None, "{trap:?}");
        }
    }

    #[test]
    fn a_whole_number_has_neither_fraction_nor_exponent() {
        let whole = |text| Number::parse(text).unwrap().is_whole();
        assert!(whole("-12") && whole("12345678901234567890"));
        assert!(!whole("1.0") && !whole("1e3") && !whole("1E3"));
    }

    #[test]
    fn what_yaml_would_read_otherwise_is_escaped() {
        let json = Json::Text("a\u{2028}\u{85}\u{7f}\u{feff}\u{fffe}\t\n\"\\ü\u{1f600}~ ".to_owned());
        assert_eq!(json.to_string(), r#""a\u2028\u0085\u007f\ufeff\ufffe\u0009\u000a\"\\ü😀~ ""#);
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(DEPTH_MAX)).is_ok());
        let error = Json::parse(&nested(DEPTH_MAX + 1)).unwrap_err();
        assert!(error.to_string().starts_with("there are more than 256 lists and maps within each other"), "{error}");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "[1,]", "01", "\"\\ud800\"", "{} {}", "nul"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>(), key in any::<String>()) {
            let json = Json::Map(Map::from([(key, Json::List(vec![Json::Text(text)]))]));
            prop_assert_eq!(Json::parse(&json.to_string()).unwrap(), json);
        }
    }
}
