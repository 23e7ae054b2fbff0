//! The operator's settings: a file, and `DM_WRAPPER_*` variables on top of it.
//!
//! `DM_WRAPPER_SETTINGS` names the file; without it, it is `kubernetes.toml` in the folder of wrappers, if there is one. The
//! variable of `helm` below `[limits]` is `DM_WRAPPER_LIMITS__HELM`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::values::{self, Layout};

/// What the variables start with.
const PREFIX: &str = "DM_WRAPPER_";

/// The file beside the wrappers.
const FILE: &str = "kubernetes.toml";

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The namespace of a staging: text with `{namespace}`, `{name}` and `{project_name}`.
    pub(crate) namespace: String,
    pub(crate) chart: Chart,
    pub(crate) values: Values,
    pub(crate) tools: Tools,
    pub(crate) limits: Limits,
    pub(crate) cleanup: Cleanup,
    /// Names of links, and their addresses with the same words in braces as `namespace`, and `{run}` and `{tag}`.
    pub(crate) links: BTreeMap<String, String>,
    /// What stops and starts objects of a custom kind, by its resource, as `databases.example.com`.
    pub(crate) custom: BTreeMap<String, Custom>,
    pub(crate) registry: Registry,
    /// Where relative paths start.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

/// Where the chart comes from: a folder, `oci://...`, or a name in a repository.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Chart {
    pub(crate) path: String,
    pub(crate) oci: String,
    pub(crate) repository: String,
    pub(crate) name: String,
    /// Exact: what is fetched once is kept.
    pub(crate) version: String,
    /// Whether an OCI registry is asked without TLS.
    pub(crate) plain_http: bool,
}

/// Where things land in the chart's values, as dotted paths.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Values {
    pub(crate) app: String,
    pub(crate) staging: String,
    pub(crate) tag: Vec<String>,
    pub(crate) name: Vec<String>,
    pub(crate) base_domain: Vec<String>,
    pub(crate) namespace: Vec<String>,
    pub(crate) project_name: Vec<String>,
    /// YAML files of the operator, the last one wins; all of them are below what people set.
    pub(crate) files: Vec<PathBuf>,
    /// Whether the chart's own values are what people see as defaults.
    pub(crate) defaults: bool,
}

/// Programs, by name or path.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tools {
    pub(crate) helm: String,
    pub(crate) kubectl: String,
    pub(crate) kubedog: String,
}

/// How long and how often, in seconds where it is a time.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// One question to the API server: a check asks several, and has 20 s in all.
    pub(crate) request: u64,
    /// One `helm upgrade`, its hooks included.
    pub(crate) helm: u64,
    /// A roll-out is followed; what is not ready then is left to `check`.
    pub(crate) follow: u64,
    /// Stateful sets are awaited before the chart is applied again.
    pub(crate) wake: u64,
    /// Another helm at work on the same release is waited for.
    pub(crate) other_helm: u64,
    /// What was removed is waited for.
    pub(crate) removal: u64,
    /// Restarts after which a container that ends again and again is given up.
    pub(crate) restarts: u64,
}

/// What goes at a cleanup.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cleanup {
    /// Also volumes whose reclaim policy is Retain; needs a right on the whole cluster.
    pub(crate) retained_volumes: bool,
}

/// Merge patches, as JSON.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(crate) struct Custom {
    pub(crate) archive: String,
    pub(crate) restore: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: "{namespace}".to_owned(),
            chart: Chart::default(),
            values: Values::default(),
            tools: Tools::default(),
            limits: Limits::default(),
            cleanup: Cleanup::default(),
            links: BTreeMap::new(),
            custom: BTreeMap::new(),
            registry: Registry::default(),
            folder: PathBuf::from("."),
        }
    }
}

impl Default for Values {
    fn default() -> Self {
        Self {
            app: "env".to_owned(),
            staging: String::new(),
            tag: vec!["image.tag".to_owned()],
            name: Vec::new(),
            base_domain: Vec::new(),
            namespace: Vec::new(),
            project_name: Vec::new(),
            files: Vec::new(),
            defaults: true,
        }
    }
}

impl Default for Tools {
    fn default() -> Self {
        Self { helm: "helm".to_owned(), kubectl: "kubectl".to_owned(), kubedog: "kubedog".to_owned() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { request: 4, helm: 600, follow: 300, wake: 120, other_helm: 60, removal: 240, restarts: 3 }
    }
}

impl Limits {
    /// Each within its bounds.
    fn check(&self) -> Result<()> {
        for (name, value, least, most) in [
            ("request", self.request, 1, 5),
            ("helm", self.helm, 5, 86_400),
            ("follow", self.follow, 0, 86_400),
            ("wake", self.wake, 0, 86_400),
            ("other_helm", self.other_helm, 0, 86_400),
            ("removal", self.removal, 0, 86_400),
            ("restarts", self.restarts, 1, 1_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Error::misused(format!("limits.{name} is {value}; it must be from {least} to {most}")));
            }
        }
        Ok(())
    }

    pub(crate) fn request(&self) -> Duration {
        Duration::from_secs(self.request)
    }
}

impl Settings {
    /// Reads the file and the variables.
    pub(crate) fn load() -> Result<Self> {
        let named = env::var_os("DM_WRAPPER_SETTINGS").filter(|path| !path.is_empty()).map(PathBuf::from);
        let beside = Path::new(FILE);
        let path = named.or_else(|| beside.is_file().then(|| beside.to_owned()));
        let text = match &path {
            Some(path) => fs::read_to_string(path).map_err(|error| wrong(&path.display().to_string(), &error))?,
            None => String::new(),
        };
        let source = path.as_ref().map_or_else(|| "the settings".to_owned(), |path| path.display().to_string());
        let mut settings = Self::parse(&source, &text, env::vars())?;
        settings.folder = path.and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
        Ok(settings)
    }

    fn parse(source: &str, text: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let mut table: Table = text.parse().map_err(|error| wrong(source, &error))?;
        let mut used = Vec::new();
        for (name, value) in variables {
            let Some(path) = name.strip_prefix(PREFIX).filter(|path| *path != "SETTINGS") else { continue };
            set(&mut table, &path.to_lowercase(), value).ok_or_else(|| {
                Error::misused(format!("{name} names no setting: a part of its name is not a section"))
            })?;
            used.push(name);
        }
        let source = if used.is_empty() { source.to_owned() } else { format!("{source} with {}", used.join(", ")) };
        let settings: Self = Value::Table(table).try_into().map_err(|error| wrong(&source, &error))?;
        settings.limits.check()?;
        Ok(settings)
    }

    /// Where things land in the chart's values.
    pub(crate) fn layout(&self) -> Result<Layout> {
        let prefix = |name: &str, text: &str| {
            values::Path::prefix(text).map_err(|error| Error::misused(format!("values.{name} is \"{text}\": {error}")))
        };
        let paths = |name: &str, texts: &[String]| -> Result<Vec<values::Path>> {
            let parse = |text: &String| {
                values::Path::parse(text)
                    .map_err(|error| Error::misused(format!("values.{name} has \"{text}\": {error}")))
            };
            texts.iter().map(parse).collect()
        };
        let set = &self.values;
        Ok(Layout {
            app: prefix("app", &set.app)?,
            staging: prefix("staging", &set.staging)?,
            tag: paths("tag", &set.tag)?,
            name: paths("name", &set.name)?,
            base_domain: paths("base_domain", &set.base_domain)?,
            namespace: paths("namespace", &set.namespace)?,
            project_name: paths("project_name", &set.project_name)?,
            defaults: set.defaults,
        })
    }

    /// A program: a name stays one, a path is seen from the file of the settings.
    pub(crate) fn program(&self, program: &str) -> String {
        if program.contains('/') { self.path(program).display().to_string() } else { program.to_owned() }
    }

    /// A path of the settings, seen from their file.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }
}

fn wrong(source: &str, error: &dyn std::fmt::Display) -> Error {
    Error::misused(format!("{source}: {error}"))
}

/// Puts the value of a variable where `path` says, `__` between its parts. None if there is something else on the way.
fn set(table: &mut Table, path: &str, value: String) -> Option<()> {
    if let Some((section, rest)) = path.split_once("__") {
        let inner = table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        return set(inner.as_table_mut()?, rest, value);
    }
    table.insert(path.to_owned(), typed(value));
    Some(())
}

/// A number, a boolean, a list or a table where the text is one; never a fraction, which a version may look like.
fn typed(text: String) -> Value {
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    match parsed {
        Some(value @ (Value::Integer(_) | Value::Boolean(_) | Value::Array(_) | Value::Table(_))) => value,
        Some(Value::String(_) | Value::Float(_) | Value::Datetime(_)) | None => Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Settings> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::parse("a.toml", text, variables)
    }

    #[test]
    fn variables_win_over_the_file_and_the_file_over_what_is_usual() {
        let text = "namespace = \"one\"\n[chart]\npath = \"web\"\n[limits]\nhelm = 60\nfollow = 20\n";
        let settings = parse(
            text,
            &[
                ("DM_WRAPPER_LIMITS__HELM", "90"),
                ("DM_WRAPPER_CHART__VERSION", "1.2"),
                ("DM_WRAPPER_VALUES__TAG", "[\"a.tag\", \"b.tag\"]"),
                ("DM_WRAPPER_LINKS__LOGS", "https://logs.example.org/{name}"),
                ("DM_WRAPPER_VALUES__DEFAULTS", "false"),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
        assert_eq!((settings.namespace.as_str(), settings.chart.path.as_str()), ("one", "web"));
        assert_eq!((settings.limits.helm, settings.limits.follow, settings.limits.request), (90, 20, 4));
        assert_eq!(settings.chart.version, "1.2");
        assert_eq!(settings.values.tag, ["a.tag", "b.tag"]);
        assert!(!settings.values.defaults);
        assert_eq!(settings.links["logs"], "https://logs.example.org/{name}");
    }

    #[test]
    fn the_documentation_has_every_setting_with_its_default() {
        let docs = include_str!("../../../docs/kubernetes.md");
        let rows: Vec<&str> = docs.lines().filter(|line| line.starts_with("| `")).collect();
        let defaults = Table::try_from(Settings::default()).unwrap();
        let mut seen = 0;
        for (section, value) in &defaults {
            let inner = value.as_table().filter(|table| !table.is_empty());
            let keys: Vec<(&str, &Value)> = match inner {
                Some(table) => table.iter().map(|(key, value)| (key.as_str(), value)).collect(),
                None => vec![(section.as_str(), value)],
            };
            for (key, default) in keys {
                let row = rows.iter().find(|row| {
                    let name = row.split('|').nth(1).unwrap();
                    let names = name.split_once("] ").filter(|_| inner.is_some()).map_or(name, |(_, names)| names);
                    (inner.is_none() || name.contains(&format!("[{section}]")))
                        && names.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == key)
                });
                let row = row.unwrap_or_else(|| panic!("{section}.{key} is not in the documentation"));
                let said = row.split('|').nth(2).unwrap();
                let is_said =
                    said.trim().is_empty() || said.contains("their names") || said.contains(&default.to_string());
                assert!(is_said, "{section}.{key} is {default} and not {said}");
                seen += 1;
            }
        }
        assert!(seen > 25, "the search finds settings: {seen}");
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (text, variable, word) in [
            ("colour = 1", ("PATH", ""), "colour"),
            ("", ("DM_WRAPPER_COLOUR", "red"), "DM_WRAPPER_COLOUR"),
            ("namespace = \"a\"", ("DM_WRAPPER_NAMESPACE__X", "b"), "DM_WRAPPER_NAMESPACE__X"),
            ("[limits]\nrequest = 0", ("PATH", ""), "limits.request is 0; it must be from 1 to 5"),
            ("[limits]\nhelm = \"long\"", ("PATH", ""), "a.toml"),
        ] {
            let error = parse(text, &[variable]).unwrap_err();
            assert!(matches!(&error, Error::Misused(words) if words.contains(word)), "{error}");
        }
    }
}
