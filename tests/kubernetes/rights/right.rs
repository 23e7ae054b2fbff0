//! One right: a verb on a resource of a group; what a role is without it, and how an API server names it.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of group \"{}\"", self.verb, self.resource, self.group)
    }
}

impl Right {
    pub(super) fn new(group: &str, resource: &str, verb: &str) -> Self {
        Self { group: group.to_owned(), resource: resource.to_owned(), verb: verb.to_owned() }
    }

    /// The kind of objects that it is about: `pods` of `pods/log`.
    pub(super) fn of(&self) -> &str {
        self.resource.split('/').next().unwrap_or_default()
    }

    /// Each right of some rules.
    pub(super) fn all(rules: &[Value]) -> BTreeSet<Self> {
        let texts = |rule: &Value, key: &str| -> Vec<String> {
            let list = rule[key].as_array().expect("a rule has lists");
            list.iter().map(|text| text.as_str().expect("of texts").to_owned()).collect()
        };
        let mut all = BTreeSet::new();
        for rule in rules {
            for group in texts(rule, "apiGroups") {
                for resource in texts(rule, "resources") {
                    for verb in texts(rule, "verbs") {
                        assert!(all.insert(Self::new(&group, &resource, &verb)), "{verb} {resource} is there twice");
                    }
                }
            }
        }
        all
    }

    /// Rules with all of these rights but one.
    pub(super) fn rules(rights: &BTreeSet<Self>, without: &Self) -> Vec<Value> {
        let kept = rights.iter().filter(|right| *right != without);
        kept.map(|right| json!({"apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb]}))
            .collect()
    }

    /// The rights that a text says are missing: `cannot list resource "pods" in API group ""`.
    pub(super) fn named(text: &str) -> BTreeSet<Self> {
        let found = text.split("cannot ").skip(1).filter_map(|after| {
            // helm quotes what it quotes.
            let after = after.replace('\\', "");
            let (verb, rest) = after.split_once(" resource \"")?;
            let (resource, rest) = rest.split_once("\" in API group \"")?;
            let (group, _) = rest.split_once('"')?;
            Some(Self::new(group, resource, verb))
        });
        found.collect()
    }
}

#[test]
fn a_missing_right_is_read_as_kubectl_and_helm_name_it() {
    let text = "Error: pods is forbidden: User \"u\" cannot list resource \"pods\" in API group \"\" in the namespace \"n\"; \
                error=\"x: User \\\"u\\\" cannot update resource \\\"secrets\\\" in API group \\\"\\\" in\"; cannot be";
    assert_eq!(Right::named(text), [Right::new("", "pods", "list"), Right::new("", "secrets", "update")].into());
}
