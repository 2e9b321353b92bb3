//! Tool calls in neutral words, turned into calls of the tools that a request declares.
//!
//! It looks at declarations only, never at which program asks: a new program whose shell has a known name works
//! without a change. What cannot be called is an error that the model says aloud.

use crate::server::ask::{Ask, Tool, ToolKind};
use crate::server::scenario::{Call, Input};
use serde_json::{Map, Value, json};

/// Why a script cannot be played. The model says it, so that a test fails loudly.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error("no tool that can {wanted} among: {offered}")]
    Tool { wanted: &'static str, offered: String },
    #[error("no MCP tool `{server}/{tool}` among: {offered}")]
    McpTool { server: String, tool: String, offered: String },
    #[error("nothing has the name {{{{{name}}}}}")]
    Name { name: String },
}

/// What programs call the tool that runs commands.
const SHELLS: [&str; 10] = [
    "Bash",
    "bash",
    "exec_command",
    "shell_command",
    "shell",
    "run_shell_command",
    "local_shell",
    "execute_command",
    "terminal",
    // In Codex's "code mode" the one tool takes a program in JavaScript.
    "exec",
];
const WRITERS: [&str; 4] = ["Write", "write", "write_file", "create_file"];
const READERS: [&str; 3] = ["Read", "read", "read_file"];

/// Tools by whose presence a program says that others are found by search, and run when called all the same.
const SEARCHES: [&str; 2] = ["ToolSearch", "tool_search"];

/// Finds the tool of a call, and what it is called with.
pub fn resolve(ask: &Ask, call: Call) -> Result<(Tool, Input), ScriptError> {
    match call {
        Call::Shell(command) => shell(ask, &command),
        Call::Write { path, content } => match declared(ask, &WRITERS) {
            Some(tool) => {
                let mut wanted = path_arguments(&path);
                wanted.insert("content".into(), content.into());
                Ok((tool.clone(), Input::Args(fitted(tool, &wanted))))
            }
            None => shell(ask, &format!("printf %s {} > {}", quoted(&content), quoted(&path))),
        },
        Call::Read { path } => match declared(ask, &READERS) {
            Some(tool) => Ok((tool.clone(), Input::Args(fitted(tool, &path_arguments(&path))))),
            None => shell(ask, &format!("cat {}", quoted(&path))),
        },
        Call::Mcp { server, tool, args } => mcp(ask, server, tool, args),
        Call::Named { name, namespace, input } => {
            let kind = if matches!(input, Input::Text(_)) { ToolKind::Custom } else { ToolKind::Function };
            let found = declared(ask, &[&name]).cloned();
            let tool = found.unwrap_or_else(|| Tool { kind, namespace, ..Tool::function(name, None) });
            Ok((tool, input))
        }
    }
}

fn shell(ask: &Ask, command: &str) -> Result<(Tool, Input), ScriptError> {
    let tool =
        declared(ask, &SHELLS).ok_or_else(|| ScriptError::Tool { wanted: "run a command", offered: offered(ask) })?;
    let words = json!(["bash", "-lc", command]);
    let input = match tool.kind {
        ToolKind::LocalShell => Input::Args(json!({"command": words})),
        ToolKind::Custom => Input::Text(javascript("tools.exec_command", &json!({"cmd": command}))),
        ToolKind::Function => {
            let property = tool.properties().and_then(|it| it.get("command"));
            let takes_words = property.is_some_and(|it| it.get("type").and_then(Value::as_str) == Some("array"));
            let wanted = json!({
                "command": if takes_words { words } else { command.into() },
                "cmd": command,
                "description": "scripted",
            });
            Input::Args(fitted(tool, wanted.as_object().unwrap_or(&Map::new())))
        }
    };
    Ok((tool.clone(), input))
}

/// Finds an MCP tool under whatever spelling: programs join server and tool in different ways.
fn mcp(ask: &Ask, server: String, tool: String, args: Value) -> Result<(Tool, Input), ScriptError> {
    let wanted = letters(&format!("{server}{tool}"));
    let spelt =
        |it: &&Tool| letters(&format!("{}{}", it.namespace.as_deref().unwrap_or_default(), it.name)).ends_with(&wanted);
    if let Some(found) = ask.tools.iter().find(spelt) {
        return Ok((found.clone(), Input::Args(args)));
    }
    let joined = format!("mcp__{server}__{tool}");
    if let Some(code) = ask.tools.iter().find(|it| it.kind == ToolKind::Custom && it.name == "exec") {
        return Ok((code.clone(), Input::Text(javascript(&format!("tools[{}]", json!(joined)), &args))));
    }
    if declared(ask, &SEARCHES).is_some() {
        return Ok((Tool::function(joined, None), Input::Args(args)));
    }
    if ask.defers_tools {
        let hidden = Tool { namespace: Some(format!("mcp__{server}")), ..Tool::function(tool, None) };
        return Ok((hidden, Input::Args(args)));
    }
    Err(ScriptError::McpTool { server, tool, offered: offered(ask) })
}

fn declared<'a>(ask: &'a Ask, names: &[&str]) -> Option<&'a Tool> {
    names.iter().find_map(|name| ask.tools.iter().find(|tool| tool.name == *name))
}

fn offered(ask: &Ask) -> String {
    let names: Vec<&str> = ask.tools.iter().map(|tool| tool.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The path under every name that a program is known to give it.
fn path_arguments(path: &str) -> Map<String, Value> {
    ["file_path", "filePath", "absolute_path", "path"].iter().map(|&name| (name.to_owned(), path.into())).collect()
}

/// Keeps the arguments that the tool knows, and gives what else it requires a harmless value.
fn fitted(tool: &Tool, wanted: &Map<String, Value>) -> Value {
    let Some(properties) = tool.properties() else { return Value::Object(wanted.clone()) };
    let mut args: Map<String, Value> =
        wanted.iter().filter(|(name, _)| properties.contains_key(*name)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let required = tool.schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !args.contains_key(name) {
            let kind = properties.get(name).and_then(|it| it.get("type")).and_then(Value::as_str);
            let harmless = match kind {
                Some("boolean") => json!(false),
                Some("number" | "integer") => json!(0),
                Some("array") => json!([]),
                Some("object") => json!({}),
                _ => json!("scripted"),
            };
            args.insert(name.to_owned(), harmless);
        }
    }
    Value::Object(args)
}

fn javascript(function: &str, args: &Value) -> String {
    format!("const given = await {function}({args});\ntext(JSON.stringify(given));")
}

fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ask::{Api, Talk};

    fn ask(tools: Vec<Tool>) -> Ask {
        Ask {
            api: Api::Chat,
            model: "m".into(),
            stream: true,
            system: String::new(),
            talk: Talk::default(),
            tools,
            defers_tools: false,
            schema: None,
            conversation: None,
        }
    }

    fn made(tools: Vec<Tool>, call: Call) -> String {
        match resolve(&ask(tools), call) {
            Ok((tool, Input::Args(args))) => format!("{} {args}", tool.name),
            Ok((tool, Input::Text(text))) => format!("{} {text}", tool.name),
            Err(fault) => fault.to_string(),
        }
    }

    fn tool(name: &str, properties: &[(&str, &str)], required: &[&str]) -> Tool {
        let properties: Map<String, Value> =
            properties.iter().map(|(name, kind)| ((*name).to_owned(), json!({"type": kind}))).collect();
        Tool::function(name, Some(&json!({"properties": properties, "required": required})))
    }

    #[test]
    fn a_command_runs_in_whatever_the_shell_is_called() {
        let run = || Call::Shell("ls 'a'".into());
        let bash = tool("Bash", &[("command", "string"), ("timeout", "integer")], &["command"]);
        assert_eq!(made(vec![bash], run()), r#"Bash {"command":"ls 'a'"}"#);
        let exec = tool("exec_command", &[("cmd", "string"), ("login", "boolean")], &["cmd", "login"]);
        assert_eq!(made(vec![exec], run()), r#"exec_command {"cmd":"ls 'a'","login":false}"#);
        let words = tool("shell", &[("command", "array")], &["command"]);
        assert_eq!(made(vec![words], run()), r#"shell {"command":["bash","-lc","ls 'a'"]}"#);
        let code = Tool { kind: ToolKind::Custom, ..Tool::function("exec", None) };
        let program =
            "exec const given = await tools.exec_command({\"cmd\":\"ls 'a'\"});\ntext(JSON.stringify(given));";
        assert_eq!(made(vec![code], run()), program);
        assert_eq!(made(vec![Tool::function("todo", None)], run()), "no tool that can run a command among: todo");
        assert_eq!(made(vec![], run()), "no tool that can run a command among: none");
    }

    #[test]
    fn a_file_is_written_by_the_shell_where_no_tool_writes() {
        let write = || Call::Write { path: "/w/a b".into(), content: "it's".into() };
        let writer = tool("write", &[("filePath", "string"), ("content", "string")], &["content", "filePath"]);
        assert_eq!(made(vec![writer], write()), r#"write {"content":"it's","filePath":"/w/a b"}"#);
        let shell = tool("bash", &[("command", "string"), ("description", "string")], &["command", "description"]);
        let expected = r#"bash {"command":"printf %s 'it'\\''s' > '/w/a b'","description":"scripted"}"#;
        assert_eq!(made(vec![shell], write()), expected);
    }

    #[test]
    fn an_mcp_tool_is_found_under_any_spelling() {
        let call = || Call::Mcp { server: "my-hub".into(), tool: "report_status".into(), args: json!({"a": 1}) };
        for name in ["mcp__my-hub__report_status", "my_hub_report_status", "mcp_my-hub_report_status"] {
            assert_eq!(made(vec![Tool::function(name, None)], call()), format!(r#"{name} {{"a":1}}"#));
        }
        let grouped = Tool { namespace: Some("mcp__my-hub".into()), ..Tool::function("report_status", None) };
        assert_eq!(made(vec![grouped], call()), r#"report_status {"a":1}"#);
        let searched = vec![Tool::function("ToolSearch", None)];
        assert_eq!(made(searched, call()), r#"mcp__my-hub__report_status {"a":1}"#);
        assert_eq!(made(vec![], call()), "no MCP tool `my-hub/report_status` among: none");
    }
}
