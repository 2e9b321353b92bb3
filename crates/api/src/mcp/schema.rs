//! What a tool takes: its JSON Schema, and the check of a call against it.
//!
//! The schema that agents see is the one that is checked, so that no rule is told and not kept, or kept and not
//! told. Only the keywords that our argument types make are known here.

use orcha_model::Role;
use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// Returns the schema of a tool's arguments: an object that takes nothing else, with `required` always a list.
///
/// Agents have dropped whole lists of tools over a `required` that was missing, so even an empty one is written.
pub(super) fn schema_of<T: JsonSchema>() -> JsonObject {
    let mut settings = SchemaSettings::draft2020_12().for_deserialize();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut object = match schema.to_value() {
        Value::Object(object) => object,
        // A type without fields.
        _ => JsonObject::new(),
    };
    for noise in ["title", "description", "$schema"] {
        object.remove(noise);
    }
    object.insert("type".into(), json!("object"));
    object.insert("additionalProperties".into(), json!(false));
    object.entry("required").or_insert_with(|| json!([]));
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    for property in properties.as_object_mut().into_iter().flat_map(|it| it.values_mut()) {
        without_null(property);
    }
    object
}

/// An optional argument is left out; `null` means the same and need not be told.
fn without_null(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|it| it != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("enum") {
        choices.retain(|it| !it.is_null());
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|it| it["type"] != "null");
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
}

/// Checks the arguments of a call and takes out what is `null`. The answer to a bad call names every argument that
/// is wrong and the rule that it breaks.
pub(super) fn check(schema: &JsonObject, mut arguments: JsonObject) -> Result<JsonObject, String> {
    arguments.retain(|_, value| !value.is_null());
    let known: Vec<(&String, &Value)> = schema["properties"].as_object().into_iter().flatten().collect();
    let required = |name: &str| schema["required"].as_array().is_some_and(|it| it.iter().any(|it| it == name));
    let mut wrong = Vec::new();
    for name in arguments.keys() {
        if !known.iter().any(|(it, _)| *it == name) {
            wrong.push(format!("`{}` is not an argument of it", shown(name)));
        }
    }
    for (name, rule) in &known {
        match arguments.get(*name) {
            Some(value) => value_fits(name, value, rule, &mut wrong),
            None if required(name) => wrong.push(format!("`{name}` is missing")),
            None => {}
        }
    }
    if wrong.is_empty() {
        return Ok(arguments);
    }
    let takes: Vec<String> =
        known.iter().map(|(name, _)| format!("{name}{}", if required(name) { "*" } else { "" })).collect();
    let takes = if takes.is_empty() { "nothing".to_owned() } else { format!("{} (* is required)", takes.join(", ")) };
    Err(format!("{}. It takes: {takes}.", wrong.join("; ")))
}

fn value_fits(name: &str, value: &Value, rule: &Value, wrong: &mut Vec<String>) {
    let types: Vec<&str> = match &rule["type"] {
        Value::String(only) => vec![only],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|it| is_of(value, it)) {
        let wanted: Vec<&str> = types.iter().map(|it| in_words(it)).collect();
        wrong.push(format!("`{name}` must be {}, not {}", wanted.join(" or "), in_words(type_of(value))));
        return;
    }
    if let Some(choices) = rule["enum"].as_array()
        && !choices.contains(value)
    {
        let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        wrong.push(format!("`{name}` must be one of {}", choices.join(", ")));
        return;
    }
    match value {
        Value::String(text) => {
            if text.contains('\0') {
                wrong.push(format!("`{name}` must not hold a NUL character"));
            }
            let long = text.chars().count();
            if let Some(most) = rule["maxLength"].as_u64()
                && u64::try_from(long).unwrap_or(u64::MAX) > most
            {
                wrong.push(format!("`{name}` must have at most {most} characters; it has {long}"));
            }
            if rule["minLength"].as_u64().is_some_and(|least| least > 0) && text.trim().is_empty() {
                wrong.push(format!("`{name}` must not be blank"));
            }
        }
        Value::Array(items) => {
            if let Some(most) = rule["maxItems"].as_u64()
                && u64::try_from(items.len()).unwrap_or(u64::MAX) > most
            {
                wrong.push(format!("`{name}` must have at most {most} items; it has {}", items.len()));
                return;
            }
            for (at, item) in items.iter().enumerate() {
                value_fits(&format!("{name}[{at}]"), item, &rule["items"], wrong);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    }
}

fn is_of(value: &Value, type_: &str) -> bool {
    match type_ {
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        _ => type_of(value) == type_,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn in_words(type_: &str) -> &'static str {
    match type_ {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "an object",
        _ => "null",
    }
}

/// The head of a text that a stranger chose, for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// Names a role with its article, for messages.
pub(super) fn a_role(role: Role) -> String {
    let article = if role.name().starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {role}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Sample {
        /// What it is called.
        #[schemars(length(min = 1, max = 5))]
        name: String,
        /// How often.
        #[serde(default)]
        #[schemars(length(max = 2), inner(length(max = 3)))]
        labels: Vec<String>,
        sure: Option<bool>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    fn checked(arguments: Value) -> Result<Value, String> {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        check(&schema_of::<Sample>(), arguments).map(Value::Object)
    }

    #[test]
    fn required_is_a_list_even_when_nothing_is() {
        assert_eq!(
            Value::Object(schema_of::<Nothing>()),
            json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false})
        );
    }

    #[test]
    fn a_schema_says_what_is_checked_and_nothing_of_null() {
        assert_eq!(
            Value::Object(schema_of::<Sample>()),
            json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "description": "What it is called.", "minLength": 1, "maxLength": 5},
                    "labels": {
                        "type": "array", "description": "How often.", "default": [], "maxItems": 2,
                        "items": {"type": "string", "maxLength": 3},
                    },
                    "sure": {"type": "boolean"},
                },
            })
        );
    }

    #[test]
    fn what_fits_passes_and_null_is_nothing() {
        assert_eq!(
            checked(json!({"name": "grüße", "labels": null, "sure": true})),
            Ok(json!({"name": "grüße", "sure": true}))
        );
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_rule() {
        for (arguments, says) in [
            (json!({}), "`name` is missing"),
            (json!({"name": "x", "nmae": 1}), "`nmae` is not an argument of it"),
            (json!({"name": 5}), "`name` must be a text, not a number"),
            (json!({"name": "  "}), "`name` must not be blank"),
            (json!({"name": "123456"}), "`name` must have at most 5 characters; it has 6"),
            (json!({"name": "a\0"}), "`name` must not hold a NUL character"),
            (json!({"name": "x", "sure": "yes"}), "`sure` must be true or false, not a text"),
            (json!({"name": "x", "labels": ["a", {}]}), "`labels[1]` must be a text, not an object"),
            (json!({"name": "x", "labels": ["a", "b", "c"]}), "`labels` must have at most 2 items; it has 3"),
        ] {
            let refused = checked(arguments.clone()).unwrap_err();
            assert_eq!(refused, format!("{says}. It takes: labels, name*, sure (* is required)."), "{arguments}");
        }
    }
}
