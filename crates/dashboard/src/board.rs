//! What pages show, asked from the store: a fixed number of questions, however much there is to show.

use crate::{NotShown, Places};
use orcha_base::{ObjectiveId, SessionId, TargetId};
use orcha_model::{Artifact, Objective, PullRequest, Question};
use orcha_store::{Cursor, ObjectiveRow, Page, SessionFilter, SessionRow, Store, Viewer, Which};
use std::collections::HashMap;

/// How many objectives a page shows of each list.
const OBJECTIVES: u32 = 50;
/// How many sessions and pull requests of each objective a list shows.
pub(crate) const EACH: u32 = 12;
/// How many rows the page of one objective shows of each kind.
pub(crate) const OF_ONE: u32 = 200;

/// What is going on, and what has ended.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// What is going on: what needs a person first, then by age.
    pub live: Vec<ObjectiveRow>,
    /// Where what is going on continues.
    pub more: Option<Cursor>,
    /// What has ended, the newest end first.
    pub ended: Vec<ObjectiveRow>,
    /// Where what has ended continues.
    pub older: Option<Cursor>,
    /// The sessions that changed last, oldest first.
    pub sessions: HashMap<ObjectiveId, Vec<SessionRow>>,
    /// The newest pull requests, oldest first.
    pub pull_requests: HashMap<ObjectiveId, Vec<PullRequest>>,
    /// Names for ids.
    pub names: Names,
}

/// Names for ids: what a page does not know by name, it calls by its short id.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Titles of objectives.
    pub objectives: HashMap<ObjectiveId, String>,
    /// Roles and titles of sessions.
    pub sessions: HashMap<SessionId, String>,
    /// Names of targets.
    pub targets: HashMap<TargetId, String>,
}

/// Everything that the page of one objective shows.
#[derive(Debug)]
pub(crate) struct Detail {
    pub row: ObjectiveRow,
    pub objective: Objective,
    pub sessions: Vec<SessionRow>,
    pub pull_requests: Vec<PullRequest>,
    pub artifacts: Vec<Artifact>,
    /// Its open questions.
    pub questions: Vec<Question>,
    pub names: Names,
}

impl Board {
    /// Asks for the first page: five questions.
    pub(crate) async fn of_all(store: &Store, viewer: &Viewer, places: &Places) -> Result<Self, NotShown> {
        let page = |after: &Option<Cursor>| Page { after: after.clone(), limit: OBJECTIVES };
        let (live, ended) = tokio::try_join!(
            store.objectives(viewer, Which::Live, page(&places.after)),
            store.objectives(viewer, Which::All, page(&places.ended)),
        )?;
        let mut board = Self::around(store, viewer, live.items).await?;
        board.more = live.next;
        // What is going on is among all there is, too.
        board.ended = ended.items.into_iter().filter(is_over).collect();
        board.older = ended.next;
        Ok(board)
    }

    /// Asks for one objective as the first page shows it: four questions.
    pub(crate) async fn of_one(store: &Store, viewer: &Viewer, id: ObjectiveId) -> Result<Option<Self>, NotShown> {
        match store.objective_row(viewer, id).await? {
            Some(row) => Ok(Some(Self::around(store, viewer, vec![row]).await?)),
            None => Ok(None),
        }
    }

    async fn around(store: &Store, viewer: &Viewer, mut live: Vec<ObjectiveRow>) -> Result<Self, NotShown> {
        let ids: Vec<ObjectiveId> = live.iter().map(|it| it.id).collect();
        // One more of each than is shown tells whether there are more.
        let (sessions, pull_requests, targets) = tokio::try_join!(
            store.sessions_of_each(viewer, ids.clone(), EACH + 1),
            store.pull_requests_of_each(viewer, ids, EACH + 1),
            store.targets(viewer),
        )?;
        // The database sorts by change; sorted by age, a list keeps still while one reads it.
        live.sort_by_key(|it| (!it.needs_user(), it.state == "paused", std::cmp::Reverse((it.created_at, it.id))));
        let mut names = Names::default();
        names.targets.extend(targets.into_iter().map(|it| (it.target.id, it.target.name)));
        names.objectives.extend(live.iter().map(|it| (it.id, it.title.clone())));
        names.add_sessions(&sessions);
        let mut board = Self { live, names, ..Self::default() };
        for session in sessions {
            board.sessions.entry(session.objective).or_default().push(session);
        }
        for pull_request in pull_requests {
            board.pull_requests.entry(pull_request.objective).or_default().push(pull_request);
        }
        Ok(board)
    }
}

impl Names {
    /// Asks who asked: two questions.
    pub(crate) async fn of_questions(store: &Store, viewer: &Viewer, open: &[Question]) -> Result<Self, NotShown> {
        let mut ids: Vec<ObjectiveId> = open.iter().map(|it| it.objective).collect();
        ids.sort();
        ids.dedup();
        let (live, sessions) = tokio::try_join!(
            store.objectives(viewer, Which::Live, Page::first(OBJECTIVES)),
            store.sessions_of_each(viewer, ids, EACH),
        )?;
        let mut names = Self::default();
        names.objectives.extend(live.items.into_iter().map(|it| (it.id, it.title)));
        names.add_sessions(&sessions);
        Ok(names)
    }

    fn add_sessions(&mut self, sessions: &[SessionRow]) {
        let name = |it: &SessionRow| (it.id, format!("{} “{}”", crate::text::words(it.role.name()), it.title));
        self.sessions.extend(sessions.iter().map(name));
    }
}

impl Detail {
    /// Asks for one objective with everything around it: seven questions.
    pub(crate) async fn of(store: &Store, viewer: &Viewer, id: ObjectiveId) -> Result<Option<Self>, NotShown> {
        let of_one = SessionFilter { objective: Some(id), ..SessionFilter::default() };
        let page = || Page::first(OF_ONE);
        let (row, objective, sessions, pull_requests, artifacts, questions, targets) = tokio::try_join!(
            store.objective_row(viewer, id),
            store.objective(viewer, id),
            store.sessions(viewer, of_one, page()),
            store.pull_requests_of_each(viewer, vec![id], OF_ONE),
            store.artifacts_of(viewer, id, page()),
            store.questions_of(viewer, id, page()),
            store.targets(viewer),
        )?;
        let (Some(row), Some(objective)) = (row, objective) else { return Ok(None) };
        let mut names = Names::default();
        names.targets.extend(targets.into_iter().map(|it| (it.target.id, it.target.name)));
        names.objectives.insert(id, row.title.clone());
        names.add_sessions(&sessions.items);
        let mut sessions = sessions.items;
        sessions.sort_by_key(|it| (it.created_at, it.id));
        let mut questions = questions.items;
        questions.retain(|it| it.state == orcha_model::question::State::Open);
        questions.reverse();
        let artifacts = artifacts.items;
        Ok(Some(Self { row, objective, sessions, pull_requests, artifacts, questions, names }))
    }
}

/// Asks for the sessions whose agents are at work: two questions.
pub(crate) async fn running(store: &Store, viewer: &Viewer) -> Result<(Vec<SessionRow>, Names), NotShown> {
    let filter = SessionFilter { which: Which::Live, state: Some("running".into()), ..SessionFilter::default() };
    let (running, targets) =
        tokio::try_join!(store.sessions(viewer, filter, Page::first(OF_ONE)), store.targets(viewer))?;
    let mut names = Names::default();
    names.targets.extend(targets.into_iter().map(|it| (it.target.id, it.target.name)));
    Ok((running.items, names))
}

fn is_over(row: &ObjectiveRow) -> bool {
    matches!(row.state.as_str(), "succeeded" | "failed" | "canceled")
}
