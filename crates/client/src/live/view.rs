//! What the live view says, as text. Pure: the same objective at the same instant is the same lines.

use super::screen::Size;
use super::{Outcome, title};
use crate::text::{age, amount, cut, dollars, line, tone, toned};
use anstyle::Style;
use orcha_base::Timestamp;
use orcha_wire::{Event, ObjectiveDetail, ObjectiveStatus, PullRequest, Question, QuestionStatus, SessionRow};
use std::io::Write;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const ATTENTION: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(anstyle::AnsiColor::BrightYellow)));

/// Lines that are narrower than this leave the ids out.
const ROOMY: usize = 64;

/// Lines up the whole objective in the room that there is; ended sessions give way before living ones.
pub(super) fn lines(detail: &ObjectiveDetail, now: Timestamp, size: Size) -> Vec<String> {
    let Size { height, width } = size;
    let objective = &detail.objective;
    let until = objective.completed_at.unwrap_or(now);
    let (state, age) = (objective.status.as_str(), age(until.since(objective.created_at)));
    let room = width.saturating_sub(state.len() + age.len() + 4).clamp(8, 60);
    let mut lines =
        vec![format!("{BOLD}{}{BOLD:#}  {}  {DIM}{age}{DIM:#}", title(&objective.title, room), toned(state, 0),)];
    let open: Vec<&Question> = detail.questions.iter().filter(|it| it.status == QuestionStatus::Open).collect();
    let reserved = 1 + open.len() * 2 + detail.pull_requests.len();
    let room = height.saturating_sub(reserved).max(3);
    let (kept, hidden) = most_interesting(&detail.sessions, room);
    lines.extend(kept.into_iter().map(|it| session(it, now, width)));
    if hidden > 0 {
        lines.push(format!("  {DIM}… and {hidden} more that ended{DIM:#}"));
    }
    lines.extend(detail.pull_requests.iter().map(|it| pull_request(it, width)));
    for it in open {
        lines.extend(question_lines(it));
    }
    lines.truncate(height.max(4));
    lines
}

/// Chooses the sessions for a room, in their order: ended ones give way first, the oldest before the newest.
fn most_interesting(sessions: &[SessionRow], room: usize) -> (Vec<&SessionRow>, usize) {
    let surplus = sessions.len().saturating_sub(room);
    // A line is needed to say how many are missing.
    let mut to_hide = if surplus == 0 { 0 } else { surplus + 1 };
    let mut hidden = 0;
    let mut kept = Vec::with_capacity(room);
    for session in sessions {
        if to_hide > 0 && session.status.is_over() {
            to_hide -= 1;
            hidden += 1;
        } else {
            kept.push(session);
        }
    }
    (kept, hidden)
}

pub(super) fn session(session: &SessionRow, now: Timestamp, width: usize) -> String {
    let since = if session.status.is_over() {
        let end = session.completed_at.unwrap_or(session.updated_at);
        end.since(session.started_at.unwrap_or(session.created_at))
    } else {
        now.since(session.started_at.unwrap_or(session.created_at))
    };
    let state = match (session.phase, session.turn) {
        (Some(phase), _) => phase.as_str(),
        (None, Some(orcha_wire::Turn::Idle)) => "idle",
        (None, Some(orcha_wire::Turn::Held)) => "held by a person",
        _ => session.status.as_str(),
    };
    let tone = tone(session.status.as_str());
    let doing = match (&session.reason, &session.current_activity) {
        (Some(reason), _) => line(reason),
        (None, Some(activity)) if !session.status.is_over() => line(activity),
        _ => String::new(),
    };
    let name = title(&session.title, 36);
    let doing = if doing.is_empty() { doing } else { format!(" – {doing}") };
    row(session.role.as_str(), &session.id.short(), (tone, state), &age(since), &format!("{name}{doing}"), width)
}

/// One line: what it is, which, its state, its age or number, and the rest, cut where the line ends.
fn row(what: &str, id: &str, (tone, state): (Style, &str), mark: &str, rest: &str, width: usize) -> String {
    let (head, taken) = if width < ROOMY {
        (format!("  {what:<11} {tone}{state:<9}{tone:#} {mark:>4}  "), 21 + state.len().max(9) + mark.len().max(4) - 4)
    } else {
        (format!("  {what:<12} {DIM}{id}{DIM:#} {tone}{state:<16}{tone:#} {mark:>4}  "), 47)
    };
    format!("{head}{}", cut(rest, width.saturating_sub(taken)))
}

fn pull_request(pr: &PullRequest, width: usize) -> String {
    let number = if pr.number == 0 { "#…".to_owned() } else { format!("#{}", pr.number) };
    let mut marks = String::new();
    if pr.checks_state != orcha_wire::ChecksState::Unknown {
        marks.push_str(&format!("  checks {}", pr.checks_state));
    }
    if pr.review_state != orcha_wire::ReviewState::None {
        marks.push_str(&format!("  {}", pr.review_state));
    }
    let what = if width < ROOMY { "pr" } else { "pull request" };
    let state = (tone(pr.status.as_str()), pr.status.as_str());
    row(what, &pr.id.short(), state, &number, &format!("{}{marks}", title(&pr.title, 48)), width)
}

fn question_lines(question: &Question) -> [String; 2] {
    let options = if question.options.is_empty() {
        String::new()
    } else {
        format!("  ({})", question.options.iter().map(|it| line(it)).collect::<Vec<_>>().join(" | "))
    };
    let id = question.id.short();
    [
        format!("{ATTENTION}? {}{ATTENTION:#}{options}", cut(&line(&question.question), 400)),
        format!("  answer with: orcha answer {id} TEXT"),
    ]
}

pub(super) fn question(question: &Question, out: &mut dyn Write) -> std::io::Result<()> {
    for it in question_lines(question) {
        writeln!(out, "{it}")?;
    }
    match &question.context {
        Some(context) => writeln!(out, "  {DIM}{}{DIM:#}", cut(&line(context), 400)),
        None => Ok(()),
    }
}

/// Tells whether a kind of event is worth a line: a state changed, or a person should know.
pub(super) fn is_news(kind: &str) -> bool {
    let chatter = [
        "session_turn_ended",
        "message_queued",
        "message_sent",
        "message_acknowledged",
        "stale_fact_ignored",
        "effect_retrying",
        "workspace_snapshot",
        "workspace_reclaimed",
        "workspace_kept",
        "pr_observed",
        "pr_publishing",
    ];
    !chatter.contains(&kind)
}

/// One journal line: when, who, what.
pub(super) fn event(event: &Event, sessions: &[SessionRow]) -> String {
    let at = event.created_at.to_string();
    let clock = at.get(11..19).unwrap_or(&at);
    let who = event.session_id.map_or_else(String::new, |id| {
        let role = sessions.iter().find(|it| it.id == id).map_or("session", |it| it.role.as_str());
        format!("{role} {}", id.short())
    });
    format!("{DIM}{clock}{DIM:#}  {who:<20}  {}", cut(&line(&event.summary), 400))
}

/// A summary stays and may be read again: a line ends where its text does.
const WHOLE: usize = 500;

pub(super) fn summary(outcome: &Outcome, out: &mut dyn Write) -> std::io::Result<()> {
    let objective = &outcome.objective;
    let state = toned(objective.status.as_str(), 0);
    writeln!(out, "{BOLD}{}{BOLD:#}: {state} after {:.1} s", title(&objective.title, 80), outcome.took_secs)?;
    if let Some(text) = objective.summary.as_deref().or(objective.reason.as_deref()) {
        writeln!(out, "  {}", cut(&line(text), 400))?;
    }
    for it in &outcome.sessions {
        writeln!(out, "{}", session(it, objective.updated_at, WHOLE))?;
    }
    for pr in &outcome.pull_requests {
        writeln!(out, "{}", pull_request(pr, WHOLE))?;
    }
    let tokens = outcome.usage.total_tokens;
    if tokens > 0 {
        let money = outcome.usage.used.micro_usd;
        let money = if money > 0 { format!(", {}", dollars(money)) } else { String::new() };
        writeln!(out, "  {} tokens{money}", amount(tokens))?;
    }
    if objective.status == ObjectiveStatus::Failed {
        writeln!(out, "  try again with: orcha retry {}", objective.id.short())?;
    }
    Ok(())
}

#[cfg(all(test, feature = "fake"))]
mod tests {
    use super::*;
    use crate::fake::sample;
    use expect_test::expect;
    use orcha_wire::{PullRequestStatus, SessionStatus};

    fn plain(detail: &ObjectiveDetail, height: usize) -> String {
        sized(detail, Size { height, width: 120 })
    }

    fn sized(detail: &ObjectiveDetail, size: Size) -> String {
        let Size { height, width } = size;
        let lines = lines(detail, sample::at(70), size);
        for line in lines.iter().map(|it| anstream::adapter::strip_str(it).to_string()) {
            let is_question = line.starts_with('?') || line.contains("orcha answer");
            assert!(is_question || line.chars().count() <= width, "{width} is not enough for: {line}");
        }
        assert!(lines.len() <= height, "{} lines for a height of {height}", lines.len());
        anstream::adapter::strip_str(&lines.join("\n")).to_string()
    }

    #[test]
    fn one_line_per_session_with_role_state_age_and_activity() {
        use SessionStatus::{Running, Starting, Succeeded, WaitingCapacity};
        let rows = [Running, Succeeded, Starting, WaitingCapacity].into_iter().zip(1..);
        let mut rows: Vec<_> = rows.map(|(status, number)| sample::session_row(number, status)).collect();
        rows[0].turn = Some(orcha_wire::Turn::Idle);
        rows[3].reason = Some("no target takes it:\n\x1b[31mlocal is full".into());
        let mut detail = sample::detail(ObjectiveStatus::WaitingUser, rows);
        detail.pull_requests.push(sample::pull_request(PullRequestStatus::Open));
        detail.questions.push(sample::question(QuestionStatus::Open));
        detail.questions.push(sample::question(QuestionStatus::Delivered));
        expect![[r#"
            Add an about page  waiting_user  1m
              manager      bbbb0001 idle               1m  Session 1 – edits about.html
              implementer  bbbb0002 succeeded         28s  Session 2
              implementer  bbbb0003 preparing          1m  Session 3 – edits about.html
              implementer  bbbb0004 waiting_capacity   1m  Session 4 – no target takes it: [31mlocal is full
              pull request dddd0001 open               #1  About page  checks passing  approved
            ? Which colour?[2J  (red | blue)
              answer with: orcha answer eeee0001 TEXT"#]]
        .assert_eq(&plain(&detail, 20));
    }

    #[test]
    fn a_narrow_terminal_shows_role_state_age_and_activity_too() {
        use SessionStatus::{Running, Starting, WaitingCapacity};
        let rows = [Running, Starting, WaitingCapacity].into_iter().zip(1..);
        let rows = rows.map(|(status, number)| sample::session_row(number, status)).collect();
        let mut detail = sample::detail(ObjectiveStatus::Active, rows);
        detail.objective.title = "Add an about page and link it from everywhere".into();
        detail.pull_requests.push(sample::pull_request(PullRequestStatus::Open));
        expect![[r#"
            Add an about page and link it from ev…  active  1m
              manager     running     1m  Session 1 – edits a…
              implementer preparing   1m  Session 2 – edits a…
              implementer waiting_capacity   1m  Session 3 – …
              pr          open        #1  About page  checks …"#]]
        .assert_eq(&sized(&detail, Size { height: 20, width: 50 }));
    }

    #[test]
    fn what_lives_stays_on_a_small_screen() {
        let rows = (1..=30).map(|number| {
            let lives = number == 1 || number == 5;
            sample::session_row(number, if lives { SessionStatus::Running } else { SessionStatus::Succeeded })
        });
        let detail = sample::detail(ObjectiveStatus::Active, rows.collect());
        let text = plain(&detail, 8);
        for kept in ["Session 1 ", "Session 5 ", "Session 30", "… and 24 more that ended"] {
            assert!(text.contains(kept), "{kept} is missing:\n{text}");
        }
    }
}
