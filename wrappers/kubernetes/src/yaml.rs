//! YAML as helm reads it: of two equal keys the last one counts, and `014` is twelve.
//!
//! One thing is left: a key `yes` is `true` for helm, and `yes` here; no chart that people can read has such a key.

use serde_json::Value;

/// The documents of a text.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_those_that_helm_has() {
        let text = "a: 014\nb: yes\nc: \"014\"\nd: 1\nd: 2\ne: 0.5\nf: 1.2.3\n---\n---\ng: 08\n";
        let documents = documents(text).unwrap();
        let first = json!({"a": 12, "b": true, "c": "014", "d": 2, "e": 0.5, "f": "1.2.3"});
        assert_eq!(documents.first(), Some(&first));
        assert_eq!(documents.len(), 2, "{documents:?}");
        assert!(super::documents("a: [").is_err());
    }
}
