//! Whether the program of an agent is there, which version it is, and whether somebody is logged in: as far as that
//! can be told without a request to anybody.
//!
//! Of credentials it asks only whether they are there; none is read.

use orcha_exec::{Command, Finding, Grade, Host, first_line};
use std::time::Duration;

/// How long a program may take to name its version. Some are started by Node, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program as an agent is launched by.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program with its leading arguments.
    pub command: Vec<String>,
    /// The environment that it gets, as far as it is the same for every launch.
    pub env: Vec<(String, String)>,
}

/// What is known of a program besides how to speak to it.
struct Manual {
    /// The program's name, without its folder.
    program: &'static str,
    /// How it is installed.
    install: &'static str,
    /// Variables that are a login, or choose one.
    variables: &'static [&'static str],
    /// Files that are a login: the variable that names the folder, the folder in the home without it, and the rest.
    files: &'static [(&'static str, &'static str, &'static str)],
    /// Files that may hold a login or name a provider that wants none.
    settings: &'static [(&'static str, &'static str, &'static str)],
    /// How to log in.
    login: &'static str,
}

const MANUALS: [Manual; 7] = [
    Manual {
        program: "claude",
        install: "npm install -g @anthropic-ai/claude-code",
        variables: &[
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
        ],
        files: &[("CLAUDE_CONFIG_DIR", ".claude", ".credentials.json")],
        settings: &[],
        login: "run `claude` once and log in, or set ANTHROPIC_API_KEY for the daemon",
    },
    Manual {
        program: "codex",
        install: "npm install -g @openai/codex",
        variables: &["OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN"],
        files: &[("CODEX_HOME", ".codex", "auth.json")],
        settings: &[("CODEX_HOME", ".codex", "config.toml")],
        login: "run `codex login`, or set OPENAI_API_KEY for the daemon",
    },
    Manual {
        program: "gemini",
        install: "npm install -g @google/gemini-cli",
        variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_APPLICATION_CREDENTIALS"],
        files: &[("", ".gemini", "oauth_creds.json")],
        settings: &[],
        login: "run `gemini` once and log in, or set GEMINI_API_KEY for the daemon",
    },
    Manual {
        program: "opencode",
        install: "npm install -g opencode-ai",
        variables: &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY"],
        files: &[("XDG_DATA_HOME", ".local/share", "opencode/auth.json")],
        settings: &[
            ("XDG_CONFIG_HOME", ".config", "opencode/opencode.json"),
            ("XDG_CONFIG_HOME", ".config", "opencode/opencode.jsonc"),
        ],
        login: "run `opencode auth login`, or set the key of its provider for the daemon",
    },
    Manual {
        program: "qwen",
        install: "npm install -g @qwen-code/qwen-code",
        variables: &["OPENAI_API_KEY", "DASHSCOPE_API_KEY"],
        files: &[("", ".qwen", "oauth_creds.json")],
        settings: &[("", ".qwen", "settings.json")],
        login: "run `qwen` once and log in, or set OPENAI_API_KEY for the daemon",
    },
    Manual {
        program: "codex-acp",
        install: "npm install -g @zed-industries/codex-acp",
        variables: &["OPENAI_API_KEY", "CODEX_API_KEY"],
        files: &[("CODEX_HOME", ".codex", "auth.json")],
        settings: &[("CODEX_HOME", ".codex", "config.toml")],
        login: "run `codex login`, or set OPENAI_API_KEY for the daemon",
    },
    Manual {
        program: "claude-agent-acp",
        install: "npm install -g @agentclientprotocol/claude-agent-acp",
        variables: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"],
        files: &[("CLAUDE_CONFIG_DIR", ".claude", ".credentials.json")],
        settings: &[],
        login: "run `claude` once and log in, or set ANTHROPIC_API_KEY for the daemon",
    },
];

/// What is known of a login.
enum Login {
    /// It is there: the variable or the file that says so.
    Here(String),
    /// Nothing that is known is there.
    Missing(&'static Manual),
    /// It cannot be told without asking the provider.
    Untold,
}

/// Looks for the program of an agent kind on a host, and for a login of it.
pub(crate) async fn examine(host: &dyn Host, kind: &str, program: &Program) -> Finding {
    let name = format!("agent {kind}");
    let Some(binary) = program.command.first() else {
        return Finding::lacking(Grade::Gap, name, "no program is named", "name one in the settings file");
    };
    let plain = binary.rsplit('/').next().unwrap_or(binary);
    let manual = MANUALS.iter().find(|it| it.program == plain);
    let (found, login) = tokio::join!(version(host, binary, &program.env), login(host, manual, &program.env));
    let version = match found {
        Ok(version) => version,
        Err(why) => {
            let advice = match manual {
                Some(manual) => format!("install it: `{}`", manual.install),
                None => format!("install `{binary}`, or name another program in the settings file"),
            };
            return Finding::lacking(Grade::Gap, name, why, advice);
        }
    };
    match login {
        Login::Here(by) => Finding::fine(name, format!("{version}; logged in by {by}")),
        Login::Untold => Finding::fine(name, format!("{version}; whether it is logged in cannot be told")),
        Login::Missing(manual) => {
            Finding::lacking(Grade::Gap, name, format!("{version}; no login was found"), manual.login)
        }
    }
}

/// Asks a program for its version; the error is for people.
async fn version(host: &dyn Host, binary: &str, env: &[(String, String)]) -> Result<String, String> {
    let mut command = Command::new(binary, "/").arg("--version");
    command.env = env.to_vec();
    (command.timeout, command.keep) = (PATIENCE, 16 << 10);
    match host.run(&command).await {
        Ok(output) if output.status.success() && !output.text().trim().is_empty() => Ok(first_line(&output.text())),
        // It is there, and has no such option.
        Ok(_) => Ok("of unknown version".to_owned()),
        Err(orcha_exec::CommandError::Spawn { .. }) => Err(format!("`{binary}` is not in PATH")),
        Err(orcha_exec::CommandError::TimedOut { after, .. }) => {
            Ok(format!("did not name its version within {} s", after.as_secs()))
        }
        Err(fault) => Err(fault.to_string()),
    }
}

/// Looks for a login of a program. A file counts when something is in it.
async fn login(host: &dyn Host, manual: Option<&'static Manual>, env: &[(String, String)]) -> Login {
    /// Prints the number of the first file that is there.
    const FIRST: &str = r#"n=0; for f; do [ -s "$f" ] && echo "$n" && exit 0; n=$((n + 1)); done; exit 1"#;
    let Some(manual) = manual else { return Login::Untold };
    let value =
        |name: &str| env.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, it)| it.as_str());
    if let Some(name) = manual.variables.iter().find(|it| value(it).is_some()) {
        return Login::Here((*name).to_owned());
    }
    let place = |(folder, usual, rest): &(&str, &str, &str)| match (value(folder), value("HOME")) {
        (Some(folder), _) => Some(format!("{folder}/{rest}")),
        (None, Some(home)) => Some(format!("{home}/{usual}/{rest}")),
        (None, None) => None,
    };
    let files: Vec<String> = manual.files.iter().filter_map(place).collect();
    let settings: Vec<String> = manual.settings.iter().filter_map(place).collect();
    let mut command = Command::new("sh", "/").args(["-c", FIRST, "sh"]).args(files.iter().chain(&settings).cloned());
    command = command.env("PATH", host.search_path());
    command.timeout = PATIENCE;
    match host.run(&command).await {
        Ok(output) if output.status.success() => match output.text().trim().parse::<usize>() {
            Ok(at) if at < files.len() => Login::Here(files[at].clone()),
            Ok(_) | Err(_) => Login::Untold,
        },
        Ok(_) => Login::Missing(manual),
        Err(_) => Login::Untold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Writes a program that answers with a text.
    fn program(dir: &Path, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    async fn look(dir: &Path, command: &str, env: &[(&str, &str)]) -> Finding {
        let settings = orcha_exec::LocalSettings {
            cgroup_parent: None,
            ..orcha_exec::LocalSettings::detect(dir.join("root"), vec!["/bin/false".to_owned()])
        };
        let host = orcha_exec::LocalHost::new(settings).unwrap();
        let path = format!("{}:/usr/bin:/bin", dir.display());
        let mut env: Vec<(String, String)> = env.iter().map(|(key, it)| (key.to_string(), it.to_string())).collect();
        env.push(("PATH".into(), path));
        env.push(("HOME".into(), dir.display().to_string()));
        examine(&host, "mine", &Program { command: vec![command.to_owned()], env }).await
    }

    #[tokio::test]
    async fn a_program_that_is_missing_says_how_to_install_it() {
        let dir = tempfile::tempdir().unwrap();
        let found = look(dir.path(), "codex", &[]).await;
        assert_eq!((found.grade, found.name.as_str()), (Grade::Gap, "agent mine"));
        assert!(found.detail.contains("not in PATH"), "{found:?}");
        assert!(found.advice.unwrap().contains("@openai/codex"));
        let own = look(dir.path(), "no-such-agent", &[]).await;
        assert!(own.advice.unwrap().contains("settings file"));
    }

    #[tokio::test]
    async fn a_login_is_seen_and_never_read() {
        let dir = tempfile::tempdir().unwrap();
        program(dir.path(), "claude", "echo '2.1.0 (Claude Code)'");
        let found = look(dir.path(), "claude", &[]).await;
        assert_eq!((found.grade, found.detail.as_str()), (Grade::Gap, "2.1.0 (Claude Code); no login was found"));
        let found = look(dir.path(), "claude", &[("ANTHROPIC_API_KEY", "sk-secret")]).await;
        assert_eq!(
            (found.grade, found.detail.as_str()),
            (Grade::Fine, "2.1.0 (Claude Code); logged in by ANTHROPIC_API_KEY")
        );
        assert!(!format!("{found:?}").contains("sk-secret"));
        std::fs::create_dir(dir.path().join(".claude")).unwrap();
        std::fs::write(dir.path().join(".claude/.credentials.json"), "sk-secret").unwrap();
        let found = look(dir.path(), "claude", &[]).await;
        assert!(found.detail.contains(".credentials.json") && !found.detail.contains("sk-secret"), "{found:?}");
    }

    #[tokio::test]
    async fn a_setting_that_may_name_another_provider_leaves_it_open() {
        let dir = tempfile::tempdir().unwrap();
        program(dir.path(), "codex", "exit 2");
        std::fs::create_dir(dir.path().join("c")).unwrap();
        std::fs::write(dir.path().join("c/config.toml"), "model_provider = 'x'").unwrap();
        let found = look(dir.path(), "codex", &[("CODEX_HOME", &dir.path().join("c").display().to_string())]).await;
        assert_eq!(found.detail, "of unknown version; whether it is logged in cannot be told");
    }
}
