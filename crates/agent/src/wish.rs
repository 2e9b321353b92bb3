//! What a request of an agent is about: the command that it would run, the files that it would touch.
//!
//! Agents name these in their own words; here is the one table of them. Nothing is judged.

use crate::llm::is_of_a_server;
use serde_json::Value;

/// The part of a request that rules look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The command, as a shell would get it.
    pub command: Option<String>,
    /// The files, as the agent names them.
    pub paths: Vec<String>,
}

/// Under which names agents hand over a file.
const PATHS: [&str; 9] = [
    "file_path",
    "filePath",
    "filepath",
    "absolute_path",
    "abs_path",
    "notebook_path",
    "path",
    "dir_path",
    "directory",
];

/// How many files of one request are looked at; more of them are none at all, so that no rule allows what it has not seen.
const FILES: usize = 64;

/// Reads what a request is about. Arguments of an MCP tool are the model's own words under any name: rules know such
/// a tool by its name alone.
pub fn wish(tool: &str, input: &str) -> Wish {
    let Ok(Value::Object(input)) = serde_json::from_str::<Value>(input) else { return Wish::default() };
    if is_of_a_server(tool) {
        return Wish::default();
    }
    let command = match input.get("command") {
        Some(Value::String(command)) => Some(command.clone()),
        Some(Value::Array(words)) => Some(
            words.iter().map(|it| it.as_str().map_or_else(|| it.to_string(), quoted)).collect::<Vec<_>>().join(" "),
        ),
        Some(_) | None => None,
    };
    let one = PATHS.iter().filter_map(|name| input.get(*name)?.as_str());
    let many = input.get("paths").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut paths: Vec<String> = Vec::new();
    for path in one.chain(many) {
        if !paths.iter().any(|known| known == path) {
            paths.push(path.to_owned());
        }
    }
    if paths.len() > FILES {
        paths.clear();
    }
    Wish { command, paths }
}

/// Quotes a word so that a shell takes it as it is.
fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:=,@%+".contains(it);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_says_it_in_its_own_words() {
        let command = |tool, input| wish(tool, input).command;
        assert_eq!(command("Bash", r#"{"command":"git status","description":"x"}"#).as_deref(), Some("git status"));
        assert_eq!(
            command("shell", r#"{"command":"/bin/bash -lc 'git status'","cwd":"/w","reason":null}"#).as_deref(),
            Some("/bin/bash -lc 'git status'")
        );
        assert_eq!(
            command("shell", r#"{"command":["bash","-lc","git status; rm"]}"#).as_deref(),
            Some("bash -lc 'git status; rm'")
        );
        assert_eq!(command("mcp__hub__run", r#"{"command":"git status"}"#), None);
        assert_eq!(command("hub__run", r#"{"command":"git status"}"#), None);
        assert_eq!(command("Bash", "no JSON"), None);
        let paths = |input| wish("edit", input).paths;
        assert_eq!(paths(r#"{"file_path":"/w/a.txt","content":"x"}"#), ["/w/a.txt"]);
        assert_eq!(paths(r#"{"filepath":"/w/a.txt","paths":["/w/a.txt","/w/b.txt"]}"#), ["/w/a.txt", "/w/b.txt"]);
        assert_eq!(paths(r#"{"paths":null}"#), [""; 0]);
    }

    #[test]
    fn the_recorded_requests_are_understood() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/agents");
        let text = std::fs::read_to_string(folder.join("claude/permission-deny.ndjson")).unwrap();
        let asked = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let asked =
            asked.filter_map(|it| it.pointer("/msg/request").filter(|it| it["subtype"] == "can_use_tool").cloned());
        let wishes: Vec<Wish> =
            asked.map(|it| wish(it["tool_name"].as_str().unwrap_or_default(), &it["input"].to_string())).collect();
        assert_eq!(wishes[0], Wish { command: None, paths: vec!["/workspace/a.txt".into()] });
        assert!(
            wishes[1].command.as_deref().is_some_and(|it| it.starts_with("git add -A && git commit")),
            "{wishes:?}"
        );
    }
}
