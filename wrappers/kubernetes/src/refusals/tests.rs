//! What people read, from what helm and kubectl print.

use super::*;

#[track_caller]
fn says(said: &str, app: &[(&str, &str)], staging: &[(&str, &str)], expected: &[&str]) {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let layout = Layout { app: Path::prefix("env").expect("a prefix"), ..Layout::default() };
    let (app, staging) = (pairs(app), pairs(staging));
    let asked = Asked { layout: &layout, tag: "v1", app_overrides: &app, staging_overrides: &staging };
    assert_eq!(in_words(said, &asked, &[]), expected);
}

#[test]
fn a_field_is_named_with_the_key_that_set_it() {
    says(
        "The Deployment \"x-web\" is invalid: spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive",
        &[("limit", "99999")],
        &[("web.port", "99999"), ("web.replicas", "2")],
        &[
            "staging web.port: \"99999\" must be between 1 and 65535, inclusive (deployment x-web, spec.containers[0].ports[0].containerPort)",
        ],
    );
    says(
        "The Deployment \"x-web\" is invalid: spec.env[3].name: Invalid value: \"gr=ün\": a valid name must be ASCII",
        &[("gr=ün", "1")],
        &[],
        &["app gr=ün: \"gr=ün\": a valid name must be ASCII (deployment x-web, spec.env[3].name)"],
    );
    says(
        "The Service \"s\" is invalid: metadata.labels: Invalid value: \"v1\": must be no more than 63 bytes",
        &[],
        &[],
        &["the tag: \"v1\" must be no more than 63 bytes (service s, metadata.labels)"],
    );
}

#[test]
fn one_value_in_many_fields_is_said_once_and_without_its_regular_expression() {
    let rule = "a lowercase RFC 1123 subdomain must start with a letter (e.g. 'example.com', regex used for validation is '[a-z](\\.[a-z])*')";
    let said = format!(
        "The Ingress \"x-web\" is invalid: \n* spec.rules[0].host: Invalid value: \"No!\": {rule}\n* spec.tls[0].hosts[0]: Invalid value: \"No!\": {rule}\n"
    );
    says(
        &said,
        &[],
        &[("ingress.host", "No!")],
        &[
            "staging ingress.host: \"No!\": a lowercase RFC 1123 subdomain must start with a letter (e.g. 'example.com') (ingress x-web, spec.rules[0].host)",
        ],
    );
}

#[test]
fn types_are_those_of_people() {
    says(
        "Error from server: failed to create typed patch object (w1/c1; certificates.test/v1, Kind=Certificate): errors:\n  .spec.dnsNames: expected list, got &{a}\n  .spec.secretName: expected string, got &value.valueUnstructured{Value:5}\n",
        &[],
        &[("certificate.spec", "{\"secretName\":5}")],
        &[
            "certificate c1, spec.dnsNames: \"a\" must be a list",
            "staging certificate.spec: \"5\" must be a text (certificate c1, spec.secretName)",
        ],
    );
    says(
        "Error from server: failed to create typed patch object (w1/s; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string",
        &[],
        &[],
        &["deployment s, spec.replicas: must be a number, and is a text"],
    );
    says(
        "Error: unable to build kubernetes objects from release manifest: unable to decode \"\": json: cannot unmarshal number into Go struct field ObjectMeta.metadata.annotations of type string",
        &[],
        &[],
        &["metadata.annotations: must be a text, and is a number"],
    );
    says(
        "Error from server: failed to create typed patch object (w1/x-web; apps/v1, Kind=Deployment): .spec.template.spec.nodeSelektor: field not declared in schema",
        &[],
        &[("web.podSpec", "{\"nodeSelektor\":{}}")],
        &[
            "staging web.podSpec: \"nodeSelektor\" is no field that there is (deployment x-web, spec.template.spec.nodeSelektor)",
        ],
    );
}

#[test]
fn what_the_schema_of_the_chart_says_is_about_keys() {
    says(
        "Error: values don't meet the specifications of the schema(s) in the following chart(s):\nproduct:\n- at '/web/replicas': got string, want null or integer\n- at '/env/color': value must be one of 'teal', 'red'\n- at '/env/workers': minimum: got 0, want 1\n",
        &[("color", "pink"), ("workers", "0")],
        &[("web", "{\"replicas\":\"3\"}")],
        &[
            "staging web: must be nothing or a whole number, and is a text",
            "app color: \"pink\" must be one of 'teal', 'red'",
            "app workers: \"0\" must be at least 1",
        ],
    );
}

#[test]
fn a_chart_that_speaks_for_itself_is_quoted_and_one_that_breaks_is_explained() {
    says(
        "Error: execution error at (strict/templates/a.yaml:1:35): there is no plan gold; write small or large\n\nUse --debug flag to render out invalid YAML\n",
        &[],
        &[],
        &["there is no plan gold; write small or large"],
    );
    says(
        "level=INFO msg=\"warning\"\nError: strict/templates/a.yaml:7:15\n  executing \"strict/templates/a.yaml\" at <.Values.deep.er.est>:\n    nil pointer evaluating interface {}.est\n\nUse --debug flag",
        &[],
        &[],
        &["staging deep.er.est: the chart needs a value there, and finds none"],
    );
    says(
        "Error: template: strict/templates/a.yaml:1:7: executing \"strict/templates/a.yaml\" at <eq .Values.plan \"gold\">: error calling eq: incompatible types for comparison: map[string]interface {} and string",
        &[],
        &[],
        &["the chart can do nothing with these values at eq .Values.plan \"gold\""],
    );
    says(
        "Error: YAML parse error on product/templates/web.yaml: error converting YAML to JSON: yaml: line 28: did not find expected '-' indicator",
        &[],
        &[],
        &[
            "with these values product/templates/web.yaml of the chart is no YAML: line 28: did not find expected '-' indicator",
        ],
    );
}

#[test]
fn several_complaints_of_one_object_are_several_sentences() {
    says(
        "Error from server (Invalid): Deployment.apps \"s3\" is invalid: [spec.replicas: Invalid value: -3: must be greater than or equal to 0, spec.selector: Required value, spec.labels: Invalid value: {\"a\":\"5\"}: `selector` does not match template `labels`, spec.pull: Unsupported value: \"Often\": supported values: \"Always\", \"Never\"]",
        &[],
        &[("web.replicas", "-3")],
        &[
            "staging web.replicas: \"-3\" must be greater than or equal to 0 (deployment s3, spec.replicas)",
            "deployment s3, spec.selector: is needed",
            "deployment s3, spec.labels: `selector` does not match template `labels`",
            "deployment s3, spec.pull: \"Often\" must be one of \"Always\", \"Never\"",
        ],
    );
    let whole = format!(
        "The Job \"j\" is invalid: spec.template: Invalid value: {{\"a\":\"{}\"}}: field is immutable",
        "x".repeat(3000)
    );
    says(&whole, &[], &[], &["job j, spec.template: field is immutable"]);
}

#[test]
fn a_quantity_is_found_in_the_manifest() {
    let said = "Error from server: failed to convert new object (w1/x-web; apps/v1, Kind=Deployment) to proper version: unable to convert unstructured object to apps/v1, Kind=Deployment: quantities must match the regular expression '^([+-]?[0-9.]+)$'";
    let manifest = serde_json::json!({
        "kind": "Deployment", "metadata": {"name": "x-web"},
        "spec": {"containers": [{"name": "web", "resources": {"requests": {"cpu": "2", "memory": "lots"}}}]},
    });
    let overrides = [("web.resources".to_owned(), r#"{"requests":{"memory":"lots"}}"#.to_owned())];
    let asked = Asked { layout: &Layout::default(), tag: "", app_overrides: &[], staging_overrides: &overrides };
    assert_eq!(
        in_words(said, &asked, &[Object(manifest)]),
        [format!("staging web.resources: \"lots\" {} (deployment x-web)", quantity::RULE)]
    );
}

#[test]
fn what_nobody_foresaw_is_kept_but_short() {
    says("Error: something new", &[], &[], &["something new"]);
    let asked = Asked { layout: &Layout::default(), tag: "", app_overrides: &[], staging_overrides: &[] };
    let long = in_words(&"x ".repeat(2000), &asked, &[]);
    assert_eq!(long.len(), 1);
    assert_eq!(long[0].chars().count(), SENTENCE_MAX);
}
