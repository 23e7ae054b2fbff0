//! Certificates that `dms` would not make.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use uuid::Uuid;

/// An authority whose key the test holds.
pub(super) struct Authority {
    name: String,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(super) struct Leaf {
    pem: String,
    key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        Self::named(&format!("test {}", Uuid::new_v4()))
    }

    pub(super) fn named(name: &str) -> Self {
        let mut params = params(name, &(-400..400));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("an authority").pem();
        Self { name: name.to_owned(), pem, issuer: Issuer::new(params, key) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A certificate with these URIs, good between these days from today.
    pub(super) fn leaf(&self, uris: &[&str], usage: ExtendedKeyUsagePurpose, days: Range<i64>) -> Leaf {
        let names = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI"))).collect();
        self.sign(names, usage, &days)
    }

    /// A folder as `dms certs` makes it, without clients.
    pub(super) fn write_folder(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("the folder is ours");
        let name = SanType::DnsName("dms.dm".try_into().expect("a name"));
        let server = self.sign(vec![name], ExtendedKeyUsagePurpose::ServerAuth, &(0..365));
        fs::write(folder.join("ca.crt"), &self.pem).expect("the folder is ours");
        fs::write(folder.join("server.crt"), server.pem).expect("the folder is ours");
        fs::write(folder.join("server.key"), server.key).expect("the folder is ours");
    }

    fn sign(&self, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose, days: &Range<i64>) -> Leaf {
        let mut params = params("leaf", days);
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Leaf { pem, key: key.serialize_pem() }
    }
}

impl Leaf {
    pub(super) fn self_signed(uri: &str) -> Self {
        let mut params = params("leaf", &(0..365));
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a URI"))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, key: key.serialize_pem() }
    }

    /// As files of a folder: the certificate and the key.
    pub(super) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let name = Uuid::new_v4().to_string();
        let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        fs::write(&certificate, &self.pem).expect("the folder is ours");
        fs::write(&key, &self.key).expect("the folder is ours");
        (certificate, key)
    }
}

fn params(name: &str, days: &Range<i64>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // An hour of overlap, because a day that starts now has not started for a clock that is a little behind.
    params.not_before = at(days.start, Duration::from_hours(1)).into();
    params.not_after = at(days.end, Duration::ZERO).into();
    params
}

fn at(day: i64, earlier: Duration) -> SystemTime {
    let distance = Duration::from_hours(24 * day.unsigned_abs());
    let now = SystemTime::now() - earlier;
    if day < 0 { now - distance } else { now + distance }
}
