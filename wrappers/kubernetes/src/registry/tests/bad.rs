//! A registry that refuses, hangs, babbles or is not there: a sentence, in time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::server::{Request, Server, answer, json, with};
use super::sign_in::certificate;
use super::{list, names, registry, said};
use crate::registry::{Registry, list_until};

fn at(address: SocketAddr) -> Registry {
    Registry { repository: format!("{address}/team/app"), ..Registry::default() }
}

#[test]
fn what_a_registry_says_of_its_refusal_is_told() {
    let body = r#"{"errors": [{"code": "NAME_UNKNOWN", "message": "no such\u001b[31m\n repository", "detail": {}}]}"#;
    let server = Server::start(move |_: &Request| answer("404 Not Found", body, &[]));
    let cause = said(list(&registry(&server), ""));
    let expected = "refused to list the tags of team/app: 404, NAME_UNKNOWN no such [31m  repository";
    assert!(cause.ends_with(expected), "{cause}");

    for body in ["<html>oh no</html>", "", r#"{"errors": []}"#, r#"{"errors": "x"}"#] {
        let server = Server::start(move |_: &Request| answer("503 Service Unavailable", body, &[]));
        let cause = said(list(&registry(&server), ""));
        assert!(cause.ends_with("refused to list the tags of team/app: 503"), "{cause}");
    }
    let long = format!(r#"{{"errors": [{{"message": "{}"}}]}}"#, "x".repeat(100_000));
    let server = Server::start(move |_: &Request| answer("429 Too Many Requests", &long, &[]));
    assert!(said(list(&registry(&server), "")).len() < 500);
    let silent = Server::start(|_: &Request| answer("401 Unauthorized", "", &[]));
    let cause = said(list(&registry(&silent), ""));
    assert!(cause.ends_with("401, it does not say how one signs in"), "{cause}");
}

/// Whatever the server does with a connection, a sentence comes in time.
fn ends_in_time(ca: Option<PathBuf>, connection: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let address = Server::raw(connection);
    let started = Instant::now();
    let said = said(list_until(&Registry { ca, ..at(address) }, "", started + Duration::from_millis(300)));
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}: {said}", started.elapsed());
    assert!(said.contains(&address.to_string()), "{said}");
    said
}

#[test]
fn a_server_that_hangs_is_given_up_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certificate().0).expect("it can be written");
    // With a certificate to wait for, and with an answer.
    for ca in [None, Some(ca)] {
        let said = ends_in_time(ca, |mut stream| {
            // Until the other side gives up.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert!(said.ends_with("took more than 15 s to list its tags"), "{said}");
    }
}

#[test]
fn a_server_that_answers_drop_by_drop_is_given_up_on() {
    let dripping = |head: &'static [u8], drop: &'static [u8]| {
        move |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(head);
            // Reading is the pause between two drops.
            stream.set_read_timeout(Some(Duration::from_millis(20))).expect("it is no zero");
            while stream.write_all(drop).is_ok() {
                if matches!(stream.read(&mut [0; 1]), Ok(0)) {
                    return;
                }
            }
        }
    };
    for connection in [
        dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
    ] {
        let said = ends_in_time(None, connection);
        assert!(said.ends_with("took more than 15 s to list its tags"), "{said}");
    }
}

#[test]
fn a_chain_of_slow_pages_has_one_limit_of_time() {
    let server = Server::start(|_: &Request| with(r#"{"tags": ["v1"]}"#, &["Link: </again>; rel=\"next\""]));
    let past = Instant::now().checked_sub(Duration::from_millis(1)).expect("the machine is not that new");
    let said = said(list_until(&registry(&server), "", past));
    assert!(said.ends_with("took more than 15 s to list its tags"), "{said}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn garbage_is_called_so() {
    for (bytes, says) in [
        (&b"\x00\x01\x02 garbage\r\n\r\n"[..], "gave no answer"),
        (b"", "gave no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"tags\":", "gave no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>hi</html>", "does not answer like a registry"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"tags\": \"v1\"}", "its list of tags is not as it should be"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "its list of tags is not as it should be"),
    ] {
        let address = Server::raw(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
        });
        let said = said(list(&at(address), ""));
        assert!(said.contains(says), "{}: {said}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn an_answer_without_end_is_not_read_to_the_end() {
    let address = Server::raw(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"tags\": [\"");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let said = said(list(&at(address), ""));
    assert!(said.contains("its list of tags has more than 8388608 bytes"), "{said}");
}

#[test]
fn redirects_are_followed_a_few_times() {
    let server = Server::start(|request: &Request| match request.path.as_str() {
        "/v2/loop/tags/list?n=1000" => answer("302 Found", "", &["Location: /v2/loop/tags/list?n=1000"]),
        "/moved" => json(r#"{"tags": ["v1"]}"#),
        _ => answer("301 Moved Permanently", "", &["Location: /moved"]),
    });
    assert_eq!(names(list(&registry(&server), "")), ["v1"]);
    let endless = Registry { repository: format!("{}/loop", server.address()), ..registry(&server) };
    let said = said(list(&endless, ""));
    assert!(said.contains("redirects"), "{said}");
    assert!(server.requests().len() < 10);
}

#[test]
fn a_next_page_elsewhere_is_not_asked_for() {
    let other = Server::start(|_: &Request| json(r#"{"tags": ["v2"]}"#));
    for target in [format!("http://{}/", other.address()), format!("//{}/", other.address()), "next".to_owned()] {
        let link = format!("Link: <{target}>; rel=\"next\"");
        let server = Server::start(move |_: &Request| with(r#"{"tags": ["v1"]}"#, &[&link]));
        let said = said(list(&registry(&server), ""));
        assert!(said.ends_with(&format!("its next page is elsewhere: {target}")), "{said}");
    }
    assert_eq!(other.requests().len(), 0);
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free");
    let unreachable = said(list(&at(free), ""));
    assert!(unreachable.starts_with(&format!("{free} gave no answer: ")), "{unreachable}");
    let unknown = Registry { repository: "registry.invalid/app".to_owned(), plain_http: true, ..at(free) };
    let unknown = said(list(&unknown, ""));
    assert!(unknown.starts_with("registry.invalid gave no answer: "), "{unknown}");
}
