//! Finds what an agent names, in its own objective and nowhere else.
//!
//! Agents see long ids, short ids and the numbers of a code host; each is understood. What is not found is answered
//! with what there is.

use super::arguments::PrRef;
use super::schema::shown;
use orcha_model::{PullRequest, Role, Session};
use orcha_plan::World;

/// How many alternatives an answer lists.
const LISTED: usize = 20;

/// Finds a session by its id or its short id.
pub(super) fn session<'w>(world: &'w World, name: &str) -> Result<&'w Session, String> {
    let name = name.trim();
    let found: Vec<&Session> = match name.parse() {
        Ok(id) => world.sessions.get(&id).into_iter().collect(),
        Err(_) => world.sessions.values().filter(|it| it.id.short().eq_ignore_ascii_case(name)).collect(),
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let workers: Vec<&Session> = world.sessions.values().filter(|it| it.role != Role::Manager).collect();
            let there =
                list(&workers, |it| format!("{} ({}, {}, \"{}\")", it.id, it.role, it.state.name(), shown(&it.title)));
            Err(format!("there is no session `{}` in this objective; {there}", shown(name)))
        }
        many => Err(format!("`{}` names several sessions; {}", shown(name), list(many, |it| it.id.to_string()))),
    }
}

/// Finds a pull request by its id, its short id or its number; of several with a number, the one that is open.
pub(super) fn pull_request<'w>(world: &'w World, name: &PrRef) -> Result<&'w PullRequest, String> {
    let name = match name {
        PrRef::Number(number) => number.to_string(),
        PrRef::Text(text) => text.trim().trim_start_matches('#').to_owned(),
    };
    let all = || world.pull_requests.values();
    let found: Vec<&PullRequest> = match (name.parse(), name.parse::<u64>()) {
        (Ok(id), _) => world.pull_requests.get(&id).into_iter().collect(),
        (Err(_), number) => {
            let numbered: Vec<&PullRequest> =
                number.map(|number| all().filter(|it| it.number == Some(number)).collect()).unwrap_or_default();
            let open: Vec<&PullRequest> = numbered.iter().copied().filter(|it| it.state.is_live()).collect();
            if !open.is_empty() {
                open
            } else if !numbered.is_empty() {
                numbered
            } else {
                all().filter(|it| it.id.short().eq_ignore_ascii_case(&name)).collect()
            }
        }
    };
    let described =
        |it: &&PullRequest| format!("{} (id {}, {}, \"{}\")", it.label(), it.id, it.state.name(), shown(&it.title));
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let there = list(&all().collect::<Vec<_>>(), |it| described(&it));
            Err(format!("there is no pull request `{}` in this objective; {there}", shown(&name)))
        }
        many => Err(format!("`{}` names several pull requests; {}", shown(&name), list(many, |it| described(&it)))),
    }
}

/// Says what there is: the newest first, as many as help.
fn list<N: Copy>(nouns: &[N], describe: impl Fn(N) -> String) -> String {
    if nouns.is_empty() {
        return "there are none yet".to_owned();
    }
    let some: Vec<String> = nouns.iter().rev().take(LISTED).map(|it| describe(*it)).collect();
    let more = nouns.len().saturating_sub(LISTED);
    let more = if more == 0 { String::new() } else { format!(", and {more} older ones") };
    format!("there are: {}{more}", some.join(", "))
}
