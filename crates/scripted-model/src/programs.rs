//! The real agent programs that are known to run against the scripted model: their versions, and how each is started.
//!
//! It holds facts and writes settings into a folder that it is given. It installs nothing, starts nothing and reads
//! no environment; `cargo xtask agents` installs, and tests start.

use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// The variable that names the folder in which the programs are.
pub const CACHE_VARIABLE: &str = "ORCHA_AGENT_PROGRAMS";

/// The variable by which somebody says that Anthropic's terms are accepted, and so that its programs may be used.
pub const CLAUDE_VARIABLE: &str = "ORCHA_ACCEPT_CLAUDE_TERMS";

/// The key that every program is given.
pub const KEY: &str = "test-key";

/// A real agent program, pinned to one version.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name here.
    pub name: &'static str,
    /// Its package in the npm registry.
    pub package: &'static str,
    /// The version that is known to work.
    pub version: &'static str,
    /// Under which terms it may be installed.
    pub terms: Terms,
    start: Start,
    way: Way,
}

/// Under which terms a program may be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// A free licence.
    Free,
    /// Its maker's own terms: only for somebody who has accepted them.
    OptIn,
}

/// What is started, below `node_modules`.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// A program by itself.
    Native(&'static str),
    /// A script for Node.
    Node(&'static str),
}

/// Whose settings it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Claude,
    Codex,
    Gemini,
    Opencode,
    Qwen,
}

/// Every program that is known, the free ones first. The native ones are those for Linux on x86-64.
pub const PROGRAMS: [Program; 7] = [
    Program {
        name: "codex",
        package: "@openai/codex",
        version: "0.169.0",
        terms: Terms::Free,
        start: Start::Native("@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"),
        way: Way::Codex,
    },
    Program {
        name: "gemini",
        package: "@google/gemini-cli",
        version: "0.61.0",
        terms: Terms::Free,
        start: Start::Node("@google/gemini-cli/bundle/gemini.js"),
        way: Way::Gemini,
    },
    Program {
        name: "opencode",
        package: "opencode-ai",
        version: "1.18.33",
        terms: Terms::Free,
        start: Start::Native("opencode-linux-x64/bin/opencode"),
        way: Way::Opencode,
    },
    Program {
        name: "qwen",
        package: "@qwen-code/qwen-code",
        // The newest for Node 20.
        version: "0.15.10",
        terms: Terms::Free,
        start: Start::Node("@qwen-code/qwen-code/cli.js"),
        way: Way::Qwen,
    },
    Program {
        name: "codex-acp",
        package: "@zed-industries/codex-acp",
        version: "0.16.0",
        terms: Terms::Free,
        start: Start::Native("@zed-industries/codex-acp-linux-x64/bin/codex-acp"),
        way: Way::Codex,
    },
    Program {
        name: "claude",
        package: "@anthropic-ai/claude-code",
        version: "2.1.329",
        terms: Terms::OptIn,
        start: Start::Native("@anthropic-ai/claude-code-linux-x64/claude"),
        way: Way::Claude,
    },
    Program {
        name: "claude-agent-acp",
        package: "@agentclientprotocol/claude-agent-acp",
        // The newest for Node 20.
        version: "0.49.0",
        terms: Terms::OptIn,
        start: Start::Node("@agentclientprotocol/claude-agent-acp/dist/index.js"),
        way: Way::Claude,
    },
];

/// Finds a program by its name.
pub fn named(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.name == name)
}

/// Returns the folder in which the programs are: the named one, or one in the user's cache.
pub fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    set(CACHE_VARIABLE).or_else(|| Some(own()?.join("orcha").join("agents")))
}

impl Program {
    /// Returns what npm calls this version.
    pub fn spec(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }

    /// Returns its folder.
    pub fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{}-{}", self.name, self.version))
    }

    /// Returns the file that is written when everything else is there.
    pub fn marker(&self, cache: &Path) -> PathBuf {
        self.folder(cache).join(".complete")
    }

    /// Returns whether it runs by Node, which must be in `PATH` then.
    pub fn needs_node(&self) -> bool {
        matches!(self.start, Start::Node(_))
    }

    /// Returns the file that is started; where there is none, the program has no build for this machine.
    pub fn entry(&self, cache: &Path) -> PathBuf {
        let (Start::Native(file) | Start::Node(file)) = self.start;
        self.folder(cache).join("node_modules").join(file)
    }

    /// Returns the words that start it, when it is installed completely.
    pub fn command(&self, cache: &Path) -> Option<Vec<OsString>> {
        let entry = self.entry(cache);
        let is_there = self.marker(cache).is_file() && entry.is_file();
        let before = self.needs_node().then(|| OsString::from("node"));
        is_there.then(|| before.into_iter().chain([entry.into_os_string()]).collect())
    }

    /// Returns the arguments for one turn without a person, or nothing for a program that only speaks a protocol.
    ///
    /// The turn may do what it likes in `workspace`: whoever starts it keeps it in a place of its own.
    pub fn headless(&self, workspace: &Path, prompt: &str) -> Option<Vec<OsString>> {
        let words: &[&str] = match self.name {
            "codex" => &["exec", "--json", "-s", "danger-full-access", "-C"],
            "gemini" => &["-m", "gemini-2.5-pro", "-o", "stream-json", "--skip-trust", "--yolo", "-p"],
            "opencode" => &["run", "--format", "json", "--auto"],
            "qwen" => &["-o", "stream-json", "--yolo", "-p"],
            "claude" => &[
                "--output-format",
                "stream-json",
                "--verbose",
                "--permission-mode",
                "acceptEdits",
                "--allowedTools",
                "Bash",
                "-p",
            ],
            _ => return None,
        };
        let mut all: Vec<OsString> = words.iter().map(OsString::from).collect();
        if self.name == "codex" {
            all.push(workspace.into());
        }
        all.push(prompt.into());
        Some(all)
    }

    /// Returns the arguments for a conversation by the Agent Client Protocol, for the programs that speak it.
    pub fn acp(&self) -> Option<&'static [&'static str]> {
        match self.name {
            "gemini" => Some(&["--acp", "--model", "gemini-2.5-pro"]),
            "opencode" => Some(&["acp"]),
            "qwen" => Some(&["--acp"]),
            "codex-acp" | "claude-agent-acp" => Some(&[]),
            _ => None,
        }
    }

    /// Writes its settings below `root`, and returns its whole environment.
    ///
    /// Everything that it writes on its own stays below `root`; its model is the one at `model`; telemetry, updates
    /// and downloads are turned off, and no proxy is named. The caller gives it no variable beside these. A
    /// namespace without a network remains the caller's part.
    pub fn settle(&self, root: &Path, model: &str, path: &OsStr) -> io::Result<BTreeMap<&'static str, OsString>> {
        let (home, temporary) = (root.join("home"), root.join("tmp"));
        std::fs::create_dir_all(&home)?;
        // Not above its home: the sandbox of Codex makes that unreachable.
        std::fs::create_dir_all(&temporary)?;
        let mut env: BTreeMap<&'static str, OsString> = [
            ("PATH", path.to_owned()),
            ("HOME", home.clone().into()),
            ("TMPDIR", temporary.into()),
            ("LANG", "C.UTF-8".into()),
            ("TERM", "dumb".into()),
            ("NO_BROWSER", "1".into()),
        ]
        .into();
        match self.way {
            Way::Claude => env.extend(claude(&home, model)),
            Way::Codex => {
                write(&home.join(".codex/config.toml"), &codex_settings(model))?;
                env.insert("CODEX_HOME", home.join(".codex").into());
                env.insert("CODEX_API_KEY", KEY.into());
            }
            Way::Gemini => {
                write(&home.join(".gemini/settings.json"), &gemini_settings().to_string())?;
                env.extend(texts(&[
                    ("GEMINI_API_KEY", KEY),
                    ("GOOGLE_GEMINI_BASE_URL", model),
                    // Left to choose, it asks a model which model to ask.
                    ("GEMINI_MODEL", "gemini-2.5-pro"),
                    ("GEMINI_CLI_TRUST_WORKSPACE", "true"),
                    // One process, which hears signals.
                    ("GEMINI_CLI_NO_RELAUNCH", "true"),
                ]));
            }
            Way::Qwen => {
                write(&home.join(".qwen/settings.json"), &qwen_settings().to_string())?;
                env.extend(texts(&[
                    ("OPENAI_API_KEY", KEY),
                    ("OPENAI_BASE_URL", &format!("{model}/v1")),
                    ("OPENAI_MODEL", MODEL),
                    ("QWEN_CODE_NO_RELAUNCH", "true"),
                ]));
            }
            Way::Opencode => {
                write(&home.join(".config/opencode/opencode.json"), &opencode_settings(model).to_string())?;
                env.extend(OPENCODE_OFF.map(|name| (name, "1".into())));
            }
        }
        Ok(env)
    }
}

/// The model's name, for programs that take any.
const MODEL: &str = "scripted-model";

const OPENCODE_OFF: [&str; 5] = [
    "OPENCODE_DISABLE_AUTOUPDATE",
    "OPENCODE_DISABLE_MODELS_FETCH",
    "OPENCODE_DISABLE_LSP_DOWNLOAD",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS",
    "OPENCODE_DISABLE_SHARE",
];

fn texts(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, OsString)> {
    pairs.iter().map(|(name, value)| (*name, OsString::from(value))).collect()
}

fn claude(home: &Path, model: &str) -> Vec<(&'static str, OsString)> {
    let mut env = texts(&[
        ("ANTHROPIC_BASE_URL", model),
        ("ANTHROPIC_API_KEY", KEY),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("CLAUDE_CODE_MAX_RETRIES", "1"),
        // As root it does without asking only where it is told this.
        ("IS_SANDBOX", "1"),
    ]);
    env.push(("CLAUDE_CONFIG_DIR", home.join(".claude").into()));
    env
}

fn codex_settings(model: &str) -> String {
    format!(
        r#"model = "gpt-5.5"
model_provider = "scripted"
check_for_update_on_startup = false

[model_providers.scripted]
name = "scripted"
base_url = "{model}/v1"
env_key = "CODEX_API_KEY"
wire_api = "responses"
request_max_retries = 1
stream_max_retries = 1

[features]
plugins = false
apps = false
remote_plugin = false
# Otherwise it waits for ever when nobody answers.
unbounded_connection_retries = false

[analytics]
enabled = false

[feedback]
enabled = false
"#
    )
}

fn gemini_settings() -> serde_json::Value {
    json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": false}},
        "privacy": {"usageStatisticsEnabled": false},
        "telemetry": {"enabled": false},
        "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
    })
}

fn qwen_settings() -> serde_json::Value {
    json!({
        "security": {"auth": {"selectedType": "openai"}},
        "model": {"name": MODEL},
        "privacy": {"usageStatisticsEnabled": false},
        "telemetry": {"enabled": false},
        "general": {"enableAutoUpdate": false},
    })
}

fn opencode_settings(model: &str) -> serde_json::Value {
    let full = format!("scripted/{MODEL}");
    let described = json!({"name": "Scripted", "tool_call": true, "limit": {"context": 200_000, "output": 8192}});
    json!({
        "autoupdate": false,
        "share": "disabled",
        "enabled_providers": ["scripted"],
        "model": full,
        "small_model": full,
        "permission": {"edit": "ask", "bash": "ask"},
        "provider": {"scripted": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "scripted",
            "options": {"baseURL": format!("{model}/v1"), "apiKey": KEY},
            "models": {MODEL: described},
        }},
    })
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_variable_says_or_in_the_users_cache() {
        let place =
            |set: &[(&str, &str)]| cache(|name| set.iter().find(|(it, _)| *it == name).map(|(_, value)| value.into()));
        assert_eq!(place(&[("ORCHA_AGENT_PROGRAMS", "/a"), ("HOME", "/h")]), Some("/a".into()));
        assert_eq!(place(&[("ORCHA_AGENT_PROGRAMS", ""), ("HOME", "/h")]), Some("/h/.cache/orcha/agents".into()));
        assert_eq!(place(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Some("/c/orcha/agents".into()));
        assert_eq!(place(&[]), None);
    }

    #[test]
    fn every_program_can_be_driven_in_some_way() {
        for program in &PROGRAMS {
            let headless = program.headless(Path::new("/w"), "hello");
            assert!(headless.is_some() || program.acp().is_some(), "{}", program.name);
            assert_eq!(named(program.name), Some(program));
        }
    }

    #[test]
    fn a_program_counts_as_installed_only_with_its_marker() {
        let cache = tempfile::tempdir().unwrap();
        let program = named("qwen").unwrap();
        let script = program.folder(cache.path()).join("node_modules/@qwen-code/qwen-code/cli.js");
        write(&script, "").unwrap();
        assert_eq!(program.command(cache.path()), None);
        write(&program.marker(cache.path()), "").unwrap();
        assert_eq!(program.command(cache.path()), Some(vec!["node".into(), script.into_os_string()]));
    }

    #[test]
    fn settings_stay_below_their_root_and_name_the_model() {
        for program in &PROGRAMS {
            let root = tempfile::tempdir().unwrap();
            let env = program.settle(root.path(), "http://127.0.0.1:9", OsStr::new("/bin")).unwrap();
            for name in ["HOME", "TMPDIR"] {
                assert!(Path::new(&env[name]).starts_with(root.path()), "{} {name}", program.name);
            }
            let in_env = env.values().any(|value| value.to_string_lossy().contains("http://127.0.0.1:9"));
            let files =
                [".codex/config.toml", ".config/opencode/opencode.json"].map(|it| root.path().join("home").join(it));
            let in_file = files
                .iter()
                .filter_map(|it| std::fs::read_to_string(it).ok())
                .any(|it| it.contains("http://127.0.0.1:9/v1"));
            assert!(in_env || in_file, "{}", program.name);
        }
    }
}
