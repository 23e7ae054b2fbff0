//! A wrapper that does what its scenario says and writes down that it lives: the interpreter of every wrapper of the
//! rack, `#!/path/of/scripted`. Of the rest of the rack it knows nothing.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use dm_tests::rack::books::is_question;
use dm_tests::rack::records::{self, Call, Recorder, Sign};
use dm_tests::rack::scenario::Scenario;
use nix::poll::{PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::setsid;

/// Turns this program into something that a wrapper has started: `--child WRAPPERS STAGING BEAT VERB RUN ATTEMPT PID`.
const CHILD: &str = "--child";
/// A child that nobody ends ends by itself, long after the tests have found it.
const CHILD_LASTS: Duration = Duration::from_mins(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some(CHILD) => child(&arguments[1..]).map(|()| 0),
        Some(script) => wrapper(Path::new(script), &arguments[1..]),
        None => Err(io::Error::other("this is the interpreter of scripted wrappers")),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("scripted: {error}");
            ExitCode::from(99)
        }
    }
}

fn wrapper(script: &Path, arguments: &[String]) -> io::Result<u8> {
    let verb = script.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let wrappers = script.parent().unwrap_or(Path::new("."));
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).cloned()
    };
    let (staging, tag) = (value("--name").unwrap_or_default(), value("--tag").unwrap_or_default());
    let variable = |name| env::var(name).unwrap_or_default();
    let (run, attempt) = (variable("DM_RUN_ID"), variable("DM_ATTEMPT").parse().unwrap_or_default());
    let scenario = Scenario::read(wrappers)?;
    // Checks of one attempt are many, and each is thrown anew.
    let salt = if is_question(verb) { records::now() } else { 0 };
    let act = scenario.act(verb, &staging, &format!("{tag} {attempt} {salt}"));
    let call = Call { verb: verb.to_owned(), run, attempt, pid: std::process::id() };
    let beat = Duration::from_millis(scenario.beat_ms);

    let mut recorder = Recorder::open(wrappers, &staging, call.clone())?;
    recorder.write(Sign::Start)?;
    if act.deaf {
        let mut deaf = SigSet::empty();
        deaf.add(Signal::SIGTERM);
        deaf.add(Signal::SIGHUP);
        deaf.thread_block()?;
    }
    for _ in 0..act.children {
        let numbers = [beat.as_millis().to_string(), call.attempt.to_string(), call.pid.to_string()];
        let [beat, attempt, pid] = &numbers;
        Command::new(env::current_exe()?)
            .arg(CHILD)
            .arg(wrappers)
            .args([&staging, beat, &call.verb, &call.run, attempt, pid])
            .spawn()?;
    }
    println!("{verb} of {staging}, tag {tag}, attempt {attempt}");
    live(&mut recorder, beat, act.lasts)?;
    recorder.write(Sign::End)?;
    Ok(act.code)
}

fn child(arguments: &[String]) -> io::Result<()> {
    let [wrappers, staging, beat, verb, run, attempt, pid] = arguments else {
        return Err(io::Error::other("a child needs to know whose it is"));
    };
    setsid()?;
    let number = |text: &str| text.parse().map_err(io::Error::other);
    let call = Call { verb: verb.clone(), run: run.clone(), attempt: number(attempt)?, pid: number(pid)? };
    let mut recorder = Recorder::open(&PathBuf::from(wrappers), staging, call)?;
    live(&mut recorder, Duration::from_millis(u64::from(number(beat)?)), CHILD_LASTS)
}

/// Writes down that it lives until its time is over.
fn live(recorder: &mut Recorder, beat: Duration, lasts: Duration) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        let left = lasts.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        let milliseconds = u16::try_from(left.min(beat).as_micros().div_ceil(1_000)).unwrap_or(u16::MAX);
        // A signal that is heard ends it; one that is not interrupts nothing.
        let _ = poll(&mut [], PollTimeout::from(milliseconds));
        recorder.write(Sign::Beat)?;
    }
}
