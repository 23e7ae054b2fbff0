//! What wrappers answer to questions: what they printed, how they ended, and how that is read.

use dm_domain::ids::{Key, Tag};
use dm_domain::overrides::{Value, Values};
use dm_domain::staging::event::Link;

use super::supervise::{Ended, Sink};
use super::text::{self, Tail};

/// Bytes of an answer that are taken; more is an error.
const ANSWER_MAX: usize = 1024 * 1024;
/// Links that a staging may have.
const LINKS_MAX: usize = 100;
/// Bytes that a link's name and address may have together.
const LINK_LENGTH_MAX: usize = 4_000;

/// Tags that an answer may have.
const TAGS_MAX: usize = 100;
/// Bytes that a tag's label and time may have together.
const TAG_LENGTH_MAX: usize = 1_000;

/// A version of the product, as `tags` knows it. What it does not say of one is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownTag {
    pub(crate) tag: Tag,
    pub(crate) label: String,
    pub(crate) created: String,
}

/// What a program printed and how it ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) ended: Ended,
    stdout: Vec<u8>,
    stderr: Tail,
    report: Option<String>,
}

impl Answer {
    /// The cause that stands in the report, if one does, goes before what was printed. An answer that is too long is
    /// none.
    pub(crate) fn new(ended: Ended, stdout: Captured, stderr: Tail, report: Option<String>) -> Result<Self, String> {
        if stdout.too_long {
            return Err(format!("printed more than {ANSWER_MAX} bytes"));
        }
        Ok(Self { ended, stdout: stdout.bytes, stderr, report })
    }

    /// What it said: to the report, else on standard error, else on standard output.
    pub(crate) fn said(&self) -> Option<String> {
        let stdout = || {
            let mut tail = Tail::default();
            tail.push(&self.stdout);
            tail.cause()
        };
        self.report.clone().or_else(|| self.stderr.cause()).or_else(stdout)
    }

    /// Why it did not do what it should, in words: how it ended, and what it said.
    pub(crate) fn cause(&self) -> String {
        let how = match &self.ended {
            Ended::Exited(code) => format!("exited with {code}"),
            Ended::Signalled(signal) => format!("was ended by signal {signal}"),
            Ended::TimeLimit => "was stopped at its time limit".to_owned(),
            Ended::Stopped => "was stopped".to_owned(),
            Ended::NotStarted(cause) => cause.clone(),
            Ended::Lost => "was lost".to_owned(),
        };
        match self.said() {
            Some(said) => format!("{how}: {said}"),
            None => how,
        }
    }

    /// What it printed for a person.
    pub(crate) fn text(&self) -> String {
        text::cause(&String::from_utf8_lossy(&self.stdout))
    }

    /// The defaults that it printed.
    pub(crate) fn defaults(&self) -> Result<Values, String> {
        if self.ended == Ended::Exited(0) { parse_defaults(&self.stdout) } else { Err(self.cause()) }
    }

    /// The tags that it printed.
    pub(crate) fn tags(&self) -> Result<Vec<KnownTag>, String> {
        if self.ended == Ended::Exited(0) { parse_tags(&self.stdout) } else { Err(self.cause()) }
    }

    /// The links that it printed.
    pub(crate) fn links(&self) -> Result<Vec<Link>, String> {
        if self.ended == Ended::Exited(0) { parse_links(&self.stdout) } else { Err(self.cause()) }
    }
}

/// Standard output, as long as it is no longer than an answer may be.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Sink for Captured {
    fn push(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > ANSWER_MAX {
            self.too_long = true;
        } else {
            self.bytes.extend(bytes);
        }
    }
}

/// Lines `level,key,value` (RFC 4180).
fn parse_defaults(text: &[u8]) -> Result<Values, String> {
    let mut values = Values::default();
    for record in records(text, "level,key,value") {
        let (line, [level, key, value]) = record?;
        let level = match level.as_str() {
            "app" => &mut values.app,
            "staging" => &mut values.staging,
            other => return Err(format!("line {line}: level {other:?} is neither app nor staging")),
        };
        let key = Key::parse(&key).map_err(|invalid| format!("line {line}: {invalid}"))?;
        let value = Value::Text(value);
        value.check().map_err(|invalid| format!("line {line}: {invalid}"))?;
        if level.insert(key.clone(), value).is_some() {
            return Err(format!("line {line}: key {key} is there twice"));
        }
    }
    Ok(values)
}

/// Lines `tag,label,created` (RFC 4180); what comes after the first hundred is left out.
fn parse_tags(text: &[u8]) -> Result<Vec<KnownTag>, String> {
    let mut tags = Vec::new();
    for record in records(text, "tag,label,created").take(TAGS_MAX) {
        let (line, [tag, label, created]) = record?;
        let tag = Tag::parse(&tag).map_err(|invalid| format!("line {line}: {invalid}"))?;
        if label.len() + created.len() > TAG_LENGTH_MAX || label.chars().chain(created.chars()).any(char::is_control) {
            let rule = format!("at most {TAG_LENGTH_MAX} bytes without control characters");
            return Err(format!("line {line}: label and created must have {rule}"));
        }
        tags.push(KnownTag { tag, label, created });
    }
    Ok(tags)
}

/// Lines `name,url` (RFC 4180).
fn parse_links(text: &[u8]) -> Result<Vec<Link>, String> {
    let mut links = Vec::new();
    for record in records(text, "name,url") {
        let (line, [name, url]) = record?;
        if links.len() == LINKS_MAX {
            return Err(format!("line {line}: more than {LINKS_MAX} links"));
        }
        if name.len() + url.len() > LINK_LENGTH_MAX {
            return Err(format!("line {line}: longer than {LINK_LENGTH_MAX} bytes"));
        }
        if name.is_empty() || url.is_empty() || name.chars().chain(url.chars()).any(char::is_control) {
            return Err(format!("line {line}: name and url must have text without control characters"));
        }
        links.push(Link { name, url });
    }
    Ok(links)
}

/// Records with exactly `N` fields, each with its line.
fn records<'a, const N: usize>(
    text: &'a [u8],
    fields: &'a str,
) -> impl Iterator<Item = Result<(u64, [String; N]), String>> + 'a {
    let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    reader.into_records().map(move |record| {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let found: Vec<String> = record.iter().map(str::to_owned).collect();
        let length = found.len();
        let found = found.try_into().map_err(|_| format!("line {line}: {length} fields, but must be {fields}"))?;
        Ok((line, found))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_may_hold_quotes_line_breaks_and_commas() {
        let text = b"app,a.b,\"one\ntwo, \"\"three\"\"\"\r\nstaging,c, $x \napp,empty,\n";
        let values = parse_defaults(text).expect("they are right");
        let texts: Vec<_> = values.app.iter().chain(&values.staging).collect();
        let text = |value: &str| Value::Text(value.to_owned());
        assert_eq!(
            texts,
            [
                (&Key::parse("a.b").expect("a key"), &text("one\ntwo, \"three\"")),
                (&Key::parse("empty").expect("a key"), &text("")),
                (&Key::parse("c").expect("a key"), &text(" $x ")),
            ]
        );
    }

    #[test]
    fn defaults_that_are_not_right_are_refused_with_their_line() {
        for (text, fault) in [
            (&b"app,a"[..], "line 1: 2 fields"),
            (b"app,a,1\napp,b,1,2", "line 2: 4 fields"),
            (b"other,a,1", "level \"other\""),
            (b"app,a,1\napp,a,2", "line 2: key a is there twice"),
            (b"app,a..b,1", "line 1: key"),
            (b"app,a,\xff", "UTF-8"),
            (b"app,a,\0", "U+0000"),
            (b"<html>garbage</html>", "line 1: 1 fields"),
        ] {
            let cause = parse_defaults(text).expect_err("it is wrong");
            assert!(cause.contains(fault), "{cause}");
        }
    }

    #[test]
    fn tags_are_whole_or_refused_with_their_line() {
        let tags = parse_tags(b"v3,\"the newest, by far\",2026-11-20\nv2,,\n").expect("they are right");
        let found: Vec<_> = tags.iter().map(|of| (of.tag.as_str(), of.label.as_str(), of.created.as_str())).collect();
        assert_eq!(found, [("v3", "the newest, by far", "2026-11-20"), ("v2", "", "")]);
        for (text, fault) in
            [("v3,a", "line 1: 2 fields"), ("v1,,\nv 2,,", "line 2: tag"), ("v1,\x1b,", "line 1: label")]
        {
            let cause = parse_tags(text.as_bytes()).expect_err("it is wrong");
            assert!(cause.contains(fault), "{cause}");
        }
        assert_eq!(parse_tags("v1,,\n".repeat(TAGS_MAX + 9).as_bytes()).expect("it is cut").len(), TAGS_MAX);
    }

    #[test]
    fn links_keep_their_order_and_must_be_whole() {
        let links = parse_links(b"site,http://x/?a=1\nadmin,\"http://y/,\"\n").expect("they are right");
        let found: Vec<_> = links.iter().map(|link| (link.name.as_str(), link.url.as_str())).collect();
        assert_eq!(found, [("site", "http://x/?a=1"), ("admin", "http://y/,")]);
        assert!(parse_links(b"site").is_err() && parse_links(b"site,").is_err());
        assert!(parse_links("a,b\n".repeat(LINKS_MAX + 1).as_bytes()).is_err());
    }
}
