//! The real checks, on one host.

use crate::checker::{Checker, Order};
use crate::follow::{End, Said, follow};
use crate::plan::{Check, Kind, Line, Plan, Source};
use crate::report::{Outcome, Receipt, Report};
use crate::tree::Tree;
use crate::{Asked, ChecksError, asked, detect, reading};
use async_trait::async_trait;
use orcha_exec::{ExitStatus, Grace, Host, RunError, RunLabel, RunSpec};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What checks find around them; nothing else of the daemon's environment reaches them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `PATH`.
    pub path: String,
    /// Further variables: `HOME`, `CARGO_HOME`, `GOMODCACHE`, a proxy. No credentials: checks are code of agents.
    pub env: Vec<(String, String)>,
}

/// Checks as runs of one host.
#[derive(Clone, Debug)]
pub struct Checks {
    host: Arc<dyn Host>,
    settings: Settings,
}

impl Checks {
    /// Takes a host.
    pub fn new(host: Arc<dyn Host>, settings: Settings) -> Self {
        Self { host, settings }
    }

    async fn own_plan(&self, dir: &Path) -> Result<Plan, ChecksError> {
        let path = &self.settings.path;
        if let Some(text) = Tree::config(&*self.host, path, dir).await? {
            return Ok(Plan::ordered(asked::read_config(&text)?, Vec::new(), Source::Configured));
        }
        Ok(detect::detect(&Tree::look(&*self.host, path, dir).await?))
    }

    fn spec(&self, label: RunLabel, order: &Order, check: &Check) -> RunSpec {
        // Both streams into one, in the order in which things were said.
        let args = match &check.command {
            Line::Argv(words) => {
                let mut args = vec!["-c".to_owned(), "exec \"$@\" 2>&1".to_owned(), "sh".to_owned()];
                args.extend(words.iter().cloned());
                args
            }
            Line::Shell(line) => ["-c", "exec 2>&1; eval \"$1\"", "sh", line].map(str::to_owned).to_vec(),
        };
        let fixed = [
            ("PATH", self.settings.path.as_str()),
            ("LANG", "C.UTF-8"),
            ("TERM", "dumb"),
            ("CI", "1"),
            ("NO_COLOR", "1"),
            ("CARGO_TERM_COLOR", "never"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
        ];
        let mut env: Vec<(String, String)> =
            fixed.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        for (key, value) in self.settings.env.iter().chain(&check.env) {
            env.retain(|(known, _)| known != key);
            env.push((key.clone(), value.clone()));
        }
        let dir = if check.dir.is_empty() { order.dir.clone() } else { order.dir.join(&check.dir) };
        RunSpec {
            sandbox: orcha_exec::Sandbox::default(),
            label,
            program: "sh".to_owned(),
            args,
            dir,
            env,
            files: Vec::new(),
            input: Vec::new(),
            line_cap: 1 << 20,
            backlog_cap: 64 << 20,
        }
    }
}

#[async_trait]
impl Checker for Checks {
    async fn plan(&self, dir: &Path, base: Option<&Path>, asked: &[Asked]) -> Result<Plan, ChecksError> {
        if !asked.is_empty() {
            return Ok(Plan::ordered(crate::read_asked(asked)?, Vec::new(), Source::Asked));
        }
        if let Some(dir) = [Some(dir), base].into_iter().flatten().find(|dir| !dir.is_absolute()) {
            return Err(ChecksError::Dir { dir: dir.to_owned() });
        }
        let Some(base) = base else { return self.own_plan(dir).await };
        let before = self.own_plan(base).await?;
        // The list of the base counts: a change does not choose its own judge.
        if before.source == Source::Configured {
            return Ok(before);
        }
        let now = detect::detect(&Tree::look(&*self.host, &self.settings.path, dir).await?);
        Ok(detect::taken_away(&before, now))
    }

    async fn run(&self, order: &Order) -> Result<Report, ChecksError> {
        check_key(&order.key)?;
        if !order.dir.is_absolute() {
            return Err(ChecksError::Dir { dir: order.dir.clone() });
        }
        let mut receipts: Vec<Receipt> = Vec::new();
        for (at, check) in order.plan.checks.iter().enumerate() {
            if let Some(why) = held_back(&receipts, check) {
                receipts.push(not_run(check, why));
                continue;
            }
            let label = RunLabel::new(&format!("{}{at}", prefix(&order.key)))?;
            let spec = self.spec(label, order, check);
            let said = follow(&*self.host, &spec, Duration::from_secs(check.timeout_s)).await?;
            receipts.push(receipt(check, said));
        }
        Ok(Report::new(receipts, order.plan.hollow.clone(), order.plan.source.clone()))
    }

    async fn end(&self, key: &str) -> Result<(), ChecksError> {
        check_key(key)?;
        let prefix = prefix(key);
        for run in self.host.runs().await? {
            let number = run.label.as_str().strip_prefix(&prefix);
            if number.is_some_and(|it| it.bytes().all(|b| b.is_ascii_digit())) {
                self.host.stop(&run.label, Grace::QUICK).await?;
                match self.host.forget(&run.label).await {
                    Ok(()) | Err(RunError::Absent { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

/// Returns the key of the round that a run belongs to; nothing for a run of somebody else.
pub fn round_of(run: &RunLabel) -> Option<&str> {
    let (key, number) = run.as_str().strip_prefix("check-")?.rsplit_once('-')?;
    number.bytes().all(|b| b.is_ascii_digit()).then_some(key)
}

/// The names of a round's runs begin like this.
fn prefix(key: &str) -> String {
    format!("check-{key}-")
}

pub(crate) fn check_key(key: &str) -> Result<(), ChecksError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !key.is_empty() && key.len() <= 60 && key.bytes().all(plain) {
        Ok(())
    } else {
        Err(ChecksError::Key { key: key.chars().take(80).collect() })
    }
}

/// Says why a check is not run after those before it; nothing if it is.
pub(crate) fn held_back(before: &[Receipt], check: &Check) -> Option<String> {
    // Where the machine fails, more of the same helps nobody.
    if let Some(it) = before.iter().find(|it| it.outcome == Outcome::Infrastructure) {
        return Some(format!("not run: the machine failed at `{}`", it.name));
    }
    let needed = |it: &&Receipt| {
        it.dir == check.dir && it.kind < check.kind && it.kind <= Kind::Build && it.outcome != Outcome::Passed
    };
    before.iter().find(needed).map(|it| format!("not run: `{}` did not pass", it.name))
}

pub(crate) fn not_run(check: &Check, why: String) -> Receipt {
    Receipt {
        name: check.name.clone(),
        kind: check.kind,
        command: check.command.to_string(),
        dir: check.dir.clone(),
        outcome: Outcome::NotRun,
        exit: None,
        duration_ms: 0,
        output_tail: String::new(),
        output_bytes: 0,
        output_sha256: String::new(),
        failing: Vec::new(),
        tests: None,
        note: Some(why),
    }
}

fn receipt(check: &Check, said: Said) -> Receipt {
    let failing = reading::failing(&said.text);
    let tests = if check.kind == Kind::Test { reading::tests(&said.text) } else { None };
    let machine = || reading::machine(check.kind, &said.text, !failing.is_empty());
    let infrastructure = |why: &str| (Outcome::Infrastructure, Some(why.to_owned()));
    let (outcome, note) = match &said.end {
        End::Exited(ExitStatus::Code(0)) => {
            let none = tests.is_some_and(|it| it.passed == 0 && it.failed == 0);
            (Outcome::Passed, none.then(|| "no test was run".to_owned()))
        }
        End::Exited(ExitStatus::Code(127)) => infrastructure("a program is missing"),
        End::Exited(ExitStatus::Code(126)) => infrastructure("a program cannot be executed"),
        // Nobody of ours sent it; what is left is the machine's own need for memory.
        End::Exited(ExitStatus::Signal(9) | ExitStatus::Code(137)) => {
            infrastructure("it was killed from outside, as machines do that have no memory left")
        }
        End::Exited(_) => match machine() {
            Some(why) => (Outcome::Infrastructure, Some(why)),
            None => (Outcome::Failed, None),
        },
        End::TimedOut => (Outcome::TimedOut, Some(format!("ended after {} s", check.timeout_s))),
        End::Flood => (Outcome::Failed, Some("it printed without end".to_owned())),
        End::Lost => infrastructure("it vanished together with the process that kept it"),
        End::NotStarted(detail) => (Outcome::Infrastructure, Some(format!("it did not start: {detail}"))),
    };
    let exit = match &said.end {
        End::Exited(status) => Some(*status),
        End::TimedOut | End::Flood | End::Lost | End::NotStarted(_) => None,
    };
    Receipt {
        name: check.name.clone(),
        kind: check.kind,
        command: check.command.to_string(),
        dir: check.dir.clone(),
        outcome,
        exit,
        duration_ms: u64::try_from(said.took.as_millis()).unwrap_or(u64::MAX),
        output_tail: said.tail,
        output_bytes: said.bytes,
        output_sha256: said.sha256,
        failing: if outcome == Outcome::Failed { failing } else { Vec::new() },
        tests,
        note,
    }
}
