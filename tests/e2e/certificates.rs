//! Who is let in, and who is not.

mod authority;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dm_api::{Problem, WhoAmI};
use dm_tests::dms::{self, Dms, Setup};
use dm_tests::eventually::eventually;
use dm_tests::postgres::Database;
use dm_tests::tls;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};

use authority::{Authority, Leaf};

const SOON: Duration = Duration::from_secs(30);

/// A `dms` whose certificates are of an authority that the test holds.
struct Guarded {
    dms: Dms,
    authority: Authority,
    _database: Database,
}

impl Guarded {
    async fn start() -> Self {
        let database = Database::empty().await;
        let setup = Setup::new().database(&database);
        let certs = setup.home_path().with_file_name("certs");
        let authority = Authority::new();
        authority.write_folder(&certs);
        let dms = setup.argument(format!("--certs={}", certs.display())).start();
        Self { dms, authority, _database: database }
    }

    fn ca(&self) -> PathBuf {
        self.dms.folder().join("certs/ca.crt")
    }

    /// What the holder of a certificate is answered.
    async fn ask(&self, leaf: Option<&Leaf>) -> Result<reqwest::Response, String> {
        let files = leaf.map(|leaf| leaf.write(self.dms.folder()));
        let shown = files.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        self.ask_by(tls::config(&self.ca(), shown, &[&TLS13])).await
    }

    async fn ask_by(&self, config: ClientConfig) -> Result<reqwest::Response, String> {
        let client = tls::of(config, self.dms.dmc());
        client
            .get(self.dms.url("/api/v1/whoami"))
            .send()
            .await
            .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    /// Refused by TLS itself, with this alert.
    async fn assert_refused(&self, leaf: Option<&Leaf>, alert: &str) {
        let error = self.ask(leaf).await.expect_err("this certificate is not to be let in");
        assert!(error.contains(&format!("received fatal alert: {alert}")), "{error}");
    }

    /// Let in by TLS, and then told that its certificate names nobody.
    async fn assert_nobody(&self, leaf: &Leaf) {
        let answer = self.ask(Some(leaf)).await.expect("the certificate is valid");
        assert_eq!(answer.status(), 403);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Problem = answer.json().await.expect("a problem document");
        assert_eq!(problem.code, "bad_identity");
    }
}

fn of(uris: &[&str]) -> Leaf {
    Authority::new().leaf(uris, ClientAuth, 0..365)
}

async fn who(answer: reqwest::Response) -> String {
    assert_eq!(answer.status(), 200);
    answer.json::<WhoAmI>().await.expect("an answer of dms").actor
}

#[tokio::test]
async fn a_good_certificate_is_let_in_and_named() {
    let guarded = Guarded::start().await;
    let leaf = guarded.authority.leaf(&["spiffe://dm/dmc/user/build"], ClientAuth, 0..365);
    assert_eq!(who(guarded.ask(Some(&leaf)).await.expect("it is let in")).await, "user/build");
}

#[tokio::test]
async fn no_certificate_is_refused() {
    Guarded::start().await.assert_refused(None, "CertificateRequired").await;
}

#[tokio::test]
async fn a_certificate_before_or_after_its_time_is_refused() {
    let guarded = Guarded::start().await;
    let expired = guarded.authority.leaf(&["spiffe://dm/dmc/admin/anna"], ClientAuth, -30..-1);
    guarded.assert_refused(Some(&expired), "CertificateExpired").await;
    let early = guarded.authority.leaf(&["spiffe://dm/dmc/admin/anna"], ClientAuth, 1..30);
    guarded.assert_refused(Some(&early), "CertificateExpired").await;
}

#[tokio::test]
async fn a_certificate_of_nobody_and_of_another_authority_is_refused() {
    let guarded = Guarded::start().await;
    guarded.assert_refused(Some(&of(&["spiffe://dm/dmc/admin/anna"])), "UnknownCA").await;
    guarded.assert_refused(Some(&Leaf::self_signed("spiffe://dm/dmc/admin/anna")), "UnknownCA").await;
}

#[tokio::test]
async fn an_authority_with_the_name_of_ours_is_not_ours() {
    let guarded = Guarded::start().await;
    let forged = Authority::named(guarded.authority.name());
    let leaf = forged.leaf(&["spiffe://dm/dmc/admin/anna"], ClientAuth, 0..365);
    let error = guarded.ask(Some(&leaf)).await.expect_err("a forged certificate is not to be let in");
    assert!(error.contains("received fatal alert"), "{error}");
}

#[tokio::test]
async fn a_servers_certificate_is_no_clients() {
    let guarded = Guarded::start().await;
    let server = guarded.authority.leaf(&["spiffe://dm/dmc/admin/anna"], ServerAuth, 0..365);
    guarded.assert_refused(Some(&server), "UnsupportedCertificate").await;
}

#[tokio::test]
async fn a_valid_certificate_that_names_nobody_is_told_so() {
    let guarded = Guarded::start().await;
    for uris in [
        &["spiffe://dm/dmc/root/anna"][..],
        &["spiffe://dm/dmc/admin"],
        &["spiffe://dm/dmc/admin/"],
        &["spiffe://elsewhere/dmc/admin/anna"],
        &["https://dm/dmc/admin/anna"],
        &["spiffe://dm/dmc/admin/anna", "spiffe://dm/dmc/user/anna"],
        &[],
    ] {
        guarded.assert_nobody(&guarded.authority.leaf(uris, ClientAuth, 0..365)).await;
    }
}

#[tokio::test]
async fn older_tls_and_other_protocols_are_refused() {
    let guarded = Guarded::start().await;
    let leaf = guarded.authority.leaf(&["spiffe://dm/dmc/admin/anna"], ClientAuth, 0..365);
    let (certificate, key) = leaf.write(guarded.dms.folder());
    let older = tls::config(&guarded.ca(), Some((&certificate, &key)), &[&TLS12]);
    let error = guarded.ask_by(older).await.expect_err("TLS 1.2 is refused");
    assert!(error.contains("ProtocolVersion"), "{error}");

    let mut other = tls::config(&guarded.ca(), Some((&certificate, &key)), &[&TLS13]);
    other.alpn_protocols = vec![b"h2".to_vec()];
    let stream = std::net::TcpStream::connect(guarded.dms.dmc()).expect("dms listens");
    stream.set_read_timeout(Some(SOON)).expect("a deadline can be set");
    let name = "dms.dm".try_into().expect("a name");
    let mut session = rustls::ClientConnection::new(std::sync::Arc::new(other), name).expect("a session");
    let error = session.complete_io(&mut &stream).expect_err("nothing but HTTP/1.1 is spoken").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn a_client_refuses_a_server_of_another_authority_and_another_name() {
    let guarded = Guarded::start().await;
    let leaf = guarded.authority.leaf(&["spiffe://dm/dmc/admin/anna"], ClientAuth, 0..365);
    let (certificate, key) = leaf.write(guarded.dms.folder());
    let stranger = guarded.dms.folder().join("stranger");
    Authority::new().write_folder(&stranger);
    let config = tls::config(&stranger.join("ca.crt"), Some((&certificate, &key)), &[&TLS13]);
    let error = guarded.ask_by(config).await.expect_err("this is another authority's server");
    assert!(error.contains("UnknownIssuer"), "{error}");

    let client = tls::client(&guarded.ca(), Some((&certificate, &key)), guarded.dms.dmc());
    let other = format!("https://localhost:{}/api/v1/whoami", guarded.dms.dmc().port());
    let error = client.get(other).send().await.expect_err("its name is dms.dm and nothing else");
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("not valid for name"));
}

/// Runs `dms certs`.
fn make(folder: &Path, more: &[&str]) {
    let made = Command::new(dms::executable()).arg("certs").arg("--dir").arg(folder).args(more).output().expect("dms");
    assert!(made.status.success(), "{made:?}");
}

#[tokio::test]
async fn a_build_trusts_itself_and_the_one_before_without_a_restart() {
    let database = Database::empty().await;
    let setup = Setup::new().database(&database);
    let folder = |name: &str| setup.home_path().with_file_name(name);
    let (first, second, third, served) = (folder("first"), folder("second"), folder("third"), folder("served"));
    make(&first, &["--client", "user/one"]);
    make(&second, &["--client", "user/two", "--previous", &first.join("ca.crt").display().to_string()]);
    make(&third, &["--client", "user/three", "--previous", &second.join("ca.crt").display().to_string()]);
    make(&served, &["--client", "user/zero"]);
    let dms = setup.argument(format!("--certs={}", served.display())).start();
    for file in ["ca.crt", "server.crt", "server.key"] {
        std::fs::copy(third.join(file), served.join(file)).expect("files can be copied");
    }

    let ask = async |build: &Path, name: &str| {
        let file = |ending: &str| build.join(format!("user-{name}.{ending}"));
        let client = tls::client(&third.join("ca.crt"), Some((&file("crt"), &file("key"))), dms.dmc());
        client.get(dms.url("/api/v1/whoami")).send().await
    };
    let answer = eventually("the new certificates are served", SOON, async || ask(&third, "three").await.ok()).await;
    assert_eq!(who(answer).await, "user/three");
    assert_eq!(who(ask(&second, "two").await.expect("the build before is trusted")).await, "user/two");
    ask(&first, "one").await.expect_err("the one before that is not");
}

#[test]
fn the_authoritys_key_is_not_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path(), &[]);
    let mut files: Vec<String> = std::fs::read_dir(folder.path())
        .expect("it was made")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .collect();
    files.sort();
    let expected = [
        "ca.crt",
        "server.crt",
        "server.key",
        "user-build.crt",
        "user-build.key",
        "user-cleanup.crt",
        "user-cleanup.key",
    ];
    assert_eq!(files, expected);
}

#[tokio::test]
async fn certificates_of_the_home_are_renewed_before_they_end_and_the_old_ones_go_on() {
    let database = Database::empty().await;
    let mut dms = Setup::new().database(&database).start();
    let before = dms.client();
    let served = |file: &str| std::fs::read(dms.home().join("certs").join(file)).expect("it is there");
    let first = served("ca.crt");
    dms.terminate();
    dms.restart();
    let served = |file: &str| std::fs::read(dms.home().join("certs").join(file)).expect("it is there");
    assert_eq!(served("ca.crt"), first, "good certificates stay");
    drop(before);

    let certs = dms.home().join("certs");
    let login = std::fs::read_dir(&certs).expect("a folder").filter_map(Result::ok).find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_prefix("admin-")?.strip_suffix(".crt").map(str::to_owned)
    });
    let login = login.expect("the home has an admin's certificate");
    let old = Authority::new();
    let nearly_over = old.leaf(&[&format!("spiffe://dm/dmc/admin/{login}")], ClientAuth, -300..29);
    dms.terminate();
    old.write_folder(&certs);
    let kept = nearly_over.write(dms.folder());
    std::fs::copy(&kept.0, certs.join(format!("admin-{login}.crt"))).expect("files can be copied");
    std::fs::copy(&kept.1, certs.join(format!("admin-{login}.key"))).expect("files can be copied");
    dms.restart();
    assert!(dms.log().contains("is good only until"), "the reason is told: {}", dms.log());
    let answer = dms.client().get(dms.url("/api/v1/whoami")).send().await.expect("the new certificate is let in");
    assert_eq!(who(answer).await, format!("admin/{login}"));
    let ca = certs.join("ca.crt");
    let client = tls::client(&ca, Some((&kept.0, &kept.1)), dms.dmc());
    let answer = client.get(dms.url("/api/v1/whoami")).send().await.expect("the old certificate is good to its end");
    assert_eq!(who(answer).await, format!("admin/{login}"));
}
