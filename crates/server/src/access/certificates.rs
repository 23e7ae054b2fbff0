//! Makes and reads the certificates of `dms` and `dmc`.
//!
//! A folder of certificates is made as a whole: one authority, whose key is used once and never stored, and its leaves.
//! Renewal is therefore a new authority; the one before stays trusted, so that what was made last time goes on working.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use uuid::Uuid;
use x509_parser::parse_x509_certificate;

use crate::access::identity::Identity;

/// The name in the server's certificate, whatever host is dialled.
pub const SERVER_NAME: &str = "dms.dm";

/// How long a certificate is good.
const LIFE: Duration = Duration::from_hours(365 * 24);

/// Clocks of machines differ, by hours where somebody has set one by hand: a certificate is good from this long before it
/// was made. Whoever has its key has made it just now, so that costs nothing.
const SKEW: Duration = Duration::from_hours(24);

/// With less life than this left, a certificate is renewed or warned about.
const SOON: TimeDelta = TimeDelta::days(30);

/// Why certificates could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file could not be written or read.
    #[error("{path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{path} holds no certificate that can be read")]
    Unreadable {
        /// Which one.
        path: PathBuf,
    },
    /// A certificate could not be signed.
    #[error("a certificate could not be made")]
    Sign(#[from] rcgen::Error),
    /// Certificate and key do not fit, or are unusable.
    #[error("the certificates in {path} cannot be used")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authorities in `ca.crt` cannot be used.
    #[error("no client could be verified by the authorities in {path}")]
    Verifier {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

/// A folder of certificates: `ca.crt` (this authority and the one before), `server.crt`, `server.key`, and for each
/// client `ROLE-NAME.crt` and `ROLE-NAME.key`.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at a path, which need not be there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The authorities that are trusted: this one first, then the one before.
    pub fn authorities(&self) -> PathBuf {
        self.0.join("ca.crt")
    }

    /// The server's certificate.
    pub fn server_certificate(&self) -> PathBuf {
        self.0.join("server.crt")
    }

    /// The server's key.
    pub fn server_key(&self) -> PathBuf {
        self.0.join("server.key")
    }

    /// A client's certificate.
    pub fn client_certificate(&self, client: &Identity) -> PathBuf {
        self.0.join(format!("{}-{}.crt", client.role, client.name))
    }

    /// A client's key.
    pub fn client_key(&self, client: &Identity) -> PathBuf {
        self.0.join(format!("{}-{}.key", client.role, client.name))
    }

    /// Makes a new authority and its leaves, replacing what is there. The first authority in the file `previous` stays
    /// trusted.
    pub fn make(&self, clients: &[Identity], previous: Option<&Path>) -> Result<(), CertificateError> {
        let previous = previous.map(read_first_text).transpose()?;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.0).map_err(at(&self.0))?;

        let key = KeyPair::generate()?;
        let authority = authority();
        let mut trusted = authority.self_signed(&key)?.pem();
        if let Some(previous) = previous {
            trusted.push_str(&previous);
        }
        let issuer = Issuer::new(authority, key);

        let server = leaf(SERVER_NAME, SanType::DnsName(SERVER_NAME.try_into()?), ExtendedKeyUsagePurpose::ServerAuth);
        write_leaf(&server, &issuer, &self.server_certificate(), &self.server_key())?;
        for client in clients {
            let params = leaf(
                &client.actor().0,
                SanType::URI(client.uri().as_str().try_into()?),
                ExtendedKeyUsagePurpose::ClientAuth,
            );
            write_leaf(&params, &issuer, &self.client_certificate(client), &self.client_key(client))?;
        }
        // Last, so that a folder left half made is recognised by leaves that its authority has not signed.
        write(&self.authorities(), trusted.as_bytes(), 0o644)
    }

    /// Makes the folder, or makes it anew when something in it is missing, unreadable, or has few days left. Says why.
    pub fn ensure(&self, clients: &[Identity]) -> Result<Option<String>, CertificateError> {
        let Some(reason) = self.fault(clients) else { return Ok(None) };
        let before = self.authorities();
        let previous = read_first(&before).is_ok().then_some(before.as_path());
        self.make(clients, previous)?;
        Ok(Some(reason))
    }

    /// When the server's certificate ends, if that is soon.
    pub fn ends_soon(&self) -> Option<DateTime<Utc>> {
        let ends = Leaf::read(&self.server_certificate()).ok()?.ends;
        (ends - now() < SOON).then_some(ends)
    }

    /// What is wrong with the folder, in words.
    fn fault(&self, clients: &[Identity]) -> Option<String> {
        let Ok(authority) = Leaf::read(&self.authorities()) else {
            return Some("there is no authority".to_owned());
        };
        let leaves = clients.iter().map(|client| (self.client_certificate(client), self.client_key(client)));
        for (certificate, key) in leaves.chain([(self.server_certificate(), self.server_key())]) {
            let name = certificate.display();
            let Ok(leaf) = Leaf::read(&certificate) else {
                return Some(format!("{name} is not there or cannot be read"));
            };
            if !key.exists() {
                return Some(format!("{} is not there", key.display()));
            }
            if leaf.issuer != authority.subject {
                return Some(format!("{name} is of another authority"));
            }
            if leaf.ends - now() < SOON {
                return Some(format!("{name} is good only until {}", leaf.ends));
            }
        }
        None
    }
}

fn write_leaf(
    params: &CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
    certificate: &Path,
    key: &Path,
) -> Result<(), CertificateError> {
    let pair = KeyPair::generate()?;
    let signed = params.signed_by(&pair, issuer)?;
    write(key, pair.serialize_pem().as_bytes(), 0o600)?;
    write(certificate, signed.pem().as_bytes(), 0o644)
}

/// What is looked at of a certificate.
struct Leaf {
    subject: Vec<u8>,
    issuer: Vec<u8>,
    ends: DateTime<Utc>,
}

impl Leaf {
    /// The first certificate of a file.
    fn read(path: &Path) -> Result<Self, CertificateError> {
        let der = read_first(path)?;
        let unreadable = || CertificateError::Unreadable { path: path.to_owned() };
        let (_, certificate) = parse_x509_certificate(&der).map_err(|_| unreadable())?;
        let ends = DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0).ok_or_else(unreadable)?;
        Ok(Self {
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            ends,
        })
    }
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    // Two authorities are trusted at once, so each has a name of its own.
    params.distinguished_name = name(&format!("DM authority {}", Uuid::new_v4().simple()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    live(&mut params);
    params
}

fn leaf(subject: &str, san: SanType, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(subject);
    params.subject_alt_names = vec![san];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    live(&mut params);
    params
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn live(params: &mut CertificateParams) {
    let now = SystemTime::now();
    params.not_before = (now - SKEW).into();
    params.not_after = (now + LIFE).into();
}

/// Certificates are the one thing that is judged by this machine's clock, as every TLS library does.
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn read_first(path: &Path) -> Result<CertificateDer<'static>, CertificateError> {
    let pem = fs::read(path).map_err(at(path))?;
    CertificateDer::from_pem_slice(&pem).map_err(|_| CertificateError::Unreadable { path: path.to_owned() })
}

/// The first certificate of a file as text, checked to be one.
fn read_first_text(path: &Path) -> Result<String, CertificateError> {
    const END: &str = "-----END CERTIFICATE-----";
    read_first(path)?;
    let text = fs::read_to_string(path).map_err(at(path))?;
    let end = text.find(END).ok_or_else(|| CertificateError::Unreadable { path: path.to_owned() })?;
    Ok(format!("{}{END}\n", &text[..end]))
}

/// Writes beside the file and renames, so that nobody reads half of it.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CertificateError> {
    let fresh = path.with_extension("new");
    let write = || {
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CertificateError + use<> {
    let path = path.to_owned();
    move |source| CertificateError::File { path, source }
}
