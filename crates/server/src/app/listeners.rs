//! The three listeners: bound first, so that a taken port is told at once; served when the rest is there.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::config::{Listen, Settings};

/// Bound, not yet served.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) page: TcpListener,
    pub(super) dmc: TcpListener,
    pub(super) metrics: TcpListener,
}

/// Why a listener is not there.
#[derive(Debug, thiserror::Error)]
#[error("--{flag}: cannot listen on {address}")]
pub(super) struct ListenError {
    flag: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl Bound {
    /// Binds all three. A default that is taken gives way to a free port, and `tell` hears of it.
    pub(super) fn new(settings: &Settings, tell: impl Fn(&str)) -> Result<Self, ListenError> {
        Ok(Self {
            page: bind("listen", settings.listen, &tell)?,
            dmc: bind("listen-dmc", settings.listen_dmc, &tell)?,
            metrics: bind("listen-metrics", settings.listen_metrics, &tell)?,
        })
    }
}

fn bind(flag: &'static str, listen: Listen, tell: impl Fn(&str)) -> Result<TcpListener, ListenError> {
    let Listen { address, given } = listen;
    let error = |source| ListenError { flag, address, source };
    match TcpListener::bind(address) {
        Err(taken) if taken.kind() == io::ErrorKind::AddrInUse && !given => {
            tell(&format!("port {} is taken; taking a free one (--{flag} chooses)", address.port()));
            TcpListener::bind(SocketAddr::new(address.ip(), 0)).map_err(error)
        }
        bound => bound.map_err(error),
    }
}

/// The URL by which somebody on this machine reaches an address.
pub(super) fn url(scheme: &str, address: SocketAddr) -> String {
    let mut address = address;
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => {}
    }
    format!("{scheme}://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: SocketAddr, given: bool) -> Listen {
        Listen { address, given }
    }

    #[test]
    fn a_taken_default_gives_way_and_a_taken_choice_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("bound");
        assert!(bind("listen", listen(address, true), |_| {}).is_err());
        let told = std::cell::Cell::new(false);
        let other = bind("listen", listen(address, false), |_| told.set(true)).expect("another port");
        assert_ne!(other.local_addr().expect("bound").port(), address.port());
        assert!(told.get());
    }

    #[test]
    fn an_unspecified_address_is_reached_by_loopback() {
        assert_eq!(url("https", "0.0.0.0:8443".parse().expect("an address")), "https://127.0.0.1:8443");
        assert_eq!(url("https", "[::]:8443".parse().expect("an address")), "https://[::1]:8443");
        assert_eq!(url("http", "10.0.0.1:80".parse().expect("an address")), "http://10.0.0.1:80");
    }
}
