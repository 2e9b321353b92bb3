//! The sample that the demo works on: a bare origin with a small shell program in it, and the script of the agents.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the scripted agents do.
const SCRIPT: &str = include_str!("script.json");

/// What the Implementers of a pipeline do.
const PIPELINE: &str = include_str!("pipeline.json");
/// The project's own check, and where it is named.
const CHECK: &str = "#!/bin/sh\n# The project's own test.\nset -eu\n\
    [ \"$(sh greet.sh Ada)\" = 'Hello, Ada!' ] || { echo 'FAILED: greet.sh Ada'; exit 1; }\n\
    for it in checks/*.sh; do\n    [ ! -e \"$it\" ] || sh \"$it\"\ndone\necho 'all is well'\n";
const CHECKS: &str = "[[check]]\nname = \"test\"\ncommand = [\"sh\", \"check.sh\"]\n";

/// The folders of one demo.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The daemon's data folder.
    pub data: PathBuf,
    /// The home of everything that the demo starts.
    pub home: PathBuf,
    /// The bare repository that pull requests are merged into.
    pub origin: PathBuf,
    /// The script of the agents.
    pub script: PathBuf,
    /// Where the daemon finds programs before all others. With it, it sees nothing else of our environment.
    pub programs: Option<PathBuf>,
}

impl Sample {
    /// Makes everything below a folder, for an objective that a manager runs.
    pub fn make(root: &Path) -> Result<Self> {
        Self::with(root, SCRIPT, &[])
    }

    /// Makes everything below a folder, for a request that the pipeline runs: the project has a check of its own.
    pub fn make_for_pipeline(root: &Path) -> Result<Self> {
        Self::with(root, PIPELINE, &[("check.sh", CHECK), (".orcha/checks.toml", CHECKS)])
    }

    fn with(root: &Path, script: &str, more: &[(&str, &str)]) -> Result<Self> {
        let sample = Self {
            data: root.join("data"),
            home: root.join("home"),
            origin: root.join("greeter.git"),
            script: root.join("script.json"),
            programs: None,
        };
        let first = root.join("first-commit");
        for folder in [&sample.home, &first] {
            fs::create_dir_all(folder).with_context(|| format!("{} could not be made", folder.display()))?;
        }
        fs::write(&sample.script, script)?;
        fs::write(first.join("README.md"), "# greeter\n\nA program that greets. Everything else is up to you.\n")?;
        fs::write(
            first.join("greet.sh"),
            "#!/bin/sh\n# Greets whoever is named.\nset -eu\nprintf 'Hello, %s!\\n' \"${1-World}\"\n",
        )?;
        for (path, text) in more {
            let path = first.join(path);
            fs::create_dir_all(path.parent().context("a file lies nowhere")?)?;
            fs::write(path, text)?;
        }
        let origin = sample.origin.display().to_string();
        sample.git(root, &["init", "--quiet", "--bare", "--initial-branch=main", &origin])?;
        sample.git(&first, &["init", "--quiet", "--initial-branch=main"])?;
        sample.git(&first, &["add", "--all"])?;
        sample.git(&first, &["commit", "--quiet", "--message=feat: greet"])?;
        sample.git(&first, &["push", "--quiet", &origin, "HEAD:refs/heads/main"])?;
        fs::remove_dir_all(&first)?;
        Ok(sample)
    }

    /// Returns where the daemon's log lies.
    pub fn log(&self) -> PathBuf {
        self.data.join("daemon.log")
    }

    /// Returns the newest commits of the origin's main branch, one line each.
    pub fn commits(&self) -> Result<Vec<String>> {
        let log = self.git(&self.origin, &["log", "--graph", "--oneline", "--decorate=short", "main"])?;
        Ok(log.lines().map(str::to_owned).collect())
    }

    /// Runs git here with a configuration of its own, whatever the user's says.
    pub fn git(&self, dir: &Path, args: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .args(args)
            .current_dir(dir)
            .env("HOME", &self.home)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Demo")))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "demo@localhost")))
            .output()
            .context("git did not start; is it installed?")?;
        if !output.status.success() {
            bail!("git {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
