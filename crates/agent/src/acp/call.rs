//! Tool calls as ACP tells them: in pieces, under one id, from three messages.

use super::mcp_tool;
use super::recipe::McpCalls;
use super::schema::{Content, Diff, Piece, Status};
use crate::text::{clean, short, str_of};
use crate::{Change, Event, FileChange, ToolCall, ToolResult};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many files of one call are remembered.
const FILES: usize = 16;

/// A call that is not over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Call {
    pub(super) id: String,
    tool: Option<String>,
    kind: Option<String>,
    title: Option<String>,
    /// Of what was last reported.
    told: Option<u64>,
    /// The files that it would change.
    files: Vec<(String, Option<Change>)>,
}

impl Call {
    pub(super) fn new(id: &str) -> Self {
        Self { id: short(id), ..Self::default() }
    }

    /// Learns from a piece, and says what is new. `None` of the result: the call is not over.
    pub(super) fn update(&mut self, piece: &Piece, mcp: McpCalls) -> (Vec<Event>, bool) {
        if let Some(kind) = &piece.kind {
            self.kind = Some(kind).filter(|it| *it != "other").map(|it| short(it));
        }
        if let Some(title) = piece.title.as_deref().filter(|it| !it.is_empty()) {
            self.title = Some(short(title));
        }
        if let Some(tool) = piece.name.as_deref().or_else(|| tool_in(piece.meta.as_ref())) {
            self.tool = Some(short(tool));
        }
        if mcp == McpCalls::Input
            && self.kind.is_none()
            && self.tool.is_none()
            && let Some(given) = &piece.raw_input
            && let (Some(server), Some(tool)) = (str_of(given, "server"), str_of(given, "tool"))
        {
            self.tool = Some(short(&mcp_tool(server, tool)));
        }
        for diff in piece.content.iter().flatten().filter_map(diff) {
            self.touch(&diff.path, Some(change(diff)));
        }
        for place in piece.locations.iter().flatten() {
            self.at(&place.path);
        }
        let status = piece.status.unwrap_or(Status::Open);
        let over = status != Status::Open;
        let mut events = Vec::new();
        let given = piece.raw_input.as_ref().filter(|it| it.as_object().is_none_or(|it| !it.is_empty()));
        if self.told.is_none() || given.is_some() {
            let (tool, input) = (self.tool(), self.input(given, false));
            let mut hasher = DefaultHasher::new();
            (&tool, &input).hash(&mut hasher);
            let told = Some(hasher.finish());
            if self.told != told {
                self.told = told;
                events.push(Event::ToolCall(ToolCall { id: self.id.clone(), tool, input }));
            }
        }
        if over {
            let failed = status == Status::Failed;
            let output = output(piece.content.as_deref().unwrap_or_default(), piece.raw_output.as_ref());
            events.push(Event::ToolResult(ToolResult { id: self.id.clone(), output, failed }));
            if !failed {
                let files = self.files.iter().filter_map(|(path, change)| Some((path, (*change)?)));
                events.extend(files.map(|(path, change)| {
                    Event::FileChange(FileChange { id: self.id.clone(), path: path.clone(), change })
                }));
            }
        }
        (events, over)
    }

    /// The name of the tool, or what it does where there is no name.
    pub(super) fn tool(&self) -> String {
        self.tool.clone().or_else(|| self.kind.clone()).unwrap_or_else(|| "tool".to_owned())
    }

    /// Tells whether it is a call of a tool that needs no asking, by what the agent and not the model says.
    pub(super) fn is_one_of(&self, tools: &[String], mcp: McpCalls) -> bool {
        match mcp {
            McpCalls::Name | McpCalls::Input => self.tool.as_ref().is_some_and(|tool| tools.contains(tool)),
            McpCalls::Id => tools.iter().any(|tool| {
                let start = format!("{}__", tool.replace("__", "_"));
                self.id.starts_with(&start)
            }),
        }
    }

    /// What it was given, with its title and paths. A command that is asked for without anything else stands in
    /// the title; rules look for it under its own name.
    pub(super) fn input(&self, given: Option<&Value>, asks: bool) -> String {
        let mut input = match given {
            Some(Value::Object(fields)) => fields.clone(),
            Some(other) => Map::from_iter([("input".to_owned(), other.clone())]),
            None => Map::new(),
        };
        if let Some(title) = &self.title {
            input.entry("title").or_insert_with(|| json!(title));
            if asks && given.is_none() && self.kind.as_deref() == Some("execute") {
                input.entry("command").or_insert_with(|| json!(title));
            }
        }
        if !self.files.is_empty() {
            let paths: Vec<&str> = self.files.iter().map(|(path, _)| path.as_str()).collect();
            input.entry("paths").or_insert_with(|| json!(paths));
        }
        clean(Value::Object(input).to_string())
    }

    fn at(&mut self, path: &str) {
        let change = match self.kind.as_deref() {
            Some("edit" | "move") => Some(Change::Modified),
            Some("delete") => Some(Change::Deleted),
            _ => None,
        };
        self.touch(path, change);
    }

    /// Notes a file; a diff knows better than a place what becomes of it.
    fn touch(&mut self, path: &str, change: Option<Change>) {
        let path: String = clean(path.chars().take(500).collect());
        let same = |known: &str| {
            let tail = |long: &str, end: &str| long.strip_suffix(end).is_some_and(|head| head.ends_with('/'));
            known == path || tail(known, &path) || tail(&path, known)
        };
        let at = self.files.iter().position(|(known, _)| same(known));
        match at {
            Some(at) => {
                let known = &mut self.files[at].1;
                if known.is_none() || matches!(change, Some(Change::Added | Change::Deleted)) {
                    *known = change;
                }
            }
            None if self.files.len() < FILES => self.files.push((path, change)),
            None => {}
        }
    }
}

/// Some agents name the tool beside the protocol.
fn tool_in(meta: Option<&Map<String, Value>>) -> Option<&str> {
    let meta = meta?;
    meta.get("toolName").or_else(|| meta.get("claudeCode")?.get("toolName"))?.as_str()
}

fn diff(content: &Content) -> Option<&Diff> {
    match content {
        Content::Diff(diff) => Some(diff),
        _ => None,
    }
}

fn change(diff: &Diff) -> Change {
    match (diff.old_text.as_deref().unwrap_or_default(), diff.new_text.as_str()) {
        ("", _) => Change::Added,
        (_, "") => Change::Deleted,
        _ => Change::Modified,
    }
}

fn output(content: &[Content], given: Option<&Value>) -> String {
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|it| match it {
            Content::Plain { content } => content.text(),
            _ => None,
        })
        .collect();
    if !texts.is_empty() {
        return clean(texts.join("\n"));
    }
    let known = ["output", "aggregated_output", "formatted_output"];
    clean(match given {
        Some(Value::String(text)) => text.clone(),
        Some(value) => match known.iter().find_map(|field| str_of(value, field)) {
            Some(text) => text.to_owned(),
            // Where it is a diff, the change of the file says it.
            None if content.is_empty() => value.to_string(),
            None => String::new(),
        },
        None => String::new(),
    })
}
