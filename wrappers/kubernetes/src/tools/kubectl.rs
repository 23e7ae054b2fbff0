//! Questions and orders to the API server, by `kubectl`.
//!
//! Each call has a limit for one request and one for the whole process. What is asked for by label or with
//! `--ignore-not-found` cannot be "not found", so whatever goes wrong while looking means that there is no answer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::object::{self, Object};
use crate::error::{Error, MISSING_RIGHT, Result};
use crate::say;
use crate::tools::access::Access;
use crate::tools::process::{Answer, Call, End};

/// What the process may take beside its request: it starts, and asks what kinds there are.
const BESIDE: Duration = Duration::from_secs(4);

/// What each further object or kind of one call may take.
const EACH: Duration = Duration::from_millis(200);

/// Characters of a complaint that go into a sentence.
const COMPLAINT_MAX: usize = 700;

/// `kubectl`, in the namespace of the staging.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    pub(crate) namespace: String,
    request: Duration,
    variables: Vec<(&'static str, OsString)>,
}

impl Kubectl {
    pub(crate) fn new(program: &Path, namespace: &str, request: Duration, access: &Access) -> Self {
        let variables = access.variables();
        Self { program: program.to_owned(), namespace: namespace.to_owned(), request, variables }
    }

    /// The same questions in another namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// A call with these arguments. A namespace among them wins over that of the staging.
    fn call(&self, arguments: &[&str]) -> Call {
        let timeout = format!("--request-timeout={}s", self.request.as_secs());
        Call::new(&self.program, self.request + BESIDE)
            .variables(&self.variables)
            .arguments([timeout.as_str()])
            .arguments(arguments.iter().copied())
    }

    /// A call that asks about so many things in turn.
    fn call_for(&self, things: usize, arguments: &[&str]) -> Call {
        let more = EACH * u32::try_from(things).unwrap_or(u32::MAX);
        self.call(arguments).longer(more)
    }

    fn here<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [arguments, &["--namespace", &self.namespace]].concat()
    }

    /// The objects of these resources (`pods,deployments.apps`) that a selector takes; an empty one takes all.
    pub(crate) fn list(&self, resources: &str, selector: &str) -> Result<Vec<Object>> {
        self.looked(&self.here(&["get", resources, "--selector", selector, "--output", "json"]))
    }

    /// Names and labels, which cost the server far less than whole objects.
    pub(crate) fn rows(&self, resource: &str, selector: &str) -> Result<Vec<Row>> {
        let arguments = self.here(&["get", resource, "--selector", selector, "--show-labels", "--no-headers"]);
        let answer = succeeded(self.call(&arguments).run()?, &said(&arguments))?;
        Ok(String::from_utf8_lossy(&answer.stdout).lines().filter_map(Row::parse).collect())
    }

    /// The same among all of the cluster, where they belong to no namespace.
    pub(crate) fn named(&self, resource: &str, name: &str) -> Result<Option<Object>> {
        let arguments = self.here(&["get", resource, name, "--ignore-not-found", "--output", "json"]);
        Ok(self.looked(&arguments)?.pop())
    }

    fn looked(&self, arguments: &[&str]) -> Result<Vec<Object>> {
        let answer = succeeded(self.call(arguments).run()?, &said(arguments))?;
        objects_of(&answer)
    }

    /// What there is of these resources, and those that we may not list. Whatever else goes wrong leaves no answer at all.
    pub(crate) fn list_what_may_be(&self, resources: &str, selector: &str) -> Result<(Vec<Object>, Vec<String>)> {
        let arguments = self.here(&["get", resources, "--selector", selector, "--output", "json"]);
        let kinds = resources.split(',').count();
        let answer = self.call_for(kinds, &arguments).run()?;
        let complaints = complaints(&answer.stderr);
        let only_rights = !complaints.is_empty() && complaints.iter().all(|line| is_forbidden(line));
        let forbidden: Vec<String> = complaints.iter().filter_map(|line| forbidden_resource(line)).collect();
        let partial = answer.end == End::Exited(1) && only_rights && !answer.stdout.is_empty();
        let answer = if partial { answer } else { succeeded(answer, &said(&arguments))? };
        Ok((objects_of(&answer)?, forbidden))
    }

    /// The events about an object.
    pub(crate) fn events_of(&self, uid: &str) -> Result<Vec<Object>> {
        let field = format!("involvedObject.uid={uid}");
        self.looked(&self.here(&["get", "events", "--field-selector", &field, "--output", "json"]))
    }

    /// The live objects that a manifest names; what is not there is left out.
    pub(crate) fn live(&self, manifest: &[Object]) -> Result<Vec<Object>> {
        let mut found = Vec::new();
        for (namespace, objects) in self.by_namespace(manifest) {
            let arguments = ["get", "-f", "-", "--ignore-not-found", "--output", "json", "--namespace", namespace];
            let call = self.call_for(objects.len(), &arguments).input(list_of(&objects));
            let answer = succeeded(call.run()?, "kubectl get")?;
            found.extend(objects_of(&answer)?);
        }
        Ok(found)
    }

    /// Merges a patch into each live object of a manifest, and returns them as they are then.
    pub(crate) fn merge_into(&self, manifest: &[Object], patch: &Value) -> Result<Vec<Object>> {
        let patch = patch.to_string();
        let mut patched = Vec::new();
        for (namespace, objects) in self.by_namespace(manifest) {
            let arguments =
                ["patch", "-f", "-", "--type=merge", "--patch", &patch, "--output=json", "--namespace", namespace];
            let answer = self.call_for(objects.len(), &arguments).input(list_of(&objects)).run()?;
            // What has gone meanwhile needs no mark: a job that is removed when it has ended, or what a controller takes away.
            let complaints = complaints(&answer.stderr);
            let only_gone = !complaints.is_empty() && complaints.iter().all(|line| line.contains("(NotFound)"));
            let answer = if only_gone { answer } else { done(answer, "kubectl patch")? };
            patched.extend(objects_in_turn(&answer.stdout)?);
        }
        Ok(patched)
    }

    /// Merges a patch into one object, which may have gone meanwhile.
    pub(crate) fn merge(&self, resource: &str, name: &str, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        let arguments = self.here(&["patch", resource, name, "--type=merge", "--patch", &patch]);
        unless_gone(self.call(&arguments).run()?, &format!("kubectl patch {resource} {name}"))
    }

    /// Sets the number of replicas, by the subresource that leaves nobody owning the field at 0.
    pub(crate) fn scale(&self, resource: &str, name: &str, replicas: i64) -> Result<()> {
        let replicas = format!("--replicas={replicas}");
        let arguments = self.here(&["scale", resource, name, &replicas]);
        unless_gone(self.call(&arguments).run()?, &format!("kubectl scale {resource} {name}"))
    }

    /// Creates or changes an object of our own. What another manager has put into it stays.
    pub(crate) fn apply(&self, manager: &str, object: &Value) -> Result<()> {
        let manager = format!("--field-manager={manager}");
        let arguments =
            self.here(&["apply", "--server-side", "--force-conflicts", &manager, "--validate=ignore", "-f", "-"]);
        done(self.call(&arguments).input(object.to_string()).run()?, "kubectl apply").map(drop)
    }

    /// Deletes the object with this path and this UID; another one of its name is left alone. It is there, going, until
    /// all that it owns has gone. True if it was there.
    pub(crate) fn delete_uid(&self, path: &str, uid: &str) -> Result<bool> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground",
            "preconditions": {"uid": uid},
        });
        let answer = self.call(&["delete", "--raw", path, "-f", "-"]).input(options.to_string()).run()?;
        if answer.end == End::Exited(0) {
            return Ok(true);
        }
        if answer.stderr.contains("(NotFound)") || answer.stderr.contains("(Conflict)") {
            return Ok(false);
        }
        done(answer, &format!("kubectl delete {path}")).map(|_| true)
    }

    /// What the server would say against these objects, as kubectl prints it, without doing it. None if it takes them.
    pub(crate) fn refusal(&self, manifest: &[Object]) -> Result<Option<String>> {
        for (namespace, objects) in self.by_namespace(manifest) {
            let arguments = [
                "apply",
                "--server-side",
                "--dry-run=server",
                "--field-manager=helm",
                "--force-conflicts",
                // The server knows every field itself, and says better what is wrong.
                "--validate=ignore",
                "-f",
                "-",
                "--namespace",
                namespace,
            ];
            let answer = self.call_for(objects.len(), &arguments).input(list_of(&objects)).run()?;
            if answer.end == End::Exited(0) {
                continue;
            }
            if answer.end != End::Exited(1) || has_no_answer(&answer.stderr) {
                return succeeded(answer, "kubectl apply --dry-run=server").map(|_| None);
            }
            return Ok(Some(complaints(&answer.stderr).join("\n")));
        }
        Ok(None)
    }

    /// The last lines of a container's log; of its life before the last restart where it has one. An error is a right that
    /// is missing: without it nobody would know why there are none.
    pub(crate) fn log(&self, pod: &str, container: &str, previous: bool) -> Result<Option<String>> {
        let mut arguments = self.here(&["logs", pod, "--container", container, "--tail=20"]);
        if previous {
            arguments.push("--previous");
        }
        let Ok(answer) = self.call(&arguments).run() else { return Ok(None) };
        if is_forbidden(&answer.stderr) {
            return Err(Error::cannot_tell(why(&answer, "kubectl logs")));
        }
        let text = String::from_utf8_lossy(&answer.stdout).trim_end().to_owned();
        Ok((answer.end == End::Exited(0) && !text.is_empty()).then_some(text))
    }

    /// What kinds there are, and why some of them may be missing: a part of the API that somebody else serves may be away.
    pub(crate) fn kinds(&self) -> Result<(Vec<Value>, Option<String>)> {
        let answer = self.call(&["api-resources", "--output", "json"]).run()?;
        let list: Option<Value> = serde_json::from_slice(&answer.stdout).ok();
        let kinds = list.as_ref().and_then(|list| list["resources"].as_array()).filter(|kinds| !kinds.is_empty());
        match (kinds, answer.end) {
            (Some(kinds), End::Exited(0)) => Ok((kinds.clone(), None)),
            (Some(kinds), End::Exited(_)) => Ok((kinds.clone(), Some(complaint(&answer.stderr)))),
            _ => Err(Error::cannot_tell(why(&answer, "kubectl api-resources"))),
        }
    }

    fn by_namespace<'a>(&'a self, objects: &'a [Object]) -> BTreeMap<&'a str, Vec<&'a Object>> {
        let mut groups: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
        for object in objects {
            let own = Some(object.namespace()).filter(|namespace| !namespace.is_empty());
            groups.entry(own.unwrap_or(&self.namespace)).or_default().push(object);
        }
        groups
    }
}

/// An object by its name and labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    labels: BTreeMap<String, String>,
}

impl Row {
    /// A line of `kubectl get --show-labels`: the name comes first, the labels last.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (name, labels) = (words.next()?, words.next_back()?);
        let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
        let labels = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Some(Self { name: name.to_owned(), labels })
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
}

fn list_of(objects: &[&Object]) -> String {
    let items: Vec<&Value> = objects.iter().map(|object| &object.0).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn objects_of(answer: &Answer) -> Result<Vec<Object>> {
    object::parse(&answer.stdout).map_err(|error| Error::cannot_tell(format!("kubectl printed no JSON: {error}")))
}

/// `kubectl patch -f` prints one object after the other.
fn objects_in_turn(json: &[u8]) -> Result<Vec<Object>> {
    let documents = serde_json::Deserializer::from_slice(json).into_iter::<Value>();
    let documents: Result<Vec<Value>, _> = documents.collect();
    let documents = documents.map_err(|error| Error::failed(format!("kubectl printed no JSON: {error}")))?;
    Ok(documents
        .into_iter()
        .flat_map(|mut document| match document.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            Some(_) | None => vec![document],
        })
        .map(Object)
        .collect())
}

fn said(arguments: &[&str]) -> String {
    format!("kubectl {}", arguments.iter().take(2).copied().collect::<Vec<_>>().join(" "))
}

/// The answer of a program that has looked; whatever went wrong, there is none.
fn succeeded(answer: Answer, what: &str) -> Result<Answer> {
    match answer.end {
        End::Exited(0) => Ok(answer),
        End::Exited(_) | End::Signalled | End::OutOfTime | End::TooLong => Err(Error::cannot_tell(why(&answer, what))),
    }
}

/// The answer of a program that was to do something.
pub(crate) fn done(answer: Answer, what: &str) -> Result<Answer> {
    match answer.end {
        End::Exited(0) => Ok(answer),
        End::Exited(_) | End::Signalled | End::TooLong if !has_no_answer(&answer.stderr) => {
            Err(Error::failed(why(&answer, what)))
        }
        End::Exited(_) | End::Signalled | End::OutOfTime | End::TooLong => Err(Error::cannot_tell(why(&answer, what))),
    }
}

fn unless_gone(answer: Answer, what: &str) -> Result<()> {
    if answer.end == End::Exited(1) && answer.stderr.contains("(NotFound)") {
        return Ok(());
    }
    done(answer, what).map(drop)
}

/// Why a program has not done its work, in a sentence.
pub(crate) fn why(answer: &Answer, what: &str) -> String {
    let complaint = complaint(&answer.stderr);
    let after = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
    match answer.end {
        End::OutOfTime => format!("{what}: the API server does not answer in time{after}"),
        End::TooLong => format!("{what}: the answer is too long"),
        End::Signalled => format!("{what} was killed{after}"),
        End::Exited(_) if complaint.is_empty() => format!("{what} failed and said nothing"),
        End::Exited(_) if is_forbidden(&answer.stderr) => format!("{MISSING_RIGHT}{after}"),
        End::Exited(_) if has_no_answer(&answer.stderr) => format!("the API server cannot be reached{after}"),
        End::Exited(_) => complaint,
    }
}

fn is_forbidden(stderr: &str) -> bool {
    // Not every "forbidden" is about rights: quotas and rules for fields use the word too.
    stderr.contains("forbidden: User \"")
}

/// `deployments.apps` in `Error from server (Forbidden): deployments.apps is forbidden: User ...`.
fn forbidden_resource(line: &str) -> Option<String> {
    let (before, _) = line.split_once(" is forbidden: User ")?;
    before.rsplit(' ').next().map(str::to_owned)
}
/// How programs in Go say that their time is over.
const LATE: &str = "context deadline exceeded";

/// Whether a complaint is about the way to the server, or about rights, rather than about what was asked.
fn has_no_answer(stderr: &str) -> bool {
    const SIGNS: [&str; 22] = [
        "Unable to connect to the server",
        "was refused - did you specify the right host",
        "TLS handshake timeout",
        "connection refused",
        "connection reset by peer",
        "i/o timeout",
        "no such host",
        "unexpected EOF",
        ": EOF",
        "dial tcp",
        "Client.Timeout",
        "request canceled",
        "http2: ",
        "broken pipe",
        "etcdserver: ",
        LATE,
        "(Timeout)",
        "was unable to return a response in the time allotted",
        "(ServiceUnavailable)",
        "(Unauthorized)",
        "must be logged in to the server",
        "the server is currently unable to handle the request",
    ];
    // helm says the same when what it has seen did not become ready in time.
    let is_late = stderr.contains("not ready. status: ");
    // And of a template that ends too early.
    let is_template = stderr.contains("parse error at (") || stderr.contains("cannot parse template");
    let is_other = |sign: &str| (is_late && sign == LATE) || (is_template && sign.ends_with("EOF"));
    is_forbidden(stderr) || SIGNS.iter().any(|sign| stderr.contains(sign) && !is_other(sign))
}

/// What a program complained about, without the noise of its library's log and without line breaks.
pub(crate) fn complaint(stderr: &str) -> String {
    let text = complaints(stderr).join("; ");
    let text = text.strip_prefix("Error: ").unwrap_or(&text);
    say::shortened(text, COMPLAINT_MAX)
}

/// The lines of a complaint that are not those of a library's log.
pub(crate) fn complaints(stderr: &str) -> Vec<&str> {
    let is_log = |line: &str| {
        let mut characters = line.chars();
        matches!(characters.next(), Some('E' | 'W' | 'I' | 'F'))
            && characters.by_ref().take(4).all(|digit| digit.is_ascii_digit())
            && characters.next() == Some(' ')
            && line.contains("] ")
    };
    let mut lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !is_log(line)).collect();
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(end: End, stderr: &str) -> Answer {
        Answer { stdout: Vec::new(), stderr: stderr.to_owned(), end }
    }

    #[test]
    fn who_looks_and_gets_no_answer_cannot_tell() {
        for end in [End::Exited(1), End::Signalled, End::OutOfTime, End::TooLong] {
            assert!(matches!(succeeded(answer(end, "what?"), "kubectl get"), Err(Error::CannotTell(_))));
        }
    }

    #[test]
    fn what_is_not_done_is_a_failure_unless_nobody_answered() {
        let invalid = "The Deployment \"web\" is invalid: spec.replicas: Invalid value: -1";
        assert!(matches!(done(answer(End::Exited(1), invalid), "kubectl apply"), Err(Error::Failed(_))));
        for stderr in [
            "Unable to connect to the server: net/http: TLS handshake timeout",
            "Error from server (Forbidden): pods is forbidden: User \"u\" cannot list resource \"pods\"",
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
            "error: error validating \"STDIN\": error validating data: the server was unable to return a response in the time \
             allotted, but may still be processing the request",
            "error: error validating \"STDIN\": error validating data: unexpected error when reading response body. Please \
             retry. Original error: net/http: request canceled (Client.Timeout or context cancellation while reading body)",
        ] {
            assert!(
                matches!(done(answer(End::Exited(1), stderr), "kubectl get"), Err(Error::CannotTell(_))),
                "{stderr}"
            );
        }
    }

    #[test]
    fn a_hook_that_does_not_end_in_time_says_nothing_of_the_server() {
        let hook = "Error: failed post-install: resource Job/n/a-migrate not ready. status: InProgress, message: Job in \
                    progress\ncontext deadline exceeded";
        assert!(why(&answer(End::Exited(1), hook), "helm upgrade").starts_with("failed post-install: resource Job"));
        assert!(has_no_answer("Error: context deadline exceeded"));
    }

    #[test]
    fn a_template_that_ends_too_early_says_nothing_of_the_server() {
        for template in [
            "Error: parse error at (shop/templates/web.yaml:3): unexpected EOF",
            "Error: template: shop/templates/web.yaml:1:3: executing \"a\" at <tpl .Values.a .>: error calling tpl: cannot \
             parse template \"{{ if\": template: a:1: unexpected EOF",
        ] {
            assert!(!has_no_answer(template), "{template}");
        }
        assert!(has_no_answer("Error: Get \"https://127.0.0.1:1/version\": unexpected EOF"));
    }

    #[test]
    fn the_log_of_a_library_is_no_complaint() {
        let stderr = "E1130 02:00:00.1 42 memcache.go:265] \"Unhandled Error\" err=\"x\"\nUnable to connect: no\n\nUnable to connect: no\n";
        assert_eq!(complaint(stderr), "Unable to connect: no");
        assert_eq!(complaint("Error: a\nb"), "a; b");
    }

    #[test]
    fn a_sentence_names_what_is_missing() {
        let forbidden =
            answer(End::Exited(1), "Error from server (Forbidden): pods is forbidden: User \"u\" cannot list");
        assert!(why(&forbidden, "kubectl get pods").starts_with("a right is missing: Error from server"));
        assert!(why(&answer(End::OutOfTime, ""), "kubectl get pods").contains("does not answer in time"));
    }
}
