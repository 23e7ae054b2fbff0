//! What a registry demands of those who ask, as its `WWW-Authenticate` says it.

use http_auth::ChallengeRef;

/// A demand that can be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Demand {
    /// A token that is to be had at this address.
    Token(String),
    /// User and password.
    Password,
}

/// Reads a challenge. `name` is whose tags are asked for, where the registry does not say it.
pub(super) fn demand(challenges: &[&str], name: &str) -> Option<Demand> {
    let demands: Vec<Demand> = challenges
        .iter()
        .filter_map(|header| http_auth::parse_challenges(header).ok())
        .flat_map(|challenges| challenges.iter().filter_map(|one| of(one, name)).collect::<Vec<_>>())
        .collect();
    // A token is asked for once and says little if somebody hears it, so it comes first.
    demands.iter().find(|demand| matches!(demand, Demand::Token(_))).or(demands.first()).cloned()
}

fn of(challenge: &ChallengeRef<'_>, name: &str) -> Option<Demand> {
    if challenge.scheme.eq_ignore_ascii_case("basic") {
        return Some(Demand::Password);
    }
    if !challenge.scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let value = |wanted: &str| {
        let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_unescaped())
    };
    let realm = value("realm")?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(service) = value("service") {
        query.append_pair("service", &service);
    }
    query.append_pair("scope", &value("scope").unwrap_or_else(|| format!("repository:{name}:pull")));
    let glue = if realm.contains('?') { '&' } else { '?' };
    Some(Demand::Token(format!("{realm}{glue}{}", query.finish())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_as_the_challenge_says() {
        let challenge =
            r#"Bearer realm="https://auth.example.org/token",service="a b",scope="repository:team/app:pull,push""#;
        let address = "https://auth.example.org/token?service=a+b&scope=repository%3Ateam%2Fapp%3Apull%2Cpush";
        assert_eq!(demand(&[challenge], "x"), Some(Demand::Token(address.to_owned())));
        let bare = demand(&[r#"bearer REALM="https://auth.example.org/?a=b""#], "team/app");
        let address = "https://auth.example.org/?a=b&scope=repository%3Ateam%2Fapp%3Apull";
        assert_eq!(bare, Some(Demand::Token(address.to_owned())));
    }

    #[test]
    fn of_several_demands_a_token_comes_first() {
        let token = Some(Demand::Token("https://t/?scope=repository%3An%3Apull".to_owned()));
        assert_eq!(demand(&[r#"Basic realm="x", Bearer realm="https://t/""#], "n"), token);
        assert_eq!(demand(&["Negotiate", r#"Basic realm="x""#, r#"Bearer realm="https://t/""#], "n"), token);
        assert_eq!(demand(&[r#"Basic realm="x""#], "n"), Some(Demand::Password));
        for nothing in [&[][..], &["Negotiate"], &["Bearer"], &["\u{1}", "Bearer realm"]] {
            assert_eq!(demand(nothing, "n"), None, "{nothing:?}");
        }
    }
}
