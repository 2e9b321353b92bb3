//! Answers in a given form: found in text, held against their schema, and what is said of one that does not fit.
//!
//! Pure. Whether there is another try is decided in `engine`.

use jsonschema::Validator;
use serde_json::Value;

/// How many things that do not fit are named at once.
const NAMED: usize = 8;

/// A schema that answers are held against.
#[derive(Debug)]
pub(crate) struct Mould {
    validator: Validator,
}

impl Mould {
    /// Takes a schema. An error says why it is none.
    pub(crate) fn new(schema: &Value) -> Result<Self, String> {
        jsonschema::validator_for(schema).map(|validator| Self { validator }).map_err(|fault| fault.to_string())
    }

    /// Finds the object in what a model said. An error is what the model is told: field and rule.
    pub(crate) fn cast(&self, text: &str) -> Result<Value, String> {
        let found = find(text).ok_or_else(|| "there is no whole JSON object in it".to_owned())?;
        let said: Vec<String> = self
            .validator
            .iter_errors(&found)
            .take(NAMED)
            .map(|fault| {
                let place = fault.instance_path().to_string();
                let place = if place.is_empty() { "the object".to_owned() } else { format!("`{place}`") };
                let rule: String = fault.to_string().chars().take(300).collect();
                format!("- {place}: {rule}")
            })
            .collect();
        if said.is_empty() { Ok(found) } else { Err(said.join("\n")) }
    }
}

/// Finds a JSON object in a text: all of it, or the last whole one.
fn find(text: &str) -> Option<Value> {
    let is_object = |it: &Value| it.is_object();
    if let Some(whole) = serde_json::from_str(text.trim()).ok().filter(is_object) {
        return Some(whole);
    }
    objects(text).rev().find_map(|part| serde_json::from_str(part).ok().filter(is_object))
}

/// Cuts the top-level `{…}` out of a text, knowing strings and escapes.
fn objects(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    let mut found = Vec::new();
    let (mut depth, mut begin, mut in_string, mut escaped) = (0u32, 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            // A quote outside of an object is prose.
            b'"' if depth > 0 => in_string = !in_string,
            b'{' if !in_string => {
                if depth == 0 {
                    begin = at;
                }
                depth += 1;
            }
            b'}' if !in_string && depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    found.push(&text[begin..=at]);
                }
            }
            _ => {}
        }
    }
    found.into_iter()
}

/// What a model is told whose answer does not fit.
pub(crate) fn repair(faults: &str) -> String {
    format!(
        "Your last answer could not be taken:\n{faults}\nAnswer again with the whole JSON object in the wanted form, \
         corrected in these places, and with nothing else."
    )
}

/// Tells whether a schema can be kept to the letter by providers that demand every field and no other one.
pub(crate) fn is_strict(schema: &Value) -> bool {
    let parts = |name: &str| schema.get(name).and_then(Value::as_object).into_iter().flat_map(|it| it.values());
    let own = match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let names = schema.get("properties").and_then(Value::as_object);
            let required = schema.get("required").and_then(Value::as_array).map_or(0, Vec::len);
            schema.get("additionalProperties") == Some(&Value::Bool(false))
                && names.is_some_and(|names| names.len() == required)
        }
        _ => true,
    };
    let items = schema.get("items").is_none_or(is_strict);
    let choices = schema.get("anyOf").and_then(Value::as_array).is_none_or(|all| all.iter().all(is_strict));
    own && items && choices && parts("properties").chain(parts("$defs")).all(is_strict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mould() -> Mould {
        Mould::new(&json!({"type": "object", "required": ["passed"], "additionalProperties": false,
            "properties": {"passed": {"type": "boolean"}, "notes": {"type": "array", "items": {"type": "string"}}}}))
        .unwrap()
    }

    #[test]
    fn the_object_is_found_as_models_give_it() {
        for text in [
            r#"{"passed": true}"#,
            "```json\n{\"passed\": true}\n```",
            "Here {it} is, said \"she:\n{\"passed\": true}\nIs that good?",
            r#"{"passed": "draft }"} and then {"passed": true}"#,
        ] {
            assert_eq!(mould().cast(text), Ok(json!({"passed": true})), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named_by_field_and_rule() {
        let said = mould().cast(r#"{"passed": "yes", "notes": [1], "more": 1}"#).unwrap_err();
        for expected in ["`/passed`: \"yes\" is not of type \"boolean\"", "`/notes/0`", "'more' was unexpected"] {
            assert!(said.contains(expected), "{said}");
        }
        assert!(mould().cast("{}").unwrap_err().contains("\"passed\" is a required property"));
        for text in ["", "no", r#"{"passed": tr"#, "[true]"] {
            assert_eq!(mould().cast(text), Err("there is no whole JSON object in it".to_owned()), "{text}");
        }
    }

    #[test]
    fn strictness_is_seen_at_every_depth() {
        let inner = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
        let outer = |items: &Value| json!({"type": "object", "properties": {"l": {"type": "array", "items": items}}, "required": ["l"], "additionalProperties": false});
        assert!(is_strict(&outer(&inner)));
        assert!(!is_strict(&outer(&json!({"type": "object", "properties": {"a": {}}, "required": ["a"]}))));
        assert!(!is_strict(&json!({"type": "object"})));
    }
}
