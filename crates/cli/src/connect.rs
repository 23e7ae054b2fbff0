//! The way to `dms`: mutual TLS 1.3, HTTP/1.1, and what a failed connection means in words.
//!
//! `dms` proves the name `dms.dm` under its authority, whatever host is dialled: requests go to `https://dms.dm:PORT`,
//! and a resolver answers with the addresses of the host that was configured. So the check of the name is the
//! library's own, and no verifier of ours can be wrong.

use std::error::Error as StdError;
use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore};

use crate::exit::{Error, Exit};
use crate::settings::{Identity, Settings};

/// The name that every `dms` proves.
const SERVER_NAME: &str = "dms.dm";

/// How long a connection may take to come up, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request may take from its first byte to the last of its answer, where nothing else is said.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long `dms` has for its word against our certificate.
const DIAGNOSIS_TIMEOUT: Duration = Duration::from_secs(2);

/// A way to one `dms`.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Sends requests.
    pub(crate) http: reqwest::Client,
    /// What requests go to.
    pub(crate) base: Url,
    /// What people know it as.
    pub(crate) shown: String,
    host: String,
    port: u16,
    tls: Arc<ClientConfig>,
}

impl Connection {
    /// Reads certificates and sets up the way; does not go it yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let tls = tls(settings)?;
        // Both were checked when the address was read.
        let host = settings.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = settings.url.port_or_known_default().unwrap_or(443);
        let shown = settings.url.as_str().trim_end_matches('/').to_owned();
        let unusable = |cause: String| Error::Settings { what: shown.clone(), cause, exit: Exit::Usage };
        let base = Url::parse(&format!("https://{SERVER_NAME}:{port}")).map_err(|error| unusable(error.to_string()))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .dns_resolver(Arc::new(Dialled { host: host.clone() }))
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("dmc/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| unusable(chain(&error)))?;
        Ok(Self { http, base, shown, host, port, tls: Arc::new(tls) })
    }

    /// What a request that got no answer means.
    pub(crate) fn explain(&self, error: &reqwest::Error) -> Error {
        if let Some(tls) = find::<rustls::Error>(error) {
            return self.explain_tls(tls);
        }
        let kind = find::<io::Error>(error).map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionRefused) {
            return self.unreachable("nobody listens there (connection refused)", true);
        }
        if error.is_timeout() {
            return self.unreachable("no answer in time", false);
        }
        if !error.is_connect()
            && let Some(refusal) = self.ask_why_closed()
        {
            return refusal;
        }
        self.unreachable(&innermost(error), false)
    }

    /// A lost link, in the words of whoever lost it.
    pub(crate) fn unreachable(&self, cause: &str, refused: bool) -> Error {
        Error::Unreachable { url: self.shown.clone(), cause: cause.to_owned(), refused }
    }

    fn explain_tls(&self, error: &rustls::Error) -> Error {
        let url = self.shown.clone();
        if let rustls::Error::AlertReceived(alert) = error {
            return match refusal(*alert) {
                Some(cause) => Error::CertificateRefused { url, cause },
                None => self.unreachable(&format!("it ended the TLS handshake: {error}"), false),
            };
        }
        if let rustls::Error::InvalidCertificate(why) = error {
            return Error::Untrusted { url, cause: distrust(why) };
        }
        self.unreachable(&format!("no TLS 1.3 connection: {error}"), false)
    }

    /// In TLS 1.3 a server judges our certificate after we may have sent our request. When it then closes, its alert
    /// can be lost with the request that it did not read; a handshake that sends nothing hears it.
    fn ask_why_closed(&self) -> Option<Error> {
        let address = (self.host.as_str(), self.port).to_socket_addrs().ok()?.next()?;
        let mut tcp = TcpStream::connect_timeout(&address, DIAGNOSIS_TIMEOUT).ok()?;
        tcp.set_read_timeout(Some(DIAGNOSIS_TIMEOUT)).ok()?;
        tcp.set_write_timeout(Some(DIAGNOSIS_TIMEOUT)).ok()?;
        let mut tls = ClientConnection::new(self.tls.clone(), ServerName::try_from(SERVER_NAME).ok()?).ok()?;
        let deadline = Instant::now() + DIAGNOSIS_TIMEOUT;
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        let mut nothing = [0];
        while Instant::now() < deadline {
            match stream.read(&mut nothing) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return find::<rustls::Error>(&error).map(|error| self.explain_tls(error)),
            }
        }
        None
    }
}

/// Answers every name with the addresses of the host that was configured.
#[derive(Debug)]
struct Dialled {
    host: String,
}

impl Resolve for Dialled {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            // The port in the request's address replaces this one.
            let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn tls(settings: &Settings) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let fault = |what: String, exit: Exit| {
        move |error: &dyn std::fmt::Display| Error::Settings { what, cause: error.to_string(), exit }
    };
    let ca_name = format!("the authority {}", settings.ca.display());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&settings.ca).map_err(|cause| fault(ca_name.clone(), Exit::Unreachable)(&cause))? {
        roots.add(certificate).map_err(|error| fault(ca_name.clone(), Exit::Unreachable)(&error))?;
    }
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| fault("TLS 1.3".to_owned(), Exit::Unreachable)(&error))?
        .with_root_certificates(roots);
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some(Identity { cert, key }) => {
            let cert_name = format!("the certificate {}", cert.display());
            let chain = certificates(cert).map_err(|cause| fault(cert_name.clone(), Exit::NotAllowed)(&cause))?;
            let key_name = format!("the key {}", key.display());
            let private = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| fault(key_name.clone(), Exit::NotAllowed)(&pem_fault(error, "key")))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| {
                let cause = if matches!(error, rustls::Error::InconsistentKeys(_)) {
                    format!("it does not belong to {key_name}")
                } else {
                    error.to_string()
                };
                fault(cert_name, Exit::NotAllowed)(&cause)
            })?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_fault(error, "certificate"))?;
    if found.is_empty() { Err("there is no PEM certificate in it".to_owned()) } else { Ok(found) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is left says well enough what it is")]
fn pem_fault(error: rustls::pki_types::pem::Error, what: &str) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => format!("there is no PEM {what} in it"),
        other => other.to_string(),
    }
}

/// What a server has against our certificate, if that is why it ended the connection.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other alerts are about the protocol, not about a certificate")]
fn refusal(alert: AlertDescription) -> Option<String> {
    let cause = match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "it asks for a certificate, and none is given"
        }
        AlertDescription::CertificateExpired => "the certificate has expired or is not valid yet",
        AlertDescription::CertificateRevoked => "the certificate is revoked",
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "the certificate is of an authority that this dms does not trust"
        }
        AlertDescription::UnsupportedCertificate => "the certificate is not one for clients",
        AlertDescription::AccessDenied => "the certificate gives no access",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "the certificate is none that belongs to this dms"
        }
        _ => return None,
    };
    Some(cause.to_owned())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is left says well enough what it is")]
fn distrust(error: &rustls::CertificateError) -> String {
    use rustls::CertificateError as E;
    match error {
        E::UnknownIssuer | E::BadSignature => "its certificate is of another authority".to_owned(),
        E::Expired | E::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => "its certificate is not valid yet".to_owned(),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            format!("its certificate is not for the name {SERVER_NAME}")
        }
        other => format!("its certificate is not acceptable ({other})"),
    }
}

/// The first error of a type among the causes of another. An `io::Error` hides the error that it wraps from
/// [`StdError::source`], so it is opened by hand.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// The cause of all causes: what the system said.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
