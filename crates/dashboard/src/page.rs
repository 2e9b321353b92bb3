//! Pages and their parts. The same functions render a part alone and within its page.
//!
//! Pure: rows in, markup out. Instants are written as they are; the script in the page turns them into ages. All
//! text of people, agents and repositories is only ever text.

use crate::assets;
use crate::board::{Board, Detail, EACH, Names, OF_ONE};
use crate::health::chart;
use crate::text::{Cut, count, cut, is_web, short_repo, span, tone, words};
use crate::{Places, QUESTIONS};
use axum::http::StatusCode;
use maud::{DOCTYPE, Markup, html};
use orcha_api::session_reason;
use orcha_base::Timestamp;
use orcha_model::finished::Run;
use orcha_model::{PullRequest, Question, objective};
use orcha_store::{ObjectiveRow, Overview, SessionRow};
use orcha_wire::routes;

/// How many characters of a long text a page shows.
const LONG: usize = 4_000;

/// The first page: figures, questions, objectives, how workflows went.
pub(crate) fn first(overview: &Overview, open: &[Question], board: &Board, runs: &[Run], places: &Places) -> Markup {
    let main = html! {
        (questions(open, &board.names))
        (objectives(board, places))
        (chart(runs))
    };
    document("orcha", overview, &main)
}

/// The page of one objective.
pub(crate) fn one(overview: &Overview, of: &Detail) -> Markup {
    let title = cut(&of.row.title, 80).shown;
    document(&format!("{title} · orcha"), overview, &detail(of))
}

/// Says why there is no page.
pub(crate) fn problem(status: StatusCode, why: &str) -> Markup {
    let main = html! {
        section.panel {
            h2 { "Not shown" }
            p { (status.as_u16()) ": " (why) "." }
            p { a href="/" { "To the first page" } }
        }
    };
    shell("orcha", None, &html! { header.top { (brand()) } main { (main) } })
}

fn document(title: &str, overview: &Overview, main: &Markup) -> Markup {
    let body = html! {
        a.skip href="#main" { "Skip to the content" }
        header.top {
            (brand())
            (summary(overview))
            span.link #link role="status" data-state="still" { "not live" }
        }
        noscript {
            p.note { "Without scripts this page is not live, and questions are answered by " code { "orcha answer" } "." }
        }
        main #main tabindex="-1" { (main) }
    };
    shell(title, Some(overview.journal_end), &body)
}

fn brand() -> Markup {
    html! { h1.brand { a href="/" { span.mark aria-hidden="true" {} "orcha" } } }
}

fn shell(title: &str, after: Option<i64>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href=(assets::ICON.address());
                link rel="stylesheet" href=(assets::STYLE.address());
                @if after.is_some() {
                    script type="module" src=(assets::SCRIPT.address()) {}
                }
            }
            body data-stream=[after.map(|_| routes::STREAM.path)] data-after=[after] { (body) }
        }
    }
}

/// The figures.
pub(crate) fn summary(of: &Overview) -> Markup {
    let figure = |n: u32, what: &str, tone: &str| {
        html! { div.figure data-tone=[(n > 0).then_some(tone)] { dd { (n) } dt { (what) } } }
    };
    html! {
        dl.summary #summary data-fragment="/fragments/summary" data-needs=(of.open_questions) {
            (figure(of.active_objectives, "active", "good"))
            (figure(of.running_sessions, "running", "good"))
            (figure(of.open_pull_requests, "open PRs", "done"))
            (figure(of.open_questions, "need you", "you"))
        }
    }
}

/// Open questions, each with its answer box.
pub(crate) fn questions(open: &[Question], names: &Names) -> Markup {
    html! {
        section #questions data-fragment="/fragments/questions" aria-label="Open questions" {
            @if !open.is_empty() {
                h2 { "Needs you" }
                @for it in open { (question(it, names)) }
                @if open.len() >= QUESTIONS as usize {
                    p.note { "The most urgent " (QUESTIONS) " are shown." }
                }
            }
        }
    }
}

fn question(it: &Question, names: &Names) -> Markup {
    let (id, short) = (it.id.to_string(), it.id.short());
    let asker = it.session.map(|id| names.sessions.get(&id).cloned().unwrap_or_else(|| id.short()));
    let objective = names.objectives.get(&it.objective).cloned().unwrap_or_else(|| it.objective.short());
    html! {
        article.panel.question id={ "q-" (id) } aria-labelledby={ "t-" (short) } {
            p.asked.text id={ "t-" (short) } { (cut_to(&it.text, LONG)) }
            @if let Some(context) = it.context.as_deref().filter(|it| !it.trim().is_empty()) {
                p.context.text { (cut_to(context, LONG)) }
            }
            p.meta {
                @if let Some(asker) = asker { span.text { (cut_to(&asker, 80)) } " in " }
                a.text href={ "/objectives/" (it.objective) } { (cut_to(&objective, 80)) }
                " · " (age(it.created_at))
            }
            form.answer method="post" action=(routes::ANSWER_QUESTION.at(&it.id.into())) {
                @if !it.options.is_empty() {
                    div.options role="group" aria-label="Suggested answers" {
                        @for option in it.options.iter().take(12) {
                            // The value is the whole option, however little of it is shown.
                            button type="submit" name="answer" value=(option) { (cut_to(option, 120)) }
                        }
                    }
                }
                label.unseen for={ "a-" (short) } { "Your answer" }
                textarea id={ "a-" (short) } name="text" rows="2" maxlength="16000"
                    placeholder=(if it.options.is_empty() { "Your answer" } else { "Or in your own words" }) {}
                div.send {
                    span.hint { "Ctrl + Enter sends" }
                    button.main type="submit" { "Answer" }
                }
                p.problem role="alert" {}
            }
        }
    }
}

/// What is going on, and what has ended.
pub(crate) fn objectives(board: &Board, places: &Places) -> Markup {
    let place = |after: Option<String>, ended: Option<String>| {
        let parts = [("after", after), ("ended", ended)];
        let parts: Vec<String> = parts.into_iter().filter_map(|(name, it)| Some(format!("{name}={}", it?))).collect();
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    };
    let (after, ended) =
        (places.after.as_ref().map(ToString::to_string), places.ended.as_ref().map(ToString::to_string));
    let here = place(after.clone(), ended.clone());
    html! {
        section #objectives data-fragment={ "/fragments/objectives" (here) } aria-label="Objectives" {
            h2 { "Objectives" }
            @if after.is_some() {
                p.note { a href="/" { "To the newest" } }
            }
            @for it in &board.live { (live(it, board)) }
            @if board.live.is_empty() {
                p.empty { "Nothing is going on. Start something: " code { "orcha run \"…\" --repo PATH" } }
            }
            @if let Some(next) = &board.more {
                p.note { a href={ "/" (place(Some(next.to_string()), ended.clone())) } { "More objectives" } }
            }
            @if !board.ended.is_empty() || board.older.is_some() {
                details #ended open[ended.is_some() || board.live.is_empty()] {
                    summary {
                        "Ended"
                        @if !board.ended.is_empty() {
                            span.number { (board.ended.len()) @if board.older.is_some() { "+" } }
                        }
                    }
                    ul.ended {
                        @for it in &board.ended { (over(it)) }
                    }
                    @if let Some(next) = &board.older {
                        p.note { a href={ "/" (place(after.clone(), Some(next.to_string()))) } { "Older ones" } }
                    }
                }
            }
        }
    }
}

/// The one objective of a board.
pub(crate) fn of_board(board: &Board) -> Markup {
    html! { @for it in &board.live { (live(it, board)) } }
}

fn live(it: &ObjectiveRow, board: &Board) -> Markup {
    let sessions = board.sessions.get(&it.id).map_or(&[][..], Vec::as_slice);
    let pull_requests = board.pull_requests.get(&it.id).map_or(&[][..], Vec::as_slice);
    // The list is sorted by age and holds one more than is shown: the oldest ones are left out.
    let shown = &sessions[sessions.len().saturating_sub(EACH as usize)..];
    let shown_prs = &pull_requests[pull_requests.len().saturating_sub(EACH as usize)..];
    let left_out = shown.len() < sessions.len() || shown_prs.len() < pull_requests.len();
    html! {
        article.panel.objective id={ "o-" (it.id) } data-fragment={ "/fragments/objective/" (it.id) } {
            (head(it))
            (pull_request_list(shown_prs))
            (session_table(shown, &board.names))
            @if left_out {
                p.note { a href={ "/objectives/" (it.id) } { "All sessions and pull requests" } }
            }
        }
    }
}

fn head(it: &ObjectiveRow) -> Markup {
    html! {
        header.head {
            (pill(&it.state))
            @if it.needs_user() && it.state != "waiting_user" { (pill("waiting_user")) }
            h3.text { a href={ "/objectives/" (it.id) } { (cut_to(&it.title, 120)) } }
            span.meta {
                @if let Some(repo) = &it.repo { span.chip.text title=(repo) { (short_repo(repo)) } }
                @if it.priority != 0 { span.chip { "priority " (it.priority) } }
                (age(it.created_at))
            }
        }
    }
}

fn over(it: &ObjectiveRow) -> Markup {
    html! {
        li id={ "o-" (it.id) } {
            (pill(&it.state))
            a.text href={ "/objectives/" (it.id) } { (cut_to(&it.title, 120)) }
            span.meta {
                @if let Some(repo) = &it.repo { span.chip.text title=(repo) { (short_repo(repo)) } }
                (figure_of(it.pull_requests, "PR"))
                (age(it.updated_at))
            }
        }
    }
}

fn figure_of(n: u32, what: &str) -> Markup {
    html! { @if n > 0 { span { (n) " " (what) @if n > 1 { "s" } } } }
}

fn session_table(sessions: &[SessionRow], names: &Names) -> Markup {
    html! {
        @if sessions.is_empty() {
            p.empty { "No session yet." }
        } @else {
            (rows(sessions, names))
        }
    }
}

/// Sessions as a table.
pub(crate) fn rows(sessions: &[SessionRow], names: &Names) -> Markup {
    html! {
        table.sessions {
            thead { tr {
                th scope="col" { "State" }
                th scope="col" { "Session" }
                th scope="col" { "Activity" }
                th scope="col" { "Target" }
                th scope="col" { "Age" }
                th.right scope="col" { "Tokens" }
            } }
            tbody { @for it in sessions { (session(it, names)) } }
        }
    }
}

fn session(it: &SessionRow, names: &Names) -> Markup {
    let target = it.target.map(|id| names.targets.get(&id).cloned().unwrap_or_else(|| id.short()));
    let began = it.started_at.unwrap_or(it.created_at);
    html! {
        tr id={ "s-" (it.id) } data-state=(it.state) {
            td.state { (pill(&it.state)) }
            td.who {
                span.role { (words(it.role.name())) }
                @if it.attempt.0 > 1 { span.chip title="How often it was started" { "try " (it.attempt) } }
                span.title.text { (cut_to(&it.title, 100)) }
            }
            td.does.text {
                // What it waits for says more than what it did last.
                @if let Some(what) = session_reason(&it.stands).or_else(|| it.activity.clone()) { (cut_to(&what, 140)) }
            }
            td.where.text { @if let Some(target) = &target { (cut_to(target, 40)) } }
            td.age {
                @match it.completed_at {
                    Some(end) => span title={ "ended " (end) } { (span(end.since(began))) },
                    None => (age(began)),
                }
            }
            td.tokens.right { span title={ (it.tokens) " tokens" } { (count(it.tokens)) } }
        }
    }
}

fn pull_request_list(pull_requests: &[PullRequest]) -> Markup {
    html! {
        @if !pull_requests.is_empty() {
            ul.prs { @for it in pull_requests { (pull_request(it)) } }
        }
    }
}

fn pull_request(it: &PullRequest) -> Markup {
    let (checks, review) = (it.checks.to_string(), it.review.to_string());
    let name = html! {
        @if let Some(number) = it.number { span.number { "#" (number) } " " }
        (cut_to(&it.title, 100))
    };
    html! {
        li id={ "p-" (it.id) } {
            (pill(it.state.name()))
            @match it.url.as_deref() {
                Some(url) if is_web(url) => a.text href=(url) rel="noopener noreferrer" target="_blank" { (name) },
                Some(url) => span.text title=(url) { (name) },
                None => span.text { (name) },
            }
            span.meta {
                @if checks != "unknown" { (labelled("checks", &checks)) }
                @if review != "none" { (labelled("review", &review)) }
                span.branch.text { (cut_to(it.branch.as_str(), 60)) " → " (cut_to(it.base.as_str(), 40)) }
            }
        }
    }
}

/// One objective with everything around it.
pub(crate) fn detail(of: &Detail) -> Markup {
    let it = &of.row;
    let outcome = match &of.objective.state {
        objective::State::Succeeded => of.objective.summary.as_deref(),
        objective::State::Failed { reason } | objective::State::Canceled { reason } => Some(reason.as_str()),
        objective::State::Active | objective::State::WaitingUser | objective::State::Paused => None,
    };
    let tokens = of.objective.used.tokens();
    html! {
        div id={ "o-" (it.id) } data-fragment={ "/fragments/detail/" (it.id) } {
            p.note { a href="/" { "← All objectives" } }
            (questions_of_one(of))
            article.panel.objective {
                (head(it))
                @if let Some(outcome) = outcome { p.outcome.text { (cut_to(outcome, LONG)) } }
                details #wish {
                    summary { "What was asked for" }
                    p.context.text { (cut_to(&of.objective.prompt, LONG)) }
                }
                @if tokens > 0 { p.meta { (count(tokens)) " tokens in all" } }
                (pull_request_list(&of.pull_requests))
                (session_table(&of.sessions, &of.names))
                @if of.sessions.len() >= OF_ONE as usize { p.note { "The last " (OF_ONE) " sessions are shown." } }
            }
            @if !of.artifacts.is_empty() {
                section aria-label="Results" {
                    h2 { "Results" }
                    @for it in &of.artifacts {
                        details.panel id={ "r-" (it.id) } {
                            summary { span.chip { (words(<&str>::from(it.kind))) } " " span.text { (cut_to(&it.title, 120)) } }
                            p.context.text { (cut_to(&it.summary, LONG)) }
                        }
                    }
                }
            }
        }
    }
}

fn questions_of_one(of: &Detail) -> Markup {
    html! { @for it in &of.questions { (question(it, &of.names)) } }
}

fn pill(state: &str) -> Markup {
    html! { span.pill data-tone=(tone(state)) data-state=(state) { (words(state)) } }
}

fn labelled(what: &str, state: &str) -> Markup {
    html! { span.pill data-tone=(tone(state)) data-state=(state) { (what) " " (words(state)) } }
}

/// An instant that the script turns into an age.
fn age(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at) } }
}

fn cut_to(text: &str, limit: usize) -> Markup {
    match cut(text, limit) {
        Cut { shown, title: None } => html! { (shown) },
        Cut { shown, title: Some(title) } => html! { span title=(title) { (shown) } },
    }
}
