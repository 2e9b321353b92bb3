//! What a model is asked, in words that all dialects share.
//!
//! The dialects fill it; whoever chooses a reply reads it. Nothing here knows a wire format, and nothing is kept
//! from one request to the next.

use serde::Serialize;
use serde_json::{Map, Value};

/// A dialect of model servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// Anthropic Messages.
    Messages,
    /// OpenAI Responses.
    Responses,
    /// OpenAI Chat Completions.
    Chat,
    /// Gemini generateContent.
    Gemini,
    /// Ollama's own.
    Ollama,
    /// Chat Completions as GitHub Copilot serves them.
    Copilot,
}

impl Api {
    /// Every dialect, with its name in a scenario.
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("messages", Self::Messages),
        ("responses", Self::Responses),
        ("chat", Self::Chat),
        ("gemini", Self::Gemini),
        ("ollama", Self::Ollama),
        ("copilot", Self::Copilot),
    ];
}

/// One request to the model.
#[derive(Clone, Debug)]
pub struct Ask {
    pub api: Api,
    pub model: String,
    /// Whether the answer is wanted as a stream of events.
    pub stream: bool,
    pub system: String,
    pub talk: Talk,
    pub tools: Vec<Tool>,
    /// Whether tools that it does not declare can be called all the same, after a search for them.
    pub defers_tools: bool,
    /// The schema that the answer must fit, where one is given.
    pub schema: Option<Value>,
    /// What the program calls this conversation, where it says so.
    pub conversation: Option<String>,
}

/// The conversation so far.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    /// What the user said before the model first answered.
    pub opening: String,
    /// What the user said last.
    pub user: String,
    /// What tools gave since then.
    pub results: Vec<String>,
    /// All of it, a line for each thing said: `user: …`, `model: …`, `call: NAME ARGUMENTS`, `result: …`.
    pub history: String,
    answered: bool,
}

impl Talk {
    pub fn user(&mut self, text: &str) {
        if !self.answered {
            append(&mut self.opening, text);
        }
        text.clone_into(&mut self.user);
        self.results.clear();
        append(&mut self.history, &format!("user: {text}"));
    }

    pub fn model(&mut self, text: &str) {
        self.answered = true;
        if !text.is_empty() {
            append(&mut self.history, &format!("model: {text}"));
        }
    }

    pub fn call(&mut self, name: &str, arguments: &str) {
        self.answered = true;
        append(&mut self.history, &format!("call: {name} {arguments}"));
    }

    pub fn result(&mut self, text: String) {
        self.answered = true;
        append(&mut self.history, &format!("result: {text}"));
        self.results.push(text);
    }

    pub fn tool_result(&self) -> String {
        self.results.join("\n")
    }
}

/// A tool that the program offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    pub name: String,
    pub kind: ToolKind,
    pub schema: Value,
    /// The group of tools in which it stands, in the Responses dialect.
    pub namespace: Option<String>,
}

/// How a tool is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolKind {
    /// With arguments in JSON.
    Function,
    /// With one text.
    Custom,
    /// With a list of words to run.
    LocalShell,
}

impl Tool {
    pub fn function(name: impl Into<String>, schema: Option<&Value>) -> Self {
        Self {
            name: name.into(),
            kind: ToolKind::Function,
            schema: schema.cloned().unwrap_or_default(),
            namespace: None,
        }
    }

    /// The arguments that it knows; none when it does not say.
    pub fn properties(&self) -> Option<&Map<String, Value>> {
        self.schema.get("properties").and_then(Value::as_object).filter(|it| !it.is_empty())
    }
}

/// Returns the plain text of a text, a block of one, or a list of blocks, in any dialect.
pub fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().map(text_of).filter(|text| !text.is_empty());
            texts.collect::<Vec<_>>().join("\n")
        }
        Value::Object(block) => {
            let inner = ["text", "content", "output", "parts"].iter().find_map(|key| block.get(*key));
            inner.map(text_of).unwrap_or_default()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

/// Returns the text of a field, or nothing where there is none.
pub fn text_at<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the items of a list, or none where there is no list.
pub fn items_at<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn append(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}
