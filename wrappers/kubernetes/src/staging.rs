//! The staging that a verb works on, and what it is worked on with.

pub(crate) mod awakening;
pub(crate) mod belongings;
pub(crate) mod chart;
pub(crate) mod claims;
pub(crate) mod custom;
pub(crate) mod hooks;
pub(crate) mod memory;
pub(crate) mod namespace;
pub(crate) mod record;
pub(crate) mod release;
pub(crate) mod removal;
pub(crate) mod rollout;

use serde_json::{Value, json};

use crate::arguments::{self, Arguments};
use crate::cluster::object::{RUN_ANNOTATION, STAGING_LABEL, TAG_ANNOTATION};
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::tools::access::{self, Access};
use crate::tools::helm::Helm;
use crate::tools::kubectl::Kubectl;
use crate::tools::process;

/// What every verb needs.
#[derive(Debug)]
pub(crate) struct Staging {
    pub(crate) settings: Settings,
    pub(crate) given: Arguments,
    pub(crate) kubectl: Kubectl,
    pub(crate) helm: Helm,
    /// The run that called.
    pub(crate) run: String,
    /// Kept while the tools are used.
    pub(crate) access: Access,
}

impl Staging {
    /// Reads the settings and finds the tools.
    pub(crate) fn new(given: Arguments) -> Result<Self> {
        let settings = Settings::load()?;
        let access = access::find()?;
        let namespace = expanded(&settings.namespace, &given, &[])?;
        if namespace.is_empty() {
            return Err(Error::misused("no namespace: give --namespace, or set `namespace`"));
        }
        let kubectl = process::find(&settings.program(&settings.tools.kubectl))?;
        let helm = process::find(&settings.program(&settings.tools.helm))?;
        let kubectl = Kubectl::new(&kubectl, &namespace, settings.limits.request(), &access);
        let helm = Helm::new(&helm, &namespace, settings.limits.request(), &access);
        Ok(Self { settings, given, kubectl, helm, run: arguments::run(), access })
    }

    pub(crate) fn name(&self) -> &str {
        &self.given.name
    }

    /// The helm release: one for a staging, of its name.
    pub(crate) fn release(&self) -> &str {
        &self.given.name
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.kubectl.namespace
    }

    /// Whether each staging has a namespace of its own, which is then made and removed with it.
    pub(crate) fn has_own_namespace(&self) -> bool {
        self.settings.namespace.contains("{name}")
    }

    /// What selects all that carries our label.
    pub(crate) fn selector(&self) -> String {
        format!("{STAGING_LABEL}={}", self.name())
    }

    /// The mark that a run leaves on each object that it has applied.
    pub(crate) fn mark(&self) -> Value {
        json!({"metadata": {
            "labels": {STAGING_LABEL: self.name()},
            "annotations": {RUN_ANNOTATION: self.run, TAG_ANNOTATION: self.given.tag},
        }})
    }

    /// A text of the settings with its words in braces replaced.
    pub(crate) fn expanded(&self, text: &str) -> Result<String> {
        expanded(text, &self.given, &[("run", &self.run), ("namespace", self.namespace())])
    }
}

/// Replaces `{name}` and the like. `more` wins over what was given.
fn expanded(text: &str, given: &Arguments, more: &[(&str, &str)]) -> Result<String> {
    let known = [
        ("namespace", given.namespace.as_str()),
        ("name", &given.name),
        ("project_name", &given.project_name),
        ("base_domain", &given.base_domain),
        ("tag", &given.tag),
    ];
    let (mut result, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        let (word, after) =
            after.split_once('}').ok_or_else(|| Error::misused(format!("`{text}` in the settings lacks a }}")))?;
        let value = more.iter().chain(&known).find(|(name, _)| *name == word).map(|(_, value)| *value);
        let value = value.ok_or_else(|| Error::misused(format!("`{text}` in the settings: there is no {{{word}}}")))?;
        result.extend([before, value]);
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_braces_are_replaced_and_others_refused() {
        let given = Arguments { name: "pr-1".to_owned(), namespace: "dm".to_owned(), ..Arguments::default() };
        assert_eq!(expanded("{namespace}-{name}", &given, &[]).unwrap(), "dm-pr-1");
        assert_eq!(expanded("{namespace}-x", &given, &[("namespace", "own")]).unwrap(), "own-x");
        assert!(expanded("{colour}", &given, &[]).unwrap_err().to_string().contains("{colour}"));
        assert!(expanded("{name", &given, &[]).is_err());
    }
}
