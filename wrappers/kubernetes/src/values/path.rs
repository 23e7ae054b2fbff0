//! Where something stands in the values of a chart: the keys on the way to it, dotted.
//!
//! Knows nothing of what stands there.

use std::fmt;

/// Most bytes of a path as it is written.
const LENGTH_MAX: usize = 1024;

/// The keys from the top of a chart's values to a place in them; no keys are the top itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(Vec<String>);

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPath {
    /// Nothing is written.
    #[error("a path must name at least one key")]
    Empty,
    /// Too much is written.
    #[error("a path has at most {LENGTH_MAX} bytes, this one has {0}")]
    Length(usize),
    /// Two dots in a row, or one at an end.
    #[error("a path must not have an empty key between, before or after dots; write \\. for a dot inside a key")]
    EmptyKey,
    /// A backslash that escapes nothing.
    #[error("in a path, a backslash must stand before a dot or before another backslash")]
    Escape,
}

impl Path {
    /// Reads `a.b`: the `b` of an `a`. `\.` is a dot inside a key, `\\` a backslash.
    pub(crate) fn parse(text: &str) -> Result<Self, BadPath> {
        if text.is_empty() {
            return Err(BadPath::Empty);
        }
        Self::prefix(text)
    }

    /// Like [`Path::parse`], and the empty text is the top.
    pub(crate) fn prefix(text: &str) -> Result<Self, BadPath> {
        if text.len() > LENGTH_MAX {
            return Err(BadPath::Length(text.len()));
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut keys = vec![String::new()];
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            let key = match char {
                '.' => {
                    keys.push(String::new());
                    continue;
                }
                '\\' => chars.next().filter(|next| matches!(next, '.' | '\\')).ok_or(BadPath::Escape)?,
                other => other,
            };
            if let Some(last) = keys.last_mut() {
                last.push(key);
            }
        }
        if keys.iter().any(String::is_empty) { Err(BadPath::EmptyKey) } else { Ok(Self(keys)) }
    }

    /// The place of the dotted key of an override, below this one.
    #[must_use]
    pub(crate) fn below(&self, key: &str) -> Self {
        Self(self.0.iter().cloned().chain(key.split('.').map(str::to_owned)).collect())
    }

    /// The place of one key, which may have dots of its own, right below this one.
    #[must_use]
    pub(crate) fn child(&self, key: &str) -> Self {
        Self(self.0.iter().cloned().chain([key.to_owned()]).collect())
    }

    /// Every place on the way here, the top first, this one not among them.
    pub(crate) fn parents(&self) -> impl Iterator<Item = Self> {
        (0..self.0.len()).map(|keys| Self(self.0[..keys].to_vec()))
    }

    /// The keys on the way.
    pub(crate) fn keys(&self) -> &[String] {
        &self.0
    }

    /// Whether this is `other` or lies on the way to it.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether one of the two lies on the way to the other, or both are the same.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.holds(other) || other.holds(self)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the top level");
        }
        let keys: Vec<String> = self.0.iter().map(|key| key.replace('\\', "\\\\").replace('.', "\\.")).collect();
        f.write_str(&keys.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        Path::parse(text).unwrap().0
    }

    #[test]
    fn a_path_is_split_at_its_dots() {
        assert_eq!(keys("image.tag"), ["image", "tag"]);
        assert_eq!(keys("a"), ["a"]);
        assert_eq!(keys(r"podAnnotations.example\.com/x"), ["podAnnotations", "example.com/x"]);
        assert_eq!(keys(r"a\\.b\\\.c"), [r"a\", r"b\.c"]);
        assert_eq!(keys("a b.ü"), ["a b", "ü"]);
    }

    #[test]
    fn a_path_is_written_as_it_is_read() {
        for text in ["image.tag", r"podAnnotations.example\.com/x", r"a\\.b\\\.c"] {
            assert_eq!(Path::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Path::default().to_string(), "the top level");
    }

    #[test]
    fn what_is_no_path_is_refused_by_its_rule() {
        assert_eq!(Path::parse(""), Err(BadPath::Empty));
        for text in [".", "a.", ".a", "a..b"] {
            assert_eq!(Path::parse(text), Err(BadPath::EmptyKey), "{text}");
        }
        for text in [r"a\", r"a\b", r"\n.a"] {
            assert_eq!(Path::parse(text), Err(BadPath::Escape), "{text}");
        }
        assert!(Path::parse(&"a".repeat(1024)).is_ok());
        assert_eq!(Path::parse(&"a".repeat(1025)), Err(BadPath::Length(1025)));
        assert_eq!(
            Path::parse("a..b").unwrap_err().to_string().split(';').next(),
            Some("a path must not have an empty key between, before or after dots")
        );
    }

    #[test]
    fn only_a_prefix_may_be_the_top() {
        assert_eq!(Path::prefix(""), Ok(Path::default()));
        assert_eq!(Path::prefix("env"), Path::parse("env"));
        assert_eq!(Path::prefix("env."), Err(BadPath::EmptyKey));
    }

    #[test]
    fn a_place_holds_itself_and_what_lies_below() {
        let [image, tag, images] = ["image", "image.tag", "images"].map(|text| Path::parse(text).unwrap());
        assert!(image.holds(&image) && image.holds(&tag) && Path::default().holds(&image));
        assert!(!tag.holds(&image) && !image.holds(&images));
        assert!(tag.meets(&image) && !image.meets(&images));
        assert_eq!(Path::default().below("image.tag"), tag);
        assert_eq!(image.child("tag"), tag);
        assert_ne!(Path::default().child("image.tag"), tag);
        assert_eq!(tag.parents().collect::<Vec<_>>(), [Path::default(), image]);
    }
}
