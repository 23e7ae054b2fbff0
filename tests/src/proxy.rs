//! A proxy in front of a server, which loses answers and connections when it is told to. Of the protocol of
//! PostgreSQL it knows as much as it takes to lose notifications.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Stands between clients and one server. Ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    control: Arc<Control>,
    address: Address,
    accepting: JoinHandle<()>,
    _folder: Option<TempDir>,
}

/// What happens to what comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    /// Requests pass. What the server says is thrown away and the connection closed.
    SwallowAnswers,
    /// Requests pass, and answers but for notifications, as behind a pooler in transaction mode.
    Deaf,
    /// Connections are closed, also new ones.
    Cut,
}

#[derive(Debug)]
struct Control {
    mode: watch::Sender<Mode>,
    swallowed: watch::Sender<usize>,
}

#[derive(Debug, Clone)]
enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Proxy {
    /// In front of a server's unix socket; listens on one of the same name in a folder of its own.
    ///
    /// # Panics
    /// When there is no room for a folder and a socket.
    pub fn unix(upstream: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("dm-proxy").tempdir().expect("a folder can be made");
        let path = folder.path().join(upstream.file_name().expect("a socket has a name"));
        let listener = Listener::Unix(UnixListener::bind(&path).expect("a fresh path can be bound"));
        Self::start(listener, Address::Unix(upstream.to_owned()), Address::Unix(path), Some(folder))
    }

    /// In front of a TCP server; listens on a free port of the loopback.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn tcp(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        Self::start(Listener::Tcp(listener), Address::Tcp(upstream), Address::Tcp(address), None)
    }

    fn start(listener: Listener, upstream: Address, address: Address, folder: Option<TempDir>) -> Self {
        let control = Arc::new(Control { mode: watch::Sender::new(Mode::Forward), swallowed: watch::Sender::new(0) });
        let accepting = tokio::spawn(accept(listener, upstream, control.clone()));
        Self { control, address, accepting, _folder: folder }
    }

    /// The socket on which it listens.
    ///
    /// # Panics
    /// When it listens on TCP.
    pub fn socket(&self) -> &Path {
        match &self.address {
            Address::Unix(path) => path,
            Address::Tcp(address) => panic!("the proxy listens on {address}"),
        }
    }

    /// The address on which it listens.
    ///
    /// # Panics
    /// When it listens on a unix socket.
    pub fn address(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("the proxy listens on {}", path.display()),
        }
    }

    /// From now on requests reach the server, and its answers nobody: in place of one, the connection is closed.
    pub fn swallow_answers(&self) {
        self.control.mode.send_replace(Mode::SwallowAnswers);
    }

    /// From now on no notification of PostgreSQL arrives; connections must be new and without TLS.
    pub fn lose_notifications(&self) {
        self.control.mode.send_replace(Mode::Deaf);
    }

    /// Closes all connections, and new ones at once.
    pub fn cut(&self) {
        self.control.mode.send_replace(Mode::Cut);
    }

    /// From now on everything passes.
    pub fn heal(&self) {
        self.control.mode.send_replace(Mode::Forward);
    }

    /// Waits until an answer was swallowed: what was asked has then been done.
    ///
    /// # Panics
    /// Never: the proxy is there.
    pub async fn swallowed(&self) {
        self.control.swallowed.subscribe().wait_for(|count| *count > 0).await.expect("the sender is in self");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: Listener, upstream: Address, control: Arc<Control>) {
    let mut connections = JoinSet::new();
    loop {
        let client: Box<dyn Stream> = match &listener {
            Listener::Unix(listener) => match listener.accept().await {
                Ok((stream, _)) => Box::new(stream),
                Err(_) => return,
            },
            Listener::Tcp(listener) => match listener.accept().await {
                Ok((stream, _)) => Box::new(stream),
                Err(_) => return,
            },
        };
        let (upstream, control) = (upstream.clone(), control.clone());
        connections.spawn(async move {
            let mut mode = control.mode.subscribe();
            tokio::select! {
                // A broken connection is what a proxy like this is for.
                _ = pass(client, &upstream, &control) => {}
                _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
            }
        });
    }
}

async fn pass(client: Box<dyn Stream>, upstream: &Address, control: &Control) -> io::Result<()> {
    let server: Box<dyn Stream> = match upstream {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Address::Tcp(address) => Box::new(TcpStream::connect(address).await?),
    };
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, mut to_server) = tokio::io::split(server);
    tokio::select! {
        ended = requests(from_client, &mut to_server) => ended,
        ended = answers(from_server, to_client, control) => ended,
    }
}

async fn requests(mut client: ReadHalf<Box<dyn Stream>>, server: &mut WriteHalf<Box<dyn Stream>>) -> io::Result<()> {
    tokio::io::copy(&mut client, server).await.map(|_| ())
}

async fn answers(
    mut server: ReadHalf<Box<dyn Stream>>,
    mut client: WriteHalf<Box<dyn Stream>>,
    control: &Control,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut frames = Frames::default();
    loop {
        let count = server.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        if *control.mode.borrow() == Mode::SwallowAnswers {
            control.swallowed.send_modify(|swallowed| *swallowed += 1);
            return Ok(());
        }
        if *control.mode.borrow() == Mode::Deaf {
            client.write_all(&frames.without_notifications(&buffer[..count])).await?;
            continue;
        }
        client.write_all(&buffer[..count]).await?;
    }
}

/// What a server of PostgreSQL says: messages of a type, a length that counts itself, and a body.
#[derive(Default)]
struct Frames(Vec<u8>);

impl Frames {
    /// The messages that are whole now, but for notifications; the rest is kept for the next bytes.
    fn without_notifications(&mut self, bytes: &[u8]) -> Vec<u8> {
        const NOTIFICATION: u8 = b'A';
        self.0.extend_from_slice(bytes);
        let mut passed = Vec::new();
        while let [kind, a, b, c, d, ..] = self.0[..] {
            let whole = 1 + u32::from_be_bytes([a, b, c, d]) as usize;
            if self.0.len() < whole {
                break;
            }
            let frame: Vec<u8> = self.0.drain(..whole).collect();
            if kind != NOTIFICATION {
                passed.extend(frame);
            }
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets, and counts it.
    async fn echo() -> (SocketAddr, watch::Receiver<usize>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    sender.send_modify(|count| *count += 1);
                    if stream.write_all(&byte).await.is_err() {
                        break;
                    }
                }
            }
        });
        (address, received)
    }

    async fn ask(client: &mut TcpStream) -> io::Result<u8> {
        client.write_all(b"x").await?;
        client.read_u8().await
    }

    #[tokio::test]
    async fn requests_arrive_whose_answers_are_lost_until_it_is_healed() {
        let (server, mut received) = echo().await;
        let proxy = Proxy::tcp(server).await;
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut client).await.unwrap(), b'x');

        proxy.swallow_answers();
        assert!(ask(&mut client).await.is_err());
        proxy.swallowed().await;
        received.wait_for(|count| *count == 2).await.unwrap();

        proxy.heal();
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut client).await.unwrap(), b'x');
        proxy.cut();
        assert!(client.read_u8().await.is_err());
    }
}
