//! Checks that a person, an architect or the project itself asks for. Read strictly.

use crate::plan::{Check, Kind, Line};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The usual time of a check, and the longest.
const USUAL: u64 = 900;
const LONGEST: u64 = 4 * 3600;

/// More checks than this are a mistake.
const MOST: usize = 40;

/// A check as somebody writes it: in a request, or under `[[check]]` in `.orcha/checks.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// What it is for; a test without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// A line for `sh`, or a list of program and arguments.
    pub command: Command,
    /// Where, relative to the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// After so many seconds it is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// Variables that it gets beside the usual ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// A command in either form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Command {
    /// A line for `sh`.
    Line(String),
    /// A program and its arguments.
    Argv(Vec<String>),
}

/// A list of checks that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct PlanError {
    /// Where.
    pub field: String,
    /// What is wrong there.
    pub rule: String,
}

/// Reads the project's own list.
pub(crate) fn read_config(text: &str) -> Result<Vec<Check>, PlanError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        check: Vec<Asked>,
    }
    let file: File = toml::from_str(text)
        .map_err(|error| PlanError { field: "checks.toml".to_owned(), rule: error.message().to_owned() })?;
    read_asked(&file.check)
}

/// Turns what is asked for into checks, or names the field and the rule.
pub fn read_asked(asked: &[Asked]) -> Result<Vec<Check>, PlanError> {
    if asked.len() > MOST {
        return Err(PlanError { field: "checks".to_owned(), rule: format!("at most {MOST} are run") });
    }
    let mut checks: Vec<Check> = Vec::new();
    for (at, it) in asked.iter().enumerate() {
        let wrong =
            |field: &str, rule: &str| Err(PlanError { field: format!("checks[{at}].{field}"), rule: rule.to_owned() });
        let name = it.name.trim();
        if name.is_empty() || name.chars().count() > 80 || name.chars().any(char::is_control) {
            return wrong("name", "expected 1 to 80 characters on one line");
        }
        if checks.iter().any(|known| known.name == name) {
            return wrong("name", "another check has it already");
        }
        let command = match &it.command {
            Command::Line(line) if line.trim().is_empty() => return wrong("command", "it is empty"),
            Command::Line(line) => Line::Shell(line.clone()),
            Command::Argv(words) if words.first().is_none_or(String::is_empty) => {
                return wrong("command", "it names no program");
            }
            Command::Argv(words) => Line::Argv(words.clone()),
        };
        if command.to_string().len() > 4000 || command.to_string().contains('\0') {
            return wrong("command", "expected at most 4000 bytes without a zero byte");
        }
        if let Some(why) = crate::detect::does_nothing(&command) {
            return wrong("command", &why);
        }
        let dir = it.dir.as_deref().unwrap_or_default().trim_matches('/').trim_start_matches("./");
        let dir = if dir == "." { "" } else { dir };
        let outside = it.dir.as_deref().is_some_and(|it| it.starts_with('/')) || dir.contains('\0');
        if outside || dir.split('/').any(|part| part == "..") {
            return wrong("dir", "it must be a folder of the project, without `..`");
        }
        let timeout_s = it.timeout_s.unwrap_or(USUAL);
        if !(1..=LONGEST).contains(&timeout_s) {
            return wrong("timeout_s", "expected 1 to 14400 seconds");
        }
        let plain = |key: &String| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if it.env.len() > 50 || !it.env.keys().all(plain) || it.env.values().any(|value| value.contains('\0')) {
            return wrong("env", "expected at most 50 variables of letters, digits and `_`");
        }
        checks.push(Check {
            name: name.to_owned(),
            kind: it.kind.unwrap_or(Kind::Test),
            command,
            dir: dir.to_owned(),
            timeout_s,
            env: it.env.clone().into_iter().collect(),
        });
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_the_project_is_read_strictly() {
        let text = "[[check]]\nname = \"test\"\ncommand = [\"make\", \"test\"]\n\n[[check]]\nname = \"lint\"\nkind = \"lint\"\ncommand = \"ruff check . | cat\"\ndir = \"py\"\ntimeout_s = 60\nenv = { A = \"b\" }\n";
        let checks = read_config(text).unwrap();
        assert_eq!(checks[0].command, Line::argv(["make", "test"]));
        assert_eq!((checks[0].kind, checks[0].timeout_s), (Kind::Test, 900));
        assert_eq!((checks[1].dir.as_str(), checks[1].kind, checks[1].env.len()), ("py", Kind::Lint, 1));
        assert_eq!(read_config("").unwrap(), []);
        assert!(
            read_config("[[check]]\nname = \"x\"\ncommand = \"make\"\nshell = \"y\"\n")
                .unwrap_err()
                .rule
                .contains("shell")
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let fine = Asked {
            name: "a".into(),
            kind: None,
            command: Command::Line("make".into()),
            dir: None,
            timeout_s: None,
            env: BTreeMap::new(),
        };
        let field = |asked: &[Asked]| read_asked(asked).unwrap_err().field;
        assert_eq!(field(&[fine.clone(), fine.clone()]), "checks[1].name");
        assert_eq!(field(&[Asked { name: " ".into(), ..fine.clone() }]), "checks[0].name");
        assert_eq!(field(&[Asked { command: Command::Argv(vec![]), ..fine.clone() }]), "checks[0].command");
        assert_eq!(field(&[Asked { command: Command::Line("exit 0".into()), ..fine.clone() }]), "checks[0].command");
        for dir in ["../x", "/etc", "a/../../b"] {
            assert_eq!(field(&[Asked { dir: Some(dir.into()), ..fine.clone() }]), "checks[0].dir");
        }
        assert_eq!(field(&[Asked { timeout_s: Some(0), ..fine.clone() }]), "checks[0].timeout_s");
        assert_eq!(field(&vec![fine; 41]), "checks");
    }
}
