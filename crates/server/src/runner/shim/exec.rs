//! The step between the shim and the wrapper: asks the kernel to kill this process with its shim, then becomes the
//! wrapper.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getppid, setsid};

use crate::runner::regular;

/// Tells this step from the shim itself.
pub(super) const FLAG: &str = "--exec";

/// `PARENT WRAPPER [ARG...]`. Standard input is where a failure is told; the wrapper gets an empty one.
pub(super) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // Taken first, because standard input may be replaced by the time of a failure.
    let report = io::stdin().as_fd().try_clone_to_owned();
    let Err(error) = become_wrapper(arguments);
    if let Ok(report) = report {
        // Without a reader there is nobody to whom the failure matters.
        let _ = write!(File::from(report), "{error}");
    }
    ExitCode::FAILURE
}

fn become_wrapper(mut arguments: impl Iterator<Item = OsString>) -> io::Result<Infallible> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let parent = arguments.next().and_then(|text| text.to_str()?.parse().ok());
    // A shim that died before the call above was made sends no signal for it.
    if parent != Some(getppid().as_raw()) {
        return Err(io::Error::other("its shim is gone"));
    }
    // In a session of its own, so that a wrapper that signals its whole group does not hit its shim.
    setsid()?;
    // The shim has signals blocked, and a program inherits that.
    SigSet::empty().thread_set_mask()?;
    let Some(program) = arguments.next() else { return Err(io::Error::other("no program was named")) };
    refuse_text(Path::new(&program))?;
    Err(Command::new(program).args(arguments).stdin(Stdio::null()).exec())
}

/// What the kernel cannot execute the C library hands to a shell, in which an empty file succeeds.
fn refuse_text(program: &Path) -> io::Result<()> {
    let mut start = [0; 4];
    // What cannot be read may still be executed; what is too short is refused for what it is.
    let Ok(mut file) = regular::open(program) else { return Ok(()) };
    let _ = file.read_exact(&mut start);
    if start.starts_with(b"#!") || start == *b"\x7fELF" {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "neither a program nor a script that names its interpreter"))
    }
}
