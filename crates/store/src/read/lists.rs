//! Questions of people and clients: lists by page, single rows, and nothing that reads a transcript.
//!
//! A row of another tenant does not exist for the viewer.

use super::{bodies, body, opt_id, optional};
use crate::conn::{Columns, Conn, DbError, Value, json, parse, row, rows};
use crate::{Cursor, Page, Paged, ReadError, Store, Viewer};
use orcha_base::{
    ArtifactId, Attempt, ObjectiveId, ProjectId, PullRequestId, QuestionId, SessionId, TargetId, TenantId, Timestamp,
    WorkspaceId,
};
use orcha_model::{
    Artifact, Feedback, Message, Objective, Project, PullRequest, Question, Role, Session, Target, Workspace, session,
};
use serde::de::DeserializeOwned;

/// An objective as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectiveRow {
    /// Its id.
    pub id: ObjectiveId,
    /// Its state's name.
    pub state: String,
    /// Its title.
    pub title: String,
    /// The repository of its first pull request, else its own.
    pub repo: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// Its sessions that are neither over nor paused.
    pub active_sessions: u32,
    /// Its pull requests.
    pub pull_requests: u32,
    /// Its questions that wait for a person.
    pub open_questions: u32,
    /// What the session that changed last and is doing something is doing.
    pub latest_activity: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl ObjectiveRow {
    /// Tells whether it waits for a person.
    pub fn needs_user(&self) -> bool {
        self.open_questions > 0 || self.state == orcha_model::objective::State::WaitingUser.name()
    }
}

/// A session as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// The objective.
    pub objective: ObjectiveId,
    /// The session that created it.
    pub parent: Option<SessionId>,
    /// Its state's name.
    pub state: String,
    /// Its state with what it knows, such as what is waited for.
    pub stands: session::State,
    /// What it is for.
    pub role: Role,
    /// The kind of its agent.
    pub agent: String,
    /// Its title.
    pub title: String,
    /// Where it is, while it holds a place.
    pub target: Option<TargetId>,
    /// Its workspace.
    pub workspace: Option<WorkspaceId>,
    /// The pull request that it follows up on.
    pub pull_request: Option<PullRequestId>,
    /// Its newest attempt.
    pub attempt: Attempt,
    /// What it is doing.
    pub activity: Option<String>,
    /// The tokens that it used.
    pub tokens: u64,
    /// Higher goes first.
    pub priority: i32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When an agent first ran for it.
    pub started_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// A target with what is on it.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetRow {
    /// The target.
    pub target: Target,
    /// How many counted sessions are on it.
    pub taken: u32,
}

/// Which rows of a list are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All.
    #[default]
    All,
    /// Those that are not over.
    Live,
}

/// Which sessions are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Those of one objective.
    pub objective: Option<ObjectiveId>,
    /// All or the live ones.
    pub which: Which,
    /// Those in the state of this name.
    pub state: Option<String>,
}

/// What became of a request with an idempotency key.
#[derive(Clone, Debug, PartialEq)]
pub enum Requested {
    /// It was answered like this.
    Answered(serde_json::Value),
    /// It is not known.
    New,
}

/// The parts of a list's question that are the same everywhere: tenant, scope, and where the page begins.
///
/// `?1` tenant, `?2` scope, `?3` and `?4` the key after which the page begins, `?5` how many rows.
macro_rules! newest_first {
    ($columns:literal, $from:literal, $time:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $from,
            " tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) AND (",
            $time,
            ", id) < (?3, ?4) ORDER BY ",
            $time,
            " DESC, id DESC LIMIT ?5"
        )
    };
}
pub(super) use newest_first;

macro_rules! oldest_first {
    ($columns:literal, $from:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $from,
            " tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) AND (created_at, id) > (?3, ?4) \
             ORDER BY created_at, id LIMIT ?5"
        )
    };
}

macro_rules! objectives {
    ($from:literal) => {
        newest_first!(
            "id, state, title, \
             coalesce((SELECT p.repo FROM pull_requests p WHERE p.objective_id = objectives.id \
                       ORDER BY p.created_at, p.id LIMIT 1), repo), \
             priority, \
             (SELECT count(*) FROM sessions s WHERE s.tenant = objectives.tenant AND s.objective_id = objectives.id AND s.over = 0 \
                AND s.state <> 'paused'), \
             (SELECT count(*) FROM pull_requests p WHERE p.objective_id = objectives.id), \
             (SELECT count(*) FROM questions q WHERE q.objective_id = objectives.id AND q.state = 'open'), \
             (SELECT s.activity FROM sessions s WHERE s.objective_id = objectives.id AND s.activity IS NOT NULL \
                ORDER BY s.updated_at DESC, s.id DESC LIMIT 1), \
             created_at, updated_at",
            $from,
            "updated_at"
        )
    };
}
const OBJECTIVES: &str = objectives!("objectives WHERE");
const OBJECTIVES_LIVE: &str = objectives!("objectives WHERE over = 0 AND");
const ONE_OBJECTIVE_ROW: &str = objectives!("objectives WHERE id = ?6 AND");

macro_rules! sessions {
    ($from:literal, $time:literal) => {
        newest_first!(
            "id, objective_id, parent_id, state, role, agent, title, target_id, workspace_id, pull_request_id, \
             attempt, activity, tokens, priority, created_at, started_at, updated_at, completed_at, body ->> '$.state'",
            $from,
            $time
        )
    };
}
const SESSIONS: &str = sessions!("sessions WHERE (CAST(?6 AS TEXT) IS NULL OR state = ?6) AND", "updated_at");
/// The plus keeps the database from walking through everything by age: the live ones are few, and sorted.
const SESSIONS_LIVE: &str =
    sessions!("sessions WHERE over = 0 AND (CAST(?6 AS TEXT) IS NULL OR state = ?6) AND", "+updated_at");
const SESSIONS_OF: &str =
    sessions!("sessions WHERE objective_id = ?7 AND (CAST(?6 AS TEXT) IS NULL OR state = ?6) AND", "updated_at");
const SESSIONS_LIVE_OF: &str = sessions!(
    "sessions WHERE objective_id = ?7 AND over = 0 AND (CAST(?6 AS TEXT) IS NULL OR state = ?6) AND",
    "+updated_at"
);

const PULL_REQUESTS: &str = newest_first!("body", "pull_requests WHERE", "created_at");
const PULL_REQUESTS_OF: &str = newest_first!("body", "pull_requests WHERE objective_id = ?6 AND", "created_at");
const WORKSPACES: &str = newest_first!("body", "workspaces WHERE", "created_at");
const WORKSPACES_OF: &str = newest_first!("body", "workspaces WHERE objective_id = ?6 AND", "created_at");
const ARTIFACTS_OF: &str = oldest_first!("body", "artifacts WHERE objective_id = ?6 AND");
const MESSAGES: &str = newest_first!("body", "messages WHERE", "created_at");
const MESSAGES_IN: &str = newest_first!("body", "messages WHERE objective_id = ?6 AND", "created_at");
const MESSAGES_TO: &str = newest_first!("body", "messages WHERE session_id = ?6 AND", "created_at");
const QUESTIONS_OF: &str = newest_first!("body", "questions WHERE objective_id = ?6 AND", "created_at");
const FEEDBACK_OF: &str = oldest_first!("body", "feedback WHERE pull_request_id = ?6 AND");

const OPEN_QUESTIONS: &str = "SELECT body FROM questions WHERE state = 'open' AND tenant = ?1 \
    AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) ORDER BY priority DESC, created_at, id LIMIT ?3";
const TARGETS: &str = "SELECT body, (SELECT count(*) FROM sessions s WHERE s.holds = 1 AND s.counts = 1 \
    AND s.target_id = targets.id) FROM targets \
    WHERE tenant = ?3 OR (tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2))";
const PROJECTS: &str = "SELECT body FROM projects \
    WHERE tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) ORDER BY repo";
const PROJECT_BY_REPO: &str = "SELECT body FROM projects \
    WHERE tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) AND repo = ?3";
const PULL_REQUEST_BY_NUMBER: &str = "SELECT body FROM pull_requests \
    WHERE tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) AND repo = ?3 AND number = ?4";
const RECEIPT: &str = "SELECT body FROM receipts WHERE tenant = ?1 AND name = ?2";

macro_rules! one {
    ($table:literal) => {
        concat!(
            "SELECT body FROM ",
            $table,
            " WHERE tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) AND id = ?3"
        )
    };
}
const ONE_OBJECTIVE: &str = one!("objectives");
const ONE_SESSION: &str = one!("sessions");
const ONE_WORKSPACE: &str = one!("workspaces");
const ONE_PULL_REQUEST: &str = one!("pull_requests");
const ONE_QUESTION: &str = one!("questions");
const ONE_TARGET: &str = one!("targets");
const ONE_PROJECT: &str = one!("projects");
const ONE_ARTIFACT: &str = one!("artifacts");

#[cfg(test)]
pub(super) const PLANNED: &[&str] = &[
    OBJECTIVES,
    OBJECTIVES_LIVE,
    ONE_OBJECTIVE_ROW,
    SESSIONS,
    SESSIONS_LIVE,
    SESSIONS_OF,
    SESSIONS_LIVE_OF,
    PULL_REQUESTS,
    PULL_REQUESTS_OF,
    WORKSPACES,
    WORKSPACES_OF,
    ARTIFACTS_OF,
    MESSAGES,
    MESSAGES_IN,
    MESSAGES_TO,
    QUESTIONS_OF,
    FEEDBACK_OF,
    OPEN_QUESTIONS,
    TARGETS,
    PROJECTS,
    PROJECT_BY_REPO,
    PULL_REQUEST_BY_NUMBER,
    RECEIPT,
    ONE_OBJECTIVE,
    ONE_SESSION,
    ONE_WORKSPACE,
    ONE_PULL_REQUEST,
    ONE_QUESTION,
    ONE_TARGET,
    ONE_PROJECT,
    ONE_ARTIFACT,
];

/// In which direction a list goes: what its first page comes after.
#[derive(Clone, Copy)]
pub(super) enum Order {
    NewestFirst,
    OldestFirst,
}

impl Order {
    fn start(self, page: &Page) -> (i64, &str) {
        match (&page.after, self) {
            (Some(cursor), _) => (cursor.at.as_micros(), &cursor.id),
            // No id is as great as this.
            (None, Self::NewestFirst) => (i64::MAX, "~"),
            (None, Self::OldestFirst) => (i64::MIN, ""),
        }
    }
}

/// A list, and which page of it is wanted.
struct List<'a> {
    sql: &'a str,
    order: Order,
    viewer: &'a Viewer,
    page: &'a Page,
    /// The values from `?6` on.
    more: &'a [Value<'a>],
}

impl List<'_> {
    fn ask<T>(
        &self,
        conn: &dyn Conn,
        read: impl FnMut(&dyn Columns) -> Result<T, DbError>,
        key: impl Fn(&T) -> Cursor,
    ) -> Result<Paged<T>, DbError> {
        let (at, id) = self.order.start(self.page);
        let wanted = self.page.rows();
        let mut values = vec![
            Value::Text(self.viewer.tenant.as_str()),
            scope(self.viewer),
            Value::Int(at),
            Value::Text(id),
            // One more than wanted tells whether there is a next page.
            Value::Int(i64::from(wanted) + 1),
        ];
        values.extend_from_slice(self.more);
        Ok(Paged::cut(rows(conn, self.sql, &values, read)?, wanted, key))
    }
}

pub(super) fn scope(viewer: &Viewer) -> Value<'_> {
    optional(viewer.scope.as_ref().map(|it| it.as_str()))
}

pub(super) fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn priority(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn opt_instant(row: &dyn Columns, at: usize) -> Result<Option<Timestamp>, DbError> {
    Ok(row.opt_int(at)?.map(Timestamp::from_micros))
}

fn objective_row(row: &dyn Columns) -> Result<ObjectiveRow, DbError> {
    Ok(ObjectiveRow {
        id: parse("objective id", row.text(0)?)?,
        state: row.text(1)?.to_owned(),
        title: row.text(2)?.to_owned(),
        repo: row.opt_text(3)?.map(ToOwned::to_owned),
        priority: priority(row.int(4)?),
        active_sessions: small(row.int(5)?),
        pull_requests: small(row.int(6)?),
        open_questions: small(row.int(7)?),
        latest_activity: row.opt_text(8)?.map(ToOwned::to_owned),
        created_at: Timestamp::from_micros(row.int(9)?),
        updated_at: Timestamp::from_micros(row.int(10)?),
    })
}

pub(super) fn session_row(row: &dyn Columns) -> Result<SessionRow, DbError> {
    Ok(SessionRow {
        id: parse("session id", row.text(0)?)?,
        objective: parse("objective id", row.text(1)?)?,
        parent: opt_id("session id", row, 2)?,
        state: row.text(3)?.to_owned(),
        role: parse("role", row.text(4)?)?,
        agent: row.text(5)?.to_owned(),
        title: row.text(6)?.to_owned(),
        target: opt_id("target id", row, 7)?,
        workspace: opt_id("workspace id", row, 8)?,
        pull_request: opt_id("pull request id", row, 9)?,
        attempt: Attempt(small(row.int(10)?)),
        activity: row.opt_text(11)?.map(ToOwned::to_owned),
        tokens: u64::try_from(row.int(12)?).unwrap_or(0),
        priority: priority(row.int(13)?),
        created_at: Timestamp::from_micros(row.int(14)?),
        started_at: opt_instant(row, 15)?,
        updated_at: Timestamp::from_micros(row.int(16)?),
        completed_at: opt_instant(row, 17)?,
        stands: json("session state", row.text(18)?)?,
    })
}

/// The single rows of the nouns, and their lists by age.
macro_rules! singles {
    ($($(#[$doc:meta])* $name:ident($id:ty) -> $noun:ty = $sql:ident;)*) => {
        impl Store {$(
            $(#[$doc])*
            pub async fn $name(&self, viewer: &Viewer, id: $id) -> Result<Option<$noun>, ReadError> {
                self.one(viewer, <$id>::NOUN, $sql, id.to_string()).await
            }
        )*}
    };
}
singles! {
    /// Returns an objective.
    objective(ObjectiveId) -> Objective = ONE_OBJECTIVE;
    /// Returns a session.
    session(SessionId) -> Session = ONE_SESSION;
    /// Returns a workspace.
    workspace(WorkspaceId) -> Workspace = ONE_WORKSPACE;
    /// Returns a pull request.
    pull_request(PullRequestId) -> PullRequest = ONE_PULL_REQUEST;
    /// Returns a question.
    question(QuestionId) -> Question = ONE_QUESTION;
    /// Returns a target.
    target(TargetId) -> Target = ONE_TARGET;
    /// Returns a project.
    project(ProjectId) -> Project = ONE_PROJECT;
    /// Returns an artifact.
    artifact(ArtifactId) -> Artifact = ONE_ARTIFACT;
}

macro_rules! lists_of {
    ($($(#[$doc:meta])* $name:ident($of:ty) -> $noun:ty = $sql:ident, $order:ident;)*) => {
        impl Store {$(
            $(#[$doc])*
            pub async fn $name(&self, viewer: &Viewer, of: $of, page: Page) -> Result<Paged<$noun>, ReadError> {
                let of = vec![Some(of.to_string())];
                self.by_age(viewer, $sql, Order::$order, page, of, |it: &$noun| (it.created_at, it.id.to_string())).await
            }
        )*}
    };
}
lists_of! {
    /// Returns an objective's pull requests, newest first.
    pull_requests_of(ObjectiveId) -> PullRequest = PULL_REQUESTS_OF, NewestFirst;
    /// Returns an objective's workspaces, newest first.
    workspaces_of(ObjectiveId) -> Workspace = WORKSPACES_OF, NewestFirst;
    /// Returns an objective's artifacts, oldest first.
    artifacts_of(ObjectiveId) -> Artifact = ARTIFACTS_OF, OldestFirst;
    /// Returns an objective's questions whatever their state, newest first.
    questions_of(ObjectiveId) -> Question = QUESTIONS_OF, NewestFirst;
    /// Returns what was said to the sessions of an objective, newest first.
    messages_in(ObjectiveId) -> Message = MESSAGES_IN, NewestFirst;
    /// Returns what was said to a session, newest first.
    messages_to(SessionId) -> Message = MESSAGES_TO, NewestFirst;
    /// Returns the feedback on a pull request, oldest first.
    feedback_of(PullRequestId) -> Feedback = FEEDBACK_OF, OldestFirst;
}

impl Store {
    /// Returns objectives, the last changed first.
    pub async fn objectives(
        &self,
        viewer: &Viewer,
        which: Which,
        page: Page,
    ) -> Result<Paged<ObjectiveRow>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let sql = match which {
                Which::All => OBJECTIVES,
                Which::Live => OBJECTIVES_LIVE,
            };
            let key = |it: &ObjectiveRow| Cursor { at: it.updated_at, id: it.id.to_string() };
            List { sql, order: Order::NewestFirst, viewer: &viewer, page: &page, more: &[] }.ask(
                conn,
                objective_row,
                key,
            )
        })
        .await
    }

    /// Returns one objective as lists show it.
    pub async fn objective_row(&self, viewer: &Viewer, id: ObjectiveId) -> Result<Option<ObjectiveRow>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let id = id.to_string();
            let key = |it: &ObjectiveRow| Cursor { at: it.updated_at, id: it.id.to_string() };
            let more = [Value::Text(&id)];
            let page = Page::first(1);
            let (sql, order) = (ONE_OBJECTIVE_ROW, Order::NewestFirst);
            let list = List { sql, order, viewer: &viewer, page: &page, more: &more };
            let found = list.ask(conn, objective_row, key)?;
            Ok(found.items.into_iter().next())
        })
        .await
    }

    /// Returns sessions, the last changed first.
    pub async fn sessions(
        &self,
        viewer: &Viewer,
        filter: SessionFilter,
        page: Page,
    ) -> Result<Paged<SessionRow>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let objective = filter.objective.map(|id| id.to_string());
            let mut more = vec![optional(filter.state.as_deref())];
            more.extend(objective.as_deref().map(Value::Text));
            let sql = match (filter.objective, filter.which) {
                (None, Which::All) => SESSIONS,
                (None, Which::Live) => SESSIONS_LIVE,
                (Some(_), Which::All) => SESSIONS_OF,
                (Some(_), Which::Live) => SESSIONS_LIVE_OF,
            };
            let key = |it: &SessionRow| Cursor { at: it.updated_at, id: it.id.to_string() };
            List { sql, order: Order::NewestFirst, viewer: &viewer, page: &page, more: &more }.ask(
                conn,
                session_row,
                key,
            )
        })
        .await
    }

    /// Returns pull requests, newest first.
    pub async fn pull_requests(&self, viewer: &Viewer, page: Page) -> Result<Paged<PullRequest>, ReadError> {
        let key = |it: &PullRequest| (it.created_at, it.id.to_string());
        self.by_age(viewer, PULL_REQUESTS, Order::NewestFirst, page, Vec::new(), key).await
    }

    /// Returns the pull request with a number in a repository.
    pub async fn pull_request_by_number(
        &self,
        viewer: &Viewer,
        repo: &orcha_base::RepoUrl,
        number: u64,
    ) -> Result<Option<PullRequest>, ReadError> {
        let (viewer, repo) = (viewer.clone(), repo.clone());
        self.read(move |conn| {
            let number = Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
            let values = [Value::Text(viewer.tenant.as_str()), scope(&viewer), Value::Text(repo.as_str()), number];
            body(conn, "pull request", PULL_REQUEST_BY_NUMBER, &values)
        })
        .await
    }

    /// Returns workspaces, newest first.
    pub async fn workspaces(&self, viewer: &Viewer, page: Page) -> Result<Paged<Workspace>, ReadError> {
        let key = |it: &Workspace| (it.created_at, it.id.to_string());
        self.by_age(viewer, WORKSPACES, Order::NewestFirst, page, Vec::new(), key).await
    }

    /// Returns what was said to sessions, newest first.
    pub async fn messages(&self, viewer: &Viewer, page: Page) -> Result<Paged<Message>, ReadError> {
        let key = |it: &Message| (it.created_at, it.id.to_string());
        self.by_age(viewer, MESSAGES, Order::NewestFirst, page, Vec::new(), key).await
    }

    /// Returns questions that wait for a person: the most urgent first, then the oldest.
    pub async fn open_questions(&self, viewer: &Viewer, limit: u32) -> Result<Vec<Question>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let limit = Value::Int(i64::from(limit.clamp(1, Page::MAX)));
            let values = [Value::Text(viewer.tenant.as_str()), scope(&viewer), limit];
            bodies(conn, "question", OPEN_QUESTIONS, &values)
        })
        .await
    }

    /// Returns targets with what is on them, by name: the viewer's own, and those of the default tenant, which serve
    /// everybody.
    pub async fn targets(&self, viewer: &Viewer) -> Result<Vec<TargetRow>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let shared = TenantId::default();
            let values = [Value::Text(viewer.tenant.as_str()), scope(&viewer), Value::Text(shared.as_str())];
            let mut found = rows(conn, TARGETS, &values, |row| {
                Ok(TargetRow { target: json("target", row.text(0)?)?, taken: small(row.int(1)?) })
            })?;
            found.sort_by(|a: &TargetRow, b: &TargetRow| a.target.name.cmp(&b.target.name));
            Ok(found)
        })
        .await
    }

    /// Returns projects, by name whatever its case.
    pub async fn projects(&self, viewer: &Viewer) -> Result<Vec<Project>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let values = [Value::Text(viewer.tenant.as_str()), scope(&viewer)];
            let mut found: Vec<Project> = bodies(conn, "project", PROJECTS, &values)?;
            found.sort_by_cached_key(|it| it.name.to_lowercase());
            Ok(found)
        })
        .await
    }

    /// Returns the project of a repository.
    pub async fn project_by_repo(
        &self,
        viewer: &Viewer,
        repo: &orcha_base::RepoUrl,
    ) -> Result<Option<Project>, ReadError> {
        let (viewer, repo) = (viewer.clone(), repo.clone());
        self.read(move |conn| {
            let values = [Value::Text(viewer.tenant.as_str()), scope(&viewer), Value::Text(repo.as_str())];
            body(conn, "project", PROJECT_BY_REPO, &values)
        })
        .await
    }

    /// Returns what became of a request with an idempotency key.
    pub async fn requested(&self, tenant: &TenantId, key: &str) -> Result<Requested, ReadError> {
        let (tenant, key) = (tenant.clone(), key.to_owned());
        self.read(move |conn| {
            let values = [Value::Text(tenant.as_str()), Value::Text(&key)];
            let found = row(conn, RECEIPT, &values, |row| json("receipt", row.text(0)?))?;
            Ok(found.map_or(Requested::New, Requested::Answered))
        })
        .await
    }

    async fn one<T: DeserializeOwned + Send + 'static>(
        &self,
        viewer: &Viewer,
        what: &'static str,
        sql: &'static str,
        id: String,
    ) -> Result<Option<T>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            body(conn, what, sql, &[Value::Text(viewer.tenant.as_str()), scope(&viewer), Value::Text(&id)])
        })
        .await
    }

    /// Reads a page of rows whose first column is their body; `more` are the values from `?6` on.
    pub(super) async fn by_age<T: DeserializeOwned + Send + 'static>(
        &self,
        viewer: &Viewer,
        sql: &'static str,
        order: Order,
        page: Page,
        more: Vec<Option<String>>,
        key: impl Fn(&T) -> (Timestamp, String) + Send + 'static,
    ) -> Result<Paged<T>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let more: Vec<Value<'_>> = more.iter().map(|it| optional(it.as_deref())).collect();
            let read = |row: &dyn Columns| json("row", row.text(0)?);
            let key = |it: &T| {
                let (at, id) = key(it);
                Cursor { at, id }
            };
            List { sql, order, viewer: &viewer, page: &page, more: &more }.ask(conn, read, key)
        })
        .await
    }
}
