//! The live view of one objective: from wherever it stands to its end.
//!
//! Events wake it; what is shown is read from the API, at most ten times a second, and not at all while nothing
//! happens. It decides nothing, and it may be left at any time: the objective goes on.

mod screen;
mod view;

use crate::{Client, ClientError, Link, News, text};
use futures::StreamExt;
use orcha_base::{ObjectiveId, QuestionId, Timestamp};
use orcha_wire::{
    Activity, Event, IdRef, ListEvents, Objective, ObjectiveDetail, ObjectiveStatus, ObjectiveUsage, PullRequest,
    QuestionStatus, SessionRow, StreamEvents,
};
use screen::Screen;
use serde::Serialize;
use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// One line per session, redrawn in place on the terminal of the standard error stream.
    Live,
    /// One line per thing that happened.
    Plain,
    /// One JSON document per event.
    Json,
}

impl Output {
    /// Chooses what suits a person: live if both output streams are a terminal that can redraw, plain lines otherwise.
    pub fn for_people() -> Self {
        let redraws = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        if redraws && terminal { Self::Live } else { Self::Plain }
    }
}

/// A run that could not be followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The daemon did not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nobody reads any more.
    #[error("the output could not be written")]
    Write(#[from] std::io::Error),
}

/// How an objective ended. As JSON it is the summary: the last document of a run, told apart by its `type`.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Always `summary`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The objective.
    pub objective: Objective,
    /// Its sessions, oldest first.
    pub sessions: Vec<SessionRow>,
    /// Its pull requests, oldest first.
    pub pull_requests: Vec<PullRequest>,
    /// What it used.
    pub usage: ObjectiveUsage,
    /// Seconds from its making to its end.
    pub took_secs: f64,
}

impl Outcome {
    /// Tells whether the objective succeeded.
    pub fn succeeded(&self) -> bool {
        self.objective.status == ObjectiveStatus::Succeeded
    }

    /// Writes the summary: for people, or as one line of JSON.
    pub fn write(&self, output: Output, out: &mut dyn Write) -> std::io::Result<()> {
        match output {
            Output::Json => writeln!(out, "{}", serde_json::to_string(self)?),
            Output::Live | Output::Plain => view::summary(self, out),
        }
    }

    fn new(detail: ObjectiveDetail) -> Self {
        let ObjectiveDetail { objective, sessions, pull_requests, usage, .. } = detail;
        let end = objective.completed_at.unwrap_or(objective.updated_at);
        let took_secs = end.since(objective.created_at).as_secs_f64();
        Self { kind: "summary", objective, sessions, pull_requests, usage, took_secs }
    }
}

/// The shortest time between two looks at the objective.
const LOOK: Duration = Duration::from_millis(100);
/// Ages move in whole seconds.
const TICK: Duration = Duration::from_secs(1);

/// Shows an objective until it has ended, and returns how.
///
/// Everything that happened to it before is shown too, except on the live screen, which shows what is. `out` gets
/// plain lines or JSON; hand in an `anstream` stream where styles should be dropped. The summary is not written:
/// see [`Outcome::write`].
pub async fn follow(
    client: &Client,
    objective: ObjectiveId,
    output: Output,
    out: &mut (dyn Write + Send),
) -> Result<Outcome, FollowError> {
    let id = IdRef::from(objective);
    let mut shown = Shown::new(output, out);
    let mut detail = client.objective(id.clone()).await?;
    shown.look(&detail)?;

    let query = StreamEvents { after: Some(0), objective_id: Some(id.clone()) };
    let mut news = client.follow_news(query);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The end is shown once every event up to it was: `last` is the newest event of the ended objective.
    let mut last = end(client, &id, &detail).await?;
    let mut seen = 0;
    let mut stale = false;
    let mut next_look = Instant::now() + LOOK;
    let mut link = client.link();
    while last.is_none_or(|last| seen < last) {
        tokio::select! {
            heard = news.next() => match heard.transpose()? {
                Some(News::Happened(event)) => {
                    seen = event.id;
                    shown.event(&event, &detail)?;
                    stale = true;
                }
                // The next tick shows it.
                Some(News::Doing(it)) => does(&mut detail, it),
                None => break,
            },
            () = sleep_until(next_look), if stale => {
                let look = async {
                    let detail = client.objective(id.clone()).await?;
                    let last = end(client, &id, &detail).await?;
                    Ok::<_, ClientError>((detail, last))
                };
                match look.await {
                    Ok((new, end)) => {
                        (detail, last) = (new, end);
                        shown.look(&detail)?;
                        (stale, next_look) = (false, Instant::now() + LOOK);
                    }
                    // The daemon may be restarting. How long that may take is for the stream to judge.
                    Err(error) if error.may_pass() => next_look = Instant::now() + TICK,
                    Err(error) => return Err(error.into()),
                }
            }
            // The client outlives this loop, and with it the sender.
            Ok(()) = link.changed() => {
                shown.link(*link.borrow_and_update(), client.url(), &detail)?;
                stale = true;
            }
            _ = tick.tick(), if output == Output::Live => shown.look(&detail)?,
        }
    }
    shown.close()?;
    Ok(Outcome::new(detail))
}

/// Takes up what an agent does now.
fn does(detail: &mut ObjectiveDetail, now: Activity) {
    if let Some(session) = detail.sessions.iter_mut().find(|it| it.id == now.session_id) {
        session.current_activity = now.current_activity;
        session.used_tokens = now.used_tokens;
    }
}

/// Returns the number of the newest event of an objective that has ended.
async fn end(client: &Client, id: &IdRef, detail: &ObjectiveDetail) -> Result<Option<u64>, ClientError> {
    if !detail.objective.status.is_over() {
        return Ok(None);
    }
    let query = ListEvents { limit: Some(1), objective_id: Some(id.clone()), ..ListEvents::default() };
    Ok(Some(client.events(&query).await?.items.last().map_or(0, |event| event.id)))
}

/// What stands on the screen, or was written.
enum Shown<'a> {
    Live(Screen),
    Plain { out: &'a mut (dyn Write + Send), asked: HashSet<QuestionId> },
    Json { out: &'a mut (dyn Write + Send) },
}

impl<'a> Shown<'a> {
    fn new(output: Output, out: &'a mut (dyn Write + Send)) -> Self {
        match output {
            Output::Live => Self::Live(Screen::new()),
            Output::Plain => Self::Plain { out, asked: HashSet::new() },
            Output::Json => Self::Json { out },
        }
    }

    fn look(&mut self, detail: &ObjectiveDetail) -> std::io::Result<()> {
        match self {
            Self::Live(screen) => screen.draw(view::lines(detail, now(), screen.size())),
            Self::Plain { out, asked } => {
                for question in detail.questions.iter().filter(|it| it.status == QuestionStatus::Open) {
                    if asked.insert(question.id) {
                        view::question(question, *out)?;
                    }
                }
                out.flush()
            }
            Self::Json { .. } => Ok(()),
        }
    }

    /// Says that the daemon went away, or that it is back: on the screen, or beside what is written.
    fn link(&mut self, link: Link, url: &str, detail: &ObjectiveDetail) -> std::io::Result<()> {
        match self {
            Self::Live(screen) => {
                screen.lost = (link == Link::Lost).then(|| text::link(link, url));
                screen.draw(view::lines(detail, now(), screen.size()))
            }
            Self::Plain { .. } | Self::Json { .. } => writeln!(anstream::stderr(), "{}", text::link(link, url)),
        }
    }

    fn event(&mut self, event: &Event, detail: &ObjectiveDetail) -> std::io::Result<()> {
        match self {
            Self::Live(_) => Ok(()),
            Self::Plain { out, .. } => {
                if !view::is_news(&event.kind) {
                    return Ok(());
                }
                writeln!(out, "{}", view::event(event, &detail.sessions))?;
                out.flush()
            }
            Self::Json { out } => {
                writeln!(out, "{}", serde_json::to_string(event)?)?;
                out.flush()
            }
        }
    }

    fn close(self) -> std::io::Result<()> {
        match self {
            Self::Live(screen) => screen.close(),
            Self::Plain { .. } | Self::Json { .. } => Ok(()),
        }
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Returns a title as a harmless line of at most so many characters.
fn title(text: &str, width: usize) -> String {
    text::cut(&text::line(text), width)
}
