//! Every answer that these tests get is one that the OpenAPI document promises for its route.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

use super::Answer;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/http/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("it is there")).expect("it is a document")
});

/// The operation of a route, unless the document has none.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == path.len()
            && template.iter().zip(&path).all(|(part, word)| part == word || part.starts_with('{'))
    };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let (_, methods) = paths.iter().find(|(template, _)| fits(template))?;
    methods.get(method.to_ascii_lowercase())
}

/// That the status is one of the route's, a refusal's code stands in its description, and its headers are there.
#[track_caller]
pub(super) fn check(method: &str, path: &str, answer: &Answer) {
    let Some(operation) = operation(method, path) else {
        assert!([404, 405].contains(&answer.status.as_u16()), "{method} {path} is not described: {answer:?}");
        return;
    };
    let response = &operation["responses"][answer.status.as_str()];
    assert!(response.is_object(), "{method} {path} does not promise {}", answer.status);
    if !answer.status.is_success() {
        let code = answer.problem().code;
        let description = response["description"].as_str().unwrap_or_default();
        assert!(description.contains(&format!("`{code}`")), "{method} {path} does not promise {code}");
    }
    for header in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        // A quiet answer has no run to lead to.
        let optional = header == "Location" && answer.status == 200;
        assert!(
            optional || answer.headers.contains_key(header.as_str()),
            "{method} {path} has no {header}: {answer:?}"
        );
    }
}
