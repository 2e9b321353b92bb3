//! A request of an agent becomes a question, in the turn in which it is heard.

use super::{NewQuestion, Turn, unknown};
use orcha_base::{Attempt, SessionId};
use orcha_model::permission::OPTIONS;
use orcha_model::session::{self, Asked, Asking};
use orcha_model::{Refusal, Session, question};

/// How urgent it is: a turn stands still for it.
const PRIORITY: i32 = 15;
/// How much of what an agent would do is shown, in characters; the whole of it is kept.
const SHOWN: usize = 8000;

impl Turn<'_, '_, '_> {
    /// Lets the session judge what its agent asks; where it has no verdict, a person is asked.
    pub(super) fn permission_asked(
        &mut self,
        id: SessionId,
        attempt: Attempt,
        asked: Box<Asked>,
    ) -> Result<(), Refusal> {
        let before = self.world.sessions.get(&id).ok_or_else(|| unknown("session", id))?.asked;
        let (wish, input) = (asked.wish.clone(), asked.input.clone());
        self.session(id, session::Input::PermissionAsked { attempt, asked })?;
        let Some(it) = self.world.sessions.get(&id).filter(|it| it.asked != before) else { return Ok(()) };
        let Some(asking) = it.asks.iter().find(|asking| asking.number == it.asked) else { return Ok(()) };
        let request = question::Request { attempt, number: asking.number, wish, input, until: asking.until };
        let new = question(it, asking, request);
        self.new_question(new)
    }
}

fn question(session: &Session, asking: &Asking, request: question::Request) -> NewQuestion {
    let what = match &request.wish.command {
        Some(command) => command.clone(),
        None if request.input.trim() == "{}" => String::new(),
        None => request.input.clone(),
    };
    let shown: String = what.chars().take(SHOWN).collect();
    let more = if shown.len() < what.len() { "\n(there is more of it)" } else { "" };
    let grant = request.wish.grant();
    let context = format!(
        "{shown}{more}\n\nFor this session would allow {grant}; `allow for this session: WORDS` allows plain commands that begin \
         with these words instead. Its turn stands still until then. Without an answer it is denied at {}.",
        asking.until
    );
    NewQuestion {
        session: Some(session.id),
        cause: format!("permission:{}:{}", session.id, asking.number),
        about: question::About::Permission(Box::new(request)),
        priority: PRIORITY,
        text: format!("{} asks whether it may use {}", session.title, asking.line),
        context: Some(context.trim_start().to_owned()),
        options: OPTIONS.map(str::to_owned).to_vec(),
    }
}
