//! A proxy in front of a server, which loses answers and connections when it is told to. Of the protocol of
//! PostgreSQL it knows as much as it takes to lose notifications.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

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
    /// Nothing passes, and nothing is closed: what was sent is held back, as a network holds it back that loses packets.
    Frozen,
    /// The same, in one direction only.
    FrozenOneWay(Direction),
    /// Answers arrive so much later.
    Late(Duration),
    /// In place of each so-manieth answer its connection is closed.
    Reset(usize),
    /// Connections are closed, also new ones.
    Cut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

#[derive(Debug)]
struct Control {
    state: watch::Sender<State>,
    swallowed: watch::Sender<usize>,
    answered: AtomicUsize,
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// Connections with a lower number are frozen for ever, whatever the mode.
    forgotten: usize,
    /// How many connections there were.
    accepted: usize,
}

/// What becomes of some bytes.
enum Fate {
    Pass,
    PassWithoutNotifications,
    Close,
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
        let state = State { mode: Mode::Forward, forgotten: 0, accepted: 0 };
        let control = Control {
            state: watch::Sender::new(state),
            swallowed: watch::Sender::new(0),
            answered: AtomicUsize::new(0),
        };
        let control = Arc::new(control);
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

    /// The folder of the socket on which it listens.
    ///
    /// # Panics
    /// When it listens on TCP.
    pub fn folder(&self) -> &Path {
        self.socket().parent().expect("a socket is in a folder")
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
        self.control.turn_to(Mode::SwallowAnswers);
    }

    /// From now on no notification of PostgreSQL arrives; connections must be new and without TLS.
    pub fn lose_notifications(&self) {
        self.control.turn_to(Mode::Deaf);
    }

    /// From now on nothing passes in either direction, and no connection is closed. New ones are accepted, and stay silent.
    /// Healed, everything goes on where it was.
    pub fn freeze(&self) {
        self.control.turn_to(Mode::Frozen);
    }

    /// As [`Proxy::freeze`], for what is sent to the server only.
    pub fn freeze_requests(&self) {
        self.control.turn_to(Mode::FrozenOneWay(Direction::Requests));
    }

    /// As [`Proxy::freeze`], for what the server says only.
    pub fn freeze_answers(&self) {
        self.control.turn_to(Mode::FrozenOneWay(Direction::Answers));
    }

    /// The connections that are there now are frozen for ever, and never closed: as when something on the way has forgotten
    /// them. New ones are as before.
    pub fn forget(&self) {
        self.control.state.send_modify(|state| state.forgotten = state.accepted);
    }

    /// From now on what the server says arrives so much later.
    pub fn delay_answers(&self, by: Duration) {
        self.control.turn_to(Mode::Late(by));
    }

    /// From now on one of so many answers is lost, and its connection closed in its place.
    pub fn reset_each(&self, count: usize) {
        self.control.turn_to(Mode::Reset(count));
    }

    /// Closes all connections, and new ones at once.
    pub fn cut(&self) {
        self.control.turn_to(Mode::Cut);
    }

    /// From now on everything passes.
    pub fn heal(&self) {
        self.control.turn_to(Mode::Forward);
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

impl Control {
    fn turn_to(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// What becomes of bytes on a connection; waits while they are held back.
    async fn fate(&self, connection: usize, direction: Direction) -> Fate {
        let mut states = self.state.subscribe();
        loop {
            let State { mode, forgotten, .. } = *states.borrow_and_update();
            let is_answer = direction == Direction::Answers;
            match mode {
                Mode::Frozen => {}
                Mode::FrozenOneWay(frozen) if frozen == direction => {}
                _ if connection < forgotten => {}
                Mode::SwallowAnswers if is_answer => {
                    self.swallowed.send_modify(|swallowed| *swallowed += 1);
                    return Fate::Close;
                }
                Mode::Deaf if is_answer => return Fate::PassWithoutNotifications,
                Mode::Late(by) if is_answer => {
                    if timeout(by, states.wait_for(|state| state.mode != mode)).await.is_err() {
                        return Fate::Pass;
                    }
                    continue;
                }
                Mode::Reset(count) if is_answer => {
                    let number = self.answered.fetch_add(1, Ordering::Relaxed);
                    return if number % count == count - 1 { Fate::Close } else { Fate::Pass };
                }
                Mode::Cut => return Fate::Close,
                Mode::Forward
                | Mode::SwallowAnswers
                | Mode::Deaf
                | Mode::FrozenOneWay(_)
                | Mode::Late(_)
                | Mode::Reset(_) => return Fate::Pass,
            }
            if states.changed().await.is_err() {
                return Fate::Close;
            }
        }
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
        let mut number = 0;
        control.state.send_modify(|state| {
            number = state.accepted;
            state.accepted += 1;
        });
        connections.spawn(async move {
            let mut state = control.state.subscribe();
            tokio::select! {
                // A broken connection is what a proxy like this is for.
                _ = pass(client, &upstream, &control, number) => {}
                _ = state.wait_for(|state| state.mode == Mode::Cut) => {}
            }
        });
    }
}

async fn pass(client: Box<dyn Stream>, upstream: &Address, control: &Control, number: usize) -> io::Result<()> {
    let server: Box<dyn Stream> = match upstream {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Address::Tcp(address) => Box::new(TcpStream::connect(address).await?),
    };
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    tokio::select! {
        ended = one_way(from_client, to_server, control, number, Direction::Requests) => ended,
        ended = one_way(from_server, to_client, control, number, Direction::Answers) => ended,
    }
}

/// Passes bytes on until there are none. An end is held back like what was said before it.
async fn one_way(
    mut from: ReadHalf<Box<dyn Stream>>,
    mut to: WriteHalf<Box<dyn Stream>>,
    control: &Control,
    connection: usize,
    direction: Direction,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut frames = Frames::default();
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let fate = control.fate(connection, direction).await;
        if count == 0 {
            return Ok(());
        }
        match fate {
            Fate::Pass => to.write_all(&buffer[..count]).await?,
            Fate::PassWithoutNotifications => {
                to.write_all(&frames.without_notifications(&buffer[..count])).await?;
            }
            Fate::Close => return Ok(()),
        }
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
                let sender = sender.clone();
                tokio::spawn(async move {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).await.is_ok() {
                        sender.send_modify(|count| *count += 1);
                        if stream.write_all(&byte).await.is_err() {
                            break;
                        }
                    }
                });
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

    /// Whether nothing comes for a while.
    async fn is_silent(client: &mut TcpStream) -> bool {
        timeout(Duration::from_millis(100), client.read_u8()).await.is_err()
    }

    #[tokio::test]
    async fn a_frozen_link_is_silent_in_both_directions_and_goes_on_where_it_was() {
        let (server, mut received) = echo().await;
        let proxy = Proxy::tcp(server).await;
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut client).await.unwrap(), b'x');
        proxy.freeze();
        client.write_all(b"yz").await.unwrap();
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        new.write_all(b"n").await.unwrap();
        assert!(is_silent(&mut client).await && is_silent(&mut new).await);
        assert_eq!(*received.borrow_and_update(), 1, "and nothing has arrived");

        proxy.heal();
        let mut both = [0; 2];
        client.read_exact(&mut both).await.unwrap();
        assert_eq!((&both, new.read_u8().await.unwrap()), (b"yz", b'n'));
    }

    #[tokio::test]
    async fn a_connection_that_was_forgotten_stays_silent_and_open_while_new_ones_work() {
        let (server, received) = echo().await;
        let proxy = Proxy::tcp(server).await;
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut old).await.unwrap(), b'x');
        proxy.forget();
        old.write_all(b"y").await.unwrap();
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut new).await.unwrap(), b'x');
        proxy.heal();
        assert!(is_silent(&mut old).await);
        assert_eq!(*received.borrow(), 2, "nothing of it has arrived");
    }

    #[tokio::test]
    async fn a_link_can_be_frozen_in_one_direction() {
        let (server, mut received) = echo().await;
        let proxy = Proxy::tcp(server).await;
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.freeze_answers();
        client.write_all(b"x").await.unwrap();
        received.wait_for(|count| *count == 1).await.unwrap();
        assert!(is_silent(&mut client).await);
        proxy.heal();
        assert_eq!(client.read_u8().await.unwrap(), b'x');

        proxy.freeze_requests();
        client.write_all(b"x").await.unwrap();
        assert!(is_silent(&mut client).await);
        assert_eq!(*received.borrow(), 1);
        proxy.heal();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn answers_can_be_late_and_some_of_them_lost_with_their_connection() {
        let (server, _received) = echo().await;
        let proxy = Proxy::tcp(server).await;
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let late = Duration::from_millis(200);
        proxy.delay_answers(late);
        let asked = std::time::Instant::now();
        assert_eq!(ask(&mut client).await.unwrap(), b'x');
        assert!(asked.elapsed() >= late);

        proxy.reset_each(3);
        assert_eq!((ask(&mut client).await.unwrap(), ask(&mut client).await.unwrap()), (b'x', b'x'));
        assert!(ask(&mut client).await.is_err());
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut client).await.unwrap(), b'x', "the next two are spared again");
    }
}
