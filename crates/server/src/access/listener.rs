//! Accepts connections and serves HTTP/1.1 on them, within limits; by mutual TLS where asked for.
//!
//! Owns handshakes, deadlines and the number of connections. What is answered is the router's business.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::identity::{Identity, IdentityError};
use crate::access::patience::Patient;
use crate::access::tls::Tls;

/// The most bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;

/// How long accepting pauses after an error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a stop leaves connections open on which nothing is under way: a client that has just connected, or just sent
/// its next request, is still answered.
const LINGER: Duration = Duration::from_millis(300);

/// What a client may take up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most connections of one listener; more wait in the kernel's queue.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub head: Duration,
    /// How long an answer may wait for the client to read on.
    pub reading: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connections: 512, handshake: seconds(10), head: seconds(30), reading: seconds(30) }
    }
}

/// A listener at work.
#[derive(Debug)]
pub struct Listening {
    /// Where it really listens.
    pub address: SocketAddr,
    stop: CancellationToken,
    abort: CancellationToken,
    connections: TaskTracker,
}

impl Listening {
    /// Serves `router` on `listener`: by mutual TLS if `tls` is there, and then each request carries the
    /// [`Identity`] of its connection as an extension, or the [`IdentityError`] that its certificate gave.
    pub fn start(
        listener: std::net::TcpListener,
        tls: Option<Tls>,
        limits: Limits,
        router: Router,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (stop, abort, connections) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let serving = Serving { tls, limits, router, stop: stop.clone(), abort: abort.clone() };
        connections.spawn(accept(listener, serving, connections.clone()));
        Ok(Self { address, stop, abort, connections })
    }

    /// Accepts no more, answers for a moment what comes on the connections that are there, lets requests under way end,
    /// all for at most `grace`, then closes what is left.
    pub async fn stop(&self, grace: Duration) {
        self.stop.cancel();
        self.connections.close();
        if timeout(grace, self.connections.wait()).await.is_err() {
            self.abort.cancel();
            self.connections.wait().await;
        }
    }
}

/// What each connection needs.
#[derive(Clone)]
struct Serving {
    tls: Option<Tls>,
    limits: Limits,
    router: Router,
    stop: CancellationToken,
    abort: CancellationToken,
}

async fn accept(listener: TcpListener, serving: Serving, connections: TaskTracker) {
    let places = Arc::new(Semaphore::new(serving.limits.connections));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = serving.stop.cancelled() => return,
            next = next => next,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, peer))) => {
                connections.spawn(connection(stream, peer, serving.clone(), place));
            }
            (_, Err(error)) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
            (Err(_), _) => return,
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, serving: Serving, _place: OwnedSemaphorePermit) {
    // Answers are small and awaited: none of them should wait for an acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let abort = serving.abort.clone();
    let served = async {
        let Some(tls) = &serving.tls else { return serve(stream, peer, None, &serving).await };
        let accepted = tokio::select! {
            () = stopped(&serving) => return,
            accepted = timeout(serving.limits.handshake, TlsAcceptor::from(tls.config()).accept(stream)) => accepted,
        };
        match accepted {
            Ok(Ok(stream)) => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let identity = Identity::of_certificate(certificate.map_or(&[], |der| der.as_ref()));
                serve(stream, peer, Some(identity), &serving).await;
            }
            Ok(Err(error)) => tracing::info!(peer = %peer, error = %error, "a TLS handshake failed"),
            Err(_) => tracing::info!(peer = %peer, "a TLS handshake took too long"),
        }
    };
    tokio::select! {
        () = abort.cancelled() => {}
        () = served => {}
    }
}

/// Until a stop leaves a connection open no longer than for what is under way on it.
async fn stopped(serving: &Serving) {
    serving.stop.cancelled().await;
    sleep(LINGER).await;
}

/// Whom the certificate of a connection names; none where there are no certificates.
type Caller = Option<Result<Identity, IdentityError>>;

async fn serve<S>(stream: S, peer: SocketAddr, caller: Caller, serving: &Serving)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(serving.router.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        match &caller {
            None => {}
            Some(Ok(identity)) => drop(request.extensions_mut().insert(identity.clone())),
            // The handshake has succeeded, so the holder of a certificate that names nobody can be told in words.
            Some(Err(error)) => drop(request.extensions_mut().insert(error.clone())),
        }
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(serving.limits.head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Patient::new(stream, serving.limits.reading)), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(serving) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer, error = %error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn start(limits: Limits) -> Listening {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let router = Router::new().route("/", get(async || "here"));
        Listening::start(listener, None, limits, router).expect("it listens")
    }

    async fn connect(listening: &Listening) -> TcpStream {
        TcpStream::connect(listening.address).await.expect("it listens")
    }

    async fn rest(stream: &mut TcpStream) -> String {
        let mut rest = String::new();
        timeout(SOON, stream.read_to_string(&mut rest)).await.expect("it is closed in time").expect("it can be read");
        rest
    }

    #[tokio::test]
    async fn a_request_whose_head_does_not_end_is_cut_off() {
        let listening = start(Limits { head: Duration::from_millis(100), ..Limits::default() });
        let mut stream = connect(&listening).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.expect("it is read");
        assert!(!rest(&mut stream).await.contains("here"));
    }

    #[tokio::test]
    async fn a_connection_without_requests_is_cut_off() {
        let listening = start(Limits { head: Duration::from_millis(100), ..Limits::default() });
        let mut stream = connect(&listening).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is read");
        assert!(rest(&mut stream).await.contains("here"));
    }

    #[tokio::test]
    async fn one_connection_too_many_waits_for_a_place() {
        let listening = start(Limits { connections: 1, ..Limits::default() });
        let first = connect(&listening).await;
        let mut second = connect(&listening).await;
        second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("it is queued");
        let early = timeout(Duration::from_millis(100), second.read_u8()).await;
        assert!(early.is_err(), "there is one place, and it is taken");
        drop(first);
        assert!(rest(&mut second).await.contains("here"));
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections_soon_and_others_after_their_grace() {
        let listening = start(Limits::default());
        let mut idle = connect(&listening).await;
        let mut open = connect(&listening).await;
        open.write_all(b"GET / HTTP/1.1\r\nhost: ").await.expect("it is read");
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is read");
        idle.read_u8().await.expect("it is answered");
        timeout(SOON, listening.stop(2 * LINGER)).await.expect("a stop has a bound");
        assert!(rest(&mut idle).await.contains("here"));
        // What was cut off may be told so by a reset.
        let mut rest = Vec::new();
        let cut = timeout(SOON, open.read_to_end(&mut rest)).await.expect("it is closed in time");
        assert!(cut.is_err() || rest.is_empty());
        TcpStream::connect(listening.address).await.expect_err("nobody listens any more");
    }

    #[tokio::test]
    async fn what_is_connected_when_a_stop_begins_is_still_answered() {
        let listening = start(Limits::default());
        let mut fresh = connect(&listening).await;
        let mut used = connect(&listening).await;
        used.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is read");
        let mut begin = [0; 15];
        used.read_exact(&mut begin).await.expect("it is answered");
        let asked = async {
            listening.stop.cancelled().await;
            for stream in [&mut fresh, &mut used] {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is read");
            }
            (rest(&mut fresh).await, rest(&mut used).await)
        };
        let ((), (fresh, used)) = tokio::join!(listening.stop(SOON), asked);
        assert_eq!((fresh.matches("here").count(), used.matches("here").count()), (1, 2));
    }
}
