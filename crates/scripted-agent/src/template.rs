//! Templates: `{{name}}`, `{{name.field}}`, `{{name.0}}` in any text of a script, and tests on values.
//!
//! A text that is nothing but one template becomes the value itself, so that lists and objects stay what they are.

use crate::script::{Pick, Test};
use anyhow::{Result, bail};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Where names are looked up.
pub(crate) trait Names {
    /// Returns the value of a name without its fields.
    fn value(&self, name: &str) -> Option<Value>;
}

/// Fills in a text.
pub(crate) fn text(template: &str, names: &dyn Names) -> Result<String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((path, behind)) = after.split_once("}}") else { bail!("`{template}` has {{{{ without }}}}") };
        filled.push_str(before);
        match look(path, names) {
            Some(found) => filled.push_str(&plain(&found)),
            None => bail!("there is no `{}`, which `{template}` asks for", path.trim()),
        }
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Fills in every text of a value.
pub(crate) fn value(template: &Value, names: &dyn Names) -> Result<Value> {
    Ok(match template {
        Value::String(template) => match single(template) {
            Some(path) => match look(path, names) {
                Some(found) => found,
                None => bail!("there is no `{}`", path.trim()),
            },
            None => Value::String(text(template, names)?),
        },
        Value::Array(items) => Value::Array(items.iter().map(|it| value(it, names)).collect::<Result<_>>()?),
        Value::Object(fields) => Value::Object(object(fields, names)?),
        Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
    })
}

/// Fills in every text of an object.
pub(crate) fn object(fields: &Map<String, Value>, names: &dyn Names) -> Result<Map<String, Value>> {
    fields.iter().map(|(key, it)| Ok((key.clone(), value(it, names)?))).collect()
}

/// Tells whether all the tests hold.
pub(crate) fn hold(tests: &[Test], names: &dyn Names) -> Result<bool> {
    for test in tests {
        if !holds(test, names)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn holds(test: &Test, names: &dyn Names) -> Result<bool> {
    let it = lenient(&test.value, names)?;
    let ask = |wanted: &Option<Value>, holds: &dyn Fn(&Value) -> bool| -> Result<bool> {
        match wanted {
            Some(wanted) => Ok(holds(&lenient(wanted, names)?)),
            None => Ok(true),
        }
    };
    Ok(ask(&test.equals, &|wanted| it == *wanted)?
        && ask(&test.not_equals, &|wanted| it != *wanted)?
        && ask(&test.contains, &|part| contains(&it, part))?
        && ask(&test.lacks, &|part| !contains(&it, part))?
        && ask(&test.among, &|list| contains(list, &it))?
        && ask(&test.not_in, &|list| !contains(list, &it))?
        && test.empty.is_none_or(|empty| empty == is_empty(&it)))
}

/// As [`value`], but a name that is not there is null.
fn lenient(template: &Value, names: &dyn Names) -> Result<Value> {
    if let Value::String(text) = template
        && let Some(path) = single(text)
    {
        return Ok(look(path, names).unwrap_or(Value::Null));
    }
    value(template, names)
}

fn contains(whole: &Value, part: &Value) -> bool {
    match whole {
        Value::Array(items) => items.contains(part),
        Value::Null => false,
        _ => plain(whole).contains(&plain(part)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Returns the path when the text is nothing but one template.
fn single(text: &str) -> Option<&str> {
    let path = text.strip_prefix("{{")?.strip_suffix("}}")?;
    (!path.contains("{{") && !path.contains("}}")).then_some(path)
}

fn look(path: &str, names: &dyn Names) -> Option<Value> {
    let mut steps = path.trim().split('.');
    let mut found = names.value(steps.next()?)?;
    for step in steps {
        found = match &mut found {
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?)?.take(),
            Value::Object(fields) => fields.remove(step)?,
            _ => return None,
        };
    }
    Some(found)
}

/// Returns the value as it stands in a text.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Takes the wanted part out of an answer.
pub(crate) fn pick(answer: &Value, what: &Pick) -> Result<Value> {
    let text = plain(answer);
    let found = match what {
        Pick::Uuid => uuids(&text).next().map(Value::String),
        Pick::Uuids => Some(uuids(&text).map(Value::String).collect()),
        Pick::Between { after, until } => text.split_once(after.as_str()).and_then(|(_, rest)| {
            let end = if until.is_empty() { rest.len() } else { rest.find(until.as_str())? };
            Some(Value::String(rest[..end].to_owned()))
        }),
    };
    match found {
        Some(found) => Ok(found),
        None => bail!("the answer `{}` has no {what:?}", text.chars().take(200).collect::<String>()),
    }
}

fn uuids(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    words.filter(|word| word.len() == 36 && Uuid::try_parse(word).is_ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    impl Names for Value {
        fn value(&self, name: &str) -> Option<Value> {
            self.get(name).cloned()
        }
    }

    #[test]
    fn a_lone_template_keeps_the_type_and_a_mixed_one_is_text() {
        let names = json!({"a": {"b": [1, "x"]}, "n": 7});
        let filled =
            value(&json!({"list": "{{a.b}}", "item": "{{ a.b.1 }}", "mixed": "n={{n}} {{a.b}}"}), &names).unwrap();
        assert_eq!(filled, json!({"list": [1, "x"], "item": "x", "mixed": "n=7 [1,\"x\"]"}));
    }

    #[test]
    fn a_missing_name_is_an_error_in_a_text_and_null_in_a_test() {
        let names = json!({});
        assert!(text("{{gone}}", &names).unwrap_err().to_string().contains("gone"));
        let empty = Test { value: json!("{{gone}}"), empty: Some(true), ..Test::default() };
        let absent = Test { value: json!("x"), not_in: Some(json!("{{gone}}")), ..Test::default() };
        assert!(hold(&[empty, absent], &names).unwrap());
    }

    #[test]
    fn ids_are_picked_out_of_prose() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let answer = json!(format!("spawned session {id} (queued)."));
        assert_eq!(pick(&answer, &Pick::Uuid).unwrap(), json!(id));
        let between = Pick::Between { after: "session ".to_owned(), until: " ".to_owned() };
        assert_eq!(pick(&answer, &between).unwrap(), json!(id));
        assert!(pick(&json!("nothing"), &Pick::Uuid).is_err());
    }
}
