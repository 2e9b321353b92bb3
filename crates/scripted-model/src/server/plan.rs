//! A reply made ready for one request: names filled in, text cut into pieces, tools found, ids given.
//!
//! Ids are the same for the same request, so that two runs of a test can be compared, and a request that is sent
//! again gets the ids that it got before. How all this looks on the wire is in `dialect`.

use crate::server::ask::{Api, Ask, Tool};
use crate::server::call::{ScriptError, resolve};
use crate::server::scenario::{Call, Chunks, Input, Say, Stop, Usage};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The size of a piece of text where the scenario does not say how it is cut.
const PIECE: usize = 24;

/// What is sent.
#[derive(Debug)]
pub struct Plan {
    pub model: String,
    pub thinking: String,
    pub pieces: Vec<String>,
    pub calls: Vec<Made>,
    pub usage: Usage,
    pub stop: Stop,
    /// Why the script could not be played; the text says it then, and nothing is called.
    pub script_error: Option<String>,
    seed: u64,
}

/// A tool call that is ready.
#[derive(Debug)]
pub struct Made {
    pub tool: Tool,
    pub input: Input,
}

impl Made {
    /// The arguments as JSON, or the one text.
    pub fn raw(&self) -> String {
        match &self.input {
            Input::Args(args) => args.to_string(),
            Input::Text(text) => text.clone(),
        }
    }

    pub fn args(&self) -> Value {
        match &self.input {
            Input::Args(args) => args.clone(),
            Input::Text(text) => serde_json::json!({"input": text}),
        }
    }
}

impl Plan {
    /// Makes a reply ready; a script that cannot be played becomes a text that says so.
    pub fn new(ask: &Ask, say: &Say, names: &Names) -> Self {
        let seed = hash(&[api_name(ask.api), ask.conversation.as_deref().unwrap_or_default(), &ask.talk.history]);
        let mut plan = Self {
            model: ask.model.clone(),
            thinking: String::new(),
            pieces: Vec::new(),
            calls: Vec::new(),
            usage: say.usage,
            stop: say.stop,
            script_error: None,
            seed,
        };
        if let Err(fault) = plan.fill(ask, say, names) {
            plan.thinking.clear();
            plan.calls.clear();
            plan.pieces = cut(&format!("SCRIPT ERROR: {fault}"), PIECE);
            plan.script_error = Some(fault.to_string());
        }
        plan
    }

    fn fill(&mut self, ask: &Ask, say: &Say, names: &Names) -> Result<(), ScriptError> {
        self.thinking = names.fill(&say.thinking)?;
        let text = names.fill(&say.text)?;
        self.pieces = match &say.chunks {
            Chunks::List(list) => list.iter().map(|piece| names.fill(piece)).collect::<Result<_, _>>()?,
            Chunks::Count(count) => cut(&text, text.chars().count().div_ceil(*count)),
            Chunks::Sized => cut(&text, PIECE),
        };
        for call in &say.tools {
            let (tool, input) = resolve(ask, names.fill_call(call)?)?;
            self.calls.push(Made { tool, input });
        }
        Ok(())
    }

    pub fn text(&self) -> String {
        self.pieces.concat()
    }

    /// Returns the id of the n-th thing of its kind in this reply.
    pub fn id(&self, prefix: &str, n: usize) -> String {
        let n = n.to_string();
        let parts = [prefix, n.as_str()];
        let (high, low) = (hash_from(self.seed, &parts), hash_from(!self.seed, &parts));
        format!("{prefix}{high:016x}{:08x}", low >> 32)
    }
}

fn api_name(api: Api) -> &'static str {
    Api::ALL.iter().find(|(_, it)| *it == api).map_or("", |(name, _)| name)
}

/// The values for `{{name}}`.
#[derive(Clone, Debug, Default)]
pub struct Names(pub BTreeMap<String, String>);

static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{\{(\w+)\}\}").ok());

impl Names {
    /// Fills the names in a text; one that nothing has is an error.
    pub fn fill(&self, text: &str) -> Result<String, ScriptError> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = next_name(rest) {
            let value = self.0.get(name).ok_or_else(|| ScriptError::Name { name: name.to_owned() })?;
            filled.push_str(before);
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Fills the names in every text inside a value.
    pub fn fill_value(&self, value: &Value) -> Result<Value, ScriptError> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(text)?),
            Value::Array(items) => Value::Array(items.iter().map(|it| self.fill_value(it)).collect::<Result<_, _>>()?),
            Value::Object(map) => {
                let entries = map.iter().map(|(key, it)| Ok((key.clone(), self.fill_value(it)?)));
                Value::Object(entries.collect::<Result<_, ScriptError>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    fn fill_call(&self, call: &Call) -> Result<Call, ScriptError> {
        Ok(match call {
            Call::Shell(command) => Call::Shell(self.fill(command)?),
            Call::Write { path, content } => Call::Write { path: self.fill(path)?, content: self.fill(content)? },
            Call::Read { path } => Call::Read { path: self.fill(path)? },
            Call::Mcp { server, tool, args } => {
                Call::Mcp { server: self.fill(server)?, tool: self.fill(tool)?, args: self.fill_value(args)? }
            }
            Call::Named { name, namespace, input } => Call::Named {
                name: self.fill(name)?,
                namespace: namespace.clone(),
                input: match input {
                    Input::Args(args) => Input::Args(self.fill_value(args)?),
                    Input::Text(text) => Input::Text(self.fill(text)?),
                },
            },
        })
    }
}

/// Splits a text at its first `{{name}}`.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let found = NAME.as_ref()?.captures(text)?;
    let (whole, name) = (found.get(0)?, found.get(1)?);
    Some((&text[..whole.start()], name.as_str(), &text[whole.end()..]))
}

fn cut(text: &str, size: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(size.max(1)).map(|piece| piece.iter().collect()).collect()
}

fn hash(parts: &[&str]) -> u64 {
    hash_from(0xcbf2_9ce4_8422_2325, parts)
}

/// FNV-1a: the same on every machine and in every version, which the standard hasher does not promise.
fn hash_from(seed: u64, parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_everywhere_and_an_unknown_one_is_named() {
        let names = Names([("a".to_owned(), "1{{b}}".to_owned())].into());
        assert_eq!(names.fill("x {{a}} y {{ z }} {{a}}").unwrap(), "x 1{{b}} y {{ z }} 1{{b}}");
        assert_eq!(
            names.fill_value(&serde_json::json!([{"k": "{{a}}"}, 2])).unwrap().to_string(),
            r#"[{"k":"1{{b}}"},2]"#
        );
        assert_eq!(names.fill("{{b}}").unwrap_err().to_string(), "nothing has the name {{b}}");
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 2), ["äö", "ü"]);
        assert!(cut("", 2).is_empty());
    }
}
