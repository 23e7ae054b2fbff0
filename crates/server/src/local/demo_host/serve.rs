//! A staging's own web process: one page on loopback, its status, its visits.
//!
//! Knows only its folder. Ends on SIGTERM, and when its standard input is closed, because then its host is gone.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};
use dm_domain::overrides::Levels;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::files::{Folder, Spec};
use super::page;

/// Most connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may live in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);

/// Most bytes of a request's head.
const HEAD_MAX: usize = 16 * 1024;

/// How long the port that it had before is waited for, since an earlier process of it may be about to end.
const PORT_TIMEOUT: Duration = Duration::from_secs(1);

/// What the handlers share.
#[derive(Debug)]
struct Site {
    folder: Folder,
    spec: Spec,
    visits: Mutex<u64>,
}

/// What `/status.json` says.
#[derive(Debug, Serialize)]
struct Status<'a> {
    name: &'a str,
    tag: &'a str,
    visits: u64,
    overrides: &'a Levels<BTreeMap<String, String>>,
    values: &'a Levels<Box<RawValue>>,
}

/// Serves the staging of this folder until its host ends it.
pub(super) fn run(folder: PathBuf, port: Option<u16>) -> io::Result<()> {
    let folder = Folder::at(folder);
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{} has no spec.json", folder.path().display()));
    let spec = folder.load()?.ok_or_else(missing)?;
    let visits = Mutex::new(folder.visits());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(Arc::new(Site { folder, spec, visits }), port))
}

async fn serve(site: Arc<Site>, port: Option<u16>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = bind(port).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    let routes = Router::new()
        .route("/", get(show))
        .route("/status.json", get(status))
        .route("/healthz", get(async || "ok\n"))
        .with_state(site);
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accept = async {
        loop {
            let permit = Arc::clone(&free).acquire_owned().await;
            if let Ok((stream, _)) = listener.accept().await {
                let routes = routes.clone();
                tokio::spawn(async move {
                    timeout(CONNECTION_TIMEOUT, talk(stream, routes)).await.ok();
                    drop(permit);
                });
            }
        }
    };
    tokio::select! {
        () = accept => Ok(()),
        _ = terminate.recv() => Ok(()),
        closed = host_is_gone() => closed,
    }
}

/// Listens on this port, or on a free one if somebody else has it.
async fn bind(port: Option<u16>) -> io::Result<TcpListener> {
    let give_up = Instant::now() + PORT_TIMEOUT;
    while let Some(port) = port
        && Instant::now() < give_up
    {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => sleep(Duration::from_millis(50)).await,
            bound => return bound,
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

async fn talk(stream: TcpStream, routes: Router) {
    let talked = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .await;
    // A visitor that hangs up or talks nonsense is no event in the life of a staging.
    drop(talked);
}

/// Returns when the other end of standard input is closed.
async fn host_is_gone() -> io::Result<()> {
    let stdin = io::stdin();
    fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let lifeline = pipe::Receiver::from_owned_fd(std::os::fd::AsFd::as_fd(&stdin).try_clone_to_owned()?)?;
    let mut nothing = [0; 16];
    loop {
        lifeline.readable().await?;
        match lifeline.try_read(&mut nothing) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn show(State(site): State<Arc<Site>>, method: Method) -> impl IntoResponse {
    let visits = if method == Method::GET { site.count() } else { site.visits() };
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(page::render(&site.spec, visits)))
}

async fn status(State(site): State<Arc<Site>>) -> impl IntoResponse {
    let settings = &site.spec.settings;
    let status = Status {
        name: site.spec.name.as_str(),
        tag: settings.tag.as_str(),
        visits: site.visits(),
        overrides: &settings.overrides,
        values: &settings.values,
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(&status).into_response())
}

impl Site {
    /// One more visit, kept before it is told.
    fn count(&self) -> u64 {
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        *visits = visits.saturating_add(1);
        if let Err(error) = self.folder.store_visits(*visits) {
            let _nowhere_to_say = writeln!(io::stderr(), "visits cannot be kept: {error}");
        }
        *visits
    }

    fn visits(&self) -> u64 {
        *self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
