//! Writes one prepared commit inside a transaction that somebody else began.
//!
//! Neither begins nor ends transactions: see `writer`.

use crate::commit::{Committed, Guard};
use crate::conn::{Cell, Conn, DbError, Value, json, row};
use crate::encode::{Prepared, PreparedAppend, PreparedEntry, PreparedRow, PreparedSaid};
use crate::error::{CommitError, Unique};
use orcha_base::{ProjectId, SessionId, TargetId, Timestamp};
use orcha_model::Refusal;
use std::sync::Arc;
use std::time::Duration;

/// The numbers that the next journal line and the next order get. There is one writer, so it may count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub journal: i64,
    pub outbox: i64,
}

/// Why one commit was not written.
pub(crate) enum Failure {
    /// Only this commit is undone.
    Alone(CommitError),
    /// The whole transaction is lost.
    All(DbError),
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Full | DbError::Busy | DbError::Broken(_) => Self::All(error),
            DbError::KeyTaken
            | DbError::ValueTaken
            | DbError::NotThere
            | DbError::Unreadable { .. }
            | DbError::Other(_) => Self::Alone(CommitError::Database(Arc::new(error))),
        }
    }
}

/// How long the answer to a request with an idempotency key is kept.
const RECEIPTS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

const INSERT_JOURNAL: &str = "INSERT INTO journal \
    (seq, tenant, scope, created_at, objective_id, session_id, kind, summary, data) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const INSERT_ORDER: &str = "INSERT INTO outbox \
    (seq, tenant, scope, created_at, objective_id, effect_key, body, not_before, tries) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0)";
const DELETE_ORDER: &str = "DELETE FROM outbox WHERE effect_key = ?1";
const RETRY_ORDER: &str = "UPDATE outbox SET not_before = ?2, tries = tries + 1, detail = ?3 WHERE effect_key = ?1";
const INSERT_ARTIFACT: &str =
    "INSERT INTO artifacts (id, tenant, scope, created_at, objective_id, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const INSERT_ATTACHMENT: &str =
    "INSERT INTO attachments (id, tenant, scope, created_at, objective_id, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const KEEP_BYTES: &str = "INSERT INTO attached_bytes (tenant, sha256, created_at, bytes) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (tenant, sha256) DO NOTHING";
const SAVE_PROJECT: &str = "INSERT INTO projects (id, tenant, scope, created_at, repo, updated_at, body) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
    ON CONFLICT (id) DO UPDATE SET repo = excluded.repo, updated_at = excluded.updated_at, body = excluded.body";
const SAVE_PROVIDER: &str = "INSERT INTO providers (name, tenant, scope, created_at, updated_at, body) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
    ON CONFLICT (name) DO UPDATE SET updated_at = excluded.updated_at, body = excluded.body";
const SAVE_RUN: &str = "INSERT INTO finished_runs (id, tenant, scope, created_at, body, taken_in) \
    VALUES (?1, ?2, ?3, ?4, ?5, 0) ON CONFLICT (id) DO UPDATE SET body = excluded.body";
const SAVE_TRIED: &str = "INSERT INTO tried (proposal_id, run_id, tenant, scope, created_at, side) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (proposal_id, run_id) DO NOTHING";
const TAKE_IN: &str = "UPDATE finished_runs SET taken_in = 1 WHERE id = ?1";
const SAVE_ROUND: &str =
    "INSERT INTO rounds (name, at) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET at = excluded.at";
const REMOVE_PROJECT: &str = "DELETE FROM projects WHERE id = ?1";
const DELETE_CREDENTIAL: &str = "DELETE FROM credentials WHERE session_id = ?1 AND attempt = ?2";
const INSERT_CREDENTIAL: &str = "INSERT INTO credentials (hash, tenant, scope, created_at, session_id, attempt) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const INSERT_TOKEN: &str = "INSERT INTO tokens (id, tenant, scopes, created_at, name, hash) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const REVOKE_TOKEN: &str = "DELETE FROM tokens WHERE id = ?1";
const FIND_RECEIPT: &str = "SELECT body FROM receipts WHERE tenant = ?1 AND name = ?2";
const DROP_RECEIPTS: &str = "DELETE FROM receipts WHERE created_at < ?1";
const INSERT_RECEIPT: &str = "INSERT INTO receipts (tenant, name, scope, body, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
const SPEAKER: &str = "SELECT tenant, scope, (SELECT coalesce(max(seq), 0) FROM transcript WHERE session_id = ?1) \
    FROM sessions WHERE id = ?1";
const FIND_CURSOR: &str = "SELECT at FROM cursors WHERE session_id = ?1 AND attempt = ?2";
const INSERT_CURSOR: &str = "INSERT INTO cursors (session_id, attempt, at, updated_at, tenant, scope) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const MOVE_CURSOR: &str =
    "UPDATE cursors SET at = ?3, updated_at = ?4 WHERE session_id = ?1 AND attempt = ?2 AND at = ?5";
const INSERT_ENTRY: &str = "INSERT INTO transcript \
    (session_id, seq, tenant, scope, created_at, attempt, source, kind, content, metadata) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// Writes one commit.
pub(crate) fn apply(conn: &dyn Conn, commit: &Prepared, numbers: &mut Numbers) -> Result<Committed, Failure> {
    receipt(conn, commit)?;
    for change in &commit.rows {
        write_row(conn, change)?;
    }
    for guard in &commit.guards {
        check(conn, *guard)?;
    }
    let journal = numbers.journal;
    for line in &commit.journal {
        let [tenant, scope, at, objective, session, kind, summary, data] = line.each_ref().map(Cell::value);
        let values = [Value::Int(numbers.journal), tenant, scope, at, objective, session, kind, summary, data];
        conn.exec(INSERT_JOURNAL, &values)?;
        numbers.journal += 1;
    }
    // First what is done, so that an order may take the place of one with the same key.
    for key in &commit.done {
        conn.exec(DELETE_ORDER, &[Value::Text(key)])?;
    }
    for (key, not_before, detail) in &commit.retried {
        conn.exec(RETRY_ORDER, &[Value::Text(key), Value::Int(*not_before), Value::Text(detail)])?;
    }
    let orders = numbers.outbox;
    for order in &commit.orders {
        let [tenant, scope, at, objective, key, body] = order.each_ref().map(Cell::value);
        let values = [Value::Int(numbers.outbox), tenant, scope, at, objective, key, body];
        conn.exec(INSERT_ORDER, &values).map_err(|error| unique(error, Unique::Order, "outbox"))?;
        numbers.outbox += 1;
    }
    for artifact in &commit.artifacts {
        let values = artifact.each_ref().map(Cell::value);
        conn.exec(INSERT_ARTIFACT, &values).map_err(|error| unique(error, Unique::Artifact, "artifacts"))?;
    }
    for attachment in &commit.attachments {
        let values = attachment.each_ref().map(Cell::value);
        conn.exec(INSERT_ATTACHMENT, &values).map_err(|error| missing(error, "attachments"))?;
    }
    for it in &commit.attached {
        let values =
            [Value::Text(it.tenant.as_str()), Value::Text(&it.sha256), Value::Int(commit.at), Value::Blob(&it.bytes)];
        conn.exec(KEEP_BYTES, &values)?;
    }
    for project in &commit.projects {
        let values = project.each_ref().map(Cell::value);
        conn.exec(SAVE_PROJECT, &values).map_err(|error| unique(error, Unique::ProjectRepo, "projects"))?;
    }
    for project in &commit.removed_projects {
        conn.exec(REMOVE_PROJECT, &[Value::Text(project)])?;
    }
    for provider in &commit.providers {
        conn.exec(SAVE_PROVIDER, &provider.each_ref().map(Cell::value))?;
    }
    for run in &commit.runs {
        let [id, tenant, scope, at, body] = run.values.each_ref().map(Cell::value);
        conn.exec(SAVE_RUN, &[id, tenant, scope, at, body]).map_err(|error| missing(error, "finished_runs"))?;
        for (proposal, side) in &run.tried {
            conn.exec(SAVE_TRIED, &[Value::Text(proposal), id, tenant, scope, at, Value::Text(side)])?;
        }
    }
    for run in &commit.taken_in {
        conn.exec(TAKE_IN, &[Value::Text(run)])?;
    }
    if let Some(round) = commit.round {
        conn.exec(SAVE_ROUND, &[Value::Text(round), Value::Int(commit.at)])?;
    }
    for credential in &commit.credentials {
        let session = credential.session.to_string();
        let attempt = Value::Int(i64::from(credential.attempt.0));
        conn.exec(DELETE_CREDENTIAL, &[Value::Text(&session), attempt])?;
        let values = [
            Value::Blob(&credential.hash),
            Value::Text(credential.tenant.as_str()),
            Value::Text(credential.scope.as_str()),
            Value::Int(commit.at),
            Value::Text(&session),
            attempt,
        ];
        conn.exec(INSERT_CREDENTIAL, &values).map_err(|error| unique(error, Unique::Credential, "credentials"))?;
    }
    for (token, scopes, hash) in &commit.tokens {
        let id = token.id.to_string();
        let values = [
            Value::Text(&id),
            Value::Text(token.tenant.as_str()),
            Value::Text(scopes),
            Value::Int(token.created_at.as_micros()),
            Value::Text(&token.name),
            Value::Blob(hash),
        ];
        conn.exec(INSERT_TOKEN, &values).map_err(|error| unique(error, Unique::TokenName, "tokens"))?;
    }
    for token in &commit.revoked_tokens {
        conn.exec(REVOKE_TOKEN, &[Value::Text(token)])?;
    }
    let transcript = match &commit.transcript {
        Some(append) => append_transcript(conn, append, commit.at)?,
        None => 0..0,
    };
    let said = commit.said.iter().map(|it| say(conn, it)).collect::<Result<_, Failure>>()?;
    Ok(Committed {
        at: Timestamp::from_micros(commit.at),
        journal: journal..numbers.journal,
        orders: orders..numbers.outbox,
        transcript,
        said,
    })
}

fn write_row(conn: &dyn Conn, change: &PreparedRow) -> Result<(), Failure> {
    let table = change.table;
    let conflict = || Failure::Alone(CommitError::Conflict { noun: change.noun, expected: change.expected });
    let written = match change.expected {
        None => conn.exec(&table.insert, &change.values.iter().map(Cell::value).collect::<Vec<_>>()),
        Some(expected) => {
            let mut values: Vec<_> = change.values[..table.updated()].iter().map(Cell::value).collect();
            values.push(Value::Int(i64::try_from(expected.0).unwrap_or(i64::MAX)));
            match &table.update_steady {
                None => conn.exec(&table.update, &values),
                Some(steady) => match conn.exec(steady, &values) {
                    Ok(0) => conn.exec(&table.update, &values),
                    other => other,
                },
            }
        }
    };
    match written {
        Ok(0) => Err(conflict()),
        Ok(_) => Ok(()),
        Err(DbError::KeyTaken) => Err(conflict()),
        Err(error) => Err(match table.unique {
            Some(what) => unique(error, what, table.name),
            None => missing(error, table.name),
        }),
    }
}

/// Names what was taken, or what refers to nothing.
fn unique(error: DbError, what: Unique, table: &'static str) -> Failure {
    match error {
        DbError::KeyTaken | DbError::ValueTaken => Failure::Alone(CommitError::Duplicate { what }),
        other => missing(other, table),
    }
}

fn missing(error: DbError, table: &'static str) -> Failure {
    match error {
        DbError::NotThere => Failure::Alone(CommitError::Missing { table }),
        other => other.into(),
    }
}

fn receipt(conn: &dyn Conn, commit: &Prepared) -> Result<(), Failure> {
    let Some([tenant, key, scope, body]) = &commit.receipt else {
        return Ok(());
    };
    let name = [Value::Text(tenant), Value::Text(key)];
    if let Some(body) = row(conn, FIND_RECEIPT, &name, |row| json("receipt", row.text(0)?))? {
        return Err(Failure::Alone(CommitError::AlreadyAnswered { body }));
    }
    let oldest = Timestamp::from_micros(commit.at) - RECEIPTS_KEPT;
    conn.exec(DROP_RECEIPTS, &[Value::Int(oldest.as_micros())])?;
    let values = [Value::Text(tenant), Value::Text(key), Value::Text(scope), Value::Text(body), Value::Int(commit.at)];
    conn.exec(INSERT_RECEIPT, &values)?;
    Ok(())
}

pub(crate) const TAKEN_ON_TARGET: &str =
    "SELECT count(*) FROM sessions WHERE holds = 1 AND counts = 1 AND target_id = ?1 AND id <> ?2";
pub(crate) const TAKEN_AT_ALL: &str = "SELECT count(*) FROM sessions WHERE holds = 1 AND counts = 1 AND id <> ?1";
const PROJECT_CHANGED: &str = "SELECT updated_at FROM projects WHERE id = ?1";
const CAPACITY: &str = "SELECT capacity FROM targets WHERE id = ?1";
const TARGET_STATE: &str = "SELECT state FROM targets WHERE id = ?1";
pub(crate) const WRITER_OF: &str = "SELECT id FROM sessions WHERE holds = 1 AND workspace_id = ?1 AND id <> ?2 LIMIT 1";
pub(crate) const UPDATER_OF: &str =
    "SELECT id FROM sessions WHERE holds = 1 AND pull_request_id = ?1 AND id <> ?2 LIMIT 1";

fn check(conn: &dyn Conn, guard: Guard) -> Result<(), Failure> {
    match verdict(conn, guard)? {
        None => Ok(()),
        Some(refusal) => Err(Failure::Alone(CommitError::Guard(refusal))),
    }
}

fn verdict(conn: &dyn Conn, guard: Guard) -> Result<Option<Refusal>, DbError> {
    let int = |sql, values: &[Value<'_>]| row(conn, sql, values, |row| row.int(0));
    let unknown = |target: TargetId| Refusal::Unknown { noun: "target", id: target.to_string(), hint: String::new() };
    Ok(match guard {
        Guard::TargetHasRoom { target, session } => {
            let (id, own) = (target.to_string(), session.to_string());
            let taken = int(TAKEN_ON_TARGET, &[Value::Text(&id), Value::Text(&own)])?.unwrap_or(0);
            match int(CAPACITY, &[Value::Text(&id)])? {
                None => Some(unknown(target)),
                Some(capacity) if taken < capacity => None,
                Some(_) => Some(Refusal::NoRoom { target }),
            }
        }
        Guard::CapHasRoom { cap, session } => {
            let taken = int(TAKEN_AT_ALL, &[Value::Text(&session.to_string())])?.unwrap_or(0);
            (taken >= i64::from(cap)).then_some(Refusal::CapReached { cap })
        }
        Guard::TargetTakesSessions { target } => {
            let id = target.to_string();
            let online = row(conn, TARGET_STATE, &[Value::Text(&id)], |row| {
                Ok(row.text(0)? == orcha_model::target::State::Online.name())
            })?;
            match online {
                None => Some(unknown(target)),
                Some(true) => None,
                Some(false) => Some(Refusal::NoRoom { target }),
            }
        }
        Guard::WorkspaceFree { workspace, session } => {
            holder(conn, WRITER_OF, &workspace.to_string(), session)?.map(|holder| Refusal::WorkspaceBusy { holder })
        }
        Guard::ProjectAsOf { project, updated_at } => match int(PROJECT_CHANGED, &[Value::Text(&project.to_string())])?
        {
            Some(at) if at == updated_at.as_micros() => None,
            Some(_) => Some(Refusal::Changed { noun: ProjectId::NOUN, id: project.to_string() }),
            None => Some(Refusal::Unknown { noun: ProjectId::NOUN, id: project.to_string(), hint: String::new() }),
        },
        Guard::PullRequestFree { pull_request, session } => {
            holder(conn, UPDATER_OF, &pull_request.to_string(), session)?
                .map(|holder| Refusal::PullRequestBusy { pull_request, holder })
        }
    })
}

fn holder(conn: &dyn Conn, sql: &str, id: &str, own: SessionId) -> Result<Option<SessionId>, DbError> {
    let values = [Value::Text(id), Value::Text(&own.to_string())];
    row(conn, sql, &values, |row| crate::conn::parse("session id", row.text(0)?))
}

fn append_transcript(conn: &dyn Conn, append: &PreparedAppend, at: i64) -> Result<std::ops::Range<i64>, Failure> {
    let session = Value::Text(&append.session_text);
    let attempt = Value::Int(i64::from(append.attempt.0));
    let speaker = speaker(conn, session)?;
    move_cursor(conn, append, &speaker, at)?;
    let first = speaker.last + 1;
    let mut seq = first;
    for entry in &append.entries {
        insert_entry(conn, session, seq, &speaker, attempt, entry)?;
        seq += 1;
    }
    Ok(first..seq)
}

fn move_cursor(conn: &dyn Conn, append: &PreparedAppend, speaker: &Speaker, at: i64) -> Result<(), Failure> {
    let key = [Value::Text(&append.session_text), Value::Int(i64::from(append.attempt.0))];
    let [session, attempt] = key;
    let [next, at] = [Value::Text(&append.next), Value::Int(at)];
    let moved = match &append.expected_text {
        Some(expected) => conn.exec(MOVE_CURSOR, &[session, attempt, next, at, Value::Text(expected)]),
        None => {
            let [tenant, scope] = [Value::Text(&speaker.tenant), Value::Text(&speaker.scope)];
            conn.exec(INSERT_CURSOR, &[session, attempt, next, at, tenant, scope])
        }
    };
    match moved {
        Ok(0) | Err(DbError::KeyTaken) => {}
        Ok(_) => return Ok(()),
        Err(fault) => return Err(fault.into()),
    }
    // It does not stand where it was expected, or it is written in other words.
    let found = row(conn, FIND_CURSOR, &key, |row| {
        Ok((row.text(0)?.to_owned(), json::<serde_json::Value>("cursor", row.text(0)?)?))
    })?;
    match found {
        Some((text, stored)) if append.expected.as_ref() == Some(&stored) => {
            conn.exec(MOVE_CURSOR, &[session, attempt, next, at, Value::Text(&text)])?;
            Ok(())
        }
        found => Err(Failure::Alone(CommitError::CursorMoved {
            session: append.session,
            attempt: append.attempt,
            stored: found.map(|(_, stored)| stored),
        })),
    }
}

/// Adds what is said to an agent behind what stands in its transcript.
fn say(conn: &dyn Conn, said: &PreparedSaid) -> Result<(SessionId, i64), Failure> {
    let text = said.session.to_string();
    let session = Value::Text(&text);
    let speaker = speaker(conn, session)?;
    let seq = speaker.last + 1;
    insert_entry(conn, session, seq, &speaker, Value::Int(i64::from(said.attempt.0)), &said.entry)?;
    Ok((said.session, seq))
}

/// Whose transcript grows, and the number of its last line.
struct Speaker {
    tenant: String,
    scope: String,
    last: i64,
}

fn speaker(conn: &dyn Conn, session: Value<'_>) -> Result<Speaker, Failure> {
    let found = row(conn, SPEAKER, &[session], |row| {
        Ok(Speaker { tenant: row.text(0)?.to_owned(), scope: row.text(1)?.to_owned(), last: row.int(2)? })
    })?;
    found.ok_or(Failure::Alone(CommitError::Missing { table: "transcript" }))
}

fn insert_entry(
    conn: &dyn Conn,
    session: Value<'_>,
    seq: i64,
    speaker: &Speaker,
    attempt: Value<'_>,
    entry: &PreparedEntry,
) -> Result<(), Failure> {
    let values = [
        session,
        Value::Int(seq),
        Value::Text(&speaker.tenant),
        Value::Text(&speaker.scope),
        Value::Int(entry.at),
        attempt,
        Value::Text(&entry.source),
        Value::Text(&entry.kind),
        Value::Text(&entry.content),
        entry.metadata.as_deref().map_or(Value::Null, Value::Text),
    ];
    conn.exec(INSERT_ENTRY, &values)?;
    Ok(())
}

#[cfg(test)]
pub(crate) const PLANNED: &[&str] = &[
    TAKEN_ON_TARGET,
    TAKEN_AT_ALL,
    WRITER_OF,
    UPDATER_OF,
    DELETE_ORDER,
    RETRY_ORDER,
    TAKE_IN,
    REMOVE_PROJECT,
    PROJECT_CHANGED,
    REVOKE_TOKEN,
    SPEAKER,
    FIND_CURSOR,
    MOVE_CURSOR,
    DELETE_CREDENTIAL,
    FIND_RECEIPT,
    DROP_RECEIPTS,
];
