//! The name of a repository: which registry has it, and what it is called there.

use super::TagsError;

/// How Docker's own registry is called by people, and where it is.
const DOCKER_NAMES: [&str; 2] = ["docker.io", "index.docker.io"];
const DOCKER_HOST: &str = "registry-1.docker.io";

/// A repository that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    /// Host, and port if there is one.
    pub(super) host: String,
    /// What it is called there.
    pub(super) name: String,
}

impl Repository {
    pub(super) fn parse(text: &str) -> Result<Self, TagsError> {
        let wrong = |rule| TagsError::Repository { value: text.to_owned(), rule };
        let (host, name) = text.split_once('/').ok_or_else(|| wrong("there is no / in it"))?;
        let is_host = host == "localhost" || host.contains(['.', ':']);
        let host_may_hold = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if !is_host || !host.bytes().all(host_may_hold) {
            return Err(wrong("what stands before the first / is no host"));
        }
        let may_hold = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let is_part = |part: &str| part.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !name.split('/').all(|part| is_part(part) && part.bytes().all(may_hold)) {
            return Err(wrong("the name is made of a-z, 0-9, _, . and -, and has no tag"));
        }
        if !DOCKER_NAMES.contains(&host) {
            return Ok(Self { host: host.to_owned(), name: name.to_owned() });
        }
        let name = if name.contains('/') { name.to_owned() } else { format!("library/{name}") };
        Ok(Self { host: DOCKER_HOST.to_owned(), name })
    }

    /// What the files of docker may call the registry.
    pub(super) fn names_of_host(&self) -> Vec<&str> {
        let docker: &[&str] = if self.host == DOCKER_HOST { &DOCKER_NAMES } else { &[] };
        std::iter::once(self.host.as_str()).chain(docker.iter().copied()).collect()
    }

    /// Whether the registry runs on this machine, so that nobody listens on the way.
    pub(super) fn is_local(&self) -> bool {
        let host = if self.host.starts_with('[') {
            self.host.trim_start_matches('[').split(']').next()
        } else {
            self.host.split(':').next()
        };
        let host = host.unwrap_or_default();
        host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(String, String)> {
        Repository::parse(text).ok().map(|repository| (repository.host, repository.name))
    }

    #[test]
    fn a_repository_is_a_host_and_a_name() {
        for (text, host, name) in [
            ("registry.example.org/team/app", "registry.example.org", "team/app"),
            ("localhost/app", "localhost", "app"),
            ("registry:5000/a/b_c/d-e.f", "registry:5000", "a/b_c/d-e.f"),
            ("docker.io/nginx", DOCKER_HOST, "library/nginx"),
            ("index.docker.io/team/app", DOCKER_HOST, "team/app"),
        ] {
            assert_eq!(parts(text), Some((host.to_owned(), name.to_owned())), "{text}");
        }
        for wrong in [
            "",
            "nginx",
            "team/app",
            "https://registry.example.org/app",
            "registry.example.org/",
            "registry.example.org/app:v1",
            "registry.example.org/App",
            "registry.example.org/a//b",
            "registry.example.org/../app",
            "registry.example.org/a?n=1",
            "user@registry.example.org/app",
        ] {
            let said = Repository::parse(wrong).map_err(|error| error.to_string());
            assert!(said.is_err_and(|said| said.starts_with("registry.repository is ")), "{wrong}");
        }
    }

    #[test]
    fn only_this_machine_is_local() {
        for (host, local) in [
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("localhost.example.org", false),
            ("10.0.0.1:5000", false),
        ] {
            assert_eq!(Repository { host: host.to_owned(), name: String::new() }.is_local(), local, "{host}");
        }
    }
}
