//! The real agents of the demo: Codex steers, Gemini CLI and opencode work, and a model on loopback says what the script
//! `real.json` says. No key is needed, and nobody is asked but that model.
//!
//! The programs must be installed; nothing is downloaded here.

use super::WISH;
use super::sample::Sample;
use anyhow::{Context, Result, anyhow};
use orcha_scripted_model::isolation::usable;
use orcha_scripted_model::programs;
use orcha_scripted_model::{Options, Scenario, ScriptedModel};
use orcha_wire::CreateObjective;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What the model says.
const SCENARIO: &str = include_str!("real.json");

/// Who plays: the manager first, and those that it asks for by name.
const PROGRAMS: [&str; 3] = ["codex", "gemini", "opencode"];

/// The agents of one demo. Their model ends with this.
pub struct Cast {
    /// The model that all of them ask.
    pub model: ScriptedModel,
}

impl Cast {
    /// Prepares the agents of the demo. `before` are words that stand before each program.
    pub fn prepare(sample: &mut Sample, before: &[String]) -> Result<Self> {
        Self::of(sample, &PROGRAMS, SCENARIO, before)
    }

    /// Starts a model that follows a scenario, and lays down programs for the daemon of a sample: each under its own
    /// name, with its settings.
    pub fn of(sample: &mut Sample, programs: &[&str], scenario: &str, before: &[String]) -> Result<Self> {
        let model = ScriptedModel::start(Scenario::parse(scenario)?, Options::default())?;
        let root = sample.home.parent().context("the home lies nowhere")?;
        let folder = root.join("programs");
        fs::create_dir_all(&folder)?;
        let path = std::env::var_os("PATH").context("there is no PATH")?;
        for name in programs {
            let program = programs::named(name).with_context(|| format!("`{name}` is not known"))?;
            let command = usable(program).map_err(|reason| anyhow!("{name} cannot be used: {reason}"))?;
            let settings = program.settle(root, model.url(), &path)?;
            let mut script = "#!/bin/sh\n".to_owned();
            for (key, value) in &settings {
                script += &format!("export {key}={}\n", quoted(value)?);
            }
            script += "exec";
            for word in before.iter().map(OsStr::new).chain(command.iter().map(AsRef::as_ref)) {
                script += &format!(" {}", quoted(word)?);
            }
            script += " \"$@\"\n";
            let file = folder.join(name);
            fs::write(&file, script)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
        sample.programs = Some(folder);
        Ok(Self { model })
    }
}

/// The demo's objective with Codex as its manager.
pub fn objective(sample: &Sample) -> Result<CreateObjective> {
    Ok(CreateObjective {
        title: Some("Teach the greeter to say goodbye".into()),
        prompt: WISH.into(),
        agent: Some(PROGRAMS[0].to_owned()),
        repo: Some(sample.origin.display().to_string().parse()?),
        ..CreateObjective::default()
    })
}

/// Quotes a word so that a shell takes it as it is.
fn quoted(word: &OsStr) -> Result<String> {
    let word = word.to_str().with_context(|| format!("{} is not UTF-8", Path::new(word).display()))?;
    Ok(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_of_the_model_is_one() {
        Scenario::parse(SCENARIO).unwrap();
    }
}
