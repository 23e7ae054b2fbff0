//! Contexts: several `dms` under names of their own, in `$XDG_CONFIG_HOME/dm/contexts.toml`. Reads and writes that file;
//! opens no connection.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::exit::{Error, Exit};
use crate::settings::{Chosen, SettingsFile, settings};

/// The most bytes that the file may have.
const BYTES_MAX: u64 = 1024 * 1024;

/// All contexts, and which one is in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one in use, where neither --context nor `DM_CONTEXT` says another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// By name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, SettingsFile>,
}

impl Contexts {
    /// Reads the file; none is no context.
    pub(crate) fn read() -> Result<Self, Error> {
        let path = path();
        let fault = |cause: &str| settings(path.display().to_string(), cause, Exit::Usage);
        let content = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > BYTES_MAX => return Err(fault("it is too large for a file of contexts")),
            Ok(_) => std::fs::read_to_string(&path).map_err(|error| fault(&error.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(fault(&error.to_string())),
        };
        toml::from_str(&content).map_err(|error| fault(error.to_string().trim_end()))
    }

    /// Writes the file, whole or not at all, for its owner alone.
    pub(crate) fn write(&self) -> Result<(), Error> {
        let path = path();
        let write = || -> io::Result<()> {
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            // Only its owner may read a temporary file.
            let mut file = NamedTempFile::new_in(folder)?;
            file.write_all(toml::to_string(self).map_err(io::Error::other)?.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| Error::System { what: "cannot write the file of contexts", source })
    }

    /// The one of this name.
    pub(crate) fn named(&self, name: &str) -> Result<&SettingsFile, Error> {
        self.contexts.get(name).ok_or_else(|| Error::Usage {
            message: format!("there is no context {name}"),
            hint: Some("`dmc context list` shows them, `dmc context add` makes one".to_owned()),
        })
    }

    /// The one to use: `wanted`, else the current one; and who says so.
    pub(crate) fn chosen(wanted: Option<&str>) -> Result<(Chosen, Option<SettingsFile>), Error> {
        let contexts = Self::read()?;
        let source = match (wanted, &contexts.current) {
            (Some(name), _) if std::env::var("DM_CONTEXT").is_ok_and(|variable| variable == name) => {
                "DM_CONTEXT".to_owned()
            }
            (Some(_), _) => "--context".to_owned(),
            (None, Some(_)) => path().display().to_string(),
            (None, None) => String::new(),
        };
        let value = wanted.map(str::to_owned).or_else(|| contexts.current.clone());
        let file = value.as_deref().map(|name| contexts.named(name).cloned()).transpose()?;
        Ok((Chosen { setting: "context", value, source }, file))
    }
}

/// A name that can stand anywhere: letters, digits, `.`, `_` and `-`, at most 64.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a context has 1 to 64 of the characters A-Z a-z 0-9 . _ -".to_owned())
    }
}

/// `DM_CONTEXTS`, else the file in the folder of this user's settings.
pub(crate) fn path() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    set("DM_CONTEXTS").unwrap_or_else(|| {
        let config = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let config = config.or_else(|| set("HOME").map(|home| home.join(".config")));
        config.unwrap_or_else(|| PathBuf::from("/")).join("dm/contexts.toml")
    })
}
