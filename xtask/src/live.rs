//! `cargo xtask live`: the README's tour as a user would walk it, command by command, on a real daemon.
//!
//! It knows the commands of `orcha` and their JSON, and nothing of the workspace's crates. Everything lies in a temporary
//! folder and a home of its own; no process stays behind, and that is looked at.

mod agents;
mod demo;
mod house;
mod model;

use crate::shell;
use anyhow::{Context, Result, bail, ensure};
use house::House;
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The options of `live`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Build and use release binaries.
    #[arg(long)]
    release: bool,
    /// The kind of the agents.
    #[arg(long, default_value = "claude")]
    agent: String,
    /// A real agent program, instead of one that follows a script.
    #[arg(long, value_name = "PROGRAM")]
    agent_program: Option<String>,
}

#[derive(clap::Subcommand)]
enum What {
    /// Holds real agent programs against the list of what every agent must be able to do.
    Agents(agents::Args),
    /// Holds an agent of ours against a model server that really exists: one of this machine, or any other.
    Model(model::Args),
    /// Plays the demo with real agent programs, in a namespace without a network.
    Demo(demo::Args),
}

/// Builds the two programs and walks the tour, or does what is named.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        Some(What::Agents(args)) => return agents::run(args),
        Some(What::Model(args)) => return model::run(args),
        Some(What::Demo(args)) => return demo::run(args),
        None => {}
    }
    let mut build = shell::cargo(&["build", "--locked", "-p", "orchad", "-p", "orcha"]);
    if args.release {
        build.arg("--release");
    }
    shell::run(&mut build)?;
    let metadata =
        cargo_metadata::MetadataCommand::new().no_deps().exec().context("cargo did not say where it builds")?;
    let bin = metadata.target_directory.as_std_path().join(if args.release { "release" } else { "debug" });
    let walked = walk(&bin, Agent { kind: args.agent.clone(), program: args.agent_program.clone() })?;
    Ok(if walked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Who plays the agents.
struct Agent {
    kind: String,
    /// A real program; without it a script is followed.
    program: Option<String>,
}

impl Agent {
    /// Returns how long something may take that an agent does.
    fn patience(&self) -> Duration {
        Duration::from_secs(if self.program.is_some() { 1800 } else { 60 })
    }
}

/// One step: the command that it shows, and what is done and looked at. A note says why there was nothing to do.
struct Step {
    command: &'static str,
    run: fn(&mut Walk) -> Result<Option<String>>,
}

const fn step(command: &'static str, run: fn(&mut Walk) -> Result<Option<String>>) -> Step {
    Step { command, run }
}

/// The tour, in its order.
const TOUR: &[Step] = &[
    step("orchad serve", |it| it.house.serve().map(done)),
    step("orcha health", |it| {
        let health = it.json(&["health"])?;
        is(&health, "/status", "ok").map(done)
    }),
    step("orcha doctor", |it| {
        // A machine without the usual agent program is told so; the tour brings its own.
        let said: Value = serde_json::from_str(&it.house.orcha_asks(&["doctor", "--json"])?)?;
        ensure!(said.to_string().contains("git"), "git was not looked for: {said}");
        Ok(None)
    }),
    step("orcha run", Walk::run),
    step("orcha ls", |it| {
        let rows = it.json(&["ls"])?;
        is(&rows, "/0/id", it.objective.as_str())?;
        for what in ["objectives", "sessions", "questions", "prs", "targets", "projects", "workspaces"] {
            let rows = it.json(&["ls", what, "--all", "--objective", &it.objective])?;
            ensure!(rows.is_array(), "`ls {what}` is no list: {rows}");
        }
        Ok(None)
    }),
    step("orcha providers", |it| {
        let rows = it.json(&["providers"])?;
        ensure!(rows.is_array(), "`providers` is no list: {rows}");
        Ok(None)
    }),
    step("orcha events", |it| {
        let made = it.house.orcha(&["events", "--json", "--after", "0"])?;
        let first: Value = serde_json::from_str(made.lines().next().unwrap_or_default())?;
        is(&first, "/id", 1).map(done)
    }),
    step("orcha why", |it| {
        let id = it.objective.clone();
        let why = it.json(&["why", &id])?;
        ensure!(why["way_out"].as_str().is_some_and(|it| !it.is_empty()), "there is no way out: {why}");
        Ok(None)
    }),
    step("orcha show", |it| {
        let short = short(&it.objective).to_owned();
        let shown = it.json(&["show", &short])?;
        is(&shown, "/objective/id", it.objective.as_str())?;
        let manager = &shown["objective"]["manager_session_id"];
        let of = |it: &&Value| it["id"] != *manager;
        let worker = shown["sessions"].as_array().and_then(|it| it.iter().find(of)).context("there is no worker")?;
        it.worker = text(worker, "/id")?;
        Ok(None)
    }),
    step("orcha steer", |it| {
        let id = it.objective.clone();
        let steered = it.json(&["steer", &id, "Keep it short."])?;
        is(&steered, "/message/content", "Keep it short.").map(done)
    }),
    step("orcha messages", |it| {
        let id = it.objective.clone();
        let rows = it.json(&["messages", &id])?;
        let said = rows.as_array().is_some_and(|all| all.iter().any(|it| it["content"] == "Keep it short."));
        ensure!(said, "what was said is not listed: {rows}");
        Ok(None)
    }),
    step("orcha answer", |it| {
        let Some(question) = it.question.take() else {
            return Ok(Some("the agents asked nothing".into()));
        };
        let answered = it.json(&["answer", short(&question), "Goodbye"])?;
        is(&answered, "/status", "answered").map(done)
    }),
    step("kill -9 of the daemon", |it| {
        it.house.kill()?;
        it.house.was_said_beside("does not answer", Duration::from_secs(30))?;
        it.house.serve()?;
        it.house.was_said_beside("is back", Duration::from_secs(30)).map(done)
    }),
    step("orcha pr list", |it| {
        it.until("pr_observed")?;
        let rows = it.json(&["pr", "list"])?;
        it.pull_request = text(&rows, "/0/id")?;
        Ok(None)
    }),
    step("orcha pr show", |it| {
        let id = it.pull_request.clone();
        let shown = it.json(&["pr", "show", &id])?;
        is(&shown, "/pull_request/mergeable", true).map(done)
    }),
    step("orcha logs", |it| {
        let id = it.worker.clone();
        let lines = it.house.orcha(&["logs", &id, "--json"])?;
        let last: Value = serde_json::from_str(lines.lines().last().unwrap_or_default())?;
        is(&last, "/session_id", id.as_str()).map(done)
    }),
    step("orcha attach", |it| {
        // It has no terminal and has ended: what is left is the view, and that ends by itself.
        let id = it.worker.clone();
        let lines = it.house.orcha(&["attach", &id, "--json"])?;
        let last: Value = serde_json::from_str(lines.lines().last().unwrap_or_default())?;
        is(&last, "/session_id", id.as_str()).map(done)
    }),
    step("orcha pr comment", |it| {
        let id = it.pull_request.clone();
        it.json(&["pr", "comment", &id, "Please describe it in USAGE.md, too."])?;
        it.until("feedback_handled").map(done)
    }),
    step("orcha pr merge", |it| {
        let id = it.pull_request.clone();
        let merged = it.json(&["pr", "merge", &id, "--method", "squash"])?;
        is(&merged, "/status", "merged").map(done)
    }),
    step("orcha run, to its end", Walk::run_ends),
    step("orcha workspace list", |it| {
        let rows = it.json(&["workspace", "list", "--all"])?;
        let ours = |it: &&Value| it["status"] == "ready" || it["status"] == "archived";
        let folder = rows.as_array().and_then(|it| it.iter().find(ours)).context("there is no workspace")?;
        let shown = it.json(&["workspace", "show", &text(folder, "/id")?])?;
        ensure!(shown["snapshots"].is_array(), "a workspace has no snapshots: {shown}");
        Ok(None)
    }),
    step("orcha login", |it| {
        let link = it.json(&["login"])?;
        ensure!(text(&link, "/url")?.contains("/login?ticket="), "this is no link: {link}");
        Ok(None)
    }),
    step("orcha completions, orcha man", |it| {
        ensure!(it.house.orcha(&["completions", "bash"])?.contains("_orcha"), "these are no completions");
        ensure!(it.house.orcha(&["man"])?.contains("orcha"), "this is no manual");
        Ok(None)
    }),
    step("the origin", |it| {
        let text = it.house.git(&["show", "main:greet.sh"])?;
        ensure!(text.to_lowercase().contains("bye"), "main does not say goodbye:\n{text}");
        it.house.git(&["fsck", "--strict", "--no-dangling"]).map(|_| None)
    }),
    step("orcha shutdown", |it| {
        it.house.orcha(&["shutdown"])?;
        it.house.has_ended().map(done)
    }),
    step("no process is left", |it| it.house.is_empty().map(done)),
];

fn done((): ()) -> Option<String> {
    None
}

/// What is known on the way.
struct Walk {
    house: House,
    agent: Agent,
    objective: String,
    worker: String,
    question: Option<String>,
    pull_request: String,
}

/// Walks the whole tour and prints a line per step; tells whether everything was as it should be.
fn walk(bin: &Path, agent: Agent) -> Result<bool> {
    // A real program finds its account in the user's own home.
    let house = House::make(bin, agent.program.is_none())?;
    let text = String::new;
    let mut walk = Walk { house, agent, objective: text(), worker: text(), question: None, pull_request: text() };
    let (began, mut good) = (Instant::now(), 0);
    for step in TOUR {
        let since = Instant::now();
        let result = (step.run)(&mut walk);
        let took = since.elapsed().as_secs_f64();
        match result {
            Ok(None) => println!("✓ {:<32} {took:>7.2} s", step.command),
            Ok(Some(note)) => println!("✓ {:<32} {took:>7.2} s  ({note})", step.command),
            Err(fault) => {
                println!("✗ {:<32} {took:>7.2} s  {fault:#}", step.command);
                // The later steps stand on this one.
                println!("\nlast words of the daemon:\n{}", walk.house.last_words());
                break;
            }
        }
        good += 1;
    }
    let cleared = walk.house.clear();
    println!("{good} of {} steps in {:.1} s", TOUR.len(), began.elapsed().as_secs_f64());
    cleared?;
    Ok(good == TOUR.len())
}

impl Walk {
    /// Runs a command with `--json` that gives one document.
    fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.house.orcha(&[args, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("`orcha {}` did not print JSON: {text}", args.join(" ")))
    }

    /// Waits for an event of the objective.
    fn until(&mut self, kind: &str) -> Result<()> {
        self.until_one_of(&[kind]).map(drop)
    }

    fn until_one_of(&mut self, kinds: &[&str]) -> Result<Value> {
        let patience = self.agent.patience();
        self.house.until(patience, &format!("the event {}", kinds.join(" or ")), |it| {
            kinds.iter().any(|kind| it["type"] == **kind)
        })
    }

    /// Starts `orcha run`, and follows it to the first question, or to a pull request if there is none.
    fn run(&mut self) -> Result<Option<String>> {
        let origin = self.house.origin.display().to_string();
        let mut args: Vec<String> = ["run", "Say goodbye", "--repo", &origin, "--json"].map(str::to_owned).to_vec();
        args.extend(["--prompt", "Teach greet.sh to say goodbye.", "--agent"].map(str::to_owned));
        args.push(self.agent.kind.clone());
        let program = match &self.agent.program {
            Some(program) => vec![program.clone()],
            None => self.house.scripted_agent(),
        };
        for (place, word) in program.into_iter().enumerate() {
            args.extend([if place == 0 { "--agent-program" } else { "--agent-arg" }.to_owned(), word]);
        }
        self.house.follow(&args)?;
        let made = self.until_one_of(&["objective_created"])?;
        self.objective = text(&made, "/objective_id")?;
        let next = self.house.until(self.agent.patience(), "a question or a reported result", |it| {
            it["type"] == "ask_user" || it["type"] == "worker_reported"
        })?;
        if next["type"] == "ask_user" {
            let open = self.json(&["ls", "questions"])?;
            self.question = Some(text(&open, "/0/id")?);
        }
        Ok(None)
    }

    /// The command that was started first ends by itself, and its last line is the summary.
    fn run_ends(&mut self) -> Result<Option<String>> {
        let summary = self.house.until(self.agent.patience(), "the summary", |it| it["type"] == "summary")?;
        is(&summary, "/objective/status", "succeeded")?;
        is(&summary, "/pull_requests/0/status", "merged")?;
        self.house.follower_succeeded()?;
        Ok(None)
    }
}

fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(8)..).unwrap_or(id)
}

fn text(document: &Value, pointer: &str) -> Result<String> {
    let found = document.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("there is no {pointer} in {document}"))
}

fn is(document: &Value, pointer: &str, right: impl Into<Value>) -> Result<()> {
    let (found, right) = (document.pointer(pointer).unwrap_or(&Value::Null), right.into());
    if *found != right {
        bail!("{pointer} is {found} instead of {right}");
    }
    Ok(())
}

/// Returns where this very program's neighbours lie, when cargo built them with it.
#[cfg(test)]
fn neighbours() -> Option<std::path::PathBuf> {
    let bin = std::env::current_exe().ok()?.parent()?.parent()?.to_path_buf();
    ["orchad", "orcha"].iter().all(|it| bin.join(it).is_file()).then_some(bin)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands of the README's tour: `orcha pr list` and so on.
    fn commands(readme: &str) -> Vec<String> {
        let tour = readme.split("\n## ").find(|it| it.starts_with("Five minutes")).expect("the README has a tour");
        let lines = tour.lines().filter_map(|it| it.strip_prefix("    "));
        let commands = lines.flat_map(|it| it.split('#').next().unwrap_or_default().split("; "));
        let words = |it: &str| {
            let groups = ["pr", "target", "project", "workspace"];
            let words: Vec<&str> = it.split_whitespace().collect();
            let many = if words.get(1).is_some_and(|it| groups.contains(it)) { 3 } else { 2 };
            words.into_iter().take(many).collect::<Vec<_>>().join(" ")
        };
        commands.map(words).filter(|it| it.starts_with("orcha")).collect()
    }

    #[test]
    fn every_command_of_the_readmes_tour_is_a_step() {
        let readme = std::fs::read_to_string(shell::root().join("README.md")).unwrap();
        let commands = commands(&readme);
        assert!(commands.len() >= 8, "{commands:?}");
        for it in &commands {
            assert!(TOUR.iter().any(|step| step.command == it), "`{it}` of the README is not walked");
        }
    }

    #[test]
    fn the_tour_can_be_walked() {
        let Some(bin) = neighbours() else {
            let line = "the_tour_can_be_walked: orchad and orcha were not built with this test";
            eprintln!("SKIPPED {line}");
            if let Some(log) = std::env::var_os("ORCHA_SKIP_LOG") {
                use std::io::Write;
                let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
                writeln!(log, "{line}").unwrap();
            }
            return;
        };
        assert!(walk(&bin, Agent { kind: "claude".into(), program: None }).unwrap());
    }
}
