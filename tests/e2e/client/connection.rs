//! The way to `dms`: found without a flag, and each way in which it can fail said plainly.

use std::fs;
use std::path::{Path, PathBuf};

use dm_tests::dms::Setup;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};

use super::{Ended, World, dmc};

/// A folder of certificates as `dms serve --certs` takes it, of an authority that can make wrong ones too.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// The files of a certificate and of its key.
struct Files(PathBuf, PathBuf);

impl Files {
    /// `dmc list` with this certificate.
    fn list(&self, world: &World) -> Ended {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        world.dmc(&["list", "--cert", &path(&self.0), "--key", &path(&self.1)])
    }
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", uuid::Uuid::new_v4()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(folder.path().join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        let authority = Self { folder, issuer: Issuer::new(params, key) };
        authority.leaf("server", |params| {
            params.subject_alt_names = vec![SanType::DnsName("dms.dm".try_into().unwrap())];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        authority
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// A certificate that is right but for what `change` does to it.
    fn leaf(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Files {
        let (params, key) = Self::params(change);
        self.write(name, &params.signed_by(&key, &self.issuer).unwrap().pem(), &key)
    }

    /// The same, signed by nobody but itself.
    fn signed_by_itself(&self) -> Files {
        let (params, key) = Self::params(|_| {});
        self.write("self", &params.self_signed(&key).unwrap().pem(), &key)
    }

    fn params(change: impl FnOnce(&mut CertificateParams)) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI("spiffe://dm/dmc/admin/anna".try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        (params, KeyPair::generate().unwrap())
    }

    fn write(&self, name: &str, pem: &str, key: &KeyPair) -> Files {
        let path = |ending: &str| self.folder.path().join(format!("{name}.{ending}"));
        let files = Files(path("crt"), path("key"));
        fs::write(&files.0, pem).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

fn run(home: &Path, arguments: &[&str]) -> Ended {
    Ended::of(&dmc(home, arguments).output().expect("dmc was built"))
}

#[test]
fn without_a_dms_there_is_a_sentence_and_a_hint() {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), &["list"]).says(5, &["no dms is known here", "hint: is dms running?"]);
    let version = run(home.path(), &["version"]);
    assert_eq!((version.code, version.stdout.as_str()), (5, "dmc 0.1.0\n"));
}

#[test]
fn a_dms_that_does_not_run_is_unreachable() {
    let mut world = World::new();
    world.dms.terminate();
    let ended = world.dmc(&["list", "--retry-for", "1s"]);
    ended.says(5, &["trying again", "error: cannot reach dms at https://", "hint: is dms running?"]);
}

#[test]
fn somebody_who_speaks_no_tls_is_unreachable() {
    let world = World::new();
    let page = format!("https://{}", world.dms.page());
    world.dmc(&["list", "--retry-for", "1s", "--url", &page]).says(5, &["error: cannot reach dms at https://"]);
}

#[test]
fn a_server_of_another_authority_is_refused() {
    let world = World::new();
    let other = Authority::new();
    let ended = world.dmc(&["list", "--ca", other.ca().to_str().unwrap()]);
    ended.says(5, &["is not the dms that this dmc belongs to", "of another authority", "hint: "]);
}

#[test]
fn a_wrong_certificate_is_not_accepted_and_what_is_wrong_is_said() {
    let authority = Authority::new();
    let world = World::of(Setup::new().argument(format!("--certs={}", authority.folder.path().display())));
    authority.leaf("good", |_| {}).list(&world).says(0, &[]);

    let refused = |files: &Files, words: &str| files.list(&world).says(4, &["error: ", words, "hint: "]);
    refused(&Authority::new().leaf("other", |_| {}), "of an authority that this dms does not trust");
    refused(&authority.signed_by_itself(), "does not accept this client");
    let expired = authority.leaf("expired", |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    refused(&expired, "has expired");
    let role = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![SanType::URI("spiffe://dm/dmc/root/anna".try_into().unwrap())];
    };
    refused(&authority.leaf("role", role), "role");
    refused(
        &Files(authority.folder.path().join("server.crt"), authority.folder.path().join("server.key")),
        "not one for clients",
    );
}

#[test]
fn a_key_of_another_certificate_is_told_before_anything_is_sent() {
    let world = World::new();
    let authority = Authority::new();
    let (one, other) = (authority.leaf("one", |_| {}), authority.leaf("other", |_| {}));
    Files(one.0, other.1).list(&world).says(4, &["error: the certificate ", "it does not belong to the key "]);
}

#[test]
fn without_a_certificate_nobody_is_let_in() {
    let world = World::new();
    let settings = fs::read_to_string(world.dms.home().join("dmc.toml")).unwrap();
    let settings: toml::Table = settings.parse().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let value = |key: &str| settings[key].as_str().unwrap();
    let ended = run(empty.path(), &["list", "--url", value("url"), "--ca", value("ca")]);
    ended.says(4, &["it asks for a certificate, and none is given"]);
}

#[test]
fn a_certificate_that_cannot_be_read_is_told_before_anything_is_sent() {
    let world = World::new();
    world.dmc(&["list", "--cert", "/nowhere.pem"]).says(4, &["the certificate /nowhere.pem: No such file"]);
    let ca = world.dms.home().join("dmc.toml");
    world.dmc(&["list", "--ca", ca.to_str().unwrap()]).says(5, &["there is no PEM certificate in it"]);
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let world = World::new();
    let ended = |variable: &str, arguments: &[&str]| {
        Ended::of(&dmc(world.dms.home(), arguments).env("DM_URL", variable).env("DM_RETRY_FOR", "1s").output().unwrap())
    };
    ended("https://127.0.0.1:1", &["list"]).says(5, &["https://127.0.0.1:1"]);
    ended("https://127.0.0.1:1", &["list", "--url", "https://127.0.0.1:2"]).says(5, &["https://127.0.0.1:2"]);
    ended("", &["list"]).says(0, &[]);
    let port = world.dms.dmc().port();
    ended(&format!("https://localhost:{port}"), &["list"]).says(0, &[]);
}
