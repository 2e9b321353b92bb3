//! Turns a commit into statements and values, before it meets the writer.
//!
//! Done by whoever commits, so that the one writer only binds and steps. Nothing here touches a database.

use crate::commit::{ApiToken, Attached, Change, Commit, Credential, Guard, NewEntry, Row};
use crate::conn::Cell;
use crate::error::{CommitError, Unique};
use orcha_base::{Attempt, ObjectiveId, Revision, ScopeId, SessionId, TenantId, Timestamp};
use orcha_model::{Artifact, Attachment, NounId};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};

/// How many bytes most nouns take at most.
const NOUN: usize = 1536;

/// A commit that needs nothing but the database any more.
pub(crate) struct Prepared {
    pub at: i64,
    pub rows: Vec<PreparedRow>,
    pub guards: Vec<Guard>,
    /// The values of each journal line, without its number.
    pub journal: Vec<[Cell; 8]>,
    /// The values of each order, without its number.
    pub orders: Vec<[Cell; 6]>,
    pub done: Vec<String>,
    pub retried: Vec<(String, i64, String)>,
    pub transcript: Option<PreparedAppend>,
    pub said: Vec<PreparedSaid>,
    pub artifacts: Vec<[Cell; 6]>,
    pub attachments: Vec<[Cell; 6]>,
    pub attached: Vec<Attached>,
    pub projects: Vec<[Cell; 7]>,
    pub removed_projects: Vec<String>,
    pub providers: Vec<[Cell; 6]>,
    pub runs: Vec<PreparedRun>,
    pub taken_in: Vec<String>,
    pub round: Option<&'static str>,
    pub credentials: Vec<Credential>,
    /// Each with its scopes as text, and its hash.
    pub tokens: Vec<(ApiToken, String, [u8; 32])>,
    pub revoked_tokens: Vec<String>,
    pub receipt: Option<[String; 4]>,
    /// Roughly how much it writes.
    pub size: usize,
}

pub(crate) struct PreparedRun {
    pub values: [Cell; 5],
    /// The proposals that it tells something about, and from which side.
    pub tried: Vec<(String, &'static str)>,
}

pub(crate) struct PreparedRow {
    pub table: &'static Table,
    pub noun: NounId,
    pub expected: Option<Revision>,
    /// The id, then the kept columns, then the fixed ones.
    pub values: Vec<Cell>,
}

pub(crate) struct PreparedAppend {
    pub session: SessionId,
    pub session_text: String,
    pub attempt: Attempt,
    pub expected: Option<serde_json::Value>,
    /// The same in the words in which we write it.
    pub expected_text: Option<String>,
    pub next: String,
    pub entries: Vec<PreparedEntry>,
}

pub(crate) struct PreparedSaid {
    pub session: SessionId,
    pub attempt: Attempt,
    pub entry: PreparedEntry,
}

pub(crate) struct PreparedEntry {
    pub source: String,
    pub kind: String,
    pub content: String,
    pub metadata: Option<String>,
    pub at: i64,
}

/// What an order's body holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct OrderBody<K, E> {
    pub key: K,
    pub effect: E,
}

/// A table of nouns with a life.
pub(crate) struct Table {
    pub name: &'static str,
    /// The one value besides the key that must be unique, if there is one.
    pub unique: Option<Unique>,
    /// The columns that a change may change; the last of them seldom do.
    changing: &'static [&'static str],
    pub insert: String,
    /// Changes a row whose steady columns stay as they are: their indexes are not touched.
    pub update_steady: Option<String>,
    pub update: String,
}

impl Table {
    fn new(
        name: &'static str,
        unique: Option<Unique>,
        changing: &'static [&'static str],
        steady: usize,
        fixed: &'static [&'static str],
    ) -> Self {
        let columns: Vec<&str> = ["id"].iter().chain(changing).chain(fixed).copied().collect();
        let places: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        let insert = format!("INSERT INTO {name} ({}) VALUES ({})", columns.join(", "), places.join(", "));
        let expected = changing.len() + 2;
        let each = |from: usize, to: usize, is: &str| -> Vec<String> {
            (from..to).map(|n| format!("{} {is} ?{}", changing[n], n + 2)).collect()
        };
        let (all, restless) = (changing.len(), changing.len() - steady);
        let found = format!("WHERE id = ?1 AND revision = ?{expected}");
        let update = format!("UPDATE {name} SET {} {found}", each(0, all, "=").join(", "));
        let update_steady = (steady > 0).then(|| {
            let sets = each(0, restless, "=").join(", ");
            let same = each(restless, all, "IS NOT DISTINCT FROM").join(" AND ");
            format!("UPDATE {name} SET {sets} {found} AND {same}")
        });
        Self { name, unique, changing, insert, update_steady, update }
    }

    /// Returns how many leading values an update needs: the id and the changing columns.
    pub fn updated(&self) -> usize {
        self.changing.len() + 1
    }
}

static OBJECTIVES: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        "objectives",
        None,
        &["revision", "state", "updated_at", "body", "priority", "title", "repo", "over"],
        1,
        &["tenant", "scope", "created_at"],
    )
});
static SESSIONS: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        "sessions",
        None,
        &[
            "revision",
            "state",
            "updated_at",
            "body",
            "attempt",
            "agent",
            "title",
            "activity",
            "tokens",
            "started_at",
            "completed_at",
            "over",
            "wants_place",
            "not_before",
            "holds",
            "target_id",
            "workspace_id",
            "pull_request_id",
            "priority",
        ],
        8,
        &["tenant", "scope", "created_at", "objective_id", "parent_id", "role", "counts"],
    )
});
static WORKSPACES: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        "workspaces",
        None,
        &["revision", "state", "updated_at", "body", "session_id", "target_id"],
        0,
        &["tenant", "scope", "created_at", "objective_id"],
    )
});
static PULL_REQUESTS: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        "pull_requests",
        Some(Unique::PullRequestNumber),
        &["revision", "state", "updated_at", "body", "live", "number", "synced_at"],
        0,
        &["tenant", "scope", "created_at", "objective_id", "repo"],
    )
});
static FEEDBACK: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        "feedback",
        Some(Unique::Feedback),
        &["revision", "state", "updated_at", "body"],
        0,
        &["tenant", "scope", "created_at", "objective_id", "pull_request_id", "external"],
    )
});
static QUESTIONS: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        "questions",
        Some(Unique::OpenQuestion),
        &["revision", "state", "updated_at", "body", "session_id", "priority"],
        0,
        &["tenant", "scope", "created_at", "objective_id", "cause"],
    )
});
static MESSAGES: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        "messages",
        Some(Unique::MessageCause),
        &["revision", "state", "updated_at", "body"],
        0,
        &["tenant", "scope", "created_at", "objective_id", "session_id", "cause"],
    )
});
static TARGETS: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        "targets",
        Some(Unique::TargetName),
        &["revision", "state", "updated_at", "body", "name", "capacity"],
        0,
        &["tenant", "scope", "created_at"],
    )
});

static WORKFLOWS: LazyLock<Table> = LazyLock::new(|| of_objective("workflows"));
static TASKS: LazyLock<Table> = LazyLock::new(|| of_objective("tasks"));
static CHECK_RUNS: LazyLock<Table> = LazyLock::new(|| of_objective("check_runs"));
static HAND_INS: LazyLock<Table> = LazyLock::new(|| of_objective("hand_ins"));

static TEXTS: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        "texts",
        Some(Unique::TextVersion),
        &["revision", "state", "updated_at", "body"],
        0,
        &["tenant", "scope", "created_at", "surface", "version"],
    )
});
static PROPOSALS: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        "proposals",
        Some(Unique::OpenProposal),
        &["revision", "state", "updated_at", "body"],
        0,
        &["tenant", "scope", "created_at", "cause"],
    )
});

/// A table whose nouns are found by their objective alone.
fn of_objective(name: &'static str) -> Table {
    Table::new(
        name,
        None,
        &["revision", "state", "updated_at", "body"],
        0,
        &["tenant", "scope", "created_at", "objective_id"],
    )
}

/// Prepares a commit.
pub(crate) fn prepare(commit: Commit) -> Result<Prepared, CommitError> {
    let at = commit.at.as_micros();
    let mut changes = commit.changes;
    // What others refer to is written first, whatever order they came in.
    changes.sort_by_key(|change| rank(&change.row));
    let rows = changes.iter().map(encode_row).collect::<Result<Vec<_>, _>>()?;

    let mut journal = Vec::with_capacity(commit.journal.len());
    for line in commit.journal {
        let objective = line.objective.or(line.note.objective);
        let session = line.session.or(line.note.session);
        journal.push([
            Cell::Text(line.tenant.as_str().to_owned()),
            Cell::Text(line.scope.as_str().to_owned()),
            Cell::Int(at),
            objective.map(|id| id.to_string()).into(),
            session.map(|id| id.to_string()).into(),
            Cell::Text(line.note.kind.to_string()),
            Cell::Text(line.note.summary),
            Cell::Text(encode("a journal line", &line.note.data)?),
        ]);
    }

    let mut orders = Vec::with_capacity(commit.orders.len());
    for order in commit.orders {
        orders.push([
            Cell::Text(order.tenant.as_str().to_owned()),
            Cell::Text(order.scope.as_str().to_owned()),
            Cell::Int(at),
            order.objective.map(|id| id.to_string()).into(),
            Cell::Text(order.key.to_string()),
            Cell::Text(encode("an order", &OrderBody { key: &order.key, effect: &order.effect })?),
        ]);
    }

    let left =
        |it: &Artifact| kept_with(it.id, (&it.tenant, &it.scope), it.created_at, it.objective, "an artifact", it);
    let artifacts = commit.artifacts.iter().map(left).collect::<Result<Vec<_>, CommitError>>()?;
    let came =
        |it: &Attachment| kept_with(it.id, (&it.tenant, &it.scope), it.created_at, it.objective, "an attachment", it);
    let attachments = commit.attachments.iter().map(came).collect::<Result<Vec<_>, CommitError>>()?;
    let projects = commit
        .projects
        .iter()
        .map(|it| {
            Ok([
                Cell::Text(it.id.to_string()),
                it.tenant.as_str().into(),
                it.scope.as_str().into(),
                Cell::Int(it.created_at.as_micros()),
                it.repo.as_str().into(),
                Cell::Int(it.updated_at.as_micros()),
                Cell::Text(encode("a project", it)?),
            ])
        })
        .collect::<Result<Vec<_>, CommitError>>()?;

    let providers = commit
        .providers
        .iter()
        .map(|it| {
            Ok([
                it.name.as_str().into(),
                it.tenant.as_str().into(),
                it.scope.as_str().into(),
                Cell::Int(it.created_at.as_micros()),
                Cell::Int(it.updated_at.as_micros()),
                Cell::Text(encode("a provider", it)?),
            ])
        })
        .collect::<Result<Vec<_>, CommitError>>()?;

    let runs = commit
        .runs
        .iter()
        .map(|it| {
            let values = [
                Cell::Text(it.id.to_string()),
                it.tenant.as_str().into(),
                it.scope.as_str().into(),
                Cell::Int(it.ended_at.as_micros()),
                Cell::Text(encode("a finished run", it)?),
            ];
            let tried = it.tried.iter().map(|(proposal, side)| (proposal.to_string(), (*side).into()));
            Ok(PreparedRun { values, tried: tried.collect() })
        })
        .collect::<Result<Vec<_>, CommitError>>()?;

    let transcript = match commit.transcript {
        None => None,
        Some(append) => Some(PreparedAppend {
            session_text: append.session.to_string(),
            session: append.session,
            attempt: append.attempt,
            expected_text: append.expected.as_ref().map(|it| encode("a cursor", it)).transpose()?,
            expected: append.expected,
            next: encode("a cursor", &append.next)?,
            entries: append.entries.into_iter().map(entry).collect::<Result<Vec<_>, CommitError>>()?,
        }),
    };
    let said = commit
        .said
        .into_iter()
        .map(|it| Ok(PreparedSaid { session: it.session, attempt: it.attempt, entry: entry(it.entry)? }))
        .collect::<Result<Vec<_>, CommitError>>()?;
    let receipt = match commit.receipt {
        None => None,
        Some(it) => {
            Some([it.tenant.as_str().to_owned(), it.key, it.scope.as_str().to_owned(), encode("a receipt", &it.body)?])
        }
    };

    let mut prepared = Prepared {
        at,
        rows,
        guards: commit.guards,
        journal,
        orders,
        done: commit.done.iter().map(ToString::to_string).collect(),
        retried: commit
            .retried
            .into_iter()
            .map(|it| (it.key.to_string(), it.not_before.as_micros(), it.detail))
            .collect(),
        transcript,
        said,
        artifacts,
        attachments,
        attached: commit.attached,
        projects,
        removed_projects: commit.removed_projects.iter().map(ToString::to_string).collect(),
        providers,
        runs,
        taken_in: commit.taken_in.iter().map(ToString::to_string).collect(),
        round: commit.round,
        credentials: commit.credentials,
        tokens: commit
            .tokens
            .into_iter()
            .map(|(it, hash)| encode("the scopes of a token", &it.scopes).map(|scopes| (it, scopes, hash)))
            .collect::<Result<Vec<_>, CommitError>>()?,
        revoked_tokens: commit.revoked_tokens.iter().map(ToString::to_string).collect(),
        receipt,
        size: 0,
    };
    prepared.size = size(&prepared);
    Ok(prepared)
}

fn entry(entry: NewEntry) -> Result<PreparedEntry, CommitError> {
    let metadata = entry.metadata.as_ref().map(|it| encode("a transcript line's metadata", it)).transpose()?;
    Ok(PreparedEntry {
        source: entry.source,
        kind: entry.kind,
        content: entry.content,
        metadata,
        at: entry.at.as_micros(),
    })
}

fn size(prepared: &Prepared) -> usize {
    fn cells<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> usize {
        cells.into_iter().map(Cell::size).sum()
    }
    prepared.rows.iter().map(|row| cells(&row.values)).sum::<usize>()
        + prepared.journal.iter().map(cells).sum::<usize>()
        + prepared.orders.iter().map(cells).sum::<usize>()
        + prepared.artifacts.iter().map(cells).sum::<usize>()
        + prepared.attachments.iter().map(cells).sum::<usize>()
        + prepared.attached.iter().map(|it| it.bytes.len()).sum::<usize>()
        + prepared
            .transcript
            .iter()
            .flat_map(|append| &append.entries)
            .chain(prepared.said.iter().map(|it| &it.entry))
            .map(|entry| entry.content.len() + entry.metadata.as_ref().map_or(0, String::len) + 64)
            .sum::<usize>()
}

const fn rank(row: &Row) -> u8 {
    match row {
        Row::Objective(_) | Row::Target(_) | Row::Text(_) | Row::Proposal(_) => 0,
        Row::Session(_) | Row::Workflow(_) => 1,
        Row::Workspace(_) | Row::PullRequest(_) | Row::Message(_) => 2,
        Row::Feedback(_) | Row::Question(_) | Row::Task(_) | Row::CheckRun(_) | Row::HandIn(_) => 3,
    }
}

fn encode(what: &'static str, value: &impl Serialize) -> Result<String, CommitError> {
    serde_json::to_string(value).map_err(|source| CommitError::Encode { what, source: Arc::new(source) })
}

/// The cells of something that came into being with an objective or in it, and never changes.
fn kept_with(
    id: impl ToString,
    (tenant, scope): (&TenantId, &ScopeId),
    at: Timestamp,
    objective: ObjectiveId,
    what: &'static str,
    it: &impl Serialize,
) -> Result<[Cell; 6], CommitError> {
    Ok([
        Cell::Text(id.to_string()),
        tenant.as_str().into(),
        scope.as_str().into(),
        Cell::Int(at.as_micros()),
        Cell::Text(objective.to_string()),
        Cell::Text(encode(what, it)?),
    ])
}

/// Nouns are long: a text that grows by doubling would be copied again and again.
fn encode_noun(what: &'static str, noun: &impl Serialize) -> Result<String, CommitError> {
    let fault = |source| CommitError::Encode { what, source: Arc::new(source) };
    let mut text = Vec::with_capacity(NOUN);
    serde_json::to_writer(&mut text, noun).map_err(fault)?;
    String::from_utf8(text).map_err(|it| fault(serde::ser::Error::custom(it)))
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The columns that every noun has: id, revision, state, change, body; and in the end tenant, scope, age.
macro_rules! cells {
    ($it:ident, $what:literal, $state:expr, changing: [$($changing:expr),* $(,)?], fixed: [$($fixed:expr),* $(,)?]) => {
        vec![
            Cell::Text($it.id.to_string()),
            Cell::Int(count($it.revision.0)),
            Cell::Text($state.to_owned()),
            Cell::Int($it.updated_at.as_micros()),
            Cell::Text(encode_noun($what, $it)?),
            $(Cell::from($changing),)*
            Cell::Text($it.tenant.as_str().to_owned()),
            Cell::Text($it.scope.as_str().to_owned()),
            Cell::Int($it.created_at.as_micros()),
            $(Cell::from($fixed),)*
        ]
    };
}

fn encode_row(change: &Change) -> Result<PreparedRow, CommitError> {
    let micros = |at: Option<Timestamp>| at.map(Timestamp::as_micros);
    let (table, values): (&'static Table, Vec<Cell>) = match &change.row {
        Row::Objective(it) => (
            &OBJECTIVES,
            cells!(it, "an objective", it.state.name(),
                changing: [
                    i64::from(it.priority),
                    it.title.clone(),
                    it.repo.as_ref().map(|repo| repo.url.as_str()),
                    it.is_over(),
                ],
                fixed: []),
        ),
        Row::Session(it) => {
            // It wants a place at some time if it wants one at the end of all times.
            let wants_place = it.wants_place(Timestamp::from_micros(i64::MAX));
            let holds = it.state.holds();
            (
                &SESSIONS,
                cells!(it, "a session", it.state.name(),
                changing: [
                    i64::from(it.attempt.0),
                    it.agent.kind.clone(),
                    it.title.clone(),
                    it.activity.clone(),
                    count(it.counters.used.tokens()),
                    micros(it.started_at),
                    micros(it.completed_at),
                    it.is_over(),
                    wants_place,
                    it.wakes_at().filter(|_| wants_place).map_or(0, Timestamp::as_micros),
                    holds.is_some(),
                    holds.map(|(target, _)| target.to_string()),
                    it.workspace.map(|id| id.to_string()),
                    it.pull_request.map(|id| id.to_string()),
                    i64::from(it.priority),
                ],
                fixed: [
                    it.objective.to_string(),
                    it.parent.map(|id| id.to_string()),
                    it.role.name(),
                    it.role.traits().counts,
                ]),
            )
        }
        Row::Workspace(it) => (
            &WORKSPACES,
            cells!(it, "a workspace", it.state.name(),
                changing: [it.session.to_string(), it.target.to_string()],
                fixed: [it.objective.to_string()]),
        ),
        Row::PullRequest(it) => (
            &PULL_REQUESTS,
            cells!(it, "a pull request", it.state.name(),
                changing: [it.state.is_live(), it.number.map(count), micros(it.synced_at).unwrap_or(0)],
                fixed: [it.objective.to_string(), it.repo.as_str()]),
        ),
        Row::Feedback(it) => (
            &FEEDBACK,
            cells!(it, "feedback", it.state.name(),
                changing: [],
                fixed: [it.objective.to_string(), it.pull_request.to_string(), it.external.clone()]),
        ),
        Row::Question(it) => (
            &QUESTIONS,
            cells!(it, "a question", it.state.name(),
                changing: [it.session.map(|id| id.to_string()), i64::from(it.priority)],
                fixed: [it.objective.to_string(), it.cause.clone()]),
        ),
        Row::Message(it) => (
            &MESSAGES,
            cells!(it, "a message", it.state.name(),
                changing: [],
                fixed: [it.objective.to_string(), it.session.to_string(), it.cause.clone()]),
        ),
        Row::Target(it) => (
            &TARGETS,
            cells!(it, "a target", it.state.name(),
                changing: [it.name.clone(), i64::from(it.capacity)],
                fixed: []),
        ),
        Row::Workflow(it) => {
            (&WORKFLOWS, cells!(it, "a workflow", it.phase.name(), changing: [], fixed: [it.objective.to_string()]))
        }
        Row::Task(it) => {
            (&TASKS, cells!(it, "a task", it.state.name(), changing: [], fixed: [it.objective.to_string()]))
        }
        Row::CheckRun(it) => (
            &CHECK_RUNS,
            cells!(it, "a run of checks", it.state.name(), changing: [], fixed: [it.objective.to_string()]),
        ),
        Row::Text(it) => (
            &TEXTS,
            cells!(it, "a text", <&str>::from(it.state),
                changing: [],
                fixed: [it.surface.to_string(), i64::from(it.version)]),
        ),
        Row::Proposal(it) => {
            (&PROPOSALS, cells!(it, "a proposal", it.state.name(), changing: [], fixed: [it.cause.clone()]))
        }
        Row::HandIn(it) => {
            (&HAND_INS, cells!(it, "a hand-in", it.phase.name(), changing: [], fixed: [it.objective.to_string()]))
        }
    };
    Ok(PreparedRow { table, noun: change.row.noun(), expected: change.expected, values })
}
