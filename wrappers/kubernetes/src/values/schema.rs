//! What a chart's `values.schema.json` says about the type of one value.
//!
//! Judges nothing: helm does that. Where the schema is beyond this reader it says nothing rather than something wrong.

use std::cell::Cell;

use serde_json::Value;

use super::json::{Json, Number};
use super::path::Path;

/// References and branches within each other that are followed.
const DEPTH_MAX: usize = 64;

/// Schemas that are looked into for one value; branches that refer to each other would otherwise double without end.
const STEPS_MAX: usize = 10_000;

/// A set of types of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Types(u8);

impl Types {
    /// None at all: nothing can stand here.
    const NONE: Self = Self(0);
    /// A text.
    pub(crate) const TEXT: Self = Self(1);
    /// A whole number.
    pub(crate) const WHOLE: Self = Self(2);
    /// Any number.
    pub(crate) const NUMBER: Self = Self(2 | 4);
    /// `true` and `false`.
    pub(crate) const BOOL: Self = Self(8);
    const NULL: Self = Self(16);
    /// A list.
    pub(crate) const LIST: Self = Self(32);
    /// An object.
    pub(crate) const MAP: Self = Self(64);

    /// Whether all of `other` are among them.
    pub(crate) fn allow(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether something but null can stand here.
    pub(crate) fn says_more_than_null(self) -> bool {
        self.0 & !Self::NULL.0 != 0
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn named(name: &str) -> Self {
        match name {
            "string" => Self::TEXT,
            "integer" => Self::WHOLE,
            "number" => Self::NUMBER,
            "boolean" => Self::BOOL,
            "null" => Self::NULL,
            "array" => Self::LIST,
            "object" => Self::MAP,
            _ => Self::NONE,
        }
    }

    /// The type of a value.
    pub(crate) fn of(json: &Json) -> Self {
        match json {
            Json::Null => Self::NULL,
            Json::Bool(_) => Self::BOOL,
            Json::Number(number) if Number::is_whole(number) => Self::WHOLE,
            Json::Number(_) => Self::NUMBER,
            Json::Text(_) => Self::TEXT,
            Json::List(_) => Self::LIST,
            Json::Map(_) => Self::MAP,
        }
    }
}

/// The types that `schema` allows at `path`; nothing if it does not say.
pub(crate) fn types(schema: &Value, path: &Path) -> Option<Types> {
    Reader { root: schema, steps: Cell::new(STEPS_MAX) }.types(schema, path.keys(), DEPTH_MAX)
}

struct Reader<'a> {
    root: &'a Value,
    steps: Cell<usize>,
}

impl Reader<'_> {
    fn types(&self, schema: &Value, keys: &[String], depth: usize) -> Option<Types> {
        self.steps.set(self.steps.get().checked_sub(1)?);
        let depth = depth.checked_sub(1)?;
        let own = match keys {
            [] => typed(schema),
            // What is no map has nothing below it.
            [..] if typed(schema).is_some_and(|types| !types.allow(Types::MAP)) => Some(Types::NONE),
            [key, below @ ..] => self.below(schema, key, below, depth),
        };
        let referred = schema.get("$ref").and_then(Value::as_str).and_then(|reference| {
            let target = self.root.pointer(reference.strip_prefix('#')?)?;
            self.types(target, keys, depth)
        });
        let every = branches(schema, "allOf").map(|branch| self.types(branch, keys, depth));
        let any = ["anyOf", "oneOf"].map(|name| {
            let each = branches(schema, name).map(|branch| self.types(branch, keys, depth));
            each.reduce(|a, b| Some(a?.or(b?))).flatten()
        });
        [own, referred].into_iter().chain(any).chain(every).flatten().reduce(Types::and)
    }

    /// What is said of what lies below one key of a map.
    fn below(&self, schema: &Value, key: &str, below: &[String], depth: usize) -> Option<Types> {
        if let Some(property) = schema.get("properties").and_then(|properties| properties.get(key)) {
            return self.types(property, below, depth);
        }
        // Its regular expressions may or may not mean this key.
        if schema.get("patternProperties").is_some() {
            return None;
        }
        let additional = schema.get("additionalProperties")?;
        if *additional == Value::Bool(false) { Some(Types::NONE) } else { self.types(additional, below, depth) }
    }
}

fn branches<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// What `type`, or else `const` or `enum`, says.
fn typed(schema: &Value) -> Option<Types> {
    let all = |types: &mut dyn Iterator<Item = Types>| Some(types.fold(Types::NONE, Types::or));
    let of = |value: &Value| Types::of(&Json::from(value.clone()));
    match (schema.get("type"), schema.get("const"), schema.get("enum")) {
        (Some(Value::String(name)), _, _) => Some(Types::named(name)),
        (Some(Value::Array(names)), _, _) => all(&mut names.iter().filter_map(Value::as_str).map(Types::named)),
        (_, Some(value), _) => Some(of(value)),
        (_, _, Some(Value::Array(values))) => all(&mut values.iter().map(of)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn says(schema: &Value, path: &str, expected: Option<Types>) {
        assert_eq!(types(schema, &Path::parse(path).unwrap()), expected, "{path}");
    }

    #[test]
    fn types_are_read_below_properties() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "object", "properties": {"b": {"type": "integer"}, "c": {"type": ["number", "null"]}}},
            "t": {"type": "string"}, "f": {"type": "boolean"}, "open": {}, "true": true,
        }});
        says(&schema, "a.b", Some(Types::WHOLE));
        says(&schema, "a.c", Some(Types::NUMBER.or(Types::NULL)));
        says(&schema, "t", Some(Types::TEXT));
        says(&schema, "f", Some(Types::BOOL));
        for silent in ["open", "open.x", "true", "true.x", "other", "a.other", "a.other.x"] {
            says(&schema, silent, None);
        }
        says(&schema, "t.x", Some(Types::NONE));
    }

    #[test]
    fn other_keys_are_those_of_additional_properties() {
        let of =
            |additional: Value| json!({"properties": {"a": {"type": "string"}}, "additionalProperties": additional});
        says(&of(json!({"type": "number"})), "b", Some(Types::NUMBER));
        says(&of(json!({"type": "number"})), "a", Some(Types::TEXT));
        says(&of(json!(false)), "b", Some(Types::NONE));
        says(&of(json!(true)), "b", None);
        let patterns = json!({"patternProperties": {"^x": {}}, "additionalProperties": {"type": "number"}});
        says(&patterns, "b", None);
    }

    #[test]
    fn local_references_are_followed() {
        let schema = json!({
            "$defs": {"port": {"type": "integer"}, "a/b": {"type": "boolean"}, "service": {"properties": {"port": {"$ref": "#/$defs/port"}}}},
            "definitions": {"old": {"type": "number"}},
            "properties": {
                "service": {"$ref": "#/$defs/service"}, "old": {"$ref": "#/definitions/old"},
                "slash": {"$ref": "#/$defs/a~1b"}, "gone": {"$ref": "#/$defs/gone"},
                "far": {"$ref": "https://example.org/schema.json#/x"}, "self": {"$ref": "#"},
            },
        });
        says(&schema, "service.port", Some(Types::WHOLE));
        says(&schema, "old", Some(Types::NUMBER));
        says(&schema, "slash", Some(Types::BOOL));
        says(&schema, "self.self.old", Some(Types::NUMBER));
        says(&schema, "gone", None);
        says(&schema, "far", None);
    }

    #[test]
    fn branches_are_put_together() {
        let schema = json!({
            "properties": {
                "any": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "one": {"oneOf": [{"type": "integer"}, {"const": 1.5}]},
                "all": {"allOf": [{"type": ["string", "integer"]}, {"type": ["number", "boolean"]}]},
                "open": {"anyOf": [{"type": "integer"}, {"minLength": 1}]},
                "map": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {"x": {"type": "boolean"}}}]},
                "enum": {"enum": [1, 2]}, "words": {"enum": ["a", "b"]},
            },
            "allOf": [{"properties": {"far": {"type": "number"}}}, {"required": ["any"]}],
            "anyOf": [{"required": ["any"]}, {"required": ["one"]}],
        });
        says(&schema, "any", Some(Types::WHOLE.or(Types::TEXT)));
        says(&schema, "one", Some(Types::NUMBER));
        says(&schema, "all", Some(Types::WHOLE));
        says(&schema, "open", None);
        says(&schema, "map.x", Some(Types::BOOL));
        says(&schema, "enum", Some(Types::WHOLE));
        says(&schema, "words", Some(Types::TEXT));
        says(&schema, "far", Some(Types::NUMBER));
    }

    #[test]
    fn references_in_a_circle_end() {
        let schema = json!({"properties": {"a": {"$ref": "#/properties/b"}, "b": {"$ref": "#/properties/a"}}});
        says(&schema, "a", None);
        let twice = json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}], "properties": {"a": {"type": "number"}}});
        says(&twice, "a", Some(Types::NUMBER));
    }

    #[test]
    fn what_is_no_schema_says_nothing() {
        for schema in
            [json!(null), json!(true), json!([]), json!("type"), json!({"type": 5}), json!({"properties": []})]
        {
            says(&schema, "a", None);
        }
    }
}
