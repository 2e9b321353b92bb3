//! The words of a script, as they stand in its JSON file. Unknown words are refused with their place.
//!
//! Texts and values are templates: see `template`. The README of this crate explains each word with an example.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// A script: one file serves every session of an objective.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// For the reader of the file.
    #[serde(default)]
    pub about: String,
    /// Values that every play begins with.
    #[serde(default)]
    pub vars: Map<String, Value>,
    /// The first play whose `when` holds for a new conversation is the one that it follows.
    pub plays: Vec<Play>,
}

/// What one conversation does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Play {
    /// Its name; a resumed conversation finds its play by it.
    pub name: String,
    /// For which conversations it is; for all when it says nothing.
    #[serde(default)]
    pub when: When,
    /// What it does on which input; the first that fits.
    pub turns: Vec<Turn>,
}

/// For which conversations a play is. All that is said must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Each of these stands in the rules or in the opening prompt.
    #[serde(default)]
    pub contains: Vec<String>,
    /// None of these does.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// Variables of the environment with these values.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// What is done on an input.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// On which input.
    pub on: On,
    /// How often at most; an opening happens once by itself.
    pub times: Option<u32>,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// An input that begins a turn.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The first of the conversation.
    Opening,
    /// Any.
    Any,
    /// One that contains this text.
    Contains(String),
}

/// One thing that is done.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Says a text.
    Say(String),
    /// Shows reasoning.
    Think(String),
    /// Writes a file.
    Write(FileText),
    /// Adds to the end of a file.
    Append(FileText),
    /// Deletes a file.
    Delete(String),
    /// Runs a command.
    Run(Run),
    /// Commits everything that changed; nothing to commit is fine. `last` is the commit's id.
    Commit(String),
    /// Calls an MCP tool.
    Call(Call),
    /// Asks for permission to use a tool, and does not use it. `last` tells whether it was allowed.
    Ask(Ask),
    /// Asks whether it may run a command, waits for the answer, and acts on it: runs the command, or says that it was
    /// denied. `last` is what the command printed, or `{"denied": why}`.
    AskPermission(Run),
    /// Sets variables.
    Set(Map<String, Value>),
    /// Adds a value to the end of a list variable.
    Push(Push),
    /// Does one or the other.
    If(Choice),
    /// Does something for each item.
    Foreach(Foreach),
    /// Ends the turn; the next input goes on behind this step. Not inside `if` or `foreach`.
    Wait(Wait),
    /// Ends the turn so.
    End(End),
    /// Waits.
    SleepMs(u64),
    /// What this turn costs, instead of the usual.
    Usage(Cost),
    /// Reports a window of the provider.
    Limit(Window),
    /// Reports that a request is tried again.
    Retry(Again),
    /// Writes a line to standard error.
    Stderr(String),
    /// Ends the process at once. A resumed conversation goes on behind this step.
    Crash(Crash),
    /// Falls silent for ever, and reads no more.
    Hang,
    /// Reads no more standard input.
    StopReading,
    /// Closes standard output and lives on.
    CloseOutput,
    /// Does not react to these signals: `TERM`, `INT`, `HUP`.
    IgnoreSignals(Vec<String>),
    /// Starts children that leave the process group and its parent. `last` is the list of their ids.
    Fork(Fork),
    /// Prints so many lines that are no JSON.
    Garbage(u32),
    /// Prints one line of so many bytes.
    HugeLine(Huge),
    /// Prints a line that is not UTF-8.
    InvalidUtf8,
    /// Prints many short texts at once.
    Flood(Flood),
    /// Prints the beginning of a line without its end.
    HalfLine(String),
}

/// A file and a text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileText {
    /// The path, from the working directory.
    pub path: String,
    /// The text.
    pub text: String,
}

/// A command.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Program and arguments; no shell.
    pub argv: Vec<String>,
    /// Where its standard output is kept.
    pub save: Option<String>,
    /// Whether the turn goes on when it fails.
    #[serde(default)]
    pub allow_failure: bool,
}

/// A tool call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The plain name of the tool.
    pub tool: String,
    /// The server, if it is not the only one.
    pub server: Option<String>,
    /// The arguments.
    #[serde(default)]
    pub args: Map<String, Value>,
    /// Where the answer is kept.
    pub save: Option<String>,
    /// What of the answer is kept.
    pub pick: Option<Pick>,
    /// Whether the turn goes on when the tool says no; then the answer is `{"error": text}`.
    #[serde(default)]
    pub allow_error: bool,
}

/// What of a text is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// The first UUID.
    Uuid,
    /// Every UUID, as a list.
    Uuids,
    /// What stands between two texts; an empty `until` means the end.
    Between {
        /// The text before.
        after: String,
        /// The text behind.
        until: String,
    },
}

/// A wish to use a tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The tool.
    pub tool: String,
    /// What would be done.
    #[serde(default)]
    pub input: Map<String, Value>,
}

/// A value for a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// The list variable; made when it is not there.
    pub to: String,
    /// The value.
    pub value: Value,
}

/// One or the other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What must hold; all of it.
    pub when: Vec<Test>,
    /// Done when it holds.
    pub then: Vec<Step>,
    /// Done when it does not.
    #[serde(default, rename = "else")]
    pub otherwise: Vec<Step>,
}

/// A question about a value. All that is asked must be so. A variable that is not there is null.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Test {
    /// The value.
    pub value: Value,
    /// It is this.
    pub equals: Option<Value>,
    /// It is not this.
    pub not_equals: Option<Value>,
    /// Its text contains this, or as a list it has this item.
    pub contains: Option<Value>,
    /// The opposite.
    pub lacks: Option<Value>,
    /// It is one of this list.
    #[serde(rename = "in")]
    pub among: Option<Value>,
    /// It is none of this list; a list that is not there is empty.
    pub not_in: Option<Value>,
    /// Whether it is null, or an empty text or list.
    pub empty: Option<bool>,
}

/// Something for each item.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreach {
    /// The items: a list, or a text whose lines they are.
    #[serde(rename = "in")]
    pub items: Value,
    /// The variable that holds the item.
    #[serde(rename = "as")]
    pub name: String,
    /// Only for items of which this holds.
    #[serde(default, rename = "where")]
    pub only: Vec<Test>,
    /// What is done.
    pub steps: Vec<Step>,
}

/// An input to wait for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wait {
    /// It must contain this; others are answered by the play's turns meanwhile.
    pub contains: Option<String>,
}

/// How a turn ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    /// Well.
    Completed,
    /// With an error in these words.
    Failed(String),
    /// The model refused.
    Refused,
    /// Too many requests.
    RateLimited,
    /// The quota is spent.
    UsageExhausted {
        /// The window: `five_hour`, `seven_day`.
        window: String,
        /// When it opens again, from now.
        resets_in_s: i64,
    },
    /// The provider is overloaded.
    Overloaded,
    /// The key is wrong.
    Auth,
    /// There is no credit.
    Billing,
    /// There is no such model.
    ModelMissing,
    /// The conversation is too long.
    ContextFull,
    /// The provider cannot be reached.
    Network,
}

/// Tokens and money of a turn.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cost {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens from the cache.
    pub cache_read: u64,
    /// Tokens into the cache.
    pub cache_write: u64,
    /// US dollars.
    pub usd: f64,
}

/// A window of the provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its name.
    pub window: String,
    /// How much is used, from 0 to 1.
    pub used: f64,
    /// When it opens again, from now.
    pub resets_in_s: i64,
    /// Whether it refuses now.
    #[serde(default)]
    pub rejected: bool,
}

/// A request that is tried again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// The how-manieth try.
    pub attempt: u32,
    /// The class of the error: `rate_limit`, `overloaded`.
    pub error: String,
}

/// An end of the process.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Crash {
    /// By SIGABRT.
    Abort,
    /// By SIGKILL.
    Kill,
    /// By this exit code.
    Exit(i32),
}

/// Children that leave.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// How many.
    pub count: u32,
    /// How long they live.
    pub seconds: u64,
    /// Whether they ignore TERM, INT and HUP.
    #[serde(default)]
    pub ignore_signals: bool,
    /// Whether they keep our standard output and error open.
    #[serde(default)]
    pub hold_output: bool,
}

/// A long line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Huge {
    /// How long the text in it is.
    pub bytes: usize,
    /// Whether it is a proper message, rather than one letter again and again.
    #[serde(default)]
    pub proper: bool,
}

/// Many lines.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// How many.
    pub lines: u32,
    /// How long the text in each is.
    pub bytes: usize,
}

impl Script {
    /// Reads a script; an error names the file and the place.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading the script {}", path.display()))?;
        let script: Self =
            serde_json::from_str(&text).with_context(|| format!("the script {} is not one", path.display()))?;
        Ok(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_of_the_fixtures_is_one() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scripts");
        let files = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
        let scripts = files.filter(|it| it.extension().is_some_and(|it| it == "json"));
        let names: Vec<String> = scripts.flat_map(|it| Script::read(&it).unwrap().plays).map(|it| it.name).collect();
        assert!(names.contains(&"manager".to_owned()), "{names:?}");
    }

    #[test]
    fn unknown_words_are_refused() {
        let refused = |text: &str| serde_json::from_str::<Script>(text).unwrap_err().to_string();
        assert!(refused(r#"{"plays": [], "palys": []}"#).contains("palys"));
        assert!(refused(r#"{"plays": [{"name": "x", "turns": [{"on": "open", "steps": []}]}]}"#).contains("open"));
    }
}
