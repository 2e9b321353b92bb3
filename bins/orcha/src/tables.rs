//! Answers as text for people: tables, and the lines of one thing. Short ids, relative ages, nothing that a terminal
//! would obey.

mod rows;

use crate::say::now;
use comfy_table::Cell;
use orcha_base::{Effort, Timestamp};
use orcha_client::text::{self, age, amount, block, cut, line, toned};
use orcha_wire::*;
use rows::Gives::{Nothing, Place, Width};
use rows::Rows;
use std::io::{self, Write};

const TITLE: usize = 48;

fn ago(at: Timestamp) -> Cell {
    Cell::new(age(now().since(at)))
}

fn foreign(text: &str, width: usize) -> Cell {
    Cell::new(cut(&line(text), width))
}

pub fn objectives(rows: &[ObjectiveRow], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("ID", Nothing),
        ("STATE", Nothing),
        ("TITLE", Width),
        ("SESSIONS", Place),
        ("PRS", Place),
        ("QUESTIONS", Place),
        ("CHANGED", Place),
        ("ACTIVITY", Width),
    ]);
    for it in rows {
        let state = table.state(it.status.as_str());
        table.row(vec![
            Cell::new(it.id.short()),
            state,
            foreign(&it.title, TITLE),
            Cell::new(it.active_sessions),
            Cell::new(it.pr_count),
            Cell::new(it.open_questions),
            ago(it.updated_at),
            foreign(if it.status.is_over() { "" } else { &it.latest_activity }, TITLE),
        ]);
    }
    table.write("no objectives; make one with `orcha run`, or list ended ones with --all", out)
}

pub fn sessions(rows: &[SessionRow], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("ID", Nothing),
        ("ROLE", Nothing),
        ("STATE", Nothing),
        ("TITLE", Width),
        ("TOKENS", Place),
        ("AGE", Nothing),
        ("ACTIVITY", Width),
    ]);
    for it in rows {
        let state = table.state(it.status.as_str());
        // What an ended session did last is no news; why it ended may be.
        let activity = it.current_activity.as_deref().filter(|_| !it.status.is_over());
        let doing = it.reason.as_deref().or(activity).unwrap_or_default();
        table.row(vec![
            Cell::new(it.id.short()),
            Cell::new(it.role),
            state,
            foreign(&it.title, TITLE),
            Cell::new(amount(it.used_tokens)),
            ago(it.created_at),
            foreign(doing, TITLE),
        ]);
    }
    table.write("no sessions; ended ones are listed with --all", out)
}

pub fn questions(rows: &[Question], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("ID", Nothing),
        ("STATE", Nothing),
        ("ASKED", Place),
        ("SESSION", Place),
        ("QUESTION", Width),
        ("ANSWER", Width),
    ]);
    for it in rows {
        let state = table.state(it.status.as_str());
        table.row(vec![
            Cell::new(it.id.short()),
            state,
            ago(it.created_at),
            Cell::new(it.session_id.map_or_else(String::new, |id| id.short())),
            foreign(&asked(it), 200),
            foreign(it.answer.as_deref().unwrap_or_default(), TITLE),
        ]);
    }
    table.write("no open questions", out)
}

pub fn messages(rows: &[SteeringMessage], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("SESSION", Nothing),
        ("STATE", Nothing),
        ("FROM", Place),
        ("SAID", Place),
        ("MOVED", Place),
        ("TEXT", Width),
    ]);
    for it in rows {
        let state = table.state(it.state.as_str());
        table.row(vec![
            Cell::new(it.session_id.short()),
            state,
            Cell::new(it.source),
            ago(it.created_at),
            ago(it.updated_at),
            foreign(&it.content, 200),
        ]);
    }
    table.write("nothing was said to agents; `orcha steer ID TEXT` does", out)
}

/// A question with the answers that it offers.
fn asked(question: &Question) -> String {
    if question.options.is_empty() {
        return question.question.clone();
    }
    format!("{} ({})", question.question, question.options.join(" | "))
}

pub fn pull_requests(rows: &[PullRequest], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("ID", Nothing),
        ("NUMBER", Place),
        ("STATE", Nothing),
        ("CHECKS", Place),
        ("REVIEW", Place),
        ("TITLE", Width),
        ("BRANCH", Width),
        ("CHANGED", Place),
    ]);
    for it in rows {
        let (state, checks) = (table.state(it.status.as_str()), table.state(it.checks_state.as_str()));
        let review = table.state(it.review_state.as_str());
        table.row(vec![
            Cell::new(it.id.short()),
            Cell::new(number(it)),
            state,
            checks,
            review,
            foreign(&it.title, TITLE),
            foreign(&format!("{} → {}", it.branch, it.base_branch), 80),
            ago(it.updated_at),
        ]);
    }
    table.write("no open pull requests; merged and closed ones are listed with --all", out)
}

pub fn targets(rows: &[Target], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("ID", Nothing),
        ("NAME", Width),
        ("STATE", Nothing),
        ("FREE", Nothing),
        ("LABELS", Width),
        ("FOLDER", Width),
        ("PROBLEM", Width),
    ]);
    for it in rows {
        let state = table.state(it.status.as_str());
        table.row(vec![
            Cell::new(it.id.short()),
            foreign(&it.name, TITLE),
            state,
            Cell::new(format!("{}/{}", it.available_sessions, it.capacity_sessions)),
            foreign(&it.labels.join(", "), TITLE),
            foreign(&it.work_root, 80),
            foreign(it.problem.as_deref().unwrap_or_default(), 80),
        ]);
    }
    table.write("no targets; add one with `orcha target add`", out)
}

pub fn providers(rows: &[Provider], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("PROVIDER", Nothing),
        ("STATE", Nothing),
        ("WINDOW", Place),
        ("USED", Nothing),
        ("RESETS", Nothing),
        ("WAITING", Nothing),
        ("WHY", Width),
    ]);
    for it in rows {
        let why = match (&it.reason, it.parked_at, it.until) {
            (Some(reason), Some(since), Some(until)) => {
                format!("{reason} for {}; called again {}", age(now().since(since)), ahead(until))
            }
            _ => String::new(),
        };
        let windows = it.windows.iter().map(Some).chain(it.windows.is_empty().then_some(None));
        for (n, window) in windows.enumerate() {
            // What is said of the provider itself stands beside its first window.
            let of_it = |text: String| if n == 0 { text } else { String::new() };
            let used = window.and_then(|it| it.used_percent).map_or_else(String::new, |it| format!("{it:.0} %"));
            let resets = window.and_then(|it| it.resets_at).map_or_else(String::new, ahead);
            let waiting = if it.waiting.is_empty() { String::new() } else { it.waiting.len().to_string() };
            let state = if n == 0 { table.state(it.status.as_str()) } else { Cell::new("") };
            table.row(vec![
                foreign(&of_it(it.name.clone()), TITLE),
                state,
                foreign(window.map_or("", |it| it.name.as_str()), TITLE),
                Cell::new(used),
                Cell::new(resets),
                Cell::new(of_it(waiting)),
                foreign(&of_it(why.clone()), 120),
            ]);
        }
    }
    table.write("no provider has said anything of its limits yet", out)?;
    for it in rows {
        for waiting in &it.waiting {
            let until = waiting.until.map_or_else(|| "soon".to_owned(), ahead);
            let title = cut(&line(&waiting.title), TITLE);
            writeln!(out, "{} waits for {} and goes on {until}: {title}", waiting.session_id.short(), it.name)?;
        }
    }
    Ok(())
}

/// When something that lies ahead will be.
fn ahead(at: Timestamp) -> String {
    match at.since(now()) {
        it if it.is_zero() => "now".to_owned(),
        it => format!("in {}", age(it)),
    }
}

pub fn projects(rows: &[Project], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([("ID", Nothing), ("NAME", Width), ("BASE", Place), ("REPOSITORY", Width)]);
    for it in rows {
        table.row(vec![
            Cell::new(it.id.short()),
            foreign(&it.name, TITLE),
            Cell::new(it.base_branch.as_ref().map_or("(default)", |it| it.as_str())),
            foreign(it.repo.as_str(), 120),
        ]);
    }
    table.write("no projects; add one with `orcha project add`", out)
}

pub fn attachments(rows: &[Attachment], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("NAME", Width),
        ("TYPE", Place),
        ("BYTES", Nothing),
        ("PARTS", Place),
        ("STATUS", Nothing),
        ("WHAT IS IN IT", Width),
    ]);
    for it in rows {
        let what = if it.whole { "(shown whole to every role)" } else { it.summary.as_deref().unwrap_or_default() };
        table.row(vec![
            foreign(&it.filename, TITLE),
            foreign(&it.content_type, TITLE),
            Cell::new(it.size_bytes),
            Cell::new(it.chunk_count),
            table.state(it.status.as_str()),
            foreign(what, 120),
        ]);
    }
    table.write("no files came with it", out)
}

pub fn customizations(rows: &[Customization], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("ID", Nothing),
        ("KIND", Nothing),
        ("NAME", Width),
        ("VERSION", Nothing),
        ("STATUS", Nothing),
        ("SCOPE", Width),
        ("BY", Place),
        ("AGE", Nothing),
    ]);
    for it in rows {
        table.row(vec![
            Cell::new(it.id.short()),
            Cell::new(it.kind),
            foreign(&it.name, TITLE),
            Cell::new(it.version),
            table.state(it.status.as_str()),
            foreign(&it.scope, TITLE),
            foreign(&it.author, TITLE),
            Cell::new(age(now().since(it.created_at))),
        ]);
    }
    table.write("no customizations; write one with `orcha customization set`", out)
}

pub fn customization(it: &Customization, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} {} version {} in {}: {}", it.kind, it.name, it.version, it.scope, toned(it.status.as_str(), 0))
}

pub fn resolved(it: &ResolvedCustomizations, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "a run in {} goes by the texts of: {}", line(&it.scope), line(&it.chain.join(", ")))?;
    customizations(&it.customizations, out)?;
    if !it.policy.is_empty() {
        writeln!(out, "\nit may do what this policy lets it:")?;
        policy(&it.policy, out)?;
    }
    match &it.told {
        None => Ok(()),
        Some(told) if told.is_empty() => writeln!(out, "\nthe role is told nothing besides its own rules"),
        Some(told) => writeln!(out, "\n{}", block(told.trim())),
    }
}

/// Shows what runs may do, and where each rule comes from.
pub fn policy(rows: &[PolicyRule], out: &mut dyn Write) -> io::Result<()> {
    let mut table =
        Rows::new([("RULE", Nothing), ("VALUE", Width), ("SCOPE", Width), ("VERSION", Nothing), ("LOCKED BY", Width)]);
    for it in rows {
        table.row(vec![
            Cell::new(&it.rule),
            foreign(&said(it), 120),
            foreign(&it.scope, TITLE),
            Cell::new(it.version),
            foreign(it.locked_by.as_deref().unwrap_or_default(), TITLE),
        ]);
    }
    table.write("no policy", out)
}

/// The value of a rule, for people.
fn said(rule: &PolicyRule) -> String {
    match &rule.value {
        serde_json::Value::Array(names) if names.is_empty() => "nothing at all".to_owned(),
        serde_json::Value::Array(names) => names.iter().filter_map(|it| it.as_str()).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

pub fn mcp_servers(rows: &[McpServer], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("NAME", Nothing),
        ("STATUS", Nothing),
        ("SCOPE", Width),
        ("BY", Nothing),
        ("WRITES", Nothing),
        ("ROLES", Width),
        ("PLACE", Width),
    ]);
    for it in rows {
        let roles = it.roles.iter().map(|it| it.as_str()).collect::<Vec<_>>();
        table.row(vec![
            foreign(&it.name, TITLE),
            table.state(it.status.as_str()),
            foreign(&it.scope, TITLE),
            Cell::new(it.transport),
            Cell::new(if it.writes { "yes" } else { "no" }),
            foreign(&roles.join(", "), TITLE),
            foreign(&it.place, TITLE),
        ]);
    }
    table.write("no tool servers; the settings of the daemon name them as [[mcp_server]]", out)
}

pub fn mcp_server(it: &McpServerLook, out: &mut dyn Write) -> io::Result<()> {
    mcp_servers(std::slice::from_ref(&it.server), out)?;
    let (name, pinned) = (line(&it.server.name), it.pinned.as_deref());
    for tool in &it.left_out {
        writeln!(out, "no session gets `{}`: no model could name it", line(tool))?;
    }
    let (Some(tools), Some(hash)) = (&it.tools, &it.hash) else {
        return writeln!(out, "\nit says nothing now: {}", line(it.fault.as_deref().unwrap_or_default()));
    };
    if it.server.hash.as_ref() == Some(hash) {
        return writeln!(out, "\nit says what was approved of, {}:\n{}", line(hash), block(tools.trim_end()));
    }
    writeln!(out)?;
    changes(pinned.unwrap_or_default(), tools, out)?;
    match it.server.status {
        McpServerStatus::PinnedBySettings => {
            writeln!(
                out,
                "\nthe settings name another hash; to approve of this, write there: hash = \"{}\"",
                line(hash)
            )
        }
        _ => writeln!(out, "\nto approve of this: orcha mcp pin {name} {}", line(hash)),
    }
}

/// Shows two versions line by line.
pub fn difference(old: &Customization, new: &Customization, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "--- {} {} version {}", old.kind, old.name, old.version)?;
    writeln!(out, "+++ {} {} version {}", new.kind, new.name, new.version)?;
    let (before, after) = (old.body.as_deref().unwrap_or_default(), new.body.as_deref().unwrap_or_default());
    changes(before, after, out)
}

/// Shows what changed between two texts, and what did not.
fn changes(before: &str, after: &str, out: &mut dyn Write) -> io::Result<()> {
    for it in similar::TextDiff::from_lines(before, after).iter_all_changes() {
        writeln!(out, "{}{}", it.tag(), block(it.value().trim_end_matches('\n')))?;
    }
    Ok(())
}

pub fn proposals(rows: &[Proposal], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("ID", Nothing),
        ("STATUS", Nothing),
        ("PRIORITY", Place),
        ("TEXT", Width),
        ("SEEN", Place),
        ("WHAT WOULD BE BETTER", Width),
        ("AGE", Nothing),
    ]);
    for it in rows {
        table.row(vec![
            Cell::new(it.id.short()),
            table.state(it.status.as_str()),
            Cell::new(&it.priority),
            foreign(&format!("{}/{}", it.kind, it.name), TITLE),
            Cell::new(it.seen),
            foreign(&it.proposed_fix, 120),
            Cell::new(age(now().since(it.created_at))),
        ]);
    }
    table.write("no proposals", out)
}

pub fn proposal(it: &Proposal, out: &mut dyn Write) -> io::Result<()> {
    let mut facts = Facts(out);
    facts.fact("proposal", it.id)?;
    facts.fact("status", toned(it.status.as_str(), 0))?;
    facts.text("reason", it.reason.as_deref())?;
    facts.text("scope", Some(&it.scope))?;
    facts.text("text", Some(&format!("{}/{}", it.kind, it.name)))?;
    facts.fact("wants", format!("{}, {} priority, by {}", it.change, it.priority, it.source))?;
    facts.text("problem", Some(&it.problem))?;
    facts.text("better", Some(&it.proposed_fix))?;
    let runs = it.evidence.iter().take(5).map(|it| it.short()).collect::<Vec<_>>().join(", ");
    facts.fact("seen", format!("{} times: {runs}", it.seen))?;
    if let Some(trial) = &it.trial {
        for (name, side) in [("before", &trial.old), ("with it", &trial.new)] {
            let TrialSide { runs, completed, score, micro_usd } = side;
            let cost = text::dollars(*micro_usd);
            facts
                .fact(name, format!("{completed} of {runs} runs delivered, score {score:.2}, {cost} in the middle"))?;
        }
        if let Some(p) = trial.p {
            facts.fact("by chance", format!("p = {p:.4}"))?;
        }
    }
    match &it.body {
        None => Ok(()),
        Some(body) => writeln!(out, "\n{}", block(body.trim_end())),
    }
}

/// How finished workflows went, with the health of each as a bar.
pub fn runs(rows: &[Run], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("WORKFLOW", Nothing),
        ("END", Nothing),
        ("HEALTH", Nothing),
        ("", Place),
        ("SCORE", Nothing),
        ("REPAIRS", Place),
        ("TOKENS", Place),
        ("COST", Nothing),
        ("TITLE", Width),
        ("AGE", Nothing),
    ]);
    for it in rows {
        let bar = it.health_score.map_or_else(String::new, |it| "▇".repeat(usize::from(it).div_ceil(10)));
        table.row(vec![
            Cell::new(it.workflow_id.short()),
            table.state(&it.end),
            Cell::new(it.health_score.map_or_else(|| "–".to_owned(), |it| it.to_string())),
            Cell::new(bar),
            Cell::new(format!("{:.2}", it.score)),
            Cell::new(it.repairs),
            Cell::new(amount(it.tokens)),
            Cell::new(text::dollars(it.micro_usd)),
            foreign(&it.title, TITLE),
            Cell::new(age(now().since(it.ended_at))),
        ]);
    }
    table.write("no workflow has ended yet", out)
}

pub fn workspaces(rows: &[Workspace], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("ID", Nothing),
        ("STATE", Nothing),
        ("KIND", Place),
        ("SESSION", Place),
        ("BRANCH", Width),
        ("AGE", Nothing),
        ("FOLDER", Width),
    ]);
    for it in rows {
        let state = table.state(it.status.as_str());
        table.row(vec![
            Cell::new(it.id.short()),
            state,
            Cell::new(it.kind),
            Cell::new(it.session_id.map_or_else(String::new, |id| id.short())),
            Cell::new(it.branch_name.as_ref().map_or("", |it| it.as_str())),
            ago(it.created_at),
            foreign(&it.path, 120),
        ]);
    }
    table.write("no workspaces; those that were let go are listed with --all", out)
}

/// Names and values, one per line; empty values are left out.
struct Facts<'a>(&'a mut dyn Write);

impl Facts<'_> {
    fn fact(&mut self, name: &str, value: impl std::fmt::Display) -> io::Result<()> {
        let value = value.to_string();
        if value.is_empty() { Ok(()) } else { writeln!(self.0, "{name:<12} {value}") }
    }

    fn text(&mut self, name: &str, value: Option<&str>) -> io::Result<()> {
        self.fact(name, cut(&line(value.unwrap_or_default()), 400))
    }

    fn since(&mut self, name: &str, at: Option<Timestamp>) -> io::Result<()> {
        match at {
            Some(at) => self.fact(name, format!("{} ago", age(now().since(at)))),
            None => Ok(()),
        }
    }

    fn until(&mut self, name: &str, at: Option<Timestamp>) -> io::Result<()> {
        match at {
            Some(at) if at > now() => self.fact(name, format!("in {} at the latest", age(at.since(now())))),
            Some(_) => self.fact(name, "now: its time is over"),
            None => Ok(()),
        }
    }

    fn long(&mut self, name: &str, value: Option<&str>) -> io::Result<()> {
        match value.filter(|it| !it.trim().is_empty()) {
            Some(value) => {
                writeln!(self.0, "\n{name}:")?;
                block(value).trim_end().lines().try_for_each(|it| writeln!(self.0, "  {it}"))
            }
            None => Ok(()),
        }
    }
}

pub fn objective(objective: &Objective, out: &mut dyn Write) -> io::Result<()> {
    let mut facts = Facts(out);
    facts.fact("objective", objective.id)?;
    facts.text("title", Some(&objective.title))?;
    facts.fact("state", toned(objective.status.as_str(), 0))?;
    facts.text("reason", objective.reason.as_deref())?;
    facts.text("tripped", objective.tripped.as_deref())?;
    facts.fact("repository", objective.metadata.repo.as_ref().map_or("", |it| it.as_str()))?;
    facts.fact("base", objective.metadata.base_branch.as_ref().map_or("", |it| it.as_str()))?;
    facts.text("agent", Some(&objective.agent))?;
    facts.fact("priority", objective.priority)?;
    facts.since("made", Some(objective.created_at))?;
    facts.until("ends", objective.deadline.filter(|_| objective.completed_at.is_none()))?;
    facts.since("ended", objective.completed_at)
}

pub fn objective_detail(detail: &ObjectiveDetail, out: &mut dyn Write) -> io::Result<()> {
    objective(&detail.objective, out)?;
    let mut facts = Facts(out);
    facts.fact("tokens", amount(detail.usage.total_tokens))?;
    facts.long("prompt", Some(&detail.objective.prompt))?;
    facts.long("summary", detail.objective.summary.as_deref())?;
    if !detail.sessions.is_empty() {
        writeln!(out)?;
        sessions(&detail.sessions, out)?;
    }
    if !detail.pull_requests.is_empty() {
        writeln!(out)?;
        pull_requests(&detail.pull_requests, out)?;
    }
    if !detail.questions.is_empty() {
        writeln!(out)?;
        questions(&detail.questions, out)?;
    }
    // Pull requests stand above.
    for it in detail.artifacts.iter().filter(|it| it.kind != ArtifactKind::PullRequest) {
        let title = line(&it.title);
        let by = it.session_id.map_or_else(String::new, |id| format!(" of {}", id.short()));
        let name = if title.eq_ignore_ascii_case(it.kind.as_str()) { title } else { format!("{}: {title}", it.kind) };
        Facts(out).long(&format!("{name}{by}"), it.summary.as_deref())?;
    }
    Ok(())
}

pub fn session(session: &Session, out: &mut dyn Write) -> io::Result<()> {
    let mut facts = Facts(out);
    facts.fact("session", session.id)?;
    facts.fact("objective", session.objective_id.map_or_else(String::new, |it| it.to_string()))?;
    facts.text("title", Some(&session.title))?;
    facts.fact("role", session.role)?;
    let detail = session.phase.map(Phase::as_str).or(session.turn.map(Turn::as_str));
    let detail = detail.map_or_else(String::new, |it| format!(" ({it})"));
    facts.fact("state", format!("{}{detail}", toned(session.status.as_str(), 0)))?;
    facts.text("reason", session.reason.as_deref())?;
    facts.fact("until", session.until.map_or_else(String::new, |it| it.to_string()))?;
    facts.text("activity", session.current_activity.as_deref().filter(|_| !session.status.is_over()))?;
    facts.text("agent", Some(&session.agent))?;
    facts.text("model", session.model.as_deref())?;
    facts.text("effort", session.effort.map(Effort::name))?;
    facts.fact("attempt", session.attempt)?;
    facts.fact("workspace", session.workspace_id.map_or_else(String::new, |it| it.to_string()))?;
    facts.text("sandbox", session.sandbox.as_ref().map(ToString::to_string).as_deref())?;
    let waits: Vec<String> = session.metadata.depends_on.iter().map(|it| it.short()).collect();
    facts.fact("depends on", waits.join(", "))?;
    facts.fact("tokens", amount(session.used_tokens))?;
    facts.since("made", Some(session.created_at))?;
    facts.since("started", session.started_at)?;
    facts.since("ended", session.completed_at)?;
    facts.long("goal", Some(&session.goal))?;
    facts.long("report", session.handoff_summary.as_deref())?;
    facts.long("said last", session.latest_summary.as_deref())
}

fn number(pr: &PullRequest) -> String {
    if pr.number == 0 { String::new() } else { format!("#{}", pr.number) }
}

pub fn pull_request(pr: &PullRequest, out: &mut dyn Write) -> io::Result<()> {
    let mut facts = Facts(out);
    facts.fact("pull request", pr.id)?;
    facts.text("title", Some(&pr.title))?;
    facts.fact("number", number(pr))?;
    facts.fact("state", toned(pr.status.as_str(), 0))?;
    facts.text("reason", pr.reason.as_deref())?;
    facts.fact("checks", toned(pr.checks_state.as_str(), 0))?;
    facts.fact("review", toned(pr.review_state.as_str(), 0))?;
    facts.fact("mergeable", pr.mergeable.map_or("", |it| if it { "yes" } else { "no, it conflicts" }))?;
    facts.text("refused", pr.refusal.as_deref())?;
    facts.fact("branch", format!("{} → {}", pr.branch, pr.base_branch))?;
    facts.fact("head", pr.head_sha.as_ref().map_or("", |it| it.short()))?;
    facts.fact("merged as", pr.merged_sha.as_ref().map_or("", |it| it.short()))?;
    facts.text("repository", Some(&pr.repo))?;
    facts.text("link", Some(&pr.url))?;
    facts.since("made", Some(pr.created_at))
}

pub fn pull_request_detail(detail: &PullRequestDetail, out: &mut dyn Write) -> io::Result<()> {
    pull_request(&detail.pull_request, out)?;
    Facts(out).long("text", detail.pull_request.summary.as_deref())?;
    for it in &detail.comments {
        let place = match (&it.path, it.line) {
            (Some(path), Some(number)) => format!(" on {}:{number}", line(path)),
            (Some(path), None) => format!(" on {}", line(path)),
            (None, _) => String::new(),
        };
        let verdict = it.verdict.map_or_else(String::new, |it| format!(" ({it})"));
        let who = format!("{}, {} ago{place}{verdict}", line(&it.author), age(now().since(it.created_at)));
        Facts(out).long(&who, Some(if it.body.is_empty() { "(no text)" } else { &it.body }))?;
    }
    for it in &detail.pending_feedback {
        let state = toned(it.state.as_str(), 0);
        Facts(out).long(&format!("pending: {} from {}, {state}", it.kind, line(&it.author)), it.body.as_deref())?;
    }
    Ok(())
}

pub fn question(question: &Question, out: &mut dyn Write) -> io::Result<()> {
    let mut facts = Facts(out);
    facts.fact("question", question.id)?;
    facts.fact("state", toned(question.status.as_str(), 0))?;
    facts.fact("session", question.session_id.map_or_else(String::new, |it| it.to_string()))?;
    facts.since("asked", Some(question.created_at))?;
    facts.fact("denied at", question.expires_at.map_or_else(String::new, |it| it.to_string()))?;
    facts.text("options", Some(&question.options.join(" | ")))?;
    facts.long("question", Some(&question.question))?;
    facts.long("context", question.context.as_deref())?;
    facts.long("answer", question.answer.as_deref())
}

pub fn workflows(rows: &[WorkflowRow], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([
        ("ID", Nothing),
        ("STATE", Nothing),
        ("STEP", Nothing),
        ("MODE", Place),
        ("TITLE", Width),
        ("AGE", Nothing),
    ]);
    for it in rows {
        let state = table.state(it.status.as_str());
        table.row(vec![
            Cell::new(it.id.short()),
            state,
            Cell::new(it.step),
            Cell::new(&it.mode),
            foreign(&it.title, TITLE),
            Cell::new(age(now().since(it.created_at))),
        ]);
    }
    table.write("no workflows; make one with `orcha workflow run`", out)
}

pub fn models(it: &ProviderModels, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Rows::new([("MODEL", Nothing), ("TOOLS", Nothing), ("ABOUT", Width)]);
    for model in &it.models {
        let tools = model.tools.map_or("", |it| if it { "yes" } else { "no" });
        table.row(vec![foreign(&model.id, TITLE), Cell::new(tools), foreign(&model.description, TITLE)]);
    }
    table.write("it has no models", out)
}

pub fn templates(rows: &[WorkflowTemplate], out: &mut dyn Write) -> io::Result<()> {
    for it in rows {
        writeln!(out, "{:<20} {}", it.id, it.description)?;
    }
    Ok(())
}

/// A workflow with what a person wants to know of it: tasks, receipts, what blocks, the delivery.
pub fn workflow(it: &Workflow, out: &mut dyn Write) -> io::Result<()> {
    let row = &it.row;
    {
        let mut facts = Facts(out);
        facts.fact("workflow", row.id)?;
        facts.text("title", Some(&row.title))?;
        facts.fact("state", format!("{}, at {}", toned(row.status.as_str(), 0), row.step))?;
        facts.text("reason", row.error_message.as_deref())?;
        facts.text("waits for", it.execution.waits_for.as_deref())?;
        facts.text("mode", Some(&row.mode))?;
        facts.text("delivery", Some(&it.delivery_action))?;
        if it.execution.qa_cycle > 0 {
            facts.fact("repairs", format!("{} of {}", it.execution.qa_cycle, it.execution.max_qa_retries))?;
        }
        facts.until("ends", it.deadline.filter(|_| row.completed_at.is_none()))?;
    }
    for rule in &it.policy {
        let from = format!("{} version {}", rule.scope, rule.version);
        writeln!(out, "  policy  {:<19} {} ({})", rule.rule, cut(&line(&said(rule)), 80), line(&from))?;
    }
    for task in &it.tasks {
        let state = toned(task.status.as_str(), 10);
        writeln!(out, "  task {:<2} {state} {}", task.number, cut(&line(&task.title), 80))?;
    }
    for run in &it.execution.validation_runs {
        let commit = run.commit_sha.as_ref().map(|it| it.short().to_string()).unwrap_or_default();
        writeln!(out, "  checks  {:<16} {commit} {}", run.phase, line(&run.summary))?;
        for step in &run.steps {
            let state = if step.passed { toned("passing", 8) } else { toned("failing", 8) };
            let code = step.exit_code.map_or_else(|| "ended".to_owned(), |it| format!("exit {it}"));
            let what = cut(&line(&format!("{}: {}", step.capability, step.tool)), 80);
            writeln!(out, "    {state} {what} ({code}, {} ms)", step.duration_ms)?;
        }
    }
    for issue in &it.blocking_issues {
        writeln!(out, "  blocks  {}", cut(&line(issue), 200))?;
    }
    if let Some(end) = &it.finalization {
        writeln!(out, "  result  {}", cut(&line(&end.summary), 400))?;
        for made in &end.delivered {
            let bytes = made.bytes.map_or_else(String::new, |it| format!(", {it} bytes"));
            let hash = made.sha256.as_deref().map_or_else(String::new, |it| format!(", sha256 {it}"));
            writeln!(out, "  {:<7} {}{bytes}{hash}", line(&made.kind), line(&made.target))?;
        }
        for link in end.links.iter().filter(|it| end.delivered.iter().all(|made| made.target != **it)) {
            writeln!(out, "  link    {}", line(link))?;
        }
        for one in &end.refiner_improvements {
            let said = |key: &str| one.get(key).and_then(|it| it.as_str()).unwrap_or_default();
            let what = format!("{} {}: {}", said("component_type"), said("component_name"), said("proposed_fix"));
            writeln!(out, "  propose {}", cut(&line(&what), 200))?;
        }
    }
    let used = &it.used;
    let tokens = used.input + used.output + used.cache_read + used.cache_write;
    let health = it.health_score.map_or_else(String::new, |it| format!(", health {it} of 100"));
    let money = if used.micro_usd > 0 { format!(", {}", text::dollars(used.micro_usd)) } else { String::new() };
    writeln!(out, "  {} tokens{money}{health}", amount(tokens))
}

pub fn workflow_event(it: &WorkflowEvent, out: &mut dyn Write) -> io::Result<()> {
    let at = it.occurred_at.to_string();
    let clock = at.get(11..19).unwrap_or(&at);
    let who = it.persona.map_or("", |it| it.as_str());
    let said = ["says", "summary", "title", "error", "question", "suggestion"];
    let said = said.iter().find_map(|key| it.payload.get(*key)?.as_str()).map(str::to_owned);
    let from_to = || {
        let of = |key: &str| it.payload.get(key).and_then(|it| it.as_str()).map(str::to_owned);
        Some(format!("{} → {}", of("from")?, of("to")?))
    };
    let said = said.or_else(from_to).or_else(|| it.reason.clone()).unwrap_or_default();
    writeln!(out, "{clock}  {:<22} {who:<16} {}", it.kind, cut(&line(&said), 200))
}

pub fn tokens(rows: &[ApiToken], out: &mut dyn Write) -> io::Result<()> {
    let columns = [("ID", Nothing), ("NAME", Width), ("TENANT", Width), ("SCOPES", Width), ("MADE", Nothing)];
    let mut table = Rows::new(columns);
    for it in rows {
        let scopes = if it.scopes.is_empty() { "all".to_owned() } else { it.scopes.join(", ") };
        table.row(vec![
            Cell::new(it.id.short()),
            foreign(&it.name, TITLE),
            foreign(&it.tenant, TITLE),
            foreign(&scopes, TITLE),
            Cell::new(it.created_at.to_string()),
        ]);
    }
    table.write("no named tokens; make one with `orcha token add`", out)
}

pub fn target(target: &Target, out: &mut dyn Write) -> io::Result<()> {
    let mut facts = Facts(out);
    facts.fact("target", target.id)?;
    facts.text("name", Some(&target.name))?;
    facts.fact("kind", target.kind)?;
    facts.fact("state", toned(target.status.as_str(), 0))?;
    facts.text("problem", target.problem.as_deref())?;
    facts.fact("free", format!("{} of {}", target.available_sessions, target.capacity_sessions))?;
    let sandboxes: Vec<&str> = target.sandboxes.iter().map(|it| it.name()).collect();
    facts.fact("sandboxes", if sandboxes.is_empty() { "none".to_owned() } else { sandboxes.join(", ") })?;
    facts.text("labels", Some(&target.labels.join(", ")))?;
    facts.text("folder", Some(&target.work_root))?;
    facts.since("seen", target.last_seen_at)
}

pub fn target_report(report: &TargetReport, out: &mut dyn Write) -> io::Result<()> {
    target(&report.target, out)?;
    Facts(out).text("error", report.error.as_deref())
}

/// What was looked at, a line each, and below a gap what to do about it.
fn checks(checks: &[DoctorCheck], out: &mut dyn Write) -> io::Result<()> {
    for it in checks {
        let mark = match it.grade {
            CheckGrade::Fine => "ok",
            CheckGrade::Gap => "gap",
            CheckGrade::Stops => "stops",
        };
        writeln!(out, "  {} {:<22} {}", toned(mark, 6), cut(&line(&it.name), 40), line(&it.detail))?;
        if let Some(advice) = &it.advice {
            writeln!(out, "         {:<22} → {}", "", line(advice))?;
        }
    }
    Ok(())
}

pub fn target_doctor(report: &TargetDoctor, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "target {}", cut(&line(&report.target), TITLE))?;
    checks(&report.checks, out)
}

pub fn doctor(report: &crate::commands::DoctorReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "client")?;
    checks(&report.client, out)?;
    if let Some(daemon) = &report.daemon {
        writeln!(out, "daemon")?;
        checks(&daemon.checks, out)?;
        daemon.targets.iter().try_for_each(|it| target_doctor(it, out))?;
    }
    let all = report.client.iter().chain(
        report
            .daemon
            .iter()
            .flat_map(|daemon| daemon.checks.iter().chain(daemon.targets.iter().flat_map(|it| &it.checks))),
    );
    let stops = all.filter(|it| it.grade == CheckGrade::Stops).count();
    match stops {
        0 => writeln!(out, "nothing stops work"),
        1 => writeln!(out, "one thing stops work"),
        n => writeln!(out, "{n} things stop work"),
    }
}

pub fn project(project: &Project, out: &mut dyn Write) -> io::Result<()> {
    let mut facts = Facts(out);
    facts.fact("project", project.id)?;
    facts.text("name", Some(&project.name))?;
    facts.fact("repository", &project.repo)?;
    facts.fact("base", project.base_branch.as_ref().map_or("(the default branch)", |it| it.as_str()))?;
    if let Some(mode) = project.permissions.mode {
        facts.fact("permissions", mode)?;
    }
    for (what, rules) in [("allowed", &project.permissions.allow), ("denied", &project.permissions.deny)] {
        for it in rules {
            let named = [("tool", &it.tool), ("command", &it.command), ("path", &it.path)];
            let said: Vec<String> =
                named.into_iter().filter_map(|(name, it)| Some(format!("{name} {}", it.as_ref()?))).collect();
            facts.text(what, Some(&said.join(", ")))?;
        }
    }
    let SandboxRules { level, strict } = &project.permissions.sandbox;
    if let Some(level) = level {
        facts.fact("sandbox", level)?;
    }
    if *strict == Some(true) {
        facts.fact("strict", "no session without a sandbox")?;
    }
    Ok(())
}

pub fn workspace(workspace: &Workspace, out: &mut dyn Write) -> io::Result<()> {
    let mut facts = Facts(out);
    facts.fact("workspace", workspace.id)?;
    facts.fact("state", toned(workspace.status.as_str(), 0))?;
    facts.text("reason", workspace.reason.as_deref())?;
    facts.fact("kind", workspace.kind)?;
    facts.fact("session", workspace.session_id.map_or_else(String::new, |it| it.to_string()))?;
    facts.text("repository", Some(&workspace.project_path))?;
    facts.fact("branch", workspace.branch_name.as_ref().map_or("", |it| it.as_str()))?;
    facts.fact("based on", workspace.base_sha.as_ref().map_or("", |it| it.short()))?;
    facts.text("folder", Some(&workspace.path))?;
    facts.text("kept because", workspace.kept_because.as_deref())?;
    facts.since("made", Some(workspace.created_at))
}

/// A workspace that was asked to go: what became of that may not be known yet.
pub fn reclaimed(asked: &Workspace, out: &mut dyn Write) -> io::Result<()> {
    workspace(asked, out)?;
    if asked.status == WorkspaceStatus::Archived || asked.kept_because.is_some() {
        return Ok(());
    }
    let id = asked.id.short();
    writeln!(out, "\nbeing looked at; `orcha workspace show {id}` tells whether it went, or why it is kept")
}

pub fn workspace_detail(detail: &WorkspaceDetail, out: &mut dyn Write) -> io::Result<()> {
    workspace(&detail.workspace, out)?;
    if detail.snapshots.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Rows::new([("SNAPSHOT", Nothing), ("AGE", Nothing), ("WHY", Width), ("COMMIT", Nothing)]);
    for it in &detail.snapshots {
        table.row(vec![Cell::new(it.number), ago(it.created_at), foreign(&it.why, 80), Cell::new(&it.sha)]);
    }
    table.write("", out)
}

pub fn restored(restored: &Restored, out: &mut dyn Write) -> io::Result<()> {
    match &restored.dir {
        Some(dir) => writeln!(out, "restored to {}", line(dir)),
        None => writeln!(out, "being restored; `orcha events -f` tells when it is there, and where"),
    }
}

pub fn steered(steered: &Steered, out: &mut dyn Write) -> io::Result<()> {
    let message = &steered.message;
    writeln!(out, "{} for session {}", toned(message.state.as_str(), 0), steered.session_id.short())
}

pub fn why(why: &Why, out: &mut dyn Write) -> io::Result<()> {
    let mut facts = Facts(out);
    facts.fact(&why.noun, &why.id)?;
    facts.fact("state", toned(&line(&why.state), 0))?;
    facts.text("because", Some(&why.reason))?;
    facts.fact("since", format!("{} ago ({})", age(now().since(why.since)), why.since))?;
    facts.text("way out", Some(&why.way_out))
}

pub fn health(health: &Health, out: &mut dyn Write) -> io::Result<()> {
    let mut facts = Facts(out);
    facts.fact("status", toned(health.status.as_str(), 0))?;
    facts.fact("version", format!("{} ({})", health.version, health.build))?;
    facts.fact("process", health.pid)?;
    facts.fact("running for", age(health.time.since(health.started)))?;
    facts.fact("objectives", health.active_objectives)?;
    facts.fact("sessions", health.running_sessions)?;
    facts.fact("questions", health.open_questions)?;
    facts.fact("effects", health.pending_effects)
}

/// One entry of a transcript: when, who, and what.
pub fn entry(entry: &TranscriptEntry, out: &mut dyn Write) -> io::Result<()> {
    let dim = anstyle::Style::new().dimmed();
    let who = match entry.kind {
        MessageKind::Text => entry.source.as_str(),
        MessageKind::Usage => return Ok(()),
        kind => kind.as_str(),
    };
    let clock = clock(entry.created_at);
    let text = match entry.kind {
        MessageKind::ToolCall | MessageKind::ToolResult | MessageKind::Status => cut(&line(&entry.content), 400),
        _ => block(&entry.content),
    };
    let mut lines = text.lines();
    writeln!(out, "{dim}{clock}{dim:#}  {who:<12} {}", lines.next().unwrap_or_default())?;
    lines.try_for_each(|it| writeln!(out, "{:<22} {it}", ""))
}

pub fn event(event: &Event, out: &mut dyn Write) -> io::Result<()> {
    let dim = anstyle::Style::new().dimmed();
    let who = event.session_id.map(|it| it.short()).or(event.objective_id.map(|it| it.short())).unwrap_or_default();
    let (clock, summary) = (clock(event.created_at), cut(&line(&event.summary), 400));
    writeln!(out, "{dim}{:>6} {clock}{dim:#}  {who:<8}  {:<22} {summary}", event.id, line(&event.kind))
}

fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(11..19).unwrap_or(&text).to_owned()
}
