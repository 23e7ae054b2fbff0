//! A registry that wants to know who asks, by token, by password and over TLS.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;

use super::server::{Request, Server, answer, json, with};
use super::{list, names, registry, said};
use crate::registry::Registry;

const TAGS: &str = r#"{"tags": ["v1"]}"#;

fn basic() -> String {
    format!("Basic {}", BASE64_STANDARD.encode("user:pass"))
}

/// A `config.json` for this server.
fn credentials(server: &Server) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.json");
    let auth = BASE64_STANDARD.encode("user:pass");
    let text = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, server.address());
    fs::write(&path, text).expect("it can be written");
    (folder, path)
}

/// A registry that wants a token of the token server on the same port. Each token is good for two pages.
fn with_tokens() -> Server {
    let pages = AtomicUsize::new(0);
    Server::start(move |request: &Request| {
        if request.path.starts_with("/token?service=here&scope=repository%3Ateam%2Fapp%3Apull") {
            return match request.authorization.as_deref() {
                Some(given) if given == basic() => json(r#"{"token": "for-user"}"#),
                Some(_) => answer("401 Unauthorized", r#"{"details": "incorrect username or password"}"#, &[]),
                None => json(r#"{"access_token": "for-anybody"}"#),
            };
        }
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"here\"", request.host);
        let unauthorized = || answer("401 Unauthorized", "{}", &[&challenge]);
        match request.authorization.as_deref() {
            Some("Bearer for-user") if pages.fetch_add(1, Ordering::SeqCst) % 3 != 2 => {
                let page: usize = request.path.split("page=").nth(1).map_or(0, |page| page.parse().expect("a number"));
                let next = format!("Link: </v2/team/app/tags/list?page={}>; rel=\"next\"", page + 1);
                let next: &[&str] = if page < 3 { &[&next] } else { &[] };
                with(&format!(r#"{{"tags": ["v{page}"]}}"#), next)
            }
            _ => unauthorized(),
        }
    })
}

#[test]
fn a_token_is_got_with_the_credentials_and_used_until_it_is_refused() {
    let server = with_tokens();
    let (_folder, path) = credentials(&server);
    let registry = Registry { credentials: Some(path), ..registry(&server) };
    assert_eq!(names(list(&registry, "")), ["v3", "v2", "v1", "v0"]);
    let requests = server.requests();
    let tokens = requests.iter().filter(|request| request.path.starts_with("/token")).count();
    assert_eq!((tokens, requests.len()), (2, 8), "{requests:?}");
    for request in requests.iter().filter(|request| !request.path.starts_with("/token")) {
        assert_ne!(request.authorization, Some(basic()), "the password goes to the token server alone");
    }
}

#[test]
fn who_has_no_right_is_told_so_and_asks_no_more() {
    let server = with_tokens();
    let said = said(list(&registry(&server), ""));
    assert!(said.ends_with("refused to list the tags of team/app: 401"), "{said}");
    assert_eq!(server.requests().len(), 3, "once, for a token, and with it");
}

#[test]
fn user_and_password_are_shown_to_a_registry_that_wants_them() {
    let server = Server::start(|request: &Request| match request.authorization.as_deref() {
        Some(given) if given == basic() => json(TAGS),
        _ => answer("401 Unauthorized", "", &["WWW-Authenticate: Basic realm=\"registry\""]),
    });
    let (_folder, path) = credentials(&server);
    assert_eq!(names(list(&Registry { credentials: Some(path), ..registry(&server) }, "")), ["v1"]);
    let said = said(list(&registry(&server), ""));
    assert!(said.ends_with("401, it wants user and password, and registry.credentials has none for it"), "{said}");
}

#[test]
fn nobody_is_signed_in_where_a_registry_redirects() {
    let other = Server::start(|request: &Request| match request.path.as_str() {
        "/free" => json(TAGS),
        _ => answer("401 Unauthorized", "", &["WWW-Authenticate: Basic realm=\"x\""]),
    });
    let location = format!("Location: http://{}", other.address());
    let server = Server::start(move |request: &Request| match request.authorization.as_deref() {
        None => answer("401 Unauthorized", "", &["WWW-Authenticate: Basic realm=\"x\""]),
        Some(_) if request.path.contains("app") => answer("307 Temporary Redirect", "", &[&format!("{location}/free")]),
        Some(_) => answer("307 Temporary Redirect", "", &[&format!("{location}/closed")]),
    });
    let (_folder, path) = credentials(&server);
    let registry = Registry { credentials: Some(path), ..registry(&server) };
    assert_eq!(names(list(&registry, "")), ["v1"]);
    let closed = Registry { repository: format!("{}/closed", server.address()), ..registry };
    let said = said(list(&closed, ""));
    assert!(said.contains("401"), "{said}");
    assert!(other.requests().iter().all(|request| request.authorization.is_none()), "{:?}", other.requests());
}

/// A certificate for this machine, and the settings of a server that shows it.
pub(super) fn certificate() -> (String, ServerConfig) {
    let key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&key).expect("it is signed").pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).expect("a name").signed_by(&key, &issuer).expect("it is signed");
    let secret = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("all versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], secret)
        .expect("key and certificate fit");
    (authority_pem, config)
}

#[test]
fn a_registry_with_an_authority_of_its_own_is_trusted_by_setting_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pem, config) = certificate();
    let server = Server::start_tls(config, |_: &Request| json(TAGS));
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, pem).expect("it can be written");
    let trusting = Registry { ca: Some(ca.clone()), ..registry(&server) };
    assert_eq!(names(list(&trusting, "")), ["v1"]);

    fs::write(&ca, certificate().0).expect("it can be written");
    let said_of = |registry: &Registry| said(list(registry, ""));
    assert!(said_of(&trusting).contains("certificate"), "{}", said_of(&trusting));
    assert_eq!(server.requests().len(), 1, "who is not trusted hears nothing");
    fs::write(&ca, "none").expect("it can be written");
    assert!(said_of(&trusting).ends_with("ca.pem holds no certificate as PEM"), "{}", said_of(&trusting));
    fs::remove_file(&ca).expect("it is there");
    assert!(said_of(&trusting).contains("ca.pem cannot be read: No such file"), "{}", said_of(&trusting));
}

#[test]
fn who_sets_nothing_trusts_whom_the_system_trusts() {
    let (_, config) = certificate();
    let server = Server::start_tls(config, |_: &Request| json(TAGS));
    // This machine by an address that does not say so.
    let elsewhere = format!("0.0.0.0:{}/team/app", server.address().port());
    let said = said(list(&Registry { repository: elsewhere, ..registry(&server) }, ""));
    assert!(said.starts_with("0.0.0.0:") && said.contains("certificate"), "{said}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn what_is_asked_by_tls_is_never_asked_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pem, config) = certificate();
    let plain = Server::start(|_: &Request| json(TAGS));
    let realm = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\"", plain.address());
    let location = format!("Location: http://{}/", plain.address());
    let server = Server::start_tls(config, move |request: &Request| {
        if request.path.contains("app") {
            answer("401 Unauthorized", "", &[&realm])
        } else {
            answer("302 Found", "", &[&location])
        }
    });
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, pem).expect("it can be written");
    for name in ["app", "other"] {
        let registry =
            Registry { ca: Some(ca.clone()), repository: format!("{}/{name}", server.address()), ..registry(&server) };
        let said = said(list(&registry, ""));
        assert!(said.contains("http"), "{said}");
    }
    assert_eq!(plain.requests().len(), 0);
}
