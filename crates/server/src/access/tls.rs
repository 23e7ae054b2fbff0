//! Mutual TLS 1.3 for `dmc`: what the listener offers and whom it believes.
//!
//! Reads a folder of certificates again when its files have changed, so that new ones need no restart.

use std::fs;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::access::certificates::{CertificateError, Folder};

/// The configuration of the listener, as of the files' last change. Cheap to clone; clones change together.
#[derive(Debug, Clone)]
pub struct Tls {
    folder: Folder,
    current: Arc<RwLock<Current>>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    stamps: Stamps,
}

/// When each file was last changed.
type Stamps = [Option<SystemTime>; 3];

impl Tls {
    /// Reads the folder.
    pub fn load(folder: Folder) -> Result<Self, CertificateError> {
        let stamps = stamps(&folder);
        let config = Arc::new(read(&folder)?);
        Ok(Self { folder, current: Arc::new(RwLock::new(Current { config, stamps })) })
    }

    /// The configuration for the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// Reads the folder again if a file of it has changed; says whether it did. When it cannot be used, the
    /// configuration stays as it was.
    pub fn reload(&self) -> Result<bool, CertificateError> {
        let stamps = stamps(&self.folder);
        if stamps == self.current.read().unwrap_or_else(PoisonError::into_inner).stamps {
            return Ok(false);
        }
        let config = Arc::new(read(&self.folder)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { config, stamps };
        Ok(true)
    }
}

fn stamps(folder: &Folder) -> Stamps {
    [folder.authorities(), folder.server_certificate(), folder.server_key()]
        .map(|path| fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn read(folder: &Folder) -> Result<ServerConfig, CertificateError> {
    let unusable = |source| CertificateError::Unusable { path: folder.path().to_owned(), source };
    let mut trusted = RootCertStore::empty();
    for authority in read_all(&folder.authorities())? {
        trusted.add(authority).map_err(unusable)?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), Arc::clone(&provider))
        .build()
        .map_err(|source| CertificateError::Verifier { path: folder.path().to_owned(), source })?;
    let chain = read_all(&folder.server_certificate())?;
    let key = PrivateKeyDer::from_pem_file(folder.server_key())
        .map_err(|_| CertificateError::Unreadable { path: folder.server_key() })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would outlive the authority that vouched for it.
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn read_all(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let unreadable = || CertificateError::Unreadable { path: path.to_owned() };
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|_| unreadable())?
        .collect::<Result<_, _>>()
        .map_err(|_| unreadable())?;
    if all.is_empty() { Err(unreadable()) } else { Ok(all) }
}
