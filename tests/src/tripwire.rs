//! A wire between one `dms` and PostgreSQL that is tripped by what goes over it: the moment a certain statement passes, an
//! action is carried out, and nothing more passes before it is done. Kills and freezes a `dms` at a named point without a
//! line of test code in it.
//!
//! Of the protocol of PostgreSQL it knows what it takes to tell statements apart:
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>. Connections must be without TLS.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The name of PostgreSQL's socket.
const SOCKET: &str = ".s.PGSQL.5432";

/// When an action is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the statement reaches the database, which it never does: its connection is closed.
    Before,
    /// After the database has carried it out, before its answer comes back.
    Done,
    /// After the answer has come back.
    Answered,
}

/// What trips the wire: a statement whose text holds `sql`, with parameters that hold `with`.
#[derive(Debug, Clone, Copy)]
pub struct Trigger {
    /// A part of the statement.
    pub sql: &'static str,
    /// A part of its parameters; empty for any.
    pub with: &'static str,
    /// When.
    pub moment: Moment,
}

/// The wire. Ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Tripwire {
    shared: Arc<Shared>,
    folder: TempDir,
    accepting: JoinHandle<()>,
}

type Action = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    armed: Mutex<Option<(Trigger, Action)>>,
    tripped: watch::Sender<usize>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("tripped", &self.tripped).finish_non_exhaustive()
    }
}

impl Tripwire {
    /// In front of the unix socket in a folder.
    ///
    /// # Panics
    /// When there is no room for a folder and a socket.
    pub fn new(upstream: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("dm-wire").tempdir().expect("a folder can be made");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a fresh path can be bound");
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, upstream.join(SOCKET), Arc::clone(&shared)));
        Self { shared, folder, accepting }
    }

    /// In front of the database of a URL whose host is a folder, and that URL by way of this wire.
    ///
    /// # Panics
    /// When the URL names no folder.
    pub fn before(url: &str) -> (Self, String) {
        let (start, rest) = url.split_once("host=").expect("the URL names a folder");
        let (folder, end) = rest.split_at(rest.find('&').unwrap_or(rest.len()));
        let wire = Self::new(Path::new(folder));
        let url = format!("{start}host={}{end}", wire.folder.path().display());
        (wire, url)
    }

    /// The next statement that fits trips the wire, once.
    pub fn arm(&self, trigger: Trigger, action: impl FnOnce() + Send + 'static) {
        *self.shared.lock() = Some((trigger, Box::new(action)));
    }

    /// Nothing trips it any more.
    pub fn disarm(&self) {
        *self.shared.lock() = None;
    }

    /// How often it was tripped; to be asked before it is armed.
    pub fn count(&self) -> usize {
        *self.shared.tripped.borrow()
    }

    /// Waits until it was tripped more often than this, and the action is done.
    ///
    /// # Panics
    /// Never: the wire is there.
    pub async fn tripped(&self, before: usize) {
        self.shared.tripped.subscribe().wait_for(|count| *count > before).await.expect("the sender is in self");
    }
}

impl Drop for Tripwire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<(Trigger, Action)>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the action if one of these statements is the one that it waits for.
    fn take(&self, statements: &[Statement]) -> Option<(Moment, Action)> {
        let mut armed = self.lock();
        let (trigger, _) = armed.as_ref()?;
        let fits = |statement: &Statement| {
            statement.sql.contains(trigger.sql) && holds(&statement.parameters, trigger.with.as_bytes())
        };
        if !statements.iter().any(fits) {
            return None;
        }
        armed.take().map(|(trigger, action)| (trigger.moment, action))
    }

    fn act(&self, action: Action) {
        action();
        self.tripped.send_modify(|count| *count += 1);
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

async fn accept(listener: UnixListener, upstream: PathBuf, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (upstream, shared) = (upstream.clone(), Arc::clone(&shared));
        // A broken connection is what a wire like this is for.
        connections.spawn(async move {
            let _ = pass(client, &upstream, &shared).await;
        });
    }
}

async fn pass(client: UnixStream, upstream: &Path, shared: &Shared) -> io::Result<()> {
    let server = UnixStream::connect(upstream).await?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // What the answers have to wait for.
    let pending = Mutex::new(None);
    tokio::select! {
        ended = requests(from_client, to_server, shared, &pending) => ended,
        ended = answers(from_server, to_client, shared, &pending) => ended,
    }
}

type Pending = Mutex<Option<(Moment, Action)>>;

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    pending: &Pending,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut reader = Reader::default();
    loop {
        let count = client.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        match shared.take(&reader.read(&buffer[..count])) {
            Some((Moment::Before, action)) => {
                shared.act(action);
                return Ok(());
            }
            Some(later) => *pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(later),
            None => {}
        }
        server.write_all(&buffer[..count]).await?;
    }
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: &Shared,
    pending: &Pending,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = server.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let due = pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        match due {
            Some((Moment::Answered, action)) => {
                client.write_all(&buffer[..count]).await?;
                shared.act(action);
            }
            Some((_, action)) => {
                shared.act(action);
                client.write_all(&buffer[..count]).await?;
            }
            None => client.write_all(&buffer[..count]).await?,
        }
    }
}

/// A statement that is being carried out.
#[derive(Debug, PartialEq, Eq)]
struct Statement {
    sql: String,
    parameters: Vec<u8>,
}

/// Reads what a client says: first a message without a type, then messages of a type, a length that counts itself, and a
/// body.
#[derive(Default)]
struct Reader {
    bytes: Vec<u8>,
    greeted: bool,
    prepared: HashMap<Vec<u8>, String>,
}

impl Reader {
    /// The statements that these bytes complete.
    fn read(&mut self, bytes: &[u8]) -> Vec<Statement> {
        self.bytes.extend_from_slice(bytes);
        let mut statements = Vec::new();
        while let Some((kind, body)) = self.message() {
            match kind {
                b'Q' => statements.push(Statement { sql: text(&body), parameters: Vec::new() }),
                b'P' => {
                    let (name, rest) = split(&body);
                    self.prepared.insert(name.to_vec(), text(rest));
                }
                b'B' => {
                    let (_portal, rest) = split(&body);
                    let (name, parameters) = split(rest);
                    let sql = self.prepared.get(name).cloned().unwrap_or_default();
                    statements.push(Statement { sql, parameters: parameters.to_vec() });
                }
                _ => {}
            }
        }
        statements
    }

    fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = usize::from(self.greeted);
        let length = self.bytes.get(head..head + 4)?;
        let whole = head + u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if self.bytes.len() < whole {
            return None;
        }
        let message: Vec<u8> = self.bytes.drain(..whole).collect();
        let kind = if self.greeted { message[0] } else { 0 };
        self.greeted = true;
        Some((kind, message[head + 4..].to_vec()))
    }
}

/// A text that ends with a zero byte, and what follows.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(split(bytes).0).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("it is short").to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    #[test]
    fn statements_are_told_by_their_text_however_their_bytes_arrive() {
        let mut said = message(b'x', b"startup")[1..].to_vec();
        said.extend(message(b'P', b"s1\0SELECT $1\0\0\0"));
        said.extend(message(b'B', b"\0s1\0\0\0value"));
        said.extend(message(b'S', b""));
        said.extend(message(b'Q', b"COMMIT\0"));
        let expected = [
            Statement { sql: "SELECT $1".to_owned(), parameters: b"\0\0value".to_vec() },
            Statement { sql: "COMMIT".to_owned(), parameters: Vec::new() },
        ];
        assert_eq!(Reader::default().read(&said), expected);
        let mut reader = Reader::default();
        let one_by_one: Vec<Statement> = said.iter().flat_map(|byte| reader.read(&[*byte])).collect();
        assert_eq!(one_by_one, expected);
    }
}
