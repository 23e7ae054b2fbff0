//! Quantities of memory and the like: the API server does not say which of them is wrong.

use serde_json::Value;

use super::Complaint;
use crate::cluster::object::Object;

/// What a quantity must be.
pub(super) const RULE: &str = "must be a quantity: a number with or without a unit, such as 2, 500m or 1.5Gi";

/// Fields that hold quantities, or a map of them.
const FIELDS: [&str; 4] = ["requests", "limits", "storage", "sizeLimit"];

/// Adds to a complaint of that kind the value that it is about.
pub(super) fn find(complaint: &mut Complaint, manifest: &[Object]) {
    if complaint.rule != RULE {
        return;
    }
    let object = manifest.iter().find(|object| object.to_string() == complaint.object);
    complaint.value = object.and_then(|object| bad(&object.0, false)).unwrap_or_default();
}

fn bad(value: &Value, is_quantity: bool) -> Option<String> {
    match value {
        Value::Object(fields) => {
            fields.iter().find_map(|(key, value)| bad(value, is_quantity || FIELDS.contains(&key.as_str())))
        }
        Value::Array(list) => list.iter().find_map(|value| bad(value, is_quantity)),
        Value::String(text) => (is_quantity && !is_one(text)).then(|| text.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A sign, digits with or without a point, and a unit or an exponent.
fn is_one(text: &str) -> bool {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = number.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let units = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let is_exponent = digits.strip_prefix(['e', 'E']).is_some_and(|exponent| exponent.parse::<i32>().is_ok());
    digits.len() < number.len() && (units.contains(&digits) || is_exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_a_number_with_a_unit() {
        for text in ["1", "0.5", "500m", "1.5Gi", "-2", "1e3", "1E"] {
            assert!(is_one(text), "{text}");
        }
        for text in ["", "lots", "1 Gi", "1GB", "m", "1e", "five"] {
            assert!(!is_one(text), "{text}");
        }
    }
}
