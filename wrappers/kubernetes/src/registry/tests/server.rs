//! A small HTTP server on a real socket; what it answers is said by the test.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request, as far as a test asks for it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) host: String,
    pub(super) authorization: Option<String>,
}

#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// What a connection is made of: bytes both ways.
trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

impl Server {
    /// Answers every request with these bytes.
    pub(super) fn start(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serve(None, answer)
    }

    /// The same by TLS.
    pub(super) fn start_tls(
        config: ServerConfig,
        answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(Arc::new(config)), answer)
    }

    fn serve(tls: Option<Arc<ServerConfig>>, answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let address = Self::raw(move |stream| {
            let mut stream: Box<dyn Stream> = match &tls {
                Some(config) => {
                    let connection = ServerConnection::new(Arc::clone(config)).expect("the settings are right");
                    Box::new(StreamOwned::new(connection, stream))
                }
                None => Box::new(stream),
            };
            let Some(request) = read(&mut *stream) else { return };
            seen.lock().expect("nobody panics with it").push(request.clone());
            let _closed_meanwhile = stream.write_all(&answer(&request)).and_then(|()| stream.flush());
        });
        Self { address, requests }
    }

    /// Hands every connection to a thread of its own; these end with the test.
    pub(super) fn raw(connection: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let connection = Arc::new(connection);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = Arc::clone(&connection);
                thread::spawn(move || connection(stream));
            }
        });
        address
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("nobody panics with it").clone()
    }
}

/// Reads the head of a request, which is all of a GET.
fn read(stream: &mut dyn Stream) -> Option<Request> {
    let mut head = Vec::new();
    for line in BufReader::new(stream).split(b'\n') {
        let line = String::from_utf8(line.ok()?).ok()?;
        if line.trim_end().is_empty() {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let value = |name: &str| {
        let headers = head.iter().skip(1).filter_map(|line| line.split_once(": "));
        headers.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let path = head.first()?.split(' ').nth(1)?.to_owned();
    Some(Request { path, host: value("host")?, authorization: value("authorization") })
}

/// An answer with this body.
pub(super) fn json(body: &str) -> Vec<u8> {
    with(body, &[])
}

/// An answer with this body and more headers.
pub(super) fn with(body: &str, headers: &[&str]) -> Vec<u8> {
    answer("200 OK", body, headers)
}

pub(super) fn answer(status: &str, body: &str, headers: &[&str]) -> Vec<u8> {
    let headers = [headers, &[""]].concat().join("\r\n");
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}
