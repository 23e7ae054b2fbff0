//! The chart: where it is on this machine, and what it says of its values.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::arguments;
use crate::error::{Error, Result};
use crate::settings::{self, Settings};
use crate::staging::Staging;
use crate::tools::helm::Helm;
use crate::values::{self, Json};
use crate::yaml;

/// What fetching a chart may take a verb that looks: it has 20 s in all. A run may take longer, and once is enough.
pub(crate) const LOOKING: Duration = Duration::from_secs(15);

/// A chart on this machine.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) folder: PathBuf,
    pub(crate) facts: values::Chart,
}

impl Chart {
    /// The values for a staging, or why they cannot be, in sentences.
    pub(crate) fn values(&self, staging: &Staging) -> Result<std::result::Result<Json, Vec<String>>> {
        let given = &staging.given;
        let given = values::Given {
            tag: given.tag.clone(),
            name: given.name.clone(),
            base_domain: given.base_domain.clone(),
            namespace: staging.namespace().to_owned(),
            project_name: given.project_name.clone(),
            app: arguments::values("DM_APP_VALUES")?,
            staging: arguments::values("DM_STAGING_VALUES")?,
            app_overrides: given.app_overrides.clone(),
            staging_overrides: given.staging_overrides.clone(),
        };
        let layout = staging.settings.layout()?;
        let composed = values::compose(&self.facts, &layout, &given);
        Ok(composed.map_err(|refusals| refusals.into_iter().map(|refusal| refusal.to_string()).collect()))
    }

    /// Groups and kinds that come with it, which helm makes before all else.
    pub(crate) fn defined(&self) -> Result<Vec<(String, String)>> {
        let Ok(entries) = fs::read_dir(self.folder.join("crds")) else { return Ok(Vec::new()) };
        let mut defined = Vec::new();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()) {
            let Some(text) = text(&path)? else { continue };
            for definition in
                yaml::documents(&text).map_err(|error| Error::failed(format!("{}: {error}", path.display())))?
            {
                let part = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
                defined.extend(part("/spec/group").zip(part("/spec/names/kind")));
            }
        }
        Ok(defined)
    }
}

/// The chart of the settings, fetched if it has to be.
pub(crate) fn find(settings: &Settings, helm: &Helm, time: Duration) -> Result<Chart> {
    let wanted = &settings.chart;
    let folder = match (wanted.path.as_str(), wanted.oci.as_str(), wanted.repository.as_str()) {
        ("", "", "") => {
            return Err(Error::misused("no chart: set chart.path, chart.oci, or chart.repository and chart.name"));
        }
        (path, "", "") => settings.path(path),
        ("", oci, "") => {
            let plain: &[&str] = if wanted.plain_http { &["--plain-http"] } else { &[] };
            fetched(settings, helm, &[&[oci], plain].concat(), time)?
        }
        ("", "", repository) if !wanted.name.is_empty() => {
            fetched(settings, helm, &[&wanted.name, "--repo", repository], time)?
        }
        ("", "", _) => return Err(Error::misused("chart.repository needs chart.name")),
        _ => return Err(Error::misused("set one of chart.path, chart.oci and chart.repository, not several")),
    };
    if !folder.join("Chart.yaml").is_file() {
        return Err(Error::misused(format!("chart.path: {} holds no Chart.yaml", folder.display())));
    }
    let facts = values::Chart {
        defaults: yaml(&folder.join("values.yaml"))?.unwrap_or(Json::Null),
        extra: extra(settings)?,
        schema: json(&folder.join("values.schema.json"))?,
    };
    let faults = values::faults(&facts, &settings.layout()?);
    if faults.is_empty() { Ok(Chart { folder, facts }) } else { Err(Error::misused(faults.join("; "))) }
}

/// The operator's values: the files in turn, the later over the earlier.
fn extra(settings: &Settings) -> Result<Json> {
    let mut merged = Json::Null;
    for file in &settings.values.files {
        let path = settings.path(file);
        let absent = || Error::misused(format!("values.files: {} is not there", path.display()));
        merge(&mut merged, yaml(&path)?.ok_or_else(absent)?);
    }
    Ok(merged)
}

/// A null stays: it is what removes a value of the chart.
fn merge(below: &mut Json, above: Json) {
    match (below, above) {
        (Json::Map(below), Json::Map(above)) => {
            for (key, value) in above {
                merge(below.entry(key).or_insert(Json::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

/// An exact version never changes, so it is kept below `DM_HOME` under its source and version.
fn fetched(settings: &Settings, helm: &Helm, source: &[&str], time: Duration) -> Result<PathBuf> {
    let version = settings.chart.version.as_str();
    let is_exact = version.chars().next().is_some_and(|first| first.is_ascii_digit() || first == 'v')
        && version.split('.').count() >= 3
        && version.chars().all(|character| character.is_ascii_alphanumeric() || ".-+".contains(character));
    if !is_exact {
        return Err(Error::misused(format!(
            "chart.version is \"{version}\"; a chart from elsewhere needs an exact version, such as 1.4.0"
        )));
    }
    let home = std::env::var_os("DM_HOME").map_or_else(std::env::temp_dir, PathBuf::from).join("charts");
    // No two sources have one name.
    let name = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let kept = home.join(format!("{}+{}", name(&source.join(" ")), name(version)));
    if let Some(chart) = only_folder(&kept) {
        return Ok(chart);
    }
    let unwritten =
        |error: std::io::Error| Error::failed(format!("the chart cannot be kept in {}: {error}", home.display()));
    fs::create_dir_all(&home).map_err(unwritten)?;
    let fresh = tempfile::tempdir_in(&home).map_err(unwritten)?;
    let arguments = [source, &["--version", version]].concat();
    let target = fresh.path().join("chart");
    fs::create_dir(&target).map_err(unwritten)?;
    helm.pull(&arguments, &target, time).map_err(|error| unfetched(&settings.chart, &error))?;
    let _nothing_to_remove = fs::remove_dir_all(target.join("cache"));
    // Somebody else may have been faster, with the same chart.
    let _taken = fs::rename(&target, &kept);
    only_folder(&kept).ok_or_else(|| Error::failed("helm pull left no folder with a chart"))
}

/// Why helm has not fetched it, in words for whoever wrote the settings.
fn unfetched(chart: &settings::Chart, error: &Error) -> Error {
    let said = error.to_string();
    let version = &chart.version;
    let (place, absent) = if chart.oci.is_empty() {
        (&chart.repository, format!("{} has no chart {} of version {version}", chart.repository, chart.name))
    } else {
        (&chart.oci, format!("{} has no version {version}, or there is no such chart", chart.oci))
    };
    if said.contains("not found") {
        return Error::failed(absent);
    }
    let reason = said.rsplit(": ").next().unwrap_or(&said);
    match error {
        Error::CannotTell(_) => Error::cannot_tell(format!("{place} cannot be reached: {reason}")),
        Error::Failed(_) | Error::Misused(_) => {
            error.clone().during(&format!("the chart cannot be fetched from {place}"))
        }
    }
}

fn only_folder(parent: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(parent).ok()?;
    entries.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.join("Chart.yaml").is_file())
}

fn text(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::failed(format!("{} cannot be read: {error}", path.display()))),
    }
}

fn yaml(path: &Path) -> Result<Option<Json>> {
    let Some(text) = text(path)? else { return Ok(None) };
    let wrong = |error: &dyn std::fmt::Display| Error::failed(format!("{} is no YAML: {error}", path.display()));
    let documents = yaml::documents(&text).map_err(|error| wrong(&error))?;
    let first = documents.into_iter().next().unwrap_or(Value::Null);
    Json::parse(&first.to_string()).map(Some).map_err(|error| wrong(&error))
}

fn json(path: &Path) -> Result<Option<Value>> {
    let Some(text) = text(path)? else { return Ok(None) };
    let value = serde_json::from_str(&text);
    value.map(Some).map_err(|error| Error::failed(format!("{} is no JSON: {error}", path.display())))
}
