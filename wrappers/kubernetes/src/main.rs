//! The wrappers for Kubernetes in one program: the name by which it is called is the verb.
//!
//! It calls helm, kubectl and kubedog and knows DM only by the contract with wrappers.

use std::path::Path;
use std::process::ExitCode;

mod arguments;
mod cluster;
mod error;
mod refusals;
mod registry;
mod say;
mod settings;
mod staging;
mod tools;
mod values;
mod verbs;
mod wait;
mod yaml;

use arguments::Arguments;
use error::{Error, Result};
use staging::Staging;
use tools::stop;
use verbs::check::Verdict;
use verbs::{apply, archive, archive_check, check, cleanup, config_check, defaults, info, tags};

/// What the codes of the contract mean.
mod code {
    pub(crate) const DONE: u8 = 0;
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const PARTLY_AVAILABLE: u8 = 2;
    pub(crate) const OTHER_TAG: u8 = 3;
    pub(crate) const CANNOT_TELL: u8 = 4;
    /// Called or set up wrongly; of no other meaning in any verb.
    pub(crate) const MISUSED: u8 = 64;
}

fn main() -> ExitCode {
    stop::listen();
    let mut arguments = std::env::args();
    let called = arguments.next().unwrap_or_default();
    let verb = Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let arguments: Vec<String> = arguments.collect();
    ExitCode::from(match verb.as_str() {
        "create" | "update" | "restore" => changed(staging(arguments).and_then(|staging| apply::apply(&staging))),
        "delete" => changed(staging(arguments).and_then(|staging| archive::delete(&staging))),
        "cleanup" => changed(staging(arguments).and_then(|staging| cleanup::cleanup(&staging))),
        "check" => looked(staging(arguments).and_then(|staging| check::check(&staging)).map(verdict)),
        "archive_check" => looked(staging(arguments).and_then(|staging| archived(&staging))),
        "config_check" => looked(staging(arguments).and_then(|staging| allowed(&staging))),
        "info" => changed(staging(arguments).and_then(|staging| print(info::links(&staging)?))),
        "defaults" => changed(staging(arguments).and_then(|staging| print(defaults::defaults(&staging)?))),
        "tags" => changed(tags::tags(&arguments).and_then(print)),
        _ => {
            say::cause(&format!(
                "{verb} is no verb; call this program by the name of one, such as create, through a link"
            ));
            code::MISUSED
        }
    })
}

fn staging(arguments: Vec<String>) -> Result<Staging> {
    Staging::new(Arguments::parse(arguments)?)
}

/// The end of a verb that does something or prints something: it is done, or it failed.
fn changed(result: Result<()>) -> u8 {
    match result {
        Ok(()) => code::DONE,
        Err(error) => {
            say::cause(&error.to_string());
            match error {
                Error::Failed(_) | Error::CannotTell(_) => code::FAILED,
                Error::Misused(_) => code::MISUSED,
            }
        }
    }
}

/// The end of a verb that looks: what it has found, or that it cannot tell.
fn looked(result: Result<(u8, Option<String>)>) -> u8 {
    match result {
        Ok((code, words)) => {
            if let Some(words) = words {
                if code == code::DONE { say::line(&words) } else { say::cause(&words) }
            }
            code
        }
        Err(error) => {
            say::cause(&error.to_string());
            match error {
                Error::Failed(_) | Error::CannotTell(_) => code::CANNOT_TELL,
                Error::Misused(_) => code::MISUSED,
            }
        }
    }
}

fn verdict(verdict: Verdict) -> (u8, Option<String>) {
    let (code, words) = match verdict {
        Verdict::Running(words) => (code::DONE, words),
        Verdict::Failing(words) => (code::FAILED, words),
        Verdict::PartlyAvailable(words) => (code::PARTLY_AVAILABLE, words),
        Verdict::OtherTag(words) => (code::OTHER_TAG, words),
    };
    (code, Some(words))
}

fn archived(staging: &Staging) -> Result<(u8, Option<String>)> {
    let left = archive_check::archive_check(staging)?;
    Ok((if left.is_none() { code::DONE } else { code::FAILED }, left))
}

/// Its refusals are an answer, so they stand on the standard output.
fn allowed(staging: &Staging) -> Result<(u8, Option<String>)> {
    let refusals = config_check::config_check(staging)?;
    for refusal in &refusals {
        say::line(refusal);
    }
    Ok((if refusals.is_empty() { code::DONE } else { code::FAILED }, None))
}

/// Lines of CSV on the standard output.
fn print<R: serde::Serialize>(lines: impl IntoIterator<Item = R>) -> Result<()> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(std::io::stdout().lock());
    let unwritten = |error: &dyn std::fmt::Display| Error::failed(format!("the answer cannot be written: {error}"));
    for line in lines {
        writer.serialize(line).map_err(|error| unwritten(&error))?;
    }
    writer.flush().map_err(|error| unwritten(&error))
}
