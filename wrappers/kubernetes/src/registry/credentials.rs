//! User and password for a registry, from a file as docker writes it.
//!
//! It reads what stands in the file, and starts no program that might know more.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::TagsError;
use super::repository::Repository;

const SETTING: &str = "registry.credentials";
/// Most that is read of the file.
const SIZE: u64 = 1024 * 1024;

/// What a registry is told by `Authorization: Basic`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Basic(String);

impl Basic {
    fn of(user_and_password: &str) -> Self {
        Self(BASE64_STANDARD.encode(user_and_password))
    }

    /// The value of the header.
    pub(super) fn header(&self) -> String {
        format!("Basic {}", self.0)
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Basic(hidden)")
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// What the file has for this repository; none if it has nothing, and the registry is asked as anybody may.
pub(super) fn read(path: &Path, repository: &Repository) -> Result<Option<Basic>, TagsError> {
    let unreadable = |source| TagsError::Unreadable { setting: SETTING, path: path.to_owned(), source };
    let file = |wrong: String| TagsError::File { setting: SETTING, path: path.to_owned(), wrong };
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(SIZE + 1).read_to_end(&mut text)).map_err(unreadable)?;
    if text.len() as u64 > SIZE {
        return Err(file(format!("has more than {SIZE} bytes")));
    }
    let config: Config = serde_json::from_slice(&text).map_err(|error| {
        // Without what was found there: it might be a password.
        file(format!("is no config.json of docker (line {}, column {})", error.line(), error.column()))
    })?;
    let fitting = config.auths.iter().filter_map(|(key, entry)| Some((fits(key, repository)?, key, entry)));
    let Some((_, key, entry)) = fitting.max_by_key(|(length, ..)| *length) else { return Ok(None) };
    let nothing = || file(format!("has neither auth nor username and password for {key}"));
    match entry {
        Entry { username: Some(user), password: Some(password), .. } => {
            Ok(Some(Basic::of(&format!("{user}:{password}"))))
        }
        Entry { auth: Some(auth), .. } if !auth.is_empty() => {
            let decoded = BASE64_STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = decoded.filter(|pair| pair.contains(':'));
            let wrong = || file(format!("has an auth for {key} that is not USER:PASSWORD in base64"));
            pair.map(|pair| Some(Basic::of(&pair))).ok_or_else(wrong)
        }
        _ => Err(nothing()),
    }
}

/// How much of the repository's name the key of an entry covers; none if it is for another one.
fn fits(key: &str, repository: &Repository) -> Option<usize> {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    repository.names_of_host().into_iter().find_map(|host| {
        let whole = format!("{host}/{}", repository.name);
        let rest = whole.strip_prefix(key)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(key.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> Repository {
        Repository::parse("registry.example.org:5000/team/app").expect("it is one")
    }

    fn read_text(text: &str) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).expect("it can be written");
        let read = read(&path, &repository());
        read.map(|basic| basic.map(|basic| basic.header())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_entry_that_fits_best_is_taken() {
        let (general, special) = (BASE64_STANDARD.encode("all:a"), BASE64_STANDARD.encode("team:b:c"));
        let text = format!(
            r#"{{"auths": {{
                "https://registry.example.org:5000/v2/": {{"auth": "{general}"}},
                "registry.example.org:5000/team": {{"auth": "{special}"}},
                "registry.example.org:5000/te": {{"username": "x", "password": "y"}},
                "registry.example.org": {{"username": "x", "password": "y"}}}},
              "credsStore": "desktop"}}"#
        );
        assert_eq!(read_text(&text), Ok(Some(format!("Basic {special}"))));
        let without = text.replace("/team\"", "/other\"");
        assert_eq!(read_text(&without), Ok(Some(format!("Basic {general}"))));
        assert_eq!(read_text(&without.replace(":5000/v2/", ":6000/v2/")), Ok(None), "nothing is for this registry");
    }

    #[test]
    fn user_and_password_may_stand_apart() {
        let text = r#"{"auths": {"registry.example.org:5000": {"username": "u", "password": "p\"q"}}}"#;
        assert_eq!(read_text(text), Ok(Some(Basic::of("u:p\"q").header())));
    }

    #[test]
    fn what_is_no_such_file_is_named_without_a_word_of_it() {
        for (text, says) in [
            ("secret", "is no config.json of docker (line 1, column 1)"),
            (r#"{"auths": {"registry.example.org:5000": {}}}"#, "has neither auth nor username and password"),
            (r#"{"auths": {"registry.example.org:5000": {"auth": "c2VjcmV0"}}}"#, "not USER:PASSWORD in base64"),
            (r#"{"auths": {"registry.example.org:5000": {"auth": "secret!"}}}"#, "not USER:PASSWORD in base64"),
        ] {
            let said = read_text(text).expect_err("it is wrong");
            assert!(said.starts_with(SETTING) && said.contains(says) && !said.contains("secret"), "{said}");
        }
        let missing = read(Path::new("/nothing/here"), &repository()).expect_err("there is no such file");
        assert_eq!(missing.to_string(), "registry.credentials: /nothing/here cannot be read");
        assert_eq!(format!("{:?}", Basic::of("u:p")), "Basic(hidden)");
    }
}
