//! A command as it arrives: who asks, under which key, for which name, with which body.

use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, Method};
use dm_api::IDEMPOTENCY_KEY;
use dm_domain::ids::{CommandId, StagingName};
use dm_eventstore::{BodyMac, CommandKey};
use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use sha2::Sha256;
use uuid::Uuid;

use crate::access::identity::Identity;
use crate::error::{ApiError, codes};
use crate::http::body;
use crate::http::violations::Violations;

/// The namespace of command ids (RFC 9562, section 5.5): a caller's key gives the same id for ever.
const COMMAND_IDS: Uuid = Uuid::from_u128(0x6e1c_3a52_8f0d_4b47_9d5e_20c7_a4b1_d3f6);

/// Most characters of an idempotency key.
const KEY_LENGTH_MAX: usize = 255;

/// A request for a change, read whole.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Who asks.
    pub(crate) identity: Identity,
    /// The name in the path, as it stands there.
    pub(crate) path_name: Option<String>,
    method: Method,
    path: String,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Asked {
    /// Reads a request to its end.
    pub(crate) async fn read(mut request: Request) -> Result<Self, ApiError> {
        let identity = request.extensions().get::<Identity>().cloned().ok_or_else(not_signed_in)?;
        let Path(params) = request.extract_parts::<Path<Vec<(String, String)>>>().await.map_err(|_| bad_path())?;
        let path_name = params.into_iter().next().map(|(_, name)| name);
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let bytes = body::read(body).await?;
        Ok(Self { identity, path_name, method: parts.method, path, headers: parts.headers, bytes })
    }

    /// Another request of the same caller, as it would have come for itself.
    pub(crate) fn about(&self, path_name: Option<String>, body: &str) -> Self {
        Self {
            identity: self.identity.clone(),
            path_name,
            method: self.method.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            bytes: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    /// What the body says.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        body::parse(&self.headers, &self.bytes)
    }

    /// The staging in the path.
    pub(crate) fn name(&self, violations: &mut Violations) -> Option<StagingName> {
        violations.take("path:name", StagingName::parse(self.path_name.as_deref().unwrap_or_default()))
    }

    /// By what a repetition of this request is recognised. The key itself goes no further than here.
    pub(crate) fn command_key(&self, violations: &mut Violations) -> Option<CommandKey> {
        let mut given = self.headers.get_all(IDEMPOTENCY_KEY).iter();
        let key = match (given.next(), given.next()) {
            (None, _) => Uuid::new_v4().to_string(),
            (Some(key), None) => match key.to_str() {
                Ok(key) if is_key(key) => key.to_owned(),
                Ok(_) | Err(_) => return refuse_key(violations),
            },
            (Some(_), Some(_)) => return refuse_key(violations),
        };
        let id = Uuid::new_v5(&COMMAND_IDS, format!("{}\n{key}", self.identity.uri()).as_bytes());
        Some(CommandKey { id: CommandId(id), mac: self.mac(&key) })
    }

    fn mac(&self, key: &str) -> BodyMac {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("invariant: a key of HMAC may have any length");
        for part in [self.method.as_str().as_bytes(), self.path.as_bytes()] {
            mac.update(part);
            mac.update(b"\n");
        }
        mac.update(&self.bytes);
        BodyMac(mac.finalize().into_bytes().into())
    }
}

/// Nobody is known on this connection.
pub(crate) fn not_signed_in() -> ApiError {
    ApiError::new(codes::NOT_SIGNED_IN, "nobody is signed in on this connection")
}

/// A path whose escapes make no text.
pub(crate) fn bad_path() -> ApiError {
    let mut violations = Violations::default();
    violations.add("path:", "utf8", "the path must be UTF-8, percent-encoded where needed");
    violations.done().err().unwrap_or_else(|| ApiError::internal("a violation was lost"))
}

fn is_key(text: &str) -> bool {
    (1..=KEY_LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn refuse_key(violations: &mut Violations) -> Option<CommandKey> {
    violations.add(
        format!("header:{IDEMPOTENCY_KEY}"),
        "idempotency_key",
        format!("must be given once and have 1 to {KEY_LENGTH_MAX} visible ASCII characters"),
    );
    None
}
