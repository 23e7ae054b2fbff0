//! Where `dms` is and by which files to speak to it: flags, then `DM_*`, then the context in use, then
//! `DM_HOME/dmc.toml`, each setting on its own. Reads names and files; opens no connection.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::args::ConnectionArgs;
use crate::contexts::Contexts;
use crate::exit::{Error, Exit};

/// Everything a connection needs.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where `dms` listens for `dmc`.
    pub(crate) url: Url,
    /// The certificate and its key; none: `dms` will say that it wants one.
    pub(crate) identity: Option<Identity>,
    /// The authority that `dms` must be of.
    pub(crate) ca: PathBuf,
}

/// The files of a client certificate.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The certificate and what leads from it to its authority.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
}

/// What `dms serve` writes into its home, and what a context is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SettingsFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
}

/// A setting, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Chosen {
    /// What it is called on the command line, without the dashes.
    pub(crate) setting: &'static str,
    /// What it is; none: nobody has said it.
    pub(crate) value: Option<String>,
    /// Who says so: a flag, a variable, a context, a file.
    pub(crate) source: String,
}

/// All settings of a connection, as they were found.
#[derive(Debug)]
pub(crate) struct Choices {
    /// Which context is in use.
    pub(crate) context: Chosen,
    /// Where `dms` is.
    pub(crate) url: Chosen,
    /// The certificate.
    pub(crate) cert: Chosen,
    /// Its key.
    pub(crate) key: Chosen,
    /// The authority.
    pub(crate) ca: Chosen,
    /// The file in the home, whether or not it is there.
    home_file: PathBuf,
    has_home_file: bool,
}

impl Choices {
    /// Finds each setting. Flags and `DM_*` have met in `args` already.
    pub(crate) fn find(args: &ConnectionArgs) -> Result<Self, Error> {
        let home_file = home(&|name| std::env::var_os(name).map(PathBuf::from), is_root()).join("dmc.toml");
        let of_home = SettingsFile::read(&home_file)?;
        let has_home_file = of_home.is_some();
        let (context, of_context) = Contexts::chosen(given(args.context.clone()).as_deref())?;
        let named = context.value.as_ref().map_or_else(String::new, |name| format!("context {name}"));
        let choose = |setting, variable: &str, own: Option<String>, context: Option<String>, home: Option<String>| {
            let said_by = |value: &str| {
                let is_variable = std::env::var(variable).is_ok_and(|variable| variable == value);
                if is_variable { variable.to_owned() } else { format!("--{setting}") }
            };
            let own = given(own).map(|value| (said_by(&value), value));
            let context = context.map(|value| (named.clone(), value));
            let home = home.map(|value| (home_file.display().to_string(), value));
            let (source, value) = own.or(context).or(home).unzip();
            Chosen { setting, value, source: source.unwrap_or_default() }
        };
        let text = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
        let (of_context, of_home) = (of_context.unwrap_or_default(), of_home.unwrap_or_default());
        Ok(Self {
            url: choose("url", "DM_URL", args.url.clone(), of_context.url, of_home.url),
            cert: choose("cert", "DM_CERT", text(args.cert.clone()), text(of_context.cert), text(of_home.cert)),
            key: choose("key", "DM_KEY", text(args.key.clone()), text(of_context.key), text(of_home.key)),
            ca: choose("ca", "DM_CA", text(args.ca.clone()), text(of_context.ca), text(of_home.ca)),
            context,
            home_file,
            has_home_file,
        })
    }

    fn missing(&self, what: &str) -> Error {
        if self.has_home_file {
            settings(format!("{} has no '{what}'", self.home_file.display()), "it is needed", Exit::Unreachable)
        } else {
            Error::NotConfigured { home_file: self.home_file.clone() }
        }
    }
}

impl Settings {
    /// Everything that a connection needs, or what is missing.
    pub(crate) fn find(args: &ConnectionArgs) -> Result<Self, Error> {
        let choices = Choices::find(args)?;
        let url = choices.url.value.as_deref().ok_or_else(|| choices.missing("url"))?;
        let ca = choices.ca.value.as_ref().ok_or_else(|| choices.missing("ca"))?;
        let identity = match (&choices.cert.value, &choices.key.value) {
            (Some(cert), Some(key)) => Some(Identity { cert: cert.into(), key: key.into() }),
            (None, None) => None,
            (Some(cert), None) => return Err(half(Path::new(cert), "certificate", "key (--key, DM_KEY)")),
            (None, Some(key)) => return Err(half(Path::new(key), "key", "certificate (--cert, DM_CERT)")),
        };
        Ok(Self { url: parse_url(url)?, identity, ca: ca.into() })
    }
}

impl SettingsFile {
    /// Reads the file if there is one. Its paths may be relative to the folder it stands in.
    fn read(path: &Path) -> Result<Option<Self>, Error> {
        let fault = |cause: String| settings(path.display().to_string(), &cause, Exit::Unreachable);
        let content = match std::fs::read_to_string(path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(error.to_string())),
        };
        let mut file: Self =
            toml::from_str(&content).map_err(|error| fault(error.to_string().trim_end().to_owned()))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        for path in [&mut file.cert, &mut file.key, &mut file.ca].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        Ok(Some(file))
    }
}

/// `DM_HOME`, else the state folder of this user.
fn home(variable: &dyn Fn(&str) -> Option<PathBuf>, root: bool) -> PathBuf {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    if let Some(home) = set("DM_HOME") {
        return home;
    }
    if root {
        return PathBuf::from("/var/lib/dm");
    }
    match (set("XDG_STATE_HOME").filter(|path| path.is_absolute()), set("HOME")) {
        (Some(state), _) => state.join("dm"),
        (None, home) => home.unwrap_or_else(|| PathBuf::from("/")).join(".local/state/dm"),
    }
}

/// Linux shows whose this process is; elsewhere there is no `dms`, and so no home of root to find.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// An empty value is no value: so scripts can clear a variable.
fn given<T: AsRef<std::ffi::OsStr>>(value: Option<T>) -> Option<T> {
    value.filter(|value| !value.as_ref().is_empty())
}

pub(crate) fn parse_url(text: &str) -> Result<Url, Error> {
    let fault = |cause: &str| settings(format!("'{text}' is not the address of a dms"), cause, Exit::Usage);
    let url = Url::parse(text).map_err(|error| fault(&error.to_string()))?;
    if url.scheme() != "https" {
        return Err(fault("dmc speaks https only, https://HOST:PORT"));
    }
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if url.host_str().is_none() || !bare {
        return Err(fault("it is to be https://HOST:PORT and nothing more"));
    }
    Ok(url)
}

fn half(path: &Path, have: &str, miss: &str) -> Error {
    settings(path.display().to_string(), &format!("this {have} is given without its {miss}"), Exit::NotAllowed)
}

pub(crate) fn settings(what: String, cause: &str, exit: Exit) -> Error {
    Error::Settings { what, cause: cause.to_owned(), exit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home_with(variables: &[(&str, &str)], root: bool) -> PathBuf {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| PathBuf::from(value));
        home(&find, root)
    }

    #[test]
    fn the_home_is_where_dms_puts_it() {
        assert_eq!(home_with(&[("DM_HOME", "/h"), ("HOME", "/home/anna")], true), Path::new("/h"));
        assert_eq!(home_with(&[("HOME", "/root")], true), Path::new("/var/lib/dm"));
        assert_eq!(home_with(&[("XDG_STATE_HOME", "/s"), ("HOME", "/home/anna")], false), Path::new("/s/dm"));
        assert_eq!(
            home_with(&[("DM_HOME", ""), ("HOME", "/home/anna")], false),
            Path::new("/home/anna/.local/state/dm")
        );
    }

    #[test]
    fn paths_of_the_file_are_relative_to_it_unless_absolute() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dmc.toml");
        std::fs::write(&path, "url = 'https://127.0.0.1:1'\ncert = 'certs/a.pem'\nca = '/etc/ca.pem'\nlater = 1\n")
            .unwrap();
        let file = SettingsFile::read(&path).unwrap().unwrap();
        assert_eq!(file.cert, Some(folder.path().join("certs/a.pem")));
        assert_eq!(file.ca, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(file.key, None);
    }

    #[test]
    fn no_file_is_no_error_but_a_broken_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dmc.toml");
        assert!(SettingsFile::read(&path).unwrap().is_none());
        std::fs::write(&path, "url = ").unwrap();
        assert_eq!(SettingsFile::read(&path).unwrap_err().exit().code(), 5);
    }

    #[test]
    fn an_address_is_https_a_host_and_a_port() {
        assert!(parse_url("https://127.0.0.1:8443").is_ok());
        assert!(parse_url("https://[::1]:8443/").is_ok());
        for text in
            ["", "127.0.0.1:8443", "http://there:1", "https://there/api", "https://me@there:1", "https://there?x"]
        {
            assert_eq!(parse_url(text).unwrap_err().exit().code(), 2, "{text:?}");
        }
    }
}
