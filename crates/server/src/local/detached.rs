//! `dms run-detached`: becomes another program, in a session of its own, as another user.
//!
//! What a child must do to itself between fork and exec would need `unsafe` in its parent; a program that does it and
//! then becomes the child needs none.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use clap::Args;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, getppid, setgid, setgroups, setsid, setuid};

/// Become another program, apart from the terminal and the session of the caller.
#[derive(Debug, Args)]
pub struct Detached {
    /// The process that asks; when it ends, the program is told to end too, by SIGINT.
    #[arg(long)]
    parent: i32,
    /// Become this user first.
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    /// And this group.
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
    /// What to become, with its arguments.
    #[arg(required = true, last = true)]
    program: Vec<OsString>,
}

/// A command that does this when it is spawned. The parent's thread that spawns it must live as long as the program.
pub(crate) fn command(user: Option<(Uid, Gid)>, program: &Path) -> Command {
    // The running program itself, also when its file has been replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("dms").arg("run-detached").arg("--parent").arg(std::process::id().to_string());
    if let Some((uid, gid)) = user {
        command.arg("--uid").arg(uid.to_string()).arg("--gid").arg(gid.to_string());
    }
    command.arg("--").arg(program);
    command
}

impl Detached {
    /// Never returns when all is well.
    pub fn run(&self) -> io::Result<Infallible> {
        setsid()?;
        if let (Some(uid), Some(gid)) = (self.uid, self.gid) {
            setgroups(&[])?;
            setgid(Gid::from_raw(gid))?;
            setuid(Uid::from_raw(uid))?;
        }
        // After the change of user, which would undo it.
        prctl::set_pdeathsig(Signal::SIGINT)?;
        if getppid() != Pid::from_raw(self.parent) {
            return Err(io::Error::other("the process that asked is gone"));
        }
        let Some((program, arguments)) = self.program.split_first() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        Err(Command::new(program).args(arguments).current_dir("/").exec())
    }
}
