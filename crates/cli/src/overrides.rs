//! Overrides on the command line: from flags and a file to the fields of a request, byte for byte. Which keys and
//! values are good is for `dms` to say; here only what cannot be read at all is refused.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use dm_api::{Level, OverrideKey, OverrideSet};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::exit::Error;
use crate::words;

/// The most that a file of overrides may hold, in bytes: more than `dms` takes, less than hurts.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Overrides to give a value, and defaults to hide.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Overrides (app: handed to the product; staging: shapes the environment)")]
pub(crate) struct SetArgs {
    /// Give a key a text: everything after the first `=`, byte for byte
    #[arg(long, value_name = "KEY=TEXT", allow_hyphen_values = true)]
    app: Vec<String>,
    /// The same for the environment
    #[arg(long, value_name = "KEY=TEXT", allow_hyphen_values = true)]
    staging: Vec<String>,
    /// Give a key a JSON value: 2, true, {"a": 1}
    #[arg(long, value_name = "KEY=JSON", allow_hyphen_values = true)]
    app_json: Vec<String>,
    /// The same for the environment
    #[arg(long, value_name = "KEY=JSON", allow_hyphen_values = true)]
    staging_json: Vec<String>,
    /// Hide the default of a key: the product does not get it
    #[arg(long, value_name = "KEY")]
    unset_app: Vec<String>,
    /// The same for the environment
    #[arg(long, value_name = "KEY")]
    unset_staging: Vec<String>,
    /// Read overrides from a JSON file; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Not available yet
    #[arg(long, value_name = "KEY", hide = true)]
    app_secret: Vec<String>,
    /// Not available yet
    #[arg(long, value_name = "KEY", hide = true)]
    staging_secret: Vec<String>,
}

/// Overrides to drop.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Overrides (app: handed to the product; staging: shapes the environment)")]
pub(crate) struct ResetArgs {
    /// Drop the override of a key: the default applies again
    #[arg(long, value_name = "KEY")]
    reset_app: Vec<String>,
    /// The same for the environment
    #[arg(long, value_name = "KEY")]
    reset_staging: Vec<String>,
}

/// What the command line says of overrides, as a request says it.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// Keys and values.
    pub(crate) set: Vec<OverrideSet>,
    /// Keys to hide.
    pub(crate) unset: Vec<OverrideKey>,
    /// Keys whose override goes.
    pub(crate) reset: Vec<OverrideKey>,
    /// Where each of `set` comes from, in the words of the command line.
    set_from: Vec<String>,
}

impl Edits {
    /// Reads flags and file.
    pub(crate) fn read(set: &SetArgs, reset: &ResetArgs) -> Result<Self, Error> {
        refuse_secrets(set)?;
        let mut edits = Self {
            unset: keys(&set.unset_app, &set.unset_staging),
            reset: keys(&reset.reset_app, &reset.reset_staging),
            ..Self::default()
        };
        for (flag, level, pairs) in [("--app", Level::App, &set.app), ("--staging", Level::Staging, &set.staging)] {
            for pair in pairs {
                let (key, text) = split(flag, pair)?;
                edits.push(format!("{flag} {key}"), level, key, Value::Text(text.to_owned()));
            }
        }
        for (flag, level, pairs) in
            [("--app-json", Level::App, &set.app_json), ("--staging-json", Level::Staging, &set.staging_json)]
        {
            for pair in pairs {
                let (key, json) = split(flag, pair)?;
                edits.push(format!("{flag} {key}"), level, key, Value::Json(parse_json(flag, key, json)?));
            }
        }
        if let Some(path) = &set.file {
            edits.add_file(path)?;
        }
        Ok(edits)
    }

    /// The part of the command line that a pointer into the request's body means.
    pub(crate) fn flag_of(&self, pointer: &str) -> Option<String> {
        // A look ahead carries the request within its own.
        let pointer = pointer.strip_prefix("/request").filter(|rest| rest.starts_with('/')).unwrap_or(pointer);
        let mut parts = pointer.strip_prefix('/')?.split('/');
        let (field, index) = (parts.next()?, parts.next());
        match (field, index.and_then(|index| index.parse::<usize>().ok())) {
            ("set", Some(index)) => self.set_from.get(index).cloned(),
            ("unset", Some(index)) => self.unset.get(index).map(|key| key_flag("unset", key)),
            ("reset", Some(index)) => self.reset.get(index).map(|key| key_flag("reset", key)),
            ("tag" | "reason" | "base" | "on_behalf" | "archived_for" | "force" | "run", _) => {
                Some(format!("--{}", field.replace('_', "-")))
            }
            ("name", _) => Some("NAME".to_owned()),
            _ => None,
        }
    }

    fn push(&mut self, from: String, level: Level, key: &str, value: Value) {
        let (text, json) = match value {
            Value::Text(text) => (Some(text), None),
            Value::Json(json) => (None, Some(json)),
        };
        self.set.push(OverrideSet { level, key: key.to_owned(), text, json, secret: false });
        self.set_from.push(from);
    }

    /// Adds what the file says of keys that no flag names.
    fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let shown = path.display();
        let content = read_file(path).map_err(|cause| Error::usage(format!("-f {shown}: {cause}")))?;
        let file: OverridesFile =
            serde_json::from_str(&content).map_err(|error| Error::usage(format!("-f {shown}: {error}")))?;
        for (level, entries) in [(Level::App, file.app), (Level::Staging, file.staging)] {
            for (key, raw) in entries.0 {
                if self.names(level, &key) {
                    continue;
                }
                let value = Value::of_json(raw).map_err(|error| Error::usage(format!("-f {shown}: {key}: {error}")))?;
                self.push(format!("-f {shown}: {} {key}", words::level(level)), level, &key, value);
            }
        }
        Ok(())
    }

    fn names(&self, level: Level, key: &str) -> bool {
        let same = |other: &OverrideKey| other.level == level && other.key == key;
        self.set.iter().any(|set| set.level == level && set.key == key)
            || self.unset.iter().any(same)
            || self.reset.iter().any(same)
    }
}

enum Value {
    Text(String),
    Json(Box<RawValue>),
}

impl Value {
    /// A JSON string is a text; everything else stays JSON.
    fn of_json(raw: Box<RawValue>) -> Result<Self, serde_json::Error> {
        if raw.get().starts_with('"') { serde_json::from_str(raw.get()).map(Self::Text) } else { Ok(Self::Json(raw)) }
    }
}

/// A file of overrides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverridesFile {
    #[serde(default)]
    app: Entries,
    #[serde(default)]
    staging: Entries,
}

/// Keys and values in the order of the file. A key given twice is an error: one of the two would be lost.
#[derive(Default)]
struct Entries(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of keys and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::<(String, Box<RawValue>)>::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if entries.iter().any(|(other, _)| *other == key) {
                        return Err(serde::de::Error::custom(format_args!("the key '{key}' is given twice")));
                    }
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

fn refuse_secrets(set: &SetArgs) -> Result<(), Error> {
    let flag = match (set.app_secret.first(), set.staging_secret.first()) {
        (Some(_), _) => "--app-secret",
        (None, Some(_)) => "--staging-secret",
        (None, None) => return Ok(()),
    };
    Err(Error::Usage {
        message: format!("{flag} is not available: this DM cannot keep secrets yet"),
        hint: Some("what --app and --staging give is readable by everybody who can read the staging".to_owned()),
    })
}

fn keys(app: &[String], staging: &[String]) -> Vec<OverrideKey> {
    let of = |level, keys: &[String]| -> Vec<OverrideKey> {
        keys.iter().map(|key| OverrideKey { level, key: key.clone() }).collect()
    };
    [of(Level::App, app), of(Level::Staging, staging)].concat()
}

fn key_flag(what: &str, key: &OverrideKey) -> String {
    format!("--{what}-{} {}", words::level(key.level), key.key)
}

/// Splits at the first `=`; nothing is trimmed, for a value may begin and end with blanks.
fn split<'a>(flag: &str, pair: &'a str) -> Result<(&'a str, &'a str), Error> {
    match pair.split_once('=') {
        Some(("", _)) => Err(Error::usage(format!("{flag} {pair}: there is no key before the '='"))),
        Some(split) => Ok(split),
        None => Err(Error::Usage {
            message: format!("{flag} {pair}: there is no '='"),
            hint: Some(format!("write {flag} KEY=VALUE; an empty value is {flag} {pair}=")),
        }),
    }
}

fn parse_json(flag: &str, key: &str, json: &str) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(json.to_owned()).map_err(|error| Error::Usage {
        message: format!("{flag} {key}: this is not JSON: {error}"),
        hint: Some(format!(
            "a text needs quotes of its own, {flag} '{key}=\"text\"'; or give it by {}",
            &flag[..flag.len() - 5]
        )),
    })
}

fn read_file(path: &Path) -> Result<String, String> {
    let mut content = String::new();
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| error.to_string())?)
    };
    let size = reader.take(FILE_BYTES_MAX + 1).read_to_string(&mut content).map_err(|error| error.to_string())?;
    if size as u64 > FILE_BYTES_MAX {
        return Err(format!("it is too large; the most is {} MiB", FILE_BYTES_MAX / 1024 / 1024));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io::Write;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        set: SetArgs,
        #[command(flatten)]
        reset: ResetArgs,
    }

    fn read(line: &[&str]) -> Result<Edits, Error> {
        let line = Line::try_parse_from(std::iter::once(&"dmc").chain(line)).unwrap();
        Edits::read(&line.set, &line.reset)
    }

    fn file(content: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_text_is_everything_after_the_first_equals_sign_byte_for_byte() {
        for text in ["", "a=b=c", "  blanks  ", "two\nlines\n", "$HOME `x` \"y\" 'z'", "58467965", "1e10", "🚀", "-1"]
        {
            let edits = read(&["--app", &format!("key={text}")]).unwrap();
            assert_eq!(edits.set[0].key, "key");
            assert_eq!(edits.set[0].text.as_deref(), Some(text));
            assert!(edits.set[0].json.is_none());
        }
    }

    #[test]
    fn json_is_json_only_where_its_author_says_so() {
        let edits = read(&["--staging-json", "replicas=2", "--staging", "zone=2"]).unwrap();
        assert_eq!(edits.set[0].text.as_deref(), Some("2"));
        assert_eq!(edits.set[1].json.as_ref().unwrap().get(), "2");
        assert_eq!(edits.set[1].level, Level::Staging);
    }

    #[test]
    fn a_number_keeps_every_digit() {
        let digits = "123456789012345678901234567890.000000000000000000001";
        let edits = read(&["--app-json", &format!("n={digits}")]).unwrap();
        assert_eq!(edits.set[0].json.as_ref().unwrap().get(), digits);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_flag() {
        let message = |line: &[&str]| read(line).unwrap_err().to_string();
        assert_eq!(message(&["--app", "nothing"]), "--app nothing: there is no '='");
        assert_eq!(message(&["--staging", "=x"]), "--staging =x: there is no key before the '='");
        assert!(message(&["--app-json", "a=hello"]).starts_with("--app-json a: this is not JSON"));
    }

    #[test]
    fn secrets_are_refused_in_a_sentence() {
        let error = read(&["--app-secret", "token"]).unwrap_err();
        assert_eq!(error.to_string(), "--app-secret is not available: this DM cannot keep secrets yet");
        assert_eq!(error.exit().code(), 2);
    }

    #[test]
    fn a_file_gives_texts_and_json_and_flags_win_over_it() {
        let file = file(r#"{"app": {"a.b": "text", "n": [1, 2], "c": "from the file"}, "staging": {"on": true}}"#);
        let edits = read(&["--app", "c=from the flag", "-f", file.path().to_str().unwrap()]).unwrap();
        let shown: Vec<_> = edits
            .set
            .iter()
            .map(|set| {
                (
                    words::level(set.level),
                    set.key.as_str(),
                    set.text.as_deref(),
                    set.json.as_ref().map(|json| json.get()),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("app", "c", Some("from the flag"), None),
                ("app", "a.b", Some("text"), None),
                ("app", "n", None, Some("[1, 2]")),
                ("staging", "on", None, Some("true")),
            ]
        );
    }

    #[test]
    fn a_file_that_means_something_else_is_refused() {
        for content in [r#"{"apps": {}}"#, r#"{"app": []}"#, r#"{"app": {"a": 1, "a": 2}}"#, "a=b", ""] {
            let file = file(content);
            let error = read(&["-f", file.path().to_str().unwrap()]).unwrap_err();
            assert_eq!(error.exit().code(), 2, "{content:?}");
        }
    }

    #[test]
    fn a_pointer_into_the_request_becomes_the_flag_that_put_it_there() {
        let edits =
            read(&["--app", "a=1", "--staging-json", "b=2", "--unset-app", "c", "--reset-staging", "d"]).unwrap();
        let flag = |pointer| edits.flag_of(pointer);
        assert_eq!(flag("/set/0/key").as_deref(), Some("--app a"));
        assert_eq!(flag("/set/1").as_deref(), Some("--staging-json b"));
        assert_eq!(flag("/unset/0/key").as_deref(), Some("--unset-app c"));
        assert_eq!(flag("/reset/0").as_deref(), Some("--reset-staging d"));
        assert_eq!(flag("/tag").as_deref(), Some("--tag"));
        assert_eq!(flag("/set/9"), None);
        assert_eq!(flag("/"), None);
    }
}
