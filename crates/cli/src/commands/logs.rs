//! `dmc logs`: the output of a run, as its wrapper wrote it.
//!
//! Data is the output and nothing else; that bytes were dropped or that another attempt begins is said on stderr.

use std::time::Duration;

use dm_api::runs::output;
use dm_api::{Run, RunState};
use dm_domain::ids::StagingName;
use reqwest::Response;
use reqwest::header::HeaderMap;
use serde::Serialize;
use uuid::Uuid;

use crate::args::{Format, LogsArgs};
use crate::client::{Client, is_passing};
use crate::commands::runs::newest;
use crate::exit::{Error, Exit};
use crate::output::Output;
use crate::wait::Pauses;

/// How long one request waits for more.
const WAIT: Duration = Duration::from_secs(20);

/// The most that is read of one run at once, in bytes; `dms` keeps 5 MiB of a run.
const WHOLE_MAX: usize = 16 * 1024 * 1024;

pub(super) async fn run(client: &Client, out: &mut Output, args: &LogsArgs) -> Result<Exit, Error> {
    let run = match args.run {
        Some(run) => client.get(&format!("/runs/{run}"), &[]).await.and_then(|run| of(&args.name.name, run))?,
        None => last(client, &args.name.name).await?,
    };
    let mut reader = Reader { client, run: run.id, attempt: 0, next: 0 };
    let mut sink = Sink::new(out, run.id);
    if let Some(lines) = args.tail {
        let (bytes, _) = reader.rest(&mut sink).await?;
        sink.write(reader.attempt, tail(&bytes, lines))?;
    }
    if args.follow {
        reader.follow(&mut sink).await?;
    } else if args.tail.is_none() {
        let (bytes, _) = reader.rest(&mut sink).await?;
        sink.write(reader.attempt, &bytes)?;
    }
    sink.end()?;
    Ok(Exit::Done)
}

/// What a run has printed so far in its newest attempt, as far as it was kept.
pub(crate) async fn whole(client: &Client, run: Uuid) -> Result<Vec<u8>, Error> {
    let mut reader = Reader { client, run, attempt: 0, next: 0 };
    let mut bytes = Vec::new();
    while let Piece { body, .. } = reader.piece(Duration::ZERO).await?
        && !body.is_empty()
        && bytes.len() < WHOLE_MAX
    {
        bytes.extend_from_slice(&body);
    }
    Ok(bytes)
}

fn of(name: &StagingName, run: Run) -> Result<Run, Error> {
    if run.staging == name.as_str() {
        return Ok(run);
    }
    Err(Error::NotFound {
        message: format!("run {} is not of {name} but of {}", run.id, run.staging),
        hint: Some(format!("dmc logs {} --run {}", run.staging, run.id)),
    })
}

async fn last(client: &Client, name: &StagingName) -> Result<Run, Error> {
    let runs = newest(client, name, 1).await?;
    runs.into_iter().next().ok_or_else(|| Error::NotFound { message: format!("{name} has no run"), hint: None })
}

/// One answer to a question for output.
struct Piece {
    body: Vec<u8>,
    dropped: u64,
    complete: bool,
    attempt: u32,
    from: u64,
    next: u64,
}

/// Reads the output of a run piece by piece.
struct Reader<'a> {
    client: &'a Client,
    run: Uuid,
    attempt: u32,
    next: u64,
}

impl Reader<'_> {
    /// Everything from here to what there is now.
    async fn rest(&mut self, sink: &mut Sink<'_>) -> Result<(Vec<u8>, bool), Error> {
        let mut bytes = Vec::new();
        loop {
            let piece = self.piece(Duration::ZERO).await?;
            sink.announce(&piece);
            bytes.extend_from_slice(&piece.body);
            if piece.complete || piece.body.is_empty() || bytes.len() > WHOLE_MAX {
                return Ok((bytes, piece.complete));
            }
        }
    }

    /// Hands on what comes, until the run is over; a `dms` that restarts is waited for.
    async fn follow(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let mut pauses = Pauses::new();
        loop {
            let piece = match self.piece(WAIT).await {
                Err(error) if is_passing(&error) => {
                    sink.away(&error);
                    pauses.next().await;
                    continue;
                }
                piece => piece?,
            };
            sink.announce(&piece);
            sink.write(piece.attempt, &piece.body)?;
            if piece.complete {
                if self.is_over().await? {
                    return Ok(());
                }
                pauses.next().await;
            } else {
                pauses = Pauses::new();
            }
        }
    }

    /// Whether no attempt will follow. One that waits for its check prints nothing any more, but it is not over.
    async fn is_over(&self) -> Result<bool, Error> {
        match self.client.get_once::<Run>(&format!("/runs/{}", self.run), &[]).await {
            Ok(Run { state: RunState::Succeeded | RunState::Failed | RunState::Withdrawn, .. }) => Ok(true),
            Ok(_) => Ok(false),
            Err(error) if is_passing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What comes next; the newest attempt from its beginning, if another one has begun.
    async fn piece(&mut self, wait: Duration) -> Result<Piece, Error> {
        let piece = self.ask(wait).await?;
        (self.attempt, self.next) = (piece.attempt, piece.next);
        Ok(piece)
    }

    async fn ask(&self, wait: Duration) -> Result<Piece, Error> {
        let query = [
            ("from", self.next.to_string()),
            ("attempt", self.attempt.to_string()),
            ("wait", wait.as_secs().to_string()),
        ];
        let mut response = self.client.get_raw(&format!("/runs/{}/output", self.run), &query, wait).await?;
        let head = response.headers().clone();
        let body = read(self.client, &mut response).await?;
        let from = number(&head, output::FROM).unwrap_or(self.next);
        Ok(Piece {
            attempt: number(&head, output::ATTEMPT).and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(0),
            from,
            next: number(&head, output::NEXT).unwrap_or(from + body.len() as u64),
            dropped: number(&head, output::DROPPED).unwrap_or(0),
            complete: head.get(output::COMPLETE).is_some_and(|value| value == "true"),
            body,
        })
    }
}

async fn read(client: &Client, response: &mut Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = client.chunk(response).await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Where output goes: as it is, or as JSON lines.
struct Sink<'a> {
    out: &'a mut Output,
    run: Uuid,
    attempt: u32,
    dropped: u64,
    line: Vec<u8>,
    away: bool,
}

/// A line of output, as `-o json` prints it.
#[derive(Serialize)]
struct Line<'a> {
    run: Uuid,
    attempt: u32,
    text: &'a str,
}

impl<'a> Sink<'a> {
    fn new(out: &'a mut Output, run: Uuid) -> Self {
        Self { out, run, attempt: 0, dropped: 0, line: Vec::new(), away: false }
    }

    /// Says what is not in the data.
    fn announce(&mut self, piece: &Piece) {
        self.away = false;
        if piece.attempt != self.attempt {
            if self.attempt > 0 {
                self.out.note(&format!("attempt {} begins", piece.attempt));
            }
            (self.attempt, self.dropped) = (piece.attempt, 0);
        }
        if piece.dropped > self.dropped {
            self.dropped = piece.dropped;
            self.out.note(&format!("{} bytes before offset {} are not kept", piece.dropped, piece.from));
        }
    }

    fn away(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.away, true) {
            self.out.note(&format!("{error}; waiting for it"));
        }
    }

    fn write(&mut self, attempt: u32, bytes: &[u8]) -> Result<(), Error> {
        if self.out.format() != Format::Json {
            return if bytes.is_empty() { Ok(()) } else { self.out.bytes(bytes) };
        }
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            self.json(attempt, &line[..end])?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.out.format() != Format::Json {
            return self.out.end_of_bytes();
        }
        let rest = std::mem::take(&mut self.line);
        if rest.is_empty() { Ok(()) } else { self.json(self.attempt, &rest) }
    }

    fn json(&mut self, attempt: u32, line: &[u8]) -> Result<(), Error> {
        self.out.json_line(&Line { run: self.run, attempt, text: &String::from_utf8_lossy(line) })
    }
}

/// The last lines of a text, whether or not the last one has ended.
fn tail(bytes: &[u8], lines: u32) -> &[u8] {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let starts = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(index, _)| index + 1);
    match lines {
        0 => &[],
        _ => &bytes[starts.take(lines as usize).nth(lines as usize - 1).unwrap_or(0)..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_last_lines_and_never_more_than_there_is() {
        let text = b"one\ntwo\nthree\n";
        assert_eq!(tail(text, 0), b"");
        assert_eq!(tail(text, 1), b"three\n");
        assert_eq!(tail(text, 2), b"two\nthree\n");
        assert_eq!(tail(text, 9), text);
        assert_eq!(tail(b"one\nunfinished", 1), b"unfinished");
        assert_eq!(tail(b"", 3), b"");
    }
}
