//! What scripted wrappers write down of themselves: each sign of life is one line, with the time since the machine
//! started, which no change of a clock moves. One file for each staging.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::time::{ClockId, clock_gettime};

/// The folder of records, beside the wrappers.
const FOLDER: &str = "records";

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// A wrapper has begun.
    Start,
    /// It lives, or something that it has started does.
    Beat,
    /// It has come to its own end.
    End,
}

/// One line: a sign of life of one call of a wrapper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it says.
    pub sign: Sign,
    /// Of which call.
    pub call: Call,
    /// When, in nanoseconds since the machine started.
    pub at: u64,
}

/// One call of a wrapper.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Which wrapper.
    pub verb: String,
    /// Whose run it is, or whose result it looks at.
    pub run: String,
    /// Which attempt of it.
    pub attempt: u32,
    /// Its first process.
    pub pid: u32,
}

/// Nanoseconds since the machine started, time asleep included.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has this clock");
    let (seconds, nanos) = (u64::try_from(time.tv_sec()), u64::try_from(time.tv_nsec()));
    seconds.expect("it counts from zero") * 1_000_000_000 + nanos.expect("it counts from zero")
}

/// Where a wrapper writes.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    call: Call,
}

impl Recorder {
    /// For a call about a staging, below the folder of wrappers.
    pub fn open(wrappers: &Path, staging: &str, call: Call) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(wrappers.join(FOLDER).join(staging))?;
        Ok(Self { file, call })
    }

    /// Writes a line in one piece, so that lines of several writers never mix.
    pub fn write(&mut self, sign: Sign) -> io::Result<()> {
        let Call { verb, run, attempt, pid } = &self.call;
        let sign = match sign {
            Sign::Start => "start",
            Sign::Beat => "beat",
            Sign::End => "end",
        };
        self.file.write_all(format!("{sign} {verb} {run} {attempt} {pid} {}\n", now()).as_bytes())
    }
}

/// Makes the folder of records.
pub fn prepare(wrappers: &Path) -> io::Result<PathBuf> {
    let folder = wrappers.join(FOLDER);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// All records, by staging, in the order in which they were written.
///
/// # Panics
/// When one is not a record.
pub fn read(wrappers: &Path) -> BTreeMap<String, Vec<Record>> {
    let entries = fs::read_dir(wrappers.join(FOLDER)).expect("there are records");
    entries
        .map(|entry| {
            let entry = entry.expect("the folder is ours");
            let text = fs::read_to_string(entry.path()).expect("the file is ours");
            (entry.file_name().to_string_lossy().into_owned(), text.lines().map(parse).collect())
        })
        .collect()
}

fn parse(line: &str) -> Record {
    let fields: Vec<&str> = line.split(' ').collect();
    let [sign, verb, run, attempt, pid, at] = fields[..] else { panic!("no record: {line}") };
    let sign = match sign {
        "start" => Sign::Start,
        "beat" => Sign::Beat,
        "end" => Sign::End,
        _ => panic!("no record: {line}"),
    };
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("no record: {line}"));
    let call = Call { verb: verb.to_owned(), run: run.to_owned(), attempt: number(attempt), pid: number(pid) };
    Record { sign, call, at: at.parse().unwrap_or_else(|_| panic!("no record: {line}")) }
}
