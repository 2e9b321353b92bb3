//! What a model may say to each tool. The schemas that it is shown are derived from these types.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    /// The file, relative to the working folder.
    pub path: String,
    /// The first line to show, counted from 1.
    #[serde(default)]
    pub from: Option<u64>,
    /// How many lines to show; as many as fit without it.
    #[serde(default)]
    pub lines: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// The folder, relative to the working folder; the working folder itself without it.
    #[serde(default)]
    pub path: Option<String>,
    /// How many levels deep, 1 to 16; 1 without it.
    #[serde(default)]
    pub depth: Option<u32>,
    /// Only files whose path fits, such as `**/*.rs`.
    #[serde(default)]
    pub glob: Option<String>,
    /// Also what the project's ignore files hide.
    #[serde(default)]
    pub ignored: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// A regular expression that is looked for in each line.
    pub pattern: String,
    /// The file or folder to look in; the whole working folder without it.
    #[serde(default)]
    pub path: Option<String>,
    /// Only files whose path fits, such as `**/*.rs`.
    #[serde(default)]
    pub glob: Option<String>,
    /// Takes the pattern as plain text.
    #[serde(default)]
    pub literal: Option<bool>,
    /// Does not tell capitals from small letters.
    #[serde(default)]
    pub ignore_case: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Write {
    /// The file, relative to the working folder; missing folders are made.
    pub path: String,
    /// Its whole new content.
    pub content: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// The file, relative to the working folder.
    pub path: String,
    /// The exact text to replace. It must occur once, unless `all` is set; add lines around it until it does.
    pub old: String,
    /// The text to put there.
    pub new: String,
    /// Replaces every occurrence.
    #[serde(default)]
    pub all: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    /// A unified diff over one or more files. It is applied whole or not at all.
    pub diff: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// A line for `sh`. Give this or `argv`.
    #[serde(default)]
    pub command: Option<String>,
    /// A program with its arguments, started without a shell. Give this or `command`.
    #[serde(default)]
    pub argv: Option<Vec<String>>,
    /// The folder to run in, relative to the working folder.
    #[serde(default)]
    pub dir: Option<String>,
    /// After so many seconds it is ended with everything that it started.
    #[serde(default)]
    pub timeout_s: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fetch {
    /// A public address, `https://…` or `http://…`.
    pub url: String,
}
