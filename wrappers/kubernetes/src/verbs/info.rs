//! `info`: where people find a staging, by its ingresses, annotations and the settings.

use crate::cluster::object::Object;
use crate::error::Result;
use crate::staging::Staging;

/// `dm/link-NAME: ADDRESS` on any of these is a link.
const LINK: &str = "dm/link-";

/// Links that the contract allows.
const LINKS_MAX: usize = 100;

/// Where links are looked for.
const LINKED: &str = "ingresses.networking.k8s.io,services,deployments.apps,statefulsets.apps";

/// Names and addresses, each name once.
pub(crate) fn links(staging: &Staging) -> Result<Vec<(String, String)>> {
    let objects = staging.kubectl.list(LINKED, &staging.selector())?;
    let mut links: Vec<(String, String)> = Vec::new();
    for object in &objects {
        if object.kind() == "Ingress" {
            links.extend(of_ingress(object, staging.name()));
        }
        let annotations = object.0["metadata"]["annotations"].as_object().into_iter().flatten();
        links.extend(annotations.filter_map(|(key, value)| {
            Some((key.strip_prefix(LINK)?.to_owned(), value.as_str().filter(|url| !url.is_empty())?.to_owned()))
        }));
    }
    for (name, template) in &staging.settings.links {
        links.push((name.clone(), staging.expanded(template)?));
    }
    links.retain(|(name, url)| !name.is_empty() && !url.is_empty());
    Ok(named_once(links).into_iter().take(LINKS_MAX).collect())
}

/// The same address is said once; another one of the same name gets a number.
fn named_once(links: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut named: Vec<(String, String)> = Vec::new();
    for (name, url) in links {
        if named.iter().any(|(_, known)| *known == url) {
            continue;
        }
        let is_taken = |candidate: &str| named.iter().any(|(known, _)| known == candidate);
        let numbered = (2..).map(|number| format!("{name} {number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|candidate| !is_taken(candidate));
        named.push((free.unwrap_or(name), url));
    }
    named
}

/// An address for each host and path, `https` where the host has a certificate.
fn of_ingress(ingress: &Object, staging: &str) -> Vec<(String, String)> {
    let own = ingress.name();
    let name = own.strip_prefix(staging).map_or(own, |rest| rest.trim_start_matches('-'));
    let name = if name.is_empty() { "page" } else { name };
    let secure: Vec<&str> = ingress
        .list("/spec/tls")
        .iter()
        .flat_map(|tls| tls["hosts"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str))
        .collect();
    let mut links = Vec::new();
    for rule in ingress.list("/spec/rules") {
        // Without a host it answers to any, and has no address of its own.
        let Some(host) = rule["host"].as_str().filter(|host| !host.is_empty() && !host.contains('*')) else { continue };
        let scheme = if secure.contains(&host) { "https" } else { "http" };
        let paths = rule["http"]["paths"].as_array().cloned().unwrap_or_default();
        for path in paths {
            let path =
                path["path"].as_str().filter(|path| path.starts_with('/') && !path.contains(['(', '*'])).unwrap_or("/");
            links.push((name.to_owned(), format!("{scheme}://{host}{path}")));
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_ingress_is_an_address_for_each_host_and_path() {
        let ingress = Object(json!({
            "kind": "Ingress", "metadata": {"name": "pr-1-web"},
            "spec": {
                "tls": [{"hosts": ["a.example.org"], "secretName": "s"}],
                "rules": [
                    {"host": "a.example.org", "http": {"paths": [{"path": "/"}, {"path": "/api"}]}},
                    {"host": "b.example.org", "http": {"paths": [{"path": "/(.*)"}]}},
                    {"http": {"paths": [{"path": "/"}]}},
                ],
            },
        }));
        let links = named_once(of_ingress(&ingress, "pr-1"));
        let links: Vec<(&str, &str)> = links.iter().map(|(name, url)| (name.as_str(), url.as_str())).collect();
        assert_eq!(
            links,
            [
                ("web", "https://a.example.org/"),
                ("web 2", "https://a.example.org/api"),
                ("web 3", "http://b.example.org/"),
            ]
        );
    }
}
