//! The step between the shim and the wrapper: asks the kernel to kill this process with its shim, then becomes the
//! wrapper.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{AccessFlags, access, dup2_stdin, execve, getppid, setsid};
use tokio::signal::unix::{SignalKind, signal};

use crate::runner::regular;

/// Tells this step from the shim itself.
pub(super) const FLAG: &str = "--exec";

/// What the kernel is told about memory: its killer takes the wrapper rather than `dms`.
const OOM_SCORE: &str = "/proc/self/oom_score_adj";
/// By how much a wrapper goes before its `dms`, and what the kernel takes at most.
const OOM_RAISE: i32 = 500;
const OOM_MAX: i32 = 1_000;
/// Bytes of the name of an interpreter that are looked at, as the kernel does.
const INTERPRETER_MAX: u64 = 256;

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
    go_first_when_memory_is_short();
    reset_sigpipe()?;
    // The shim has signals blocked, and a program inherits that.
    SigSet::empty().thread_set_mask()?;
    let Some(program) = arguments.next() else { return Err(io::Error::other("no program was named")) };
    refuse_text(Path::new(&program))?;
    let variables = std::env::vars_os().map(|(mut variable, value)| {
        variable.push("=");
        variable.push(value);
        variable
    });
    let environment = c_strings(variables)?;
    let argv = c_strings(std::iter::once(program.clone()).chain(arguments))?;
    dup2_stdin(File::open("/dev/null")?)?;
    // Not by way of the C library, which hands what the kernel cannot execute to a shell.
    let Err(error) = execve(&argv[0], &argv, &environment);
    Err(explain(Path::new(&program), error))
}

fn c_strings(texts: impl Iterator<Item = OsString>) -> io::Result<Vec<CString>> {
    texts.map(|text| CString::new(text.into_vec()).map_err(io::Error::other)).collect()
}

/// Everybody may raise this of themselves. Where it cannot be, the kernel chooses by size, as it would have.
fn go_first_when_memory_is_short() {
    let own = fs::read_to_string(OOM_SCORE).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0_i32);
    let _ = fs::write(OOM_SCORE, (own + OOM_RAISE).min(OOM_MAX).to_string());
}

/// Rust ignores SIGPIPE, and a program inherits that; what has a handler is as at first in a program.
fn reset_sigpipe() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    signal(SignalKind::pipe()).map(drop)
}

/// A script says by what it is to be read.
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

/// Why a program cannot be executed, where the kernel's word for it misleads.
fn explain(program: &Path, error: Errno) -> io::Error {
    let what = match (error, fs::metadata(program)) {
        (_, Ok(metadata)) if !metadata.is_file() => "it is not a file".to_owned(),
        (Errno::EACCES, Ok(_)) if access(program, AccessFlags::X_OK).is_err() => "it is not executable".to_owned(),
        (Errno::ENOEXEC, _) => "it is no program for this machine, or broken".to_owned(),
        (Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES, Ok(_)) => match interpreter(program) {
            Some(interpreter) => format!("its interpreter {interpreter} cannot be executed: {}", error.desc()),
            None => format!("what it is loaded by cannot be executed: {}", error.desc()),
        },
        _ => return error.into(),
    };
    io::Error::other(what)
}

fn interpreter(program: &Path) -> Option<String> {
    let mut line = Vec::new();
    BufReader::new(regular::open(program).ok()?).take(INTERPRETER_MAX).read_until(b'\n', &mut line).ok()?;
    let words = String::from_utf8_lossy(line.strip_prefix(b"#!")?).into_owned();
    words.split_ascii_whitespace().next().map(str::to_owned)
}
