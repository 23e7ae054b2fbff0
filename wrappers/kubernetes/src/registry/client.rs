//! Asks a registry over HTTP: one page of tags after the other, with what it demands for them.
//!
//! Every answer has a limit of time and of size. Credentials go to the registry and to the token server that it names, and
//! to nobody else: not to where they redirect, and without TLS only where that was asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::http::{Response, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, ResponseExt as _};

use super::auth::{Demand, demand};
use super::credentials::{self, Basic};
use super::repository::Repository;
use super::{CALL, Registry, TagsError};

/// Most that is read of a page, and of any other answer.
const PAGE_SIZE: u64 = 8 * 1024 * 1024;
const ANSWER_SIZE: u64 = 256 * 1024;
/// Most that is told of what a registry says.
const CAUSE: usize = 300;
const REDIRECTS: u32 = 3;

/// Some tags, and where there are more.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) tags: Vec<String>,
    pub(super) next: Option<String>,
}

/// A registry that is being asked about one repository.
#[derive(Debug)]
pub(super) struct Client<'a> {
    repository: &'a Repository,
    agent: Agent,
    scheme: &'static str,
    credentials: Option<Basic>,
    /// The value of `Authorization` that was good last.
    authorization: Option<String>,
    deadline: Instant,
}

#[derive(Deserialize)]
struct List {
    // A repository without tags has null there, or nothing.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Said>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Said {
    code: String,
    message: String,
}

impl<'a> Client<'a> {
    pub(super) fn new(repository: &'a Repository, registry: &Registry, deadline: Instant) -> Result<Self, TagsError> {
        let credentials = match &registry.credentials {
            Some(path) => credentials::read(path, repository)?,
            None => None,
        };
        let plain = registry.plain_http || (repository.is_local() && registry.ca.is_none());
        let tls = TlsConfig::builder()
            .root_certs(roots(registry)?)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .https_only(!plain)
            .http_status_as_error(false)
            .max_redirects(REDIRECTS)
            // The environment says nothing of it, because dms clears it.
            .proxy(None)
            .user_agent(concat!("dm-kubernetes/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let scheme = if plain { "http" } else { "https" };
        Ok(Self { repository, agent, scheme, credentials, authorization: None, deadline })
    }

    /// The tags at this path of the registry.
    pub(super) fn page(&mut self, path: &str) -> Result<Page, TagsError> {
        let address = format!("{}://{}{path}", self.scheme, self.repository.host);
        let mut answer = self.get(&address, self.authorization.as_deref())?;
        if answer.status().as_u16() == 401 {
            self.authorization = Some(self.authorize(&answer)?);
            answer = self.get(&address, self.authorization.as_deref())?;
        }
        if !answer.status().is_success() {
            return Err(self.refused(&mut answer));
        }
        let next = self.next(&answer)?;
        let list: List = self.json(&mut answer, PAGE_SIZE, "its list of tags")?;
        Ok(Page { tags: list.tags.unwrap_or_default(), next })
    }

    /// Meets what a 401 demands; the value of `Authorization` to try again with.
    fn authorize(&self, answer: &Response<Body>) -> Result<String, TagsError> {
        let asked = answer.get_uri().authority().map_or("", |authority| authority.as_str());
        if asked != self.repository.host {
            return Err(self.denied(&format!("it redirects to {asked}, which wants a sign-in of its own")));
        }
        let challenges = answer.headers().get_all(header::WWW_AUTHENTICATE);
        let challenges: Vec<&str> = challenges.iter().filter_map(|value| value.to_str().ok()).collect();
        match (demand(&challenges, &self.repository.name), &self.credentials) {
            (Some(Demand::Token(address)), _) => self.token(&address),
            (Some(Demand::Password), Some(basic)) => Ok(basic.header()),
            (Some(Demand::Password), None) => {
                Err(self.denied("it wants user and password, and registry.credentials has none for it"))
            }
            (None, _) => Err(self.denied("it does not say how one signs in")),
        }
    }

    fn token(&self, address: &str) -> Result<String, TagsError> {
        let mut answer = self.get(address, self.credentials.as_ref().map(Basic::header).as_deref())?;
        if !answer.status().is_success() {
            return Err(self.refused(&mut answer));
        }
        let token: Token = self.json(&mut answer, ANSWER_SIZE, "its token")?;
        let token = token.token.or(token.access_token).filter(|token| is_token(token));
        token.map(|token| format!("Bearer {token}")).ok_or_else(|| self.strange("there is no token in its token"))
    }

    fn get(&self, address: &str, authorization: Option<&str>) -> Result<Response<Body>, TagsError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TagsError::TooSlow { host: self.repository.host.clone() });
        }
        let request = self.agent.get(address).config().timeout_global(Some(left.min(CALL))).build();
        let request =
            authorization.into_iter().fold(request, |request, value| request.header(header::AUTHORIZATION, value));
        request.call().map_err(|error| self.unreachable(error))
    }

    fn json<T: serde::de::DeserializeOwned>(
        &self,
        answer: &mut Response<Body>,
        size: u64,
        what: &str,
    ) -> Result<T, TagsError> {
        let body = answer.body_mut().with_config().limit(size).read_to_vec().map_err(|error| {
            if matches!(error, ureq::Error::BodyExceedsLimit(_)) {
                self.strange(&format!("{what} has more than {size} bytes"))
            } else {
                self.unreachable(error)
            }
        })?;
        serde_json::from_slice(&body).map_err(|error| self.strange(&format!("{what} is not as it should be: {error}")))
    }

    /// Where the next page is. Only a path is taken, so that nobody is sent elsewhere with what signs them in.
    fn next(&self, answer: &Response<Body>) -> Result<Option<String>, TagsError> {
        let links = answer.headers().get_all(header::LINK);
        let links = links.iter().filter_map(|value| value.to_str().ok());
        let next = links.flat_map(|value| value.split(',')).find_map(|link| {
            let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let is_next = |one: &str| one.trim().eq_ignore_ascii_case("rel=next") || one.trim() == r#"rel="next""#;
            parameters.split(';').any(is_next).then_some(target)
        });
        let Some(target) = next else { return Ok(None) };
        let origin = format!("{}://{}", self.scheme, self.repository.host);
        let path = target.strip_prefix(&origin).unwrap_or(target);
        if path.starts_with('/') && !path.starts_with("//") {
            Ok(Some(path.to_owned()))
        } else {
            Err(self.strange(&format!("its next page is elsewhere: {}", harmless(target))))
        }
    }

    fn refused(&self, answer: &mut Response<Body>) -> TagsError {
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ANSWER_SIZE).read_to_vec().unwrap_or_default();
        let said = serde_json::from_slice::<Errors>(&body).ok().and_then(|said| said.errors.into_iter().next());
        let cause = said.map_or_else(String::new, |said| format!(", {} {}", said.code, said.message));
        self.refusal(status, &cause)
    }

    fn denied(&self, why: &str) -> TagsError {
        self.refusal(401, &format!(", {why}"))
    }

    fn refusal(&self, status: u16, cause: &str) -> TagsError {
        let Repository { host, name } = self.repository.clone();
        TagsError::Refused { host, name, status, cause: harmless(cause).trim_end().to_owned() }
    }

    fn strange(&self, what: &str) -> TagsError {
        TagsError::Strange { host: self.repository.host.clone(), what: what.to_owned() }
    }

    fn unreachable(&self, error: ureq::Error) -> TagsError {
        let host = self.repository.host.clone();
        let late =
            matches!(error, ureq::Error::Timeout(_)) && self.deadline <= Instant::now() + Duration::from_millis(1);
        if late { TagsError::TooSlow { host } } else { TagsError::Unreachable { host, source: Box::new(error) } }
    }
}

/// Whom to trust.
fn roots(registry: &Registry) -> Result<RootCerts, TagsError> {
    const SETTING: &str = "registry.ca";
    let Some(path) = &registry.ca else { return Ok(RootCerts::PlatformVerifier) };
    let pem = std::fs::read(path);
    let pem = pem.map_err(|source| TagsError::Unreadable { setting: SETTING, path: path.clone(), source })?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        })
        .collect();
    if certificates.is_empty() {
        let wrong = "holds no certificate as PEM".to_owned();
        return Err(TagsError::File { setting: SETTING, path: path.clone(), wrong });
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

/// Whether it can stand in a header.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Somebody else's text, short and on one line.
fn harmless(text: &str) -> String {
    text.chars().take(CAUSE).map(|character| if character.is_control() { ' ' } else { character }).collect()
}
