//! What `dms` hands a wrapper: arguments, and files named by variables.

use std::fs;

use crate::error::{Error, Result};
use crate::values::Json;

/// The arguments of every verb but `tags`, and the effective configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    pub(crate) project_name: String,
    pub(crate) base_domain: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) tag: String,
    /// Keys with their arguments, as they came.
    pub(crate) app_overrides: Vec<(String, String)>,
    pub(crate) staging_overrides: Vec<(String, String)>,
}

impl Arguments {
    /// Reads them. What this contract does not have is refused.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut parsed = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| Error::misused(format!("{flag} needs a value")));
            match flag.as_str() {
                "--project-name" => parsed.project_name = value()?,
                "--base-domain" => parsed.base_domain = value()?,
                "--namespace" => parsed.namespace = value()?,
                "--name" => parsed.name = value()?,
                "--tag" => parsed.tag = value()?,
                "--app-override" => parsed.app_overrides.push(pair(&flag, &value()?)?),
                "--staging-override" => parsed.staging_overrides.push(pair(&flag, &value()?)?),
                _ => return Err(Error::misused(format!("unknown argument {flag}"))),
            }
        }
        if parsed.name.is_empty() {
            return Err(Error::misused("--name is missing"));
        }
        Ok(parsed)
    }

    /// The tag, where a verb cannot do without.
    pub(crate) fn needs_tag(&self) -> Result<&str> {
        if self.tag.is_empty() { Err(Error::misused("--tag is missing")) } else { Ok(&self.tag) }
    }
}

/// Split at the first `=`: a value may hold more of them.
fn pair(flag: &str, text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').ok_or_else(|| Error::misused(format!("{flag} wants KEY=VALUE")))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The run that called; by hand there is none.
pub(crate) fn run() -> String {
    std::env::var("DM_RUN_ID").ok().filter(|run| !run.is_empty()).unwrap_or_else(|| "by-hand".to_owned())
}

/// The effective configuration of one level, from the file that this variable names; empty without one.
pub(crate) fn values(variable: &str) -> Result<Json> {
    let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else { return Ok(Json::empty()) };
    let unreadable = |error: &dyn std::fmt::Display| Error::misused(format!("{variable} cannot be read: {error}"));
    let text = fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    let value = Json::parse(&text).map_err(|error| unreadable(&error))?;
    if value.as_map().is_some() { Ok(value) } else { Err(unreadable(&"it is no JSON object")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments> {
        Arguments::parse(arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn a_value_is_all_that_follows_the_first_equals_sign() {
        let parsed = parse(&["--name", "demo", "--app-override", "a=b=c\n $", "--staging-override", "k="]).unwrap();
        assert_eq!(parsed.app_overrides, [("a".to_owned(), "b=c\n $".to_owned())]);
        assert_eq!(parsed.staging_overrides, [("k".to_owned(), String::new())]);
    }

    #[test]
    fn what_the_contract_does_not_have_is_refused() {
        for wrong in
            [&["--name", "demo", "--colour", "red"][..], &["--name"], &[], &["--name", "demo", "--app-override", "a"]]
        {
            assert!(matches!(parse(wrong), Err(Error::Misused(_))), "{wrong:?}");
        }
    }
}
