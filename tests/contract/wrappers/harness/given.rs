//! What wrappers are given by whoever tries them.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;

/// Variables that wrappers get as they are, and how the names of others begin that they get too.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "KUBECONFIG"];
const PASSED_ON_WITH: [&str; 2] = ["XDG_", "DM_WRAPPER_"];

/// Which tags the stagings get, of those that there are: the first, the one after an update, and one that never runs.
const TAGS: [&str; 3] = ["v1", "v2", "v0"];

/// What is not the same for all folders.
#[derive(Debug, Clone)]
pub(in super::super) struct Given {
    pub(in super::super) tags: [String; 3],
    pub(in super::super) project_name: String,
    pub(in super::super) base_domain: String,
    pub(in super::super) namespace: String,
    pub(in super::super) variables: BTreeMap<OsString, OsString>,
}

impl Given {
    /// What our own environment says, and tags that any folder of this repository has.
    pub(in super::super) fn of_environment() -> Self {
        let variable = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        let passed = |name: &str| PASSED_ON.contains(&name) || PASSED_ON_WITH.iter().any(|with| name.starts_with(with));
        Self {
            tags: TAGS.map(str::to_owned),
            project_name: variable("DM_PROJECT_NAME", "demo"),
            base_domain: variable("DM_BASE_DOMAIN", "example.org"),
            namespace: variable("DM_NAMESPACE", "demo"),
            variables: env::vars_os().filter(|(name, _)| name.to_str().is_some_and(passed)).collect(),
        }
    }

    /// The same, with the tags that `DM_TEST_TAGS` names.
    pub(super) fn with_named_tags(mut self) -> Self {
        if let Ok(given) = env::var("DM_TEST_TAGS") {
            let tags: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
            self.tags = tags.try_into().unwrap_or_else(|_| panic!("DM_TEST_TAGS is {given:?}, but must be three tags"));
        }
        self
    }
}
