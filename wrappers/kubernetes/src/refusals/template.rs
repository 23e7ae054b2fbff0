//! Complaints about a chart that cannot be rendered.

use super::Complaint;
use crate::values::Path;

/// What a line says that is about templates.
pub(super) fn complaint(line: &str, before: &[&str]) -> Option<Complaint> {
    if let Some((_, words)) = line.split_once("execution error at (").and_then(|(_, rest)| rest.split_once("): ")) {
        // The chart's author has written it for who reads it.
        return Some(rule(words));
    }
    if let Some((file, why)) = line.split_once("YAML parse error on ").and_then(|(_, rest)| rest.split_once(": ")) {
        let why = why.rsplit("yaml: ").next().unwrap_or(why);
        return Some(rule(&format!("with these values {file} of the chart is no YAML: {why}")));
    }
    if let Some((kind, rest)) = line.split_once("cannot unmarshal ").and_then(|(_, rest)| rest.split_once(" into Go "))
    {
        let rest = rest.strip_prefix("struct field ").unwrap_or(rest);
        let (field, wanted) = rest.split_once(" of type ")?;
        let field = field.split_once('.').map_or("", |(_, field)| field);
        let words =
            format!("must be {}, and is {}", super::read::type_in_words(wanted), super::read::type_in_words(kind));
        return Some(Complaint { field: field.to_owned(), ..rule(&words) });
    }
    let is_evaluation = line.contains("nil pointer evaluating") || line.contains("can't evaluate field");
    if !is_evaluation && !line.contains("error calling ") {
        return None;
    }
    // The place stands in the same line, or in those before it.
    let whole = [before, &[line]].concat().join(" ");
    let (_, expression) = whole.rsplit_once(" at <")?;
    let (expression, rest) = expression.split_once('>')?;
    let path = expression.strip_prefix(".Values.").and_then(|path| Path::parse(path).ok()).filter(|_| is_evaluation);
    if let Some(place) = path {
        return Some(Complaint { place: Some(place), ..rule("the chart needs a value there, and finds none") });
    }
    let why = rest.rsplit_once("error calling ").map_or("", |(_, why)| why);
    let why = if why.is_empty() || why.contains("interface {}") { String::new() } else { format!(": {why}") };
    Some(rule(&format!("the chart can do nothing with these values at {expression}{why}")))
}

fn rule(words: &str) -> Complaint {
    Complaint { rule: words.trim().to_owned(), ..Complaint::default() }
}
