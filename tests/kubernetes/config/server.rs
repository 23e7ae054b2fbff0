//! A small HTTP server of a test, on loopback: what stands at a path is what it answers, and it counts the questions.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long a client may take with its request.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer: its type, and its bytes.
pub(super) type Answer = (&'static str, Vec<u8>);

/// Paths with what stands there. It serves as long as the test runs.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn start(answers: BTreeMap<String, Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let server = Self { address, asked: Arc::default() };
        let (asked, answers) = (Arc::clone(&server.asked), Arc::new(answers));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, answers) = (Arc::clone(&asked), Arc::clone(&answers));
                // One that hangs up has its answer, or needs none.
                thread::spawn(move || drop(answer(&stream, &answers, &asked)));
            }
        });
        server
    }

    /// The paths that were asked for so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

fn answer(
    mut stream: &TcpStream,
    answers: &BTreeMap<String, Answer>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(64 * 1024));
    let mut first = Vec::new();
    lines.read_until(b'\n', &mut first)?;
    let first = String::from_utf8_lossy(&first).into_owned();
    let mut words = first.split_whitespace();
    let (Some(method @ ("GET" | "HEAD")), Some(path)) = (words.next(), words.next()) else {
        // As every server does to whoever begins with TLS.
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    };
    let mut line = String::new();
    while lines.read_line(&mut line)? > 2 {
        line.clear();
    }
    asked.lock().expect("nobody panics with it").push(path.to_owned());
    let absent = ("application/json", br#"{"errors":[{"code":"NOT_FOUND","message":"not found"}]}"#.to_vec());
    let (status, (kind, body)) = answers.get(path).map_or(("404 Not Found", &absent), |found| ("200 OK", found));
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(if method == "GET" { body } else { &[] })
}
