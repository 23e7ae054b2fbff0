//! Clients of the listener for `dmc`, good ones and bad ones.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// A client that trusts `ca`, shows a certificate if it has one, and reaches `dms.dm` at `address`.
///
/// # Panics
/// When a file cannot be read.
pub fn client(ca: &Path, certificate: Option<(&Path, &Path)>, address: SocketAddr) -> reqwest::Client {
    of(config(ca, certificate, &[&rustls::version::TLS13]), address)
}

/// A client from its TLS configuration.
///
/// # Panics
/// When it cannot be built.
pub fn of(config: ClientConfig, address: SocketAddr) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .resolve("dms.dm", address)
        .no_proxy()
        .build()
        .expect("a client can be built")
}

/// The TLS configuration of a client.
///
/// # Panics
/// When a file cannot be read.
pub fn config(
    ca: &Path,
    certificate: Option<(&Path, &Path)>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(ca).expect("the authority can be read") {
        roots.add(authority.expect("a certificate")).expect("an authority");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions that ring knows")
        .with_root_certificates(roots);
    match certificate {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(certificate).expect("the certificate can be read");
            let chain = chain.collect::<Result<_, _>>().expect("certificates");
            let key = PrivateKeyDer::from_pem_file(key).expect("the key can be read");
            config.with_client_auth_cert(chain, key).expect("certificate and key fit")
        }
    }
}
