//! Wrappers in one program: the name by which it is called is the verb. A staging is a folder with a page in it.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

const DONE: u8 = 0;
const FAILED: u8 = 1;
const OTHER_TAG: u8 = 3;
const CANNOT_TELL: u8 = 4;
const NOT_UNDERSTOOD: u8 = 64;

type Outcome = Result<u8, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut arguments = env::args();
    let program = arguments.next().unwrap_or_default();
    let verb = program.rsplit('/').next().unwrap_or_default();
    let looks = !matches!(verb, "create" | "update" | "delete" | "cleanup");
    let (told, otherwise) = match Call::read(arguments) {
        Ok(call) => (call.answer(verb), if looks { CANNOT_TELL } else { FAILED }),
        Err(error) => (Err(error), NOT_UNDERSTOOD),
    };
    ExitCode::from(told.unwrap_or_else(|error| {
        eprintln!("{error}");
        report("cause", &error.to_string());
        otherwise
    }))
}

/// What the arguments say.
#[derive(Default)]
struct Call {
    name: String,
    tag: String,
    /// Key and value of each override of the level `app`.
    app: Vec<(String, String)>,
}

impl Call {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut call = Self::default();
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--name" => call.name = value,
                "--tag" => call.tag = value,
                "--app-override" => {
                    // At the first `=`, because a value may hold more of them.
                    let (key, value) = value.split_once('=').ok_or("--app-override is KEY=VALUE")?;
                    call.app.push((key.to_owned(), value.to_owned()));
                }
                "--staging-override" | "--project-name" | "--base-domain" | "--namespace" => {}
                _ => return Err(format!("unknown argument {flag}").into()),
            }
        }
        if call.name.is_empty() { Err("--name is missing".into()) } else { Ok(call) }
    }

    fn answer(&self, verb: &str) -> Outcome {
        match verb {
            "create" | "update" => self.write_page(),
            "delete" => gone(fs::remove_file(self.page()?)),
            "cleanup" => gone(fs::remove_dir_all(self.folder()?)),
            "check" => self.check(),
            "archive_check" => Ok(if self.page()?.try_exists()? { FAILED } else { DONE }),
            "config_check" => Ok(self.config_check()),
            "info" => {
                println!("page,file://{}", self.page()?.display());
                Ok(DONE)
            }
            _ => Err(format!("there is no verb {verb}").into()),
        }
    }

    /// The page appears all at once, by its new name: whoever is killed before has changed nothing.
    fn write_page(&self) -> Outcome {
        report("step", &format!("writing the page of {}", self.name));
        println!("writing the page of {} with tag {}", self.name, self.tag);
        let values: Value = serde_json::from_slice(&fs::read(env::var("DM_APP_VALUES")?)?)?;
        let page = self.page()?;
        let new = page.with_extension("new");
        fs::create_dir_all(self.folder()?)?;
        fs::write(&new, json!({"tag": self.tag, "values": values}).to_string())?;
        fs::rename(&new, &page)?;
        Ok(DONE)
    }

    fn check(&self) -> Outcome {
        let page = match fs::read(self.page()?) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(FAILED),
            page => serde_json::from_slice::<Value>(&page?)?,
        };
        Ok(if page["tag"] == self.tag { DONE } else { OTHER_TAG })
    }

    fn config_check(&self) -> u8 {
        let too_long = self.app.iter().find(|(key, value)| key == "greeting" && value.len() > 100);
        if too_long.is_some() {
            println!("app greeting: more than 100 bytes do not fit on the page");
        }
        if too_long.is_some() { FAILED } else { DONE }
    }

    /// Below a folder that the operator of `dms` chooses, else in the home of this DM.
    fn folder(&self) -> Result<PathBuf, Box<dyn Error>> {
        let pages = match env::var_os("DM_WRAPPER_PAGES") {
            Some(pages) => PathBuf::from(pages),
            None => Path::new(&env::var("DM_HOME")?).join("pages"),
        };
        Ok(pages.join(&self.name))
    }

    fn page(&self) -> Result<PathBuf, Box<dyn Error>> {
        Ok(self.folder()?.join("page.json"))
    }
}

/// What is not there needs no removal, so that twice is once.
fn gone(removed: std::io::Result<()>) -> Outcome {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(DONE),
    }
}

/// Tells people by way of `dms`, which hands over a file for that. By hand there is none, and nothing to tell.
fn report(what: &str, text: &str) {
    let file = env::var_os("DM_REPORT").and_then(|path| File::options().append(true).open(path).ok());
    if let Some(mut file) = file {
        let _ = writeln!(file, "{}", json!({what: text}));
    }
}
