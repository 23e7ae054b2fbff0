//! How `dmc` ends: the exit codes that scripts look at, and every error with its code and its hint.
//!
//! Codes are for ever. An error is a designed sentence: it says what happened to what; its hint says what to do next.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dm_api::Problem;

const OTHER_CERTIFICATE: &str =
    "give a certificate of this dms by --cert and --key, DM_CERT and DM_KEY, or the dmc.toml that it wrote";

/// The exit codes, as `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or already so.
    Done,
    /// The run ended otherwise than asked for.
    Failed,
    /// The command line is wrong.
    Usage,
    /// `dms` refused the request.
    Rejected,
    /// Not signed in, or not allowed.
    NotAllowed,
    /// `dms` cannot be reached, or cannot be trusted.
    Unreachable,
    /// `--timeout` has passed.
    TimedOut,
    /// There is no such thing.
    NotFound,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Rejected => 3,
            Self::NotAllowed => 4,
            Self::Unreachable => 5,
            Self::TimedOut => 6,
            Self::NotFound => 7,
            Self::Interrupted => 130,
        }
    }

    /// What several names end with together: the first that did not go well.
    pub(crate) fn and(self, next: Self) -> Self {
        if self == Self::Done { next } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Everything that can end a command early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line asks for something that cannot be.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Nothing says where `dms` is.
    #[error("no dms is known here: there is no {}", home_file.display())]
    NotConfigured {
        /// Where it was looked for.
        home_file: PathBuf,
    },
    /// A setting of the connection cannot be used.
    #[error("{what}: {cause}")]
    Settings {
        /// Which setting, and where it comes from.
        what: String,
        /// What is wrong with it.
        cause: String,
        /// The code: credentials are not the same kind of trouble as an address.
        exit: Exit,
    },
    /// No answer.
    #[error("cannot reach dms at {url}: {cause}")]
    Unreachable {
        /// Where it was tried.
        url: String,
        /// Why not, in words.
        cause: String,
        /// Whether nobody listens there at all.
        refused: bool,
    },
    /// Somebody answers who is not our `dms`.
    #[error("the server at {url} is not the dms that this dmc belongs to: {cause}")]
    Untrusted {
        /// Where it is.
        url: String,
        /// What is wrong with its certificate.
        cause: String,
    },
    /// `dms` ended the connection because of our certificate.
    #[error("dms at {url} does not accept this client: {cause}")]
    CertificateRefused {
        /// Where it is.
        url: String,
        /// What it has against the certificate.
        cause: String,
    },
    /// `dms` refused, and says why.
    #[error("{}", problem.detail)]
    Problem {
        /// The document.
        problem: Box<Problem>,
        /// Each violation in the words of the command line.
        violations: Vec<String>,
        /// When asking again may help, if `dms` says so.
        retry_after: Option<Duration>,
    },
    /// An answer that makes no sense.
    #[error("dms at {url} gave an answer that dmc does not understand: {cause}")]
    Unexpected {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// `--timeout` has passed.
    #[error("{message}")]
    TimedOut {
        /// What was not done by then.
        message: String,
    },
    /// Ctrl-C, before what was asked for was sent.
    #[error("{message}")]
    Interrupted {
        /// What was not done.
        message: String,
    },
    /// What was asked for is not there, says `dmc` itself.
    #[error("{message}")]
    NotFound {
        /// What is missing.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Whoever read our stdout has what they wanted, and has gone.
    #[error("nobody reads any more")]
    ReaderGone,
    /// This machine does not play along.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        source: io::Error,
    },
}

impl Error {
    /// A wrong command line, with nothing to add.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// The exit code of this error.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::NotConfigured { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Unexpected { .. } => Exit::Unreachable,
            Self::Settings { exit, .. } => *exit,
            Self::CertificateRefused { .. } => Exit::NotAllowed,
            Self::Problem { problem, .. } => exit_of_status(problem.status),
            Self::NotFound { .. } => Exit::NotFound,
            Self::TimedOut { .. } => Exit::TimedOut,
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::ReaderGone => Exit::Done,
            Self::System { .. } => Exit::Failed,
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } | Self::NotFound { hint, .. } => hint.clone(),
            Self::NotConfigured { .. } => Some(
                "is dms running? `dms serve` starts one here; for another one give --url, --cert, --key and --ca, or \
                 set DM_URL, DM_CERT, DM_KEY and DM_CA"
                    .to_owned(),
            ),
            Self::Unreachable { refused: true, .. } => Some("is dms running? `dms serve` starts one here".to_owned()),
            Self::Unreachable { refused: false, .. } => {
                Some("look at the address (--url, DM_URL, dmc.toml) and at the network".to_owned())
            }
            Self::Untrusted { .. } => Some(
                "look at --url, and give the authority of that dms by --ca, DM_CA, or the dmc.toml that it wrote"
                    .to_owned(),
            ),
            Self::CertificateRefused { .. } => Some(OTHER_CERTIFICATE.to_owned()),
            Self::Problem { problem, .. } => {
                let about_us = matches!(problem.status, 401 | 403);
                problem.hint.clone().or_else(|| about_us.then(|| OTHER_CERTIFICATE.to_owned()))
            }
            Self::Settings { .. }
            | Self::TimedOut { .. }
            | Self::Interrupted { .. }
            | Self::Unexpected { .. }
            | Self::ReaderGone
            | Self::System { .. } => None,
        }
    }
}

/// The exit code of an answer that is no success.
fn exit_of_status(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::NotAllowed,
        404 => Exit::NotFound,
        408 | 429 | 500.. => Exit::Unreachable,
        _ => Exit::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_the_server_has_a_code_that_a_script_can_act_on() {
        let code = |status| exit_of_status(status).code();
        assert_eq!([400, 409, 413, 422].map(code), [3; 4]);
        assert_eq!([401, 403].map(code), [4; 2]);
        assert_eq!([408, 429, 500, 503].map(code), [5; 4]);
        assert_eq!(code(404), 7);
    }

    #[test]
    fn several_names_end_with_the_first_that_did_not_go_well() {
        assert_eq!(Exit::Done.and(Exit::Failed).and(Exit::Rejected), Exit::Failed);
        assert_eq!(Exit::Done.and(Exit::Done), Exit::Done);
    }
}
