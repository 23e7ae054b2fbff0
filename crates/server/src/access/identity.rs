//! Who a client certificate says its holder is.
//!
//! Reads the certificate only; that it is valid, and of an authority that is trusted, was decided by the handshake.

use std::fmt;
use std::str::FromStr;

use dm_domain::ids::Actor;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// What every identity of a client begins with.
const PREFIX: &str = "spiffe://dm/dmc/";

/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// What somebody may do; the rules come with users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// All verbs.
    User,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::User => "user",
            Self::Admin => "admin",
        })
    }
}

/// Who is there: read from the SAN URI `spiffe://dm/dmc/<role>/<name>` of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What they may do.
    pub role: Role,
    /// Their name.
    pub name: String,
}

/// Why a valid certificate names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is no X.509 certificate, or its names cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// It has no URI among its names, or several.
    #[error("the certificate has {0} identities; exactly one is needed: {PREFIX}ROLE/NAME")]
    Count(usize),
    /// Its URI has another form.
    #[error("the certificate's identity is not of the form {PREFIX}ROLE/NAME")]
    Form,
    /// Its role is none of ours.
    #[error("the certificate's role is not viewer, user or admin")]
    Role,
    /// Its name is none.
    #[error("the certificate's name is not 1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ @ -")]
    Name,
}

impl Identity {
    /// As events name it: `admin/anna`.
    pub fn actor(&self) -> Actor {
        Actor(format!("{}/{}", self.role, self.name))
    }

    /// The whole identity, to which an idempotency key belongs.
    pub fn uri(&self) -> String {
        format!("{PREFIX}{}/{}", self.role, self.name)
    }

    /// The holder of a certificate, given as DER.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) = parse_x509_certificate(der).map_err(|_| IdentityError::Unreadable)?;
        let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|names| &names.value.general_names)
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
            .collect();
        match uris.as_slice() {
            [uri] => uri.strip_prefix(PREFIX).ok_or(IdentityError::Form)?.parse(),
            several => Err(IdentityError::Count(several.len())),
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    /// Reads `<role>/<name>`.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let (role, name) = text.split_once('/').ok_or(IdentityError::Form)?;
        let role = match role {
            "viewer" => Role::Viewer,
            "user" => Role::User,
            "admin" => Role::Admin,
            _ => return Err(IdentityError::Role),
        };
        let fits = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte));
        if fits { Ok(Self { role, name: name.to_owned() }) } else { Err(IdentityError::Name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_and_a_name_are_an_identity() {
        let identity: Identity = "admin/anna".parse().expect("a good identity");
        assert_eq!(identity, Identity { role: Role::Admin, name: "anna".to_owned() });
        assert_eq!(identity.uri(), "spiffe://dm/dmc/admin/anna");
    }

    #[test]
    fn an_unknown_role_or_a_strange_name_is_refused() {
        for (text, error) in [
            ("root/anna", IdentityError::Role),
            ("Admin/anna", IdentityError::Role),
            ("/anna", IdentityError::Role),
            ("admin", IdentityError::Form),
            ("admin/", IdentityError::Name),
            ("admin/a/b", IdentityError::Name),
            ("admin/a b", IdentityError::Name),
            ("admin/a\n", IdentityError::Name),
        ] {
            assert_eq!(text.parse::<Identity>(), Err(error), "{text}");
        }
        assert_eq!(format!("user/{}", "n".repeat(65)).parse::<Identity>(), Err(IdentityError::Name));
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        assert_eq!(Identity::of_certificate(b"no"), Err(IdentityError::Unreadable));
    }
}
