//! The items of a Codex turn as events. The app-server and `exec` write the same ones, in different cases.

use crate::text::{clean, str_of};
use crate::{Change, Event, FileChange, ToolCall, ToolResult};
use serde_json::{Map, Value, json};

/// The name of the tool that runs commands.
pub(super) const SHELL: &str = "shell";
/// The name of the tool that changes files.
pub(super) const PATCH: &str = "apply_patch";

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It began, or has more detail.
    Running,
    /// It is over.
    Done,
}

/// Names a tool of an MCP server.
pub(super) fn mcp_tool(server: &str, tool: &str) -> String {
    format!("mcp__{server}__{tool}")
}

/// Turns an item into events. `known` says whether its call was reported before.
pub(super) fn events(item: &Value, stage: Stage, known: bool) -> Vec<Event> {
    let id = clean(str_of(item, "id").unwrap_or_default().to_owned());
    let name = str_of(item, "type").unwrap_or_default();
    let text = |text: String| clean(text);
    match (plain(name).as_str(), stage) {
        ("agentmessage", Stage::Done) => said(item).map(|it| Event::Text { text: text(it) }).into_iter().collect(),
        ("reasoning", Stage::Done) => thought(item).map(|it| Event::Thinking { text: text(it) }).into_iter().collect(),
        ("agentmessage" | "reasoning", Stage::Running) | ("usermessage" | "error" | "contextcompaction", _) => {
            Vec::new()
        }
        _ => {
            let Some((tool, input)) = call(name, item) else { return Vec::new() };
            let mut events = Vec::new();
            if stage == Stage::Running || !known {
                events.push(Event::ToolCall(ToolCall { id: id.clone(), tool, input: clean(input.to_string()) }));
            }
            if stage == Stage::Done {
                let failed = failed(item);
                events.push(Event::ToolResult(ToolResult { id: id.clone(), output: clean(output(item)), failed }));
                if !failed {
                    events.extend(changes(item).filter_map(|it| change(&id, it)).map(Event::FileChange));
                }
            }
            events
        }
    }
}

/// `commandExecution` and `command_execution` are the same.
pub(super) fn plain(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

fn said(item: &Value) -> Option<String> {
    str_of(item, "text").filter(|it| !it.is_empty()).map(str::to_owned)
}

fn thought(item: &Value) -> Option<String> {
    let parts = |field| {
        let parts: Vec<&str> = item.get(field)?.as_array()?.iter().filter_map(Value::as_str).collect();
        Some(parts.join("\n\n")).filter(|it| !it.is_empty())
    };
    said(item).or_else(|| parts("summary")).or_else(|| parts("content"))
}

/// Names the tool of an item and what it was given; `None` for a kind that is no tool.
fn call(name: &str, item: &Value) -> Option<(String, Value)> {
    let only = |fields: &[&str]| {
        let kept =
            fields.iter().filter_map(|it| Some(((*it).to_owned(), item.get(*it).filter(|it| !it.is_null())?.clone())));
        Value::Object(kept.collect::<Map<String, Value>>())
    };
    Some(match plain(name).as_str() {
        "commandexecution" => (SHELL.to_owned(), only(&["command", "cwd"])),
        "filechange" => (PATCH.to_owned(), only(&["changes"])),
        "mcptoolcall" => {
            let field = |field| str_of(item, field).unwrap_or_default();
            let input = item.get("arguments").filter(|it| !it.is_null()).cloned().unwrap_or_else(|| json!({}));
            (mcp_tool(field("server"), field("tool")), input)
        }
        "websearch" => ("web_search".to_owned(), only(&["query"])),
        "dynamictoolcall" => (str_of(item, "tool").unwrap_or("tool").to_owned(), only(&["arguments"])),
        "imageview" => ("view_image".to_owned(), only(&["path"])),
        _ => return None,
    })
}

fn failed(item: &Value) -> bool {
    let code = item.get("exitCode").or_else(|| item.get("exit_code")).and_then(Value::as_i64);
    !matches!(str_of(item, "status"), Some("completed") | None) || code.is_some_and(|it| it != 0)
}

fn output(item: &Value) -> String {
    let text = str_of(item, "aggregatedOutput").or_else(|| str_of(item, "aggregated_output"));
    if let Some(text) = text {
        return text.to_owned();
    }
    let content = item.pointer("/result/content").and_then(Value::as_array);
    let error = item.pointer("/error/message").and_then(Value::as_str);
    match (content, error) {
        (_, Some(error)) => error.to_owned(),
        (Some(parts), None) => parts.iter().filter_map(|it| str_of(it, "text")).collect::<Vec<_>>().join("\n"),
        // Nothing was printed; why it was not done is worth a word.
        (None, None) => str_of(item, "status").filter(|it| *it != "completed").unwrap_or_default().to_owned(),
    }
}

fn changes(item: &Value) -> impl Iterator<Item = &Value> {
    item.get("changes").and_then(Value::as_array).into_iter().flatten()
}

/// The paths that an item changes, for a request that names the item only.
pub(super) fn paths(item: &Value) -> Vec<String> {
    changes(item).filter_map(|it| str_of(it, "path")).take(20).map(|it| it.chars().take(200).collect()).collect()
}

fn change(id: &str, change: &Value) -> Option<FileChange> {
    let kind = change.get("kind").map(|kind| str_of(kind, "type").or(kind.as_str()).unwrap_or_default());
    let change_kind = match kind.unwrap_or_default() {
        "add" => Change::Added,
        "delete" => Change::Deleted,
        _ => Change::Modified,
    };
    Some(FileChange { id: id.to_owned(), path: clean(str_of(change, "path")?.to_owned()), change: change_kind })
}
