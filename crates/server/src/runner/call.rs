//! One call of a wrapper: its arguments, its environment, and the files it is handed.
//!
//! Secrets never stand in arguments or environment, and sealed ones never leave the process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dm_domain::ids::{Attempt, Key, RunId, StagingName, Tag};
use dm_domain::overrides::{Level, Value, Values};
use dm_domain::staging::Configuration;
use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::boottime::Moment;
use super::shim::protocol::Spec;

/// The variable that marks every process of a call; its value is the path of the report, which no other call has.
pub(crate) const MARK: &str = "DM_REPORT";
/// The variable that marks the shim of a call, and nothing below it; its value is the name of the call's folder.
pub(crate) const SHIM_MARK: &str = "DM_SHIM";
/// Variables of `dms` that wrappers get as they are.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "KUBECONFIG"];
/// How the names of others begin that they get too. The second are the operator's settings of the wrappers, of which `dms`
/// knows nothing; so none of its own is called that.
const PASSED_ON_WITH: [&str; 2] = ["XDG_", "DM_WRAPPER_"];

/// What every call is told beside its subject.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// `--project-name`.
    pub(crate) project_name: String,
    /// `--base-domain`.
    pub(crate) base_domain: String,
    /// `--namespace`.
    pub(crate) namespace: String,
    /// `DM_HOME`.
    pub(crate) home: PathBuf,
    /// The folder of wrappers; also their working directory.
    pub(crate) wrappers: PathBuf,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// What a call is about.
#[derive(Debug, Clone)]
pub(crate) enum About {
    /// One staging.
    Staging(Subject),
    /// The versions of the product whose tag contains this text.
    Tags(String),
    /// Everything that the other wrappers need.
    Start,
}

/// The staging that a call is about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) staging: StagingName,
    pub(crate) tag: Tag,
    /// The overrides that may be shown; they go into the arguments.
    pub(crate) overrides: Arc<Values>,
    /// Defaults with overrides applied; goes into files.
    pub(crate) effective: Arc<Values>,
    /// The run and attempt whose call it is, or whose result it looks at.
    pub(crate) run: Option<(RunId, Attempt)>,
}

impl Subject {
    /// A call that belongs to no run.
    pub(crate) fn new(staging: &StagingName, configuration: &Configuration) -> Self {
        Self {
            staging: staging.clone(),
            tag: configuration.tag.clone(),
            overrides: Arc::new(configuration.public_overrides()),
            effective: Arc::new(configuration.effective.clone()),
            run: None,
        }
    }
}

/// The files of a call; removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The file that the shim keeps locked.
    pub(crate) fn lock(&self) -> PathBuf {
        lock_of(&self.0)
    }

    /// The file to which the wrapper may report.
    pub(crate) fn report(&self) -> PathBuf {
        report_of(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is removed at the next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The lock file of a call's folder.
pub(crate) fn lock_of(folder: &Path) -> PathBuf {
    folder.join("lock")
}

/// The report of a call's folder.
pub(crate) fn report_of(folder: &Path) -> PathBuf {
    folder.join("report")
}

/// Where calls have their folders.
pub(crate) fn folders(home: &Path) -> PathBuf {
    home.join("calls")
}

/// The name of the folder of a run's attempt.
pub(crate) fn run_folder(run: RunId, attempt: Attempt) -> String {
    format!("run-{run}-{attempt}")
}

impl Surroundings {
    /// Writes the files of a call, in a folder of this name that only this user can enter, and makes its spec.
    pub(crate) fn prepare(
        &self,
        executable: &Path,
        limit: Duration,
        name: &str,
        about: &About,
    ) -> io::Result<(Spec, Folder)> {
        let parent = folders(&self.home);
        DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
        let path = parent.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        let folder = Folder(path.clone());
        let app_values = path.join("app-values.json");
        let staging_values = path.join("staging-values.json");
        let secrets = path.join("secrets.json");
        let effective = match about {
            About::Staging(subject) => Arc::clone(&subject.effective),
            About::Tags(_) | About::Start => Arc::default(),
        };
        write(&app_values, &Tree::of(&effective.app))?;
        write(&staging_values, &Tree::of(&effective.staging))?;
        write(&secrets, &serde_json::json!({"app": {}, "staging": {}}))?;

        let mut env = passed_on(std::env::vars_os())?;
        for (variable, file) in [
            ("DM_HOME", &self.home),
            ("DM_APP_VALUES", &app_values),
            ("DM_STAGING_VALUES", &staging_values),
            ("DM_SECRETS", &secrets),
            (MARK, &folder.report()),
            // Goes on to be this very program when its file is replaced while it runs.
            ("DM_DMS", &PathBuf::from(format!("/proc/{}/exe", std::process::id()))),
        ] {
            env.insert(variable.to_owned(), text(file)?);
        }
        if let About::Staging(Subject { run: Some((run, attempt)), .. }) = about {
            env.insert("DM_RUN_ID".to_owned(), run.to_string());
            env.insert("DM_ATTEMPT".to_owned(), attempt.to_string());
        }
        let mut argv = vec![text(executable)?];
        argv.extend(self.arguments(about));
        let spec = Spec {
            argv,
            env,
            cwd: self.wrappers.clone(),
            lock: folder.lock(),
            deadline: Moment::NEVER,
            limit_ms: milliseconds(limit),
            grace_ms: milliseconds(self.grace),
            pinned: None,
        };
        Ok((spec, folder))
    }

    /// What stands on the command line, after the executable.
    pub(crate) fn arguments(&self, about: &About) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut flag = |flag: &str, value: &str| arguments.extend([flag.to_owned(), value.to_owned()]);
        if let About::Tags(query) = about {
            return vec![query.clone()];
        }
        flag("--project-name", &self.project_name);
        flag("--base-domain", &self.base_domain);
        flag("--namespace", &self.namespace);
        let About::Staging(subject) = about else { return arguments };
        flag("--name", subject.staging.as_str());
        flag("--tag", subject.tag.as_str());
        for level in Level::ALL {
            for (key, value) in subject.overrides.at(level) {
                if let Some(value) = public(value) {
                    arguments.extend([format!("--{level}-override"), format!("{key}={value}")]);
                }
            }
        }
        arguments
    }
}

fn public(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) | Value::Json(text) => Some(text),
        Value::Secret(_) => None,
    }
}

fn passes(name: &str) -> bool {
    PASSED_ON.contains(&name) || PASSED_ON_WITH.iter().any(|beginning| name.starts_with(beginning))
}

fn passed_on(variables: impl Iterator<Item = (OsString, OsString)>) -> io::Result<BTreeMap<String, String>> {
    let named = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    named.filter(|(name, _)| passes(name)).map(|(name, value)| Ok((name.clone(), utf8(value, &name)?))).collect()
}

fn utf8(value: OsString, what: &str) -> io::Result<String> {
    let message = |_| io::Error::new(io::ErrorKind::InvalidInput, format!("{what} is not UTF-8"));
    value.into_string().map_err(message)
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn text(path: &Path) -> io::Result<String> {
    utf8(path.into(), &path.display().to_string())
}

fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(plain(&serde_json::to_string(content)?).as_bytes())
}

/// The same JSON without characters that a reader of YAML, such as helm, refuses or folds into blanks. They stand in texts
/// only, where an escape means the same.
fn plain(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(plain, "\\u{:04x}", u32::from(character));
            }
            other => plain.push(other),
        }
    }
    plain
}

/// Public keys of one level, nested at their dots: `a.b` is the `b` of an object `a`, as `helm --values` wants it.
#[derive(Debug, Default)]
struct Tree<'a> {
    leaf: Option<&'a Value>,
    branches: BTreeMap<&'a str, Tree<'a>>,
}

impl<'a> Tree<'a> {
    fn of(values: &'a BTreeMap<Key, Value>) -> Self {
        let mut root = Self::default();
        for (key, value) in values.iter().filter(|(_, value)| public(value).is_some()) {
            let mut node = &mut root;
            for segment in key.as_str().split('.') {
                node = node.branches.entry(segment).or_default();
            }
            node.leaf = Some(value);
        }
        root
    }
}

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.leaf {
            Some(Value::Text(text)) => serializer.serialize_str(text),
            // Raw, so that no number changes its digits.
            Some(Value::Json(json)) => {
                RawValue::from_string(json.clone()).map_err(S::Error::custom)?.serialize(serializer)
            }
            Some(Value::Secret(_)) | None => {
                let mut map = serializer.serialize_map(Some(self.branches.len()))?;
                for (segment, node) in &self.branches {
                    map.serialize_entry(segment, node)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use clap::Args as _;
    use dm_domain::overrides::Sealed;

    use super::*;
    use crate::config::Flags;

    fn sealed() -> Value {
        Value::Secret(Sealed {
            key_id: "k".to_owned(),
            nonce: "n".to_owned(),
            ciphertext: "hidden".to_owned(),
            tag: "t".to_owned(),
        })
    }

    fn keys(entries: &[(&str, Value)]) -> BTreeMap<Key, Value> {
        entries.iter().map(|(key, value)| (Key::parse(key).expect("a key"), value.clone())).collect()
    }

    #[test]
    fn dotted_keys_are_nested_and_values_are_exact() {
        let values = keys(&[
            ("a.b.c", Value::Text("1\n$x \u{1f600} ".to_owned())),
            ("a.d", Value::Json("1e400".to_owned())),
            ("e", Value::Json("{\"f\":[null]}".to_owned())),
            ("g", sealed()),
        ]);
        let json = serde_json::to_string(&Tree::of(&values)).expect("it can be written");
        assert_eq!(json, "{\"a\":{\"b\":{\"c\":\"1\\n$x \u{1f600} \"},\"d\":1e400},\"e\":{\"f\":[null]}}");
        assert_eq!(serde_json::to_string(&Tree::of(&BTreeMap::new())).expect("it can be written"), "{}");
    }

    #[test]
    fn what_a_reader_of_yaml_would_change_is_escaped() {
        let text = "a\u{7f}b\u{85}c\u{2028}d\u{feff}\u{e9}\u{1f600}\n";
        let json = plain(&serde_json::to_string(text).expect("it can be written"));
        assert_eq!(json, "\"a\\u007fb\\u0085c\\u2028d\\ufeff\u{e9}\u{1f600}\\n\"");
        assert_eq!(serde_json::from_str::<String>(&json).expect("it is the same text"), text);
    }

    #[test]
    fn arguments_hold_public_values_byte_for_byte() {
        let surroundings = Surroundings {
            project_name: "p".to_owned(),
            base_domain: "d".to_owned(),
            namespace: "n".to_owned(),
            home: PathBuf::from("/home"),
            wrappers: PathBuf::from("/wrappers"),
            grace: Duration::from_secs(1),
        };
        let subject = Subject {
            staging: StagingName::parse("s").expect("a name"),
            tag: Tag::parse("1e10").expect("a tag"),
            effective: Arc::default(),
            overrides: Arc::new(Values {
                app: keys(&[("k", Value::Text(" a=b\n".to_owned())), ("secret", sealed())]),
                staging: keys(&[("j", Value::Json("[1]".to_owned()))]),
            }),
            run: None,
        };
        let arguments = surroundings.arguments(&About::Staging(subject));
        let expected = "--project-name p --base-domain d --namespace n --name s --tag 1e10 --app-override";
        assert_eq!(arguments[..11].join(" "), expected);
        assert_eq!(arguments[11..], ["k= a=b\n", "--staging-override", "j=[1]"]);
        assert_eq!(surroundings.arguments(&About::Tags(" v1".to_owned())), [" v1"]);
        let start = surroundings.arguments(&About::Start);
        assert_eq!(start.join(" "), "--project-name p --base-domain d --namespace n");
    }

    #[test]
    fn only_the_named_variables_are_passed_on() {
        let variables = [
            "PATH",
            "HOME",
            "XDG_CONFIG_HOME",
            "DM_WRAPPER_CHART",
            "DM_WRAPPERS",
            "DM_DATABASE_URL",
            "SECRET",
            "LD_PRELOAD",
            "PATHS",
        ];
        let passed = passed_on(variables.iter().map(|name| ((*name).into(), name.to_lowercase().into())));
        let passed = passed.expect("all is UTF-8");
        let expected = ["DM_WRAPPER_CHART", "HOME", "PATH", "XDG_CONFIG_HOME"];
        assert_eq!(passed.keys().collect::<Vec<_>>(), expected);
        assert_eq!(passed["DM_WRAPPER_CHART"], "dm_wrapper_chart", "as it is");
    }

    #[test]
    fn a_variable_that_is_no_text_is_named_if_it_would_be_passed_on() {
        let odd = OsString::from_vec(vec![0xff]);
        let passed = passed_on([(odd.clone(), "x".into()), ("OTHER".into(), odd.clone())].into_iter());
        assert!(passed.expect("nothing of it is passed on").is_empty());
        let refused = passed_on([("DM_WRAPPER_CHART".into(), odd)].into_iter()).expect_err("it is no text");
        assert_eq!(refused.to_string(), "DM_WRAPPER_CHART is not UTF-8");
    }

    #[test]
    fn no_setting_of_dms_is_called_like_one_of_the_wrappers() {
        let command = Flags::augment_args(clap::Command::new("dms"));
        let names: Vec<&str> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
        assert!(names.contains(&"DM_DATABASE_URL") && names.contains(&"DM_WRAPPERS"), "{names:?}");
        let reaching: Vec<&&str> = names.iter().filter(|name| passes(name)).collect();
        assert!(reaching.is_empty(), "{reaching:?} would reach the wrappers");
    }
}
