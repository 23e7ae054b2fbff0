//! Reads query parameters: each at most once unless it is a list, none that is unknown.

use std::str::FromStr;

use axum::http::Uri;

use crate::error::ApiError;
use crate::http::violations::Violations;

/// The parameters of a request, with the faults found in them so far.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    /// For faults that are found elsewhere in the same request.
    pub(crate) violations: Violations,
}

/// The rule that a parameter breaks, and the rule in words.
pub(crate) type Fault = (&'static str, String);

impl Query {
    /// Of this request.
    pub(crate) fn of(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        Self { pairs, violations: Violations::default() }
    }

    /// A parameter that may be given once.
    pub(crate) fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Fault>) -> Option<T> {
        let mut values = self.list(name, parse);
        if values.len() > 1 {
            self.violations.add(format!("?{name}"), "repeated", format!("{name} may be given only once"));
        }
        values.pop()
    }

    /// A parameter that may be given again and again.
    pub(crate) fn list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Fault>) -> Vec<T> {
        let (given, rest) = std::mem::take(&mut self.pairs).into_iter().partition(|(key, _)| key == name);
        self.pairs = rest;
        let given: Vec<(String, String)> = given;
        let mut values = Vec::new();
        for (_, text) in given {
            match parse(&text) {
                Ok(value) => values.push(value),
                Err((rule, detail)) => self.violations.add(format!("?{name}"), rule, format!("{name} {detail}")),
            }
        }
        values
    }

    /// Refuses the request if anything was wrong, or if a parameter was never asked for.
    pub(crate) fn done(mut self) -> Result<(), ApiError> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            self.violations.add(format!("?{name}"), "unknown_parameter", "this route has no such parameter");
        }
        self.violations.done()
    }
}

/// A whole number within a range.
#[expect(clippy::needless_pass_by_value, reason = "the values are numbers")]
pub(crate) fn number<T>(text: &str, min: T, max: T) -> Result<T, Fault>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    match text.parse() {
        Ok(value) if value >= min && value <= max => Ok(value),
        Ok(_) | Err(_) => Err(("range", format!("must be a whole number from {min} to {max}"))),
    }
}

/// `true` or `false`.
pub(crate) fn flag(text: &str) -> Result<bool, Fault> {
    text.parse().map_err(|_| ("boolean", "must be true or false".to_owned()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&text.parse().expect("it is a URI"))
    }

    #[test]
    fn every_fault_is_named() {
        let mut query = query("/x?limit=0&limit=7&archived=yes&foo=1");
        assert_eq!(query.optional("limit", |text| number(text, 1, 200)), Some(7));
        assert_eq!(query.optional("archived", flag), None);
        let problem = query.done().expect_err("it is refused").problem(Uuid::nil());
        let named: Vec<_> = problem.errors.iter().map(|e| (e.pointer.as_str(), e.rule.as_str())).collect();
        assert_eq!(named, [("?limit", "range"), ("?archived", "boolean"), ("?foo", "unknown_parameter")]);
    }

    #[test]
    fn what_is_no_list_is_given_once() {
        let mut once = query("/x?a=1&a=2");
        once.optional("a", |text| number(text, 1, 9));
        assert!(once.done().is_err());
        let mut list = query("/x?a=1&a=2");
        assert_eq!(list.list("a", |text| number(text, 1, 9)), [1, 2]);
        assert!(list.done().is_ok());
    }
}
