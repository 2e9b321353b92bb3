//! What a commit keeps: all or nothing, revisions, unique values, guards, orders, transcripts, credentials.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use orcha_base::{Attempt, MessageId, ObjectiveId, ScopeId, SessionId, TargetId, TenantId, WorkspaceId};
use orcha_model::{Refusal, Role};
use orcha_store::{
    Commit, CommitError, Credential, EventFilter, Guard, NewEntry, Page, Receipt, Requested, Retried, Row, Said, Span,
    Store, TranscriptAppend, Unique, Viewer,
};
use serde_json::json;
use support::*;

async fn world(store: &Store) {
    let commit = rows([
        Row::Session(session(1, 1)),
        Row::Session(session(2, 1)),
        Row::Objective(objective(1)),
        Row::Target(target(1, 1)),
    ]);
    store.commit(commit).await.unwrap();
}

#[tokio::test]
async fn what_was_committed_is_loaded_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    let commit = Commit {
        journal: vec![line(1, 1, "one"), line(1, 2, "two")],
        orders: vec![order(1, 1, 1, 0), order(1, 2, 1, 0)],
        ..rows([
            Row::Feedback(feedback(1, 1, 1, "c1")),
            Row::Workspace(workspace(1, 1, 1)),
            Row::PullRequest(pull_request(1, 1, Some(7))),
            Row::Question(question(1, 1, "q")),
            Row::Message(message(1, 1, 1, "m")),
        ])
    };
    let committed = store.commit(commit).await.unwrap();
    assert_eq!((committed.journal, committed.orders, committed.transcript), (1..3, 1..3, 0..0));

    let loaded = store.load_world(ObjectiveId::fixed(1)).await.unwrap().unwrap();
    assert_eq!(loaded.objective, objective(1));
    assert_eq!(loaded.sessions, [session(1, 1), session(2, 1)]);
    assert_eq!(loaded.workspaces, [workspace(1, 1, 1)]);
    assert_eq!(loaded.pull_requests, [pull_request(1, 1, Some(7))]);
    assert_eq!(loaded.feedback, [feedback(1, 1, 1, "c1")]);
    assert_eq!(loaded.questions, [question(1, 1, "q")]);
    assert_eq!(loaded.messages, [message(1, 1, 1, "m")]);
    let orders = store.orders_of(ObjectiveId::fixed(1)).await.unwrap();
    let orders: Vec<_> = orders.iter().map(|it| (it.seq, it.key, it.effect.clone())).collect();
    let (first, second) = (order(1, 1, 1, 0), order(1, 2, 1, 0));
    assert_eq!(orders, [(1, first.key, first.effect), (2, second.key, second.effect)]);
    assert_eq!(store.load_world(ObjectiveId::fixed(9)).await.unwrap(), None);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    store.commit(Commit { journal: vec![line(1, 1, "one")], ..Commit::at(at(1)) }).await.unwrap();
    store.close().await;
    assert!(matches!(store.commit(Commit::at(at(1))).await, Err(CommitError::Closed)));

    let store = open(folder.path());
    let committed = store.commit(Commit { journal: vec![line(1, 1, "two")], ..Commit::at(at(2)) }).await.unwrap();
    assert_eq!(committed.journal, 2..3);
    assert_eq!(store.live_objectives().await.unwrap(), [ObjectiveId::fixed(1)]);
    let events = store.events(&viewer(), EventFilter::All, Span::Latest, 10).await.unwrap();
    assert_eq!(events.iter().map(|it| it.summary.as_str()).collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test]
async fn c02_a_row_that_moved_on_is_a_conflict_and_nothing_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    let first = placed(&session(1, 1), 1);
    store.commit(Commit { changes: vec![changed(Row::Session(first.clone()))], ..Commit::at(at(1)) }).await.unwrap();
    let late = Commit {
        changes: vec![changed(Row::Session(placed(&session(1, 1), 2)))],
        journal: vec![line(1, 1, "late")],
        ..Commit::at(at(2))
    };
    assert!(matches!(store.commit(late).await, Err(CommitError::Conflict { .. })));
    let again = rows([Row::Session(session(1, 1))]);
    assert!(matches!(store.commit(again).await, Err(CommitError::Conflict { expected: None, .. })));
    assert_eq!(store.session(&viewer(), first.id).await.unwrap(), Some(first));
    assert_eq!(store.events(&viewer(), EventFilter::All, Span::After(0), 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_must_be_unique_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    store
        .commit(rows([
            Row::PullRequest(pull_request(1, 1, Some(7))),
            Row::PullRequest(pull_request(2, 1, None)),
            Row::PullRequest(pull_request(3, 1, None)),
            Row::Feedback(feedback(1, 1, 1, "c1")),
            Row::Question(question(1, 1, "q")),
            Row::Message(message(1, 1, 1, "m")),
        ]))
        .await
        .unwrap();
    let mut namesake = target(2, 1);
    namesake.name = target(1, 1).name;
    for (row, unique) in [
        (Row::PullRequest(pull_request(4, 1, Some(7))), Unique::PullRequestNumber),
        (Row::Feedback(feedback(2, 1, 1, "c1")), Unique::Feedback),
        (Row::Question(question(2, 1, "q")), Unique::OpenQuestion),
        (Row::Message(message(2, 1, 1, "m")), Unique::MessageCause),
        (Row::Target(namesake), Unique::TargetName),
    ] {
        match store.commit(rows([row])).await {
            Err(CommitError::Duplicate { what }) => assert_eq!(what, unique),
            other => panic!("{unique:?}: {other:?}"),
        }
    }
    // Elsewhere, or once the first is not open any more, the same is fine.
    let mut answered = question(1, 1, "q");
    answered.revision = answered.revision.next();
    answered.state = orcha_model::question::State::Answered { answer: "yes".into() };
    let mut commit = rows([
        Row::Question(question(2, 1, "q")),
        Row::Feedback(feedback(2, 1, 2, "c1")),
        Row::Message(message(2, 1, 2, "m")),
    ]);
    commit.changes.insert(0, changed(Row::Question(answered)));
    store.commit(commit).await.unwrap();
    let orphan = rows([Row::Session(session(9, 9))]);
    assert!(matches!(store.commit(orphan).await, Err(CommitError::Missing { table: "sessions" })));
}

async fn taken(store: &Store) -> Vec<(TargetId, u32)> {
    store.candidates(at(1), 100).await.unwrap().taken
}

#[tokio::test]
async fn guards_hold_at_the_moment_of_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    let (target_id, room) = (TargetId::fixed(1), WorkspaceId::fixed(5));
    let place = |n: u64, guards: Vec<Guard>| {
        let mut session = placed(&session(n, 1), 1);
        session.workspace = Some(room);
        Commit { changes: vec![changed(Row::Session(session))], guards, ..Commit::at(at(1)) }
    };
    let (one, two) = (SessionId::fixed(1), SessionId::fixed(2));
    let all = |session| {
        vec![
            Guard::TargetTakesSessions { target: target_id },
            Guard::TargetHasRoom { target: target_id, session },
            Guard::CapHasRoom { cap: 1, session },
            Guard::WorkspaceFree { workspace: room, session },
        ]
    };
    store.commit(place(1, all(one))).await.unwrap();
    for (guard, expected) in [
        (Guard::TargetHasRoom { target: target_id, session: two }, Refusal::NoRoom { target: target_id }),
        (Guard::CapHasRoom { cap: 1, session: two }, Refusal::CapReached { cap: 1 }),
        (Guard::WorkspaceFree { workspace: room, session: two }, Refusal::WorkspaceBusy { holder: one }),
    ] {
        match store.commit(place(2, vec![guard])).await {
            Err(CommitError::Guard(refusal)) => assert_eq!(refusal, expected),
            other => panic!("{guard:?}: {other:?}"),
        }
    }
    assert_eq!(taken(&store).await, [(target_id, 1)]);

    let mut drained = target(1, 1);
    drained.revision = drained.revision.next();
    drained.state = orcha_model::target::State::Draining;
    store.commit(Commit { changes: vec![changed(Row::Target(drained))], ..Commit::at(at(2)) }).await.unwrap();
    let shut = vec![Guard::TargetTakesSessions { target: target_id }];
    assert!(matches!(store.commit(place(2, shut)).await, Err(CommitError::Guard(Refusal::NoRoom { .. }))));
}

#[tokio::test]
async fn a_manager_takes_no_place_and_one_session_updates_a_pull_request() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    store.commit(rows([Row::PullRequest(pull_request(1, 1, Some(1)))])).await.unwrap();
    let mut manager = session(10, 1);
    manager.role = Role::Manager;
    manager.state = placed(&manager, 1).state;
    let mut follow_up = session(11, 1);
    follow_up.pull_request = Some(pull_request(1, 1, None).id);
    follow_up.state = placed(&follow_up, 1).state;
    let guard = |session| Guard::TargetHasRoom { target: TargetId::fixed(1), session };
    store.commit(rows([Row::Session(manager)])).await.unwrap();
    store
        .commit(Commit { guards: vec![guard(follow_up.id)], ..rows([Row::Session(follow_up.clone())]) })
        .await
        .unwrap();
    let mut second = follow_up.clone();
    second.id = SessionId::fixed(12);
    let pull_request = pull_request(1, 1, None).id;
    let commit = Commit {
        guards: vec![Guard::PullRequestFree { pull_request, session: second.id }],
        ..rows([Row::Session(second)])
    };
    match store.commit(commit).await {
        Err(CommitError::Guard(Refusal::PullRequestBusy { holder, .. })) => assert_eq!(holder, follow_up.id),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_placements_at_once_fill_a_target_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let sessions = (1..=64).map(|n| Row::Session(session(n, 1)));
    store.commit(rows(sessions.chain([Row::Objective(objective(1)), Row::Target(target(1, 4))]))).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=64 {
        let store = store.clone();
        tasks.spawn(async move {
            let session = placed(&session(n, 1), 1);
            let guards = vec![Guard::TargetHasRoom { target: TargetId::fixed(1), session: session.id }];
            store.commit(Commit { changes: vec![changed(Row::Session(session))], guards, ..Commit::at(at(1)) }).await
        });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|it| it.is_ok()).count(), 4);
    assert!(results.iter().all(|it| matches!(it, Ok(_) | Err(CommitError::Guard(Refusal::NoRoom { .. })))));
    assert_eq!(taken(&store).await, [(TargetId::fixed(1), 4)]);
    assert_eq!(store.candidates(at(1), 100).await.unwrap().sessions.len(), 60);
}

#[tokio::test]
async fn c01_a_commit_that_fails_undoes_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    // All of them wait at once, so that most share a transaction.
    let commits = (0..200).map(|n| {
        let mut commit = Commit { journal: vec![line(1, 1, &n.to_string())], ..Commit::at(at(n)) };
        if n % 3 == 0 {
            commit.orders = vec![order(1, 1, 1, 0), order(1, 1, 1, 0)];
        }
        store.commit(commit)
    });
    let results = futures_join(commits).await;
    let kept: Vec<String> = (0..200).filter(|n| n % 3 != 0).map(|n| n.to_string()).collect();
    for (n, result) in results.iter().enumerate() {
        match result {
            Ok(_) => assert_ne!(n % 3, 0),
            Err(CommitError::Duplicate { what: Unique::Order }) => assert_eq!(n % 3, 0),
            Err(other) => panic!("{other:?}"),
        }
    }
    let events =
        store.events(&viewer(), EventFilter::Objective(ObjectiveId::fixed(1)), Span::After(0), 500).await.unwrap();
    assert_eq!(events.iter().map(|it| it.summary.clone()).collect::<Vec<_>>(), kept);
    assert_eq!(events.iter().map(|it| it.seq).collect::<Vec<_>>(), (1..=133).collect::<Vec<_>>(), "no gap");
    assert_eq!(store.orders_after(0, 10).await.unwrap(), []);
}

/// Polls all futures together; their order is that of their first poll.
async fn futures_join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.into_iter().map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, output) in &mut pending {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn c03_orders_wait_in_order_until_they_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    let orders = vec![order(1, 1, 1, 0), order(1, 2, 1, 0), order(1, 1, 2, 0)];
    store.commit(Commit { orders, ..Commit::at(at(0)) }).await.unwrap();
    let waiting = async |after| {
        let found = store.orders_after(after, 10).await.unwrap();
        found.iter().map(|it| it.seq).collect::<Vec<_>>()
    };
    assert_eq!(waiting(0).await, [1, 2, 3]);

    let retried = vec![Retried { key: order(1, 1, 1, 0).key, not_before: at(60), detail: "no network".into() }];
    store.commit(Commit { retried, ..Commit::at(at(1)) }).await.unwrap();
    let first = store.orders_of(ObjectiveId::fixed(1)).await.unwrap().remove(0);
    assert_eq!((first.tries, first.detail.as_deref(), first.not_before), (1, Some("no network"), at(60)));

    // A fact that comes twice is done twice.
    let done = vec![order(1, 1, 1, 0).key];
    store.commit(Commit { done: done.clone(), ..Commit::at(at(2)) }).await.unwrap();
    store.commit(Commit { done, ..Commit::at(at(3)) }).await.unwrap();
    assert_eq!(waiting(0).await, [2, 3]);
    assert_eq!(waiting(2).await, [3]);
}

fn said(text: &str) -> NewEntry {
    NewEntry { source: "agent".into(), kind: "text".into(), content: text.into(), metadata: None, at: at(0) }
}

#[tokio::test]
async fn a_transcript_moves_with_its_cursor_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    let session = SessionId::fixed(1);
    let append = |expected, next, texts: &[&str]| Commit {
        transcript: Some(TranscriptAppend {
            session,
            attempt: Attempt(1),
            expected,
            next,
            entries: texts.iter().map(|text| said(text)).collect(),
        }),
        ..Commit::at(at(1))
    };
    let start = json!({"bytes": 0, "part": "a"});
    let committed = store.commit(append(None, start.clone(), &["a", "b"])).await.unwrap();
    assert_eq!(committed.transcript, 1..3);
    // The order of keys does not matter.
    let same = json!({"part": "a", "bytes": 0});
    let committed = store.commit(append(Some(same), json!({"bytes": 9}), &["c"])).await.unwrap();
    assert_eq!(committed.transcript, 3..4);
    for wrong in [None, Some(start)] {
        match store.commit(append(wrong, json!(1), &["twice"])).await {
            Err(CommitError::CursorMoved { stored, .. }) => assert_eq!(stored, Some(json!({"bytes": 9}))),
            other => panic!("{other:?}"),
        }
    }
    let texts = async |span| {
        let entries = store.transcript(&viewer(), session, span, 2).await.unwrap();
        entries.into_iter().map(|it| (it.seq, it.content)).collect::<Vec<_>>()
    };
    assert_eq!(texts(Span::After(1)).await, [(2, "b".into()), (3, "c".into())]);
    assert_eq!(texts(Span::Latest).await, [(2, "b".into()), (3, "c".into())]);
    assert_eq!(texts(Span::Before(3)).await, [(1, "a".into()), (2, "b".into())]);
    assert_eq!(texts(Span::After(3)).await, []);
    assert_eq!(store.cursor(session, Attempt(1)).await.unwrap(), Some(json!({"bytes": 9})));
    assert_eq!(store.cursor(session, Attempt(2)).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_said_to_an_agent_stands_behind_what_it_wrote_in_the_same_commit_and_moves_no_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    let [one, two] = [1, 2].map(SessionId::fixed);
    let to = |session, text| Said { session, attempt: Attempt(1), entry: said(text) };
    let wrote = TranscriptAppend {
        session: one,
        attempt: Attempt(1),
        expected: None,
        next: json!(7),
        entries: vec![said("done")],
    };
    let commit = Commit {
        transcript: Some(wrote),
        said: vec![to(one, "and now this"), to(two, "begin"), to(one, "and that")],
        ..Commit::at(at(1))
    };
    let committed = store.commit(commit).await.unwrap();
    assert_eq!(committed.transcript, 1..2);
    assert_eq!(committed.said, [(one, 2), (two, 1), (one, 3)]);
    assert_eq!(store.cursor(one, Attempt(1)).await.unwrap(), Some(json!(7)));
    assert_eq!(store.cursor(two, Attempt(1)).await.unwrap(), None);
    let nobody = Commit { said: vec![to(SessionId::fixed(9), "hello?")], ..Commit::at(at(2)) };
    assert!(matches!(store.commit(nobody).await, Err(CommitError::Missing { table: "transcript" })));
}

#[tokio::test]
async fn a_page_of_long_lines_is_shorter() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    let long = "x".repeat(3 << 20);
    let append = TranscriptAppend {
        session: SessionId::fixed(1),
        attempt: Attempt(1),
        expected: None,
        next: json!(1),
        entries: vec![said(&long), said(&long), said("end")],
    };
    store.commit(Commit { transcript: Some(append), ..Commit::at(at(0)) }).await.unwrap();
    let page = async |span| {
        let entries = store.transcript(&viewer(), SessionId::fixed(1), span, 100).await.unwrap();
        entries.iter().map(|it| it.seq).collect::<Vec<_>>()
    };
    assert_eq!(page(Span::After(0)).await, [1]);
    assert_eq!(page(Span::After(1)).await, [2, 3]);
    assert_eq!(page(Span::Latest).await, [2, 3]);
}

#[tokio::test]
async fn a_credential_dies_with_its_attempt_and_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    let credential = |byte: u8, attempt| Credential {
        hash: [byte; 32],
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        session: SessionId::fixed(1),
        attempt: Attempt(attempt),
    };
    let running = placed(&session(1, 1), 1);
    let commit = Commit {
        changes: vec![changed(Row::Session(running.clone()))],
        credentials: vec![credential(1, 1)],
        ..Commit::at(at(1))
    };
    store.commit(commit).await.unwrap();
    let owner = store.credential_owner([1; 32]).await.unwrap().unwrap();
    assert_eq!((owner.session, owner.attempt, owner.objective), (running.id, Attempt(1), ObjectiveId::fixed(1)));
    assert_eq!((owner.role, owner.tenant, owner.scope), (Role::Implementer, TenantId::default(), ScopeId::default()));
    assert_eq!(store.credential_owner([9; 32]).await.unwrap(), None);

    // A second launch of the same attempt has another credential; the first is worth nothing then.
    store.commit(Commit { credentials: vec![credential(2, 1)], ..Commit::at(at(2)) }).await.unwrap();
    assert_eq!(store.credential_owner([1; 32]).await.unwrap(), None);
    assert!(store.credential_owner([2; 32]).await.unwrap().is_some());

    let mut next = placed(&running, 1);
    let commit = Commit { changes: vec![changed(Row::Session(next.clone()))], ..Commit::at(at(3)) };
    store.commit(commit).await.unwrap();
    assert_eq!(store.credential_owner([2; 32]).await.unwrap(), None, "another attempt");

    next = ended(&next);
    let commit =
        Commit { changes: vec![changed(Row::Session(next))], credentials: vec![credential(3, 2)], ..Commit::at(at(4)) };
    store.commit(commit).await.unwrap();
    assert_eq!(store.credential_owner([3; 32]).await.unwrap(), None, "the session is over");
}

#[tokio::test]
async fn the_same_request_twice_is_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let tenant = TenantId::default();
    let asked = |n: u64, secs| Commit {
        receipt: Some(Receipt {
            tenant: TenantId::default(),
            scope: ScopeId::default(),
            key: "k".into(),
            body: json!({ "n": n }),
        }),
        changes: rows([Row::Objective(objective(n))]).changes,
        ..Commit::at(at(secs))
    };
    assert_eq!(store.requested(&tenant, "k").await.unwrap(), Requested::New);
    store.commit(asked(1, 0)).await.unwrap();
    match store.commit(asked(2, 5)).await {
        Err(CommitError::AlreadyAnswered { body }) => assert_eq!(body, json!({ "n": 1 })),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.objective(&viewer(), ObjectiveId::fixed(2)).await.unwrap(), None);
    assert_eq!(store.requested(&tenant, "k").await.unwrap(), Requested::Answered(json!({ "n": 1 })));
    assert_eq!(store.requested(&TenantId::new("other"), "k").await.unwrap(), Requested::New);
}

#[tokio::test]
async fn rows_of_another_tenant_do_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    world(&store).await;
    let commit = Commit { journal: vec![line(1, 1, "x")], ..rows([Row::Message(message(1, 1, 1, "m"))]) };
    store.commit(commit).await.unwrap();
    let other = Viewer::of(TenantId::new("other"));
    let narrow = Viewer { scope: Some(ScopeId::new("elsewhere")), ..viewer() };
    for stranger in [other, narrow] {
        let session = SessionId::fixed(1);
        assert_eq!(store.session(&stranger, session).await.unwrap(), None);
        assert_eq!(store.objective(&stranger, ObjectiveId::fixed(1)).await.unwrap(), None);
        assert_eq!(store.objectives(&stranger, Default::default(), Page::first(9)).await.unwrap().items, []);
        assert_eq!(store.sessions(&stranger, Default::default(), Page::first(9)).await.unwrap().items, []);
        assert_eq!(store.messages(&stranger, Page::first(9)).await.unwrap().items, []);
        assert_eq!(store.messages_to(&stranger, session, Page::first(9)).await.unwrap().items, []);
        assert_eq!(store.messages_in(&stranger, ObjectiveId::fixed(1), Page::first(9)).await.unwrap().items, []);
        assert_eq!(store.events(&stranger, EventFilter::Session(session), Span::Latest, 9).await.unwrap(), []);
    }
    // Machines belong to the house: those of its own tenant serve everybody, and those of another one nobody else.
    let theirs = orcha_model::Target { tenant: TenantId::new("third"), ..target(7, 1) };
    store.commit(rows([Row::Target(theirs)])).await.unwrap();
    for stranger in [Viewer::of(TenantId::new("other")), viewer()] {
        let seen = store.targets(&stranger).await.unwrap();
        assert_eq!(seen.iter().map(|it| it.target.id).collect::<Vec<_>>(), [TargetId::fixed(1)]);
    }
    let mine = store.messages_to(&viewer(), SessionId::fixed(1), Page::first(9)).await.unwrap();
    assert_eq!(mine.items.iter().map(|it| it.id).collect::<Vec<_>>(), [MessageId::fixed(1)]);
}

#[tokio::test]
async fn bytes_of_files_are_kept_once_for_each_tenant_and_read_back_as_they_were() {
    use orcha_model::attachment::{Attachment, Raw, take};
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let bytes = b"one\r\ntwo \xff".to_vec();
    let file = take(&[Raw { name: "a.txt", bytes: &bytes, sha256: "abc".into() }]).unwrap().remove(0);
    for n in 1..=2 {
        let of = objective(n);
        let mut commit = rows([Row::Objective(of.clone())]);
        commit.attachments.push(Attachment {
            id: orcha_base::AttachmentId::fixed(n),
            tenant: of.tenant.clone(),
            scope: of.scope.clone(),
            objective: of.id,
            file: file.clone(),
            created_at: at(1),
        });
        commit.attached.push(orcha_store::Attached { tenant: of.tenant, sha256: "abc".into(), bytes: bytes.clone() });
        store.commit(commit).await.unwrap();
    }
    let of = store.load_world(objective(1).id).await.unwrap().unwrap().attachments;
    assert_eq!(
        of.iter().map(|it| (it.id, &it.file)).collect::<Vec<_>>(),
        [(orcha_base::AttachmentId::fixed(1), &file)]
    );
    assert_eq!(store.attachment(&viewer(), of[0].id).await.unwrap().as_ref(), Some(&of[0]));
    assert_eq!(store.attached_bytes(&viewer().tenant, "abc").await.unwrap(), Some(bytes));
    let other = orcha_store::Viewer { tenant: orcha_base::TenantId::new("other"), scope: None };
    assert_eq!(store.attached_bytes(&other.tenant, "abc").await.unwrap(), None);
    assert_eq!(store.attachment(&other, of[0].id).await.unwrap(), None);
}
