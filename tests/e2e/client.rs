//! `dmc` as people and scripts use it: the real one, against a real `dms`.

mod connection;
mod everyday;
mod lifecycle;
mod logs;
mod refusals;
mod scripts;
mod terminal;
mod waiting;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use dm_tests::dms::{Dms, Setup, executable, executable_file};
use dm_tests::eventually::eventually_blocking;

/// How long anything here may take on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// The verbs that change a staging; what each does is said by the tag, see [`WRAPPER`].
const VERBS: [&str; 5] = ["create", "update", "restore", "delete", "cleanup"];

/// A wrapper whose tag says what it does: `fails` prints and exits 7, `waits` prints a line and then waits until the
/// file `go` is there (so do `waits-1` and so on), `noise` prints bytes that no terminal should obey; everything else succeeds.
const WRAPPER: &str = r#"#!/bin/sh
folder=$(dirname "$0")
for argument; do
  case $argument in
    fails) echo 'looking for the chart'; echo 'no such chart' >&2; exit 7 ;;
    waits | waits-*) echo 'begun'; while [ ! -e "$folder/go" ]; do read -r _ < "$folder/bell"; done; echo 'ended' ;;
    noise) printf 'a\033[31mb\007\377c\r\n' ;;
  esac
done
echo 'one'; echo 'two'; echo 'three'
exit 0
"#;

/// Prints the values that the product is handed, and where it is.
const INFO: &str = "#!/bin/sh\necho 'web,http://127.0.0.1:1/'\necho 'admin,http://127.0.0.1:2/'\n";

const DEFAULTS: &str = "#!/bin/sh\necho 'app,colour,blue'\necho 'staging,replicas,1'\n";

/// A `dms` with wrappers that do what a tag says.
struct World {
    dms: Dms,
    wrappers: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::of(Setup::new())
    }

    fn of(setup: Setup) -> Self {
        let wrappers = tempfile::Builder::new().prefix("dm-wrappers-").tempdir_in("/var/tmp").expect("a folder");
        let write = |name: &str, content: &str| executable_file(&wrappers.path().join(name), content.as_bytes());
        for verb in VERBS {
            write(verb, WRAPPER);
        }
        write("check", "#!/bin/sh\nexit 0\n");
        write("archive_check", "#!/bin/sh\nexit 0\n");
        write("info", INFO);
        write("defaults", DEFAULTS);
        fs::write(wrappers.path().join("wrappers.toml"), "contract = 1\n").expect("the folder is ours");
        let bell = Command::new("mkfifo").arg(wrappers.path().join("bell")).status().expect("mkfifo is there");
        assert!(bell.success());
        let dms = setup.wrappers(wrappers.path()).start();
        Self { dms, wrappers }
    }

    /// Runs `dmc` to its end.
    fn dmc(&self, arguments: &[&str]) -> Ended {
        Ended::of(&dmc(self.dms.home(), arguments).output().expect("dmc was built"))
    }

    /// Runs `dmc` to its end, which is a good one, and gives its data.
    fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.dmc(arguments);
        assert_eq!(ended.code, 0, "dmc {arguments:?}: {ended:?}");
        ended.stdout
    }

    /// The one JSON document that it prints.
    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let text = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("dmc {arguments:?} printed {text:?}: {error}"))
    }

    /// Starts `dmc` and lets it run.
    fn start(&self, arguments: &[&str]) -> Running {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| fs::File::create(folder.path().join(name)).expect("the folder is ours");
        let child = dmc(self.dms.home(), arguments)
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("dmc was built");
        Running { child: Some(child), folder }
    }

    /// Lets wrappers with the tag `waits` go on.
    fn go(&self) {
        fs::write(self.wrappers.path().join("go"), "").expect("the folder is ours");
        // Whoever reads the bell wakes up; opened for both, it blocks nobody.
        let bell = self.wrappers.path().join("bell");
        let mut ring = fs::OpenOptions::new().read(true).write(true).open(bell).expect("the bell is there");
        std::io::Write::write_all(&mut ring, b"ding\n").expect("a few bytes fit");
    }
}

/// `dmc` of this build, with a clean environment.
pub(super) fn dmc(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(dmc_executable());
    command.args(arguments).env_clear().env("DM_HOME", home).env("TZ", "UTC").stdin(Stdio::null());
    command
}

fn dmc_executable() -> PathBuf {
    executable().with_file_name("dmc")
}

/// A `dmc` that has ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().expect("dmc ends by itself"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It ended with this code, printed no data, and said this.
    #[track_caller]
    fn says(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not said in\n{}", self.stderr);
        }
    }
}

/// A `dmc` that runs.
struct Running {
    child: Option<Child>,
    folder: tempfile::TempDir,
}

impl Running {
    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).expect("the file is ours")).into_owned()
    }

    /// Waits until it has printed something.
    #[track_caller]
    fn has_printed(&self, name: &str, text: &str) {
        eventually_blocking(&format!("{text:?} on {name}"), DEADLINE, || self.text(name).contains(text).then_some(()));
    }

    fn pid(&self) -> nix::unistd::Pid {
        let id = self.child.as_ref().expect("it runs").id();
        nix::unistd::Pid::from_raw(i32::try_from(id).expect("a pid"))
    }

    /// Waits for its end.
    fn end(mut self) -> Ended {
        let mut child = self.child.take().expect("it runs");
        let status = eventually_blocking("dmc ends", DEADLINE, || child.try_wait().expect("it is ours"));
        Ended {
            code: status.code().expect("dmc ends by itself"),
            stdout: self.text("stdout"),
            stderr: self.text("stderr"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
