//! From what helm and kubectl print to complaints.

use super::{CONTROL, Complaint, quantity, template};
use crate::cluster::object;
use crate::values::Path;

/// What a field is refused for, as the API server begins to say it.
const KINDS: [&str; 8] = [
    "Invalid value",
    "Required value",
    "Unsupported value",
    "Forbidden",
    "Duplicate value",
    "Too long",
    "Too many",
    "Not found",
];

/// All of them, in the order in which they stand there.
pub(super) fn complaints(said: &str) -> Vec<Complaint> {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !is_noise(line)).map(bare).collect();
    let mut found = Vec::new();
    let mut object = String::new();
    for (at, line) in lines.iter().enumerate() {
        let line = *line;
        if let Some((name, rest)) = typed_patch(line) {
            object = name;
            found.extend((!rest.is_empty()).then(|| typed(&object, rest)));
        } else if let Some((name, rest)) = invalid(line) {
            object = name;
            found.extend(fields(rest).into_iter().map(|field| of_field(&object, field)));
        } else if let Some(rest) = line.strip_prefix("* ") {
            found.push(of_field(&object, rest));
        } else if line.starts_with('.') {
            found.push(typed(&object, line));
        } else if let Some(complaint) = schema(line) {
            found.push(complaint);
        } else if let Some(complaint) = template::complaint(line, &lines[at.saturating_sub(2)..at]) {
            found.push(complaint);
        } else if let Some(complaint) = other(line) {
            found.push(complaint);
        }
    }
    if found.is_empty() {
        found.push(Complaint { rule: lines.join("; "), ..Complaint::default() });
    }
    found
}

/// Lines that tell nothing: the libraries' own logs, and advice to the author of the chart.
fn is_noise(line: &str) -> bool {
    line.is_empty()
        || line.starts_with("level=")
        || line.starts_with("Use --debug flag")
        || line.starts_with("ensure CRDs are installed first")
}

/// Without the words that stand before every complaint.
fn bare(line: &str) -> &str {
    let line = line.strip_prefix("Error: ").unwrap_or(line);
    match line.strip_prefix("Error from server").and_then(|rest| rest.split_once(": ")) {
        Some((code, rest)) if code.is_empty() || (code.starts_with(" (") && code.ends_with(')')) => rest,
        Some(_) | None => line,
    }
}

/// `failed to create typed patch object (NAMESPACE/NAME; VERSION, Kind=KIND): ...`
fn typed_patch(line: &str) -> Option<(String, &str)> {
    let (object, rest) = line.strip_prefix("failed to create typed patch object (")?.split_once("): ")?;
    Some((in_brackets(object)?, rest.strip_prefix("errors:").unwrap_or(rest)))
}

fn in_brackets(object: &str) -> Option<String> {
    let (name, kind) = object.split_once("; ")?;
    let kind = kind.rsplit_once("Kind=")?.1;
    Some(format!("{} {}", object::words(kind), name.rsplit('/').next().unwrap_or(name)))
}

/// `.spec.replicas: expected numeric (int or float), got string`
fn typed(object: &str, text: &str) -> Complaint {
    let (field, rest) = text.split_once(": ").unwrap_or(("", text));
    let field = field.trim_start_matches('.').to_owned();
    let complaint = Complaint { object: object.to_owned(), field, ..Complaint::default() };
    if rest == "field not declared in schema" {
        let value = complaint.field.rsplit('.').next().unwrap_or_default().to_owned();
        return Complaint { value, rule: "is no field that there is".to_owned(), ..complaint };
    }
    let Some((wanted, got)) = rest.strip_prefix("expected ").and_then(|rest| rest.split_once(", got ")) else {
        return Complaint { rule: rest.to_owned(), ..complaint };
    };
    let wanted = type_in_words(wanted);
    let value = got.strip_prefix("&value.valueUnstructured{Value:").or_else(|| got.strip_prefix("&{"));
    match value.and_then(|value| value.strip_suffix('}')) {
        Some(map) if map.starts_with("map[") => {
            Complaint { rule: format!("must be {wanted}, and is a map"), ..complaint }
        }
        Some(list) if list.starts_with('[') => {
            Complaint { rule: format!("must be {wanted}, and is a list"), ..complaint }
        }
        Some(value) => Complaint { value: value.to_owned(), rule: format!("must be {wanted}"), ..complaint },
        None => Complaint { rule: format!("must be {wanted}, and is {}", type_in_words(got)), ..complaint },
    }
}

/// `The Deployment "web" is invalid: ...`, or `Deployment.apps "web" is invalid: ...`
fn invalid(line: &str) -> Option<(String, &str)> {
    let (who, rest) = line.split_once(" is invalid:")?;
    let (kind, name) = who.strip_prefix("The ").unwrap_or(who).split_once(' ')?;
    let name = name.strip_prefix('"')?.strip_suffix('"')?;
    let kind = kind.split('.').next().unwrap_or(kind);
    Some((format!("{} {name}", object::words(kind)), rest.trim()))
}

/// The complaints of one line: one, or several in brackets.
fn fields(text: &str) -> Vec<&str> {
    if text.is_empty() {
        return Vec::new();
    }
    let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else { return vec![text] };
    let mut found = Vec::new();
    let mut start = 0;
    for (at, _) in inner.match_indices(", ") {
        let begins = inner[at + 2..].split_once(": ").is_some_and(|(field, rest)| {
            !field.contains([' ', ',']) && KINDS.iter().any(|kind| rest.starts_with(kind))
        });
        if begins {
            found.push(&inner[start..at]);
            start = at + 2;
        }
    }
    found.push(&inner[start..]);
    found
}

/// `spec.rules[0].host: Invalid value: "A": a lowercase ...`
fn of_field(object: &str, text: &str) -> Complaint {
    let complaint = Complaint { object: object.to_owned(), ..Complaint::default() };
    let parts = text.split_once(": ").and_then(|(field, rest)| {
        let kind = KINDS.iter().find(|kind| rest.starts_with(**kind))?;
        Some((field, *kind, rest[kind.len()..].trim_start_matches(':').trim()))
    });
    let Some((field, kind, rest)) = parts else { return Complaint { rule: text.to_owned(), ..complaint } };
    let complaint = Complaint { field: field.to_owned(), ..complaint };
    let (value, rule) = valued(rest);
    match kind {
        "Required value" if rest.is_empty() => Complaint { rule: "is needed".to_owned(), ..complaint },
        "Required value" => Complaint { rule: format!("is needed: {rest}"), ..complaint },
        "Unsupported value" => {
            let rule = rule.strip_prefix("supported values: ").unwrap_or(rule);
            Complaint { value, rule: format!("must be one of {rule}"), ..complaint }
        }
        "Duplicate value" => Complaint { value, rule: "is there twice".to_owned(), ..complaint },
        "Not found" => Complaint { value, rule: "is not there".to_owned(), ..complaint },
        "Invalid value" => {
            let own = format!("{field} in body ");
            // Of a custom kind, what stands for the value is its type.
            let (value, rule) = match rule.strip_prefix(&own) {
                Some(rule) => (String::new(), rule.rsplit_once(": \"").map_or(rule, |(rule, _)| rule)),
                None => (value, rule),
            };
            Complaint { value, rule: without_regex(rule), ..complaint }
        }
        _ => Complaint { rule: rest.to_owned(), ..complaint },
    }
}

/// The value and what follows it. An object of the server's own language is no value that anybody gave.
fn valued(text: &str) -> (String, &str) {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ':' if !is_quoted && text[at..].starts_with(": ") => {
                let value = &text[..at];
                let plain = serde_json::from_str(value).unwrap_or_else(|_| value.to_owned());
                let is_object = plain == value && value.contains('{');
                return (if is_object { String::new() } else { plain }, &text[at + 2..]);
            }
            _ => {}
        }
    }
    (String::new(), text)
}

fn without_regex(rule: &str) -> String {
    let mut rule = rule.to_owned();
    for (sign, end) in [(", regex used for validation is '", "')"), (" (regex used for validation is '", "')")] {
        if let Some(start) = rule.find(sign) {
            let after = rule[start..].find(end).map_or(rule.len(), |length| start + length + end.len());
            let closing = if sign.starts_with(',') { ")" } else { "" };
            rule.replace_range(start..after, closing);
        }
    }
    rule
}

/// `- at '/web/replicas': got string, want null or integer`
fn schema(line: &str) -> Option<Complaint> {
    let (pointer, rest) = line.strip_prefix("- at '")?.split_once("': ")?;
    let keys = pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"));
    let place = keys.fold(Path::default(), |path, key| path.child(&key));
    let rule = match rest.strip_prefix("got ").and_then(|rest| rest.split_once(", want ")) {
        Some((got, wanted)) => {
            let wanted: Vec<String> = wanted.split(" or ").map(type_in_words).collect();
            format!("must be {}, and is {}", wanted.join(" or "), type_in_words(got))
        }
        None => bounds(rest).unwrap_or_else(|| rest.strip_prefix("value ").unwrap_or(rest).to_owned()),
    };
    Some(Complaint { place: Some(place), rule, ..Complaint::default() })
}

/// `minimum: got 0, want 1`
fn bounds(text: &str) -> Option<String> {
    let (which, rest) = text.split_once(": got ")?;
    let (_, wanted) = rest.split_once(", want ")?;
    Some(match which {
        "minimum" => format!("must be at least {wanted}"),
        "maximum" => format!("must be at most {wanted}"),
        "exclusiveMinimum" => format!("must be more than {wanted}"),
        "exclusiveMaximum" => format!("must be less than {wanted}"),
        "minLength" => format!("must have at least {wanted} characters"),
        "maxLength" => format!("must have at most {wanted} characters"),
        "minItems" => format!("must have at least {wanted} entries"),
        "maxItems" => format!("must have at most {wanted} entries"),
        _ => return None,
    })
}

/// A type by the names that JSON, the API server and its language have for it.
pub(super) fn type_in_words(name: &str) -> String {
    match name.trim() {
        "string" => "a text",
        "integer" | "int" | "int32" | "int64" | "uint32" | "uint64" => "a whole number",
        "number" | "numeric (int or float)" | "float64" | "float32" => "a number",
        "boolean" | "bool" => "true or false",
        "object" | "map" => "a map",
        "array" | "list" => "a list",
        "null" => "nothing",
        map if map.starts_with("map[") => "a map",
        list if list.starts_with("[]") => "a list",
        _ => "of another type",
    }
    .to_owned()
}

fn other(line: &str) -> Option<Complaint> {
    let rule = |words: String| Some(Complaint { rule: words, ..Complaint::default() });
    if let Some((_, rest)) = line.split_once("no matches for kind \"") {
        let (kind, rest) = rest.split_once('"')?;
        let version = rest.split('"').nth(1).unwrap_or_default();
        return rule(format!("the cluster has no kind {kind} of {version}"));
    }
    if let Some((object, rest)) =
        line.strip_prefix("failed to convert new object (").and_then(|rest| rest.split_once(") to proper version: "))
    {
        let words = if rest.contains("quantities must match") {
            quantity::RULE
        } else {
            rest.rsplit(": ").next().unwrap_or(rest)
        };
        let object = in_brackets(object)?;
        return Some(Complaint { object, rule: words.to_owned(), ..Complaint::default() });
    }
    if line.contains("control characters are not allowed") {
        return rule(CONTROL.to_owned());
    }
    // Whatever is new here: without the lines that only lead to others.
    let leads = line.ends_with(':') || line.starts_with("values don't meet the specifications") || is_place(line);
    if leads { None } else { rule(line.to_owned()) }
}

/// `product/templates/web.yaml:7:15`
fn is_place(line: &str) -> bool {
    !line.contains(' ') && line.contains(".yaml:")
}
