//! Tags are listed from a registry that answers on a socket of this machine, well and badly.

mod bad;
mod server;
mod sign_in;

use server::{Request, Server, json, with};

use super::{Registry, TagsError, list};

/// A registry as the settings name it.
fn registry(server: &Server) -> Registry {
    Registry { repository: format!("{}/team/app", server.address()), ..Registry::default() }
}

fn names(tags: Result<Vec<String>, TagsError>) -> Vec<String> {
    tags.expect("there are tags")
}

/// An error with its causes, as people see it.
fn said(listed: Result<Vec<String>, TagsError>) -> String {
    let error = listed.expect_err("there are none");
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

#[test]
fn all_pages_are_read_and_the_newest_looking_come_first() {
    let server = Server::start(|request: &Request| match request.path.as_str() {
        "/v2/team/app/tags/list?n=1000" => with(
            r#"{"name": "team/app", "tags": ["latest", "v1.9.0", "v1.10.0"]}"#,
            &[r#"Link: </v2/team/app/tags/list?n=1000&last=v1.10.0>; rel="next""#],
        ),
        "/v2/team/app/tags/list?n=1000&last=v1.10.0" => {
            let next = format!("Link: <http://{}/third>; rel=next", request.host);
            with(r#"{"name": "team/app", "tags": ["v1.10.0-rc1", "main", "v1.10.0"]}"#, &[&next])
        }
        _ => json(r#"{"name": "team/app", "tags": ["v2.0.0"]}"#),
    });
    let all = names(list(&registry(&server), ""));
    assert_eq!(all, ["v2.0.0", "v1.10.0", "v1.10.0-rc1", "v1.9.0", "main", "latest"]);
    assert_eq!(server.requests().len(), 3);
    let by_name =
        Registry { repository: format!("localhost:{}/team/app", server.address().port()), ..registry(&server) };
    assert_eq!(names(list(&by_name, "1.10")), ["v1.10.0", "v1.10.0-rc1"]);
}

#[test]
fn a_pattern_chooses_among_the_tags_that_dm_can_have() {
    let server = Server::start(|_: &Request| {
        json(r#"{"tags": ["v1", "v2", "v3", "w4", "v 5", "", "v6\n", "v7,x", "\u2028v8", "v9/x"]}"#)
    });
    let patterned = Registry { pattern: Some("v?".to_owned()), ..registry(&server) };
    assert_eq!(names(list(&patterned, "")), ["v3", "v2", "v1"]);
    assert_eq!(names(list(&registry(&server), "x/y")), [""; 0]);
}

#[test]
fn a_repository_without_tags_has_none() {
    for body in [r#"{"name": "team/app", "tags": null}"#, r#"{"name": "team/app"}"#, r#"{"tags": []}"#] {
        let server = Server::start(move |_: &Request| json(body));
        assert_eq!(names(list(&registry(&server), "")), [""; 0], "{body}");
    }
}

#[test]
fn no_more_than_the_first_10000_tags_and_100_pages_are_read() {
    let server = Server::start(|request: &Request| {
        let page: usize = request.path.split("page=").nth(1).map_or(0, |page| page.parse().expect("a number"));
        let tags: Vec<String> = (0..1500).map(|at| format!("\"{}\"", page * 1500 + at)).collect();
        let next = format!("Link: </v2/team/app/tags/list?page={}>; rel=\"next\"", page + 1);
        with(&format!(r#"{{"tags": [{}]}}"#, tags.join(",")), &[&next])
    });
    let tags = names(list(&registry(&server), ""));
    assert_eq!((tags.len(), tags[0].as_str(), server.requests().len()), (10_000, "9999", 7));

    let endless = Server::start(|_: &Request| with(r#"{"tags": ["v1"]}"#, &["Link: </again>; rel=\"next\""]));
    assert_eq!(names(list(&registry(&endless), "")), ["v1"]);
    assert_eq!(endless.requests().len(), 100);
}
