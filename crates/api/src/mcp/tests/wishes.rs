//! What each tool does, and what it says when it does not.

use super::stage::{Stage, repo};
use orcha_base::{PullRequestId, SessionId};
use orcha_model::session::{Evidence, State, Verdict};
use orcha_model::{Role, feedback, message, objective, pull_request, question};
use orcha_workspace::Label;
use serde_json::{Value, json};

fn id_of(data: &Value) -> SessionId {
    data["session_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_manager_spawns_a_worker_that_knows_its_place() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let first =
        id_of(&manager.get("spawn_session", json!({"role": "implementer", "title": "A", "goal": "Do A."})).await);
    let wish = json!({
        "role": "validator", "title": "B", "goal": "Check A.", "dependencies": [first.short(), first], "target": "here",
        "target_labels": ["big"], "base_branch": "release", "agent_hint": "other",
    });
    let second = id_of(&manager.get("spawn_session", wish).await);
    let session = stage.view(manager.objective, move |world| world.sessions[&second].clone()).await;
    assert_eq!(session.parent, Some(manager.id));
    assert_eq!(session.depends_on, [first]);
    assert_eq!(session.labels, ["big"]);
    assert_eq!(session.agent.kind, "other");
    assert!(session.pin.is_some());
    let choice = session.repo.unwrap();
    assert_eq!((choice.url, choice.base.unwrap().as_str()), (repo(), "release"));
    assert_eq!(session.state, State::Queued { released: false });

    let review = json!({"role": "reviewer", "title": "C", "goal": "Judge A.", "reviews": first});
    let third = id_of(&manager.get("spawn_session", review).await);
    let session = stage.view(manager.objective, move |world| world.sessions[&third].clone()).await;
    assert_eq!((session.reviews, session.depends_on), (Some(first), vec![first]));
}

#[tokio::test]
async fn promise_17_a_wrong_spawn_is_told_what_would_be_right() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let other = stage.manager().await;
    let stranger = id_of(&other.get("spawn_session", json!({"role": "custom", "title": "X", "goal": "X."})).await);
    let known = id_of(&manager.get("spawn_session", json!({"role": "custom", "title": "K", "goal": "K."})).await);
    let wish = |change: Value| {
        let mut wish = json!({"role": "implementer", "title": "T", "goal": "G."});
        wish.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        wish
    };
    for (change, says) in [
        (
            json!({"dependencies": [stranger]}),
            format!("there is no session `{stranger}` in this objective; there are: {known}"),
        ),
        (json!({"dependencies": ["nonsense"]}), format!("there are: {known}")),
        (json!({"dependencies": [manager.id]}), "is the manager of this objective, not a worker".into()),
        (json!({"reviews": known}), "`reviews` is for a reviewer, not for an implementer".into()),
        (json!({"role": "pr_followup"}), "made by `address_pr_feedback`".into()),
        (json!({"role": "manager"}), "must be one of implementer, reviewer, validator, researcher, custom".into()),
        (json!({"target": "elsewhere"}), "there is no target `elsewhere`; there are: here".into()),
        (json!({"agent_hint": "codex"}), "there is no agent `codex`; there are: claude, other".into()),
        (json!({"repo": "ext::sh -c id"}), "`repo`:".into()),
        (json!({"repo": "--upload-pack=id"}), "`repo`:".into()),
        (json!({"base_branch": "-x"}), "`base_branch`:".into()),
        (json!({"title": "two\nlines"}), "`title` must be one line".into()),
        (json!({"title": "ü".repeat(150)}), "`title` must have at most 200 bytes".into()),
        (json!({"title": "a\0"}), "`title` must not hold a NUL character".into()),
        (json!({"goal": ["nested", {"deeper": []}]}), "`goal` must be a text, not a list".into()),
        (json!({"goal": "x".repeat(60_001)}), "`goal` must have at most 60000 characters; it has 60001".into()),
        (json!({"dependencies": "one"}), "`dependencies` must be a list, not a text".into()),
        (json!({"push_repo": "x"}), "`push_repo` is not an argument of it".into()),
    ] {
        let said = manager.refusal("spawn_session", wish(change)).await;
        assert!(said.contains(&says), "{says}\n{said}");
    }
    let sessions = stage.view(manager.objective, |world| world.sessions.len()).await;
    assert_eq!(sessions, 2, "what was refused left something behind");
}

#[tokio::test]
async fn promise_3_a_call_that_comes_twice_takes_effect_once() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let worker = stage.worker(manager.objective, Role::Custom).await;
    let spawn = json!({"role": "custom", "title": "T", "goal": "G."});
    let steer = json!({"session_id": worker.id, "message": "Mind the gap."});
    let mut answers = Vec::new();
    for _ in 0..2 {
        let spawned = manager.client.call("spawn_session", spawn.clone(), Some("toolu_1")).await.said();
        let steered = manager.client.call("message_session", steer.clone(), Some("toolu_2")).await.said();
        answers.push((spawned, steered));
    }
    assert_eq!(answers[0], answers[1]);
    // The daemon in between does not matter.
    let token = manager.token.clone();
    let objective = manager.objective;
    let stage = stage.restart().await;
    let client = stage.client(Some(&token));
    assert_eq!(client.call("spawn_session", spawn.clone(), Some("toolu_1")).await.said(), answers[0].0);
    let sessions = stage.view(objective, |world| world.sessions.len()).await;
    assert_eq!(sessions, 3);

    // The same id for something else is another call, and so is another id for the same.
    let other = json!({"role": "custom", "title": "U", "goal": "G."});
    assert_ne!(client.call("spawn_session", other, Some("toolu_1")).await.said(), answers[0].0);
    assert_ne!(client.call("spawn_session", spawn, Some("toolu_9")).await.said(), answers[0].0);
    assert_eq!(stage.view(objective, |world| world.sessions.len()).await, 5);
}

#[tokio::test]
async fn a_question_that_is_asked_twice_is_one_question() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let wish = json!({"question": "Which colour?", "context": "The sky.", "options": ["blue", "grey"]});
    let first = manager.get("ask_user", wish.clone()).await;
    let (text, error) = manager.call("ask_user", wish).await;
    assert!(!error && text.contains("End your turn"), "{text}");
    let questions = stage.view(manager.objective, |world| world.questions.values().cloned().collect::<Vec<_>>()).await;
    let [question] = questions.as_slice() else { panic!("{questions:?}") };
    assert_eq!(first["question_id"], json!(question.id));
    assert_eq!(question.session, Some(manager.id));
    assert_eq!(question.options, ["blue", "grey"]);
    assert_eq!(question.state, question::State::Open);
}

#[tokio::test]
async fn a_report_ends_a_worker_well_and_carries_notes_and_changes() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let worker = stage.worker(manager.objective, Role::Implementer).await;
    stage.commit(&worker, "src/it.rs").await;
    let long = format!("{}{}", "n".repeat(1200), "END");
    let note = worker.get("create_note", json!({"title": "How", "body": long})).await;
    let wish = json!({"summary": "Did it.", "notes": [note["note_id"]], "include_diff": true});
    worker.get("report_result", wish).await;
    let report = stage.session(&worker).await.report.unwrap();
    assert!(report.summary.starts_with("Did it.\n\n## How\nnnn"), "{}", report.summary);
    assert!(!report.summary.contains("END"));
    assert!(report.summary.contains("## Changes\n1 files in 1 commits"), "{}", report.summary);
    assert!(report.summary.contains("src/it.rs"), "{}", report.summary);
    stage.finish(&worker).await;
    assert_eq!(stage.session(&worker).await.state, State::Succeeded { evidence: Evidence::Report });

    let other = stage.manager().await;
    let stranger = stage.worker(other.objective, Role::Implementer).await;
    let said = stranger.refusal("report_result", json!({"summary": "x", "notes": [note["note_id"]]})).await;
    assert!(said.contains("there is no note"), "{said}");
    let said = stranger.refusal("report_result", json!({"summary": "x".repeat(6001)})).await;
    assert!(said.contains("`summary` must have at most 6000 characters; it has 6001"), "{said}");
    assert_eq!(stage.session(&stranger).await.report, None);
}

#[tokio::test]
async fn a_review_needs_findings_to_ask_for_changes() {
    let stage = Stage::open().await;
    let reviewer = stage.alone(Role::Reviewer).await;
    let said = reviewer.refusal("submit_review", json!({"verdict": "request_changes", "summary": "Hm."})).await;
    assert!(said.contains("`findings` must name at least one"), "{said}");
    let said = reviewer.refusal("submit_review", json!({"verdict": "maybe", "summary": "Hm."})).await;
    assert!(said.contains("`verdict` must be one of approve, request_changes"), "{said}");
    let wish = json!({"verdict": "request_changes", "summary": "Hm.", "findings": ["it.rs:3 leaks", "no test"]});
    reviewer.get("submit_review", wish).await;
    let report = stage.session(&reviewer).await.report.unwrap();
    assert_eq!(report.verdict, Some(Verdict::RequestChanges));
    assert_eq!(report.summary, "Changes requested. Hm.\n\nFindings:\n1. it.rs:3 leaks\n2. no test");
}

#[tokio::test]
async fn work_is_published_once_and_only_when_it_succeeded() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let running = stage.worker(manager.objective, Role::Implementer).await;
    let wish = |id: SessionId| json!({"session_id": id, "title": "Do it", "body": ""});
    let said = manager.refusal("publish_pr", wish(running.id)).await;
    assert!(said.contains("only the work of a session that succeeded is published"), "{said}");

    let (worker, pr) = stage.published(&manager).await;
    assert_eq!(pr.state, pull_request::State::Open);
    let again = manager.get("publish_pr", wish(worker)).await;
    assert_eq!(again["pr_id"], json!(pr.id));
    assert_eq!(again["number"], json!(1));
    assert_eq!(again["url"], json!(pr.url));

    let other = stage.manager().await;
    let said = other.refusal("publish_pr", wish(worker)).await;
    assert!(said.contains("in this objective"), "{said}");

    // A publication that fails says why, and to everybody who asks again.
    let idle = stage.worker(manager.objective, Role::Implementer).await;
    idle.get("report_result", json!({"summary": "Nothing to do."})).await;
    stage.finish(&idle).await;
    let said = manager.refusal("publish_pr", wish(idle.id)).await;
    assert!(said.contains("there is nothing to publish"), "{said}");
}

#[tokio::test]
async fn a_follow_up_updates_its_own_pull_request_and_no_other() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let (_, pr) = stage.published(&manager).await;
    let (_, other) = stage.published(&manager).await;
    let wish = json!({"pr_id": "#1", "instructions": "Rename it."});
    let (text, error) = manager.call("address_pr_feedback", wish).await;
    assert!(!error && text.contains("is sent to work on pull request #1"), "{text}");
    let fixer = stage.follow_up(manager.objective, pr.id).await;

    let said = fixer.refusal("update_pr", json!({"pr_id": other.number})).await;
    assert!(said.contains(&format!("must be the pull request that you work on: #1 (id {})", pr.id)), "{said}");
    let said = fixer.refusal("comment_pr", json!({"pr_id": other.id, "body": "Hi."})).await;
    assert!(said.contains("must be the pull request that you work on"), "{said}");
    let said = fixer.refusal("update_pr", json!({"pr_id": 1})).await;
    assert!(said.contains("there is nothing to push"), "{said}");
    let said = fixer.refusal("update_pr", json!({"pr_id": 1, "force": true})).await;
    assert!(said.contains("`force` needs `force_reason`"), "{said}");
    let said = fixer.refusal("update_pr", json!({"pr_id": 1, "session_id": pr.session})).await;
    assert!(said.contains("`session_id` must be your own"), "{said}");

    // New words alone are no push.
    let edited = fixer.get("update_pr", json!({"pr_id": "1", "title": "Do it better"})).await;
    assert_eq!(edited["head"], json!(pr.head));
    let workspace = stage.commit(&fixer, "src/renamed.rs").await;
    let pushed = fixer.get("update_pr", json!({"pr_id": pr.id.short(), "body": "Renamed."})).await;
    assert_ne!(pushed["head"], json!(pr.head));
    let id = pr.id;
    let now = stage.view(manager.objective, move |world| world.pull_requests[&id].clone()).await;
    assert_eq!((now.title.as_str(), now.body.as_str()), ("Do it better", "Renamed."));
    assert_eq!(json!(now.head), pushed["head"]);
    let label = Label::new(&workspace.to_string()).unwrap();
    assert!(stage.checkouts.files(&label).contains_key("src/renamed.rs"));
}

#[tokio::test]
async fn a_manager_edits_words_and_pushes_only_from_checkouts_that_are_at_rest() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let (worker, pr) = stage.published(&manager).await;
    manager.get("update_pr", json!({"pr_id": 1, "title": "New words", "body": "B"})).await;
    let said = manager.refusal("update_pr", json!({"pr_id": 1})).await;
    assert!(said.contains("there is nothing to push"), "{said}");
    let said = manager.refusal("update_pr", json!({"pr_id": 9})).await;
    assert!(said.contains("there is no pull request `9`") && said.contains(&pr.id.to_string()), "{said}");

    let idle = stage.worker(manager.objective, Role::Implementer).await;
    let said = manager.refusal("update_pr", json!({"pr_id": 1, "session_id": idle.id})).await;
    assert!(said.contains(&format!("does not work on pull request #1; those that did: {worker}")), "{said}");
    manager.get("address_pr_feedback", json!({"pr_id": 1, "instructions": "More."})).await;
    let fixer = stage.follow_up(manager.objective, pr.id).await;
    let said = manager.refusal("update_pr", json!({"pr_id": 1, "session_id": fixer.id})).await;
    assert!(said.contains("is running and pushes itself"), "{said}");
}

#[tokio::test]
async fn the_same_comment_is_posted_once() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    stage.published(&manager).await;
    for body in ["Please look.", "Please look.", "And again."] {
        manager.get("comment_pr", json!({"pr_id": 1, "body": body})).await;
    }
    use orcha_forge::Forge;
    let comments = stage.forge.comments(&repo(), orcha_forge::PrNumber(1), None).await.unwrap();
    assert_eq!(comments.comments.len(), 2, "{comments:?}");
}

#[tokio::test]
async fn whoever_works_on_a_pull_request_is_told_instead_of_a_second_one() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let (_, pr) = stage.published(&manager).await;
    let first = json!({"pr_id": 1, "instructions": "One."});
    for _ in 0..2 {
        manager.client.call("address_pr_feedback", first.clone(), Some("toolu_1")).await.said();
    }
    let fixer = stage.follow_up(manager.objective, pr.id).await;
    // The answer was lost, and meanwhile somebody works on it: it is still the same instruction.
    let (text, error) = manager.client.call("address_pr_feedback", first, Some("toolu_1")).await.said();
    assert!(!error && text.contains("is sent to work on"), "{text}");
    let said = manager.get("address_pr_feedback", json!({"pr_id": 1, "instructions": "Two."})).await;
    assert_eq!(said["session_id"], json!(fixer.id));
    let (instructions, told, sessions) = stage
        .view(manager.objective, move |world| {
            let told = world.waiting_messages(fixer.id).map(|it| it.text.clone()).collect::<Vec<_>>();
            let kinds = world.feedback.values().map(|it| it.kind).collect::<Vec<_>>();
            (kinds, told, world.sessions.values().filter(|it| it.pull_request == Some(pr.id)).count())
        })
        .await;
    assert_eq!(instructions, [feedback::Kind::Instruction]);
    assert_eq!(told, ["Your manager asks of pull request #1:\nTwo."]);
    assert_eq!(sessions, 1);
}

#[tokio::test]
async fn a_list_shows_who_works_and_who_worked() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let (done, pr) = stage.published(&manager).await;
    let running = stage.worker(manager.objective, Role::Researcher).await;
    let reply = manager.client.call("list_children", json!({}), None).await;
    let (text, _) = reply.said();
    let listed: Vec<Value> = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(listed.len(), 1, "{text}");
    assert_eq!(listed[0]["id"], json!(running.id));
    assert_eq!(listed[0]["status"], "running");
    assert_eq!(listed[0]["role"], "researcher");
    assert_eq!(listed[0]["pr"], Value::Null);
    assert!(text.contains("1 sessions have ended"), "{text}");
    let all = manager.get("list_children", json!({"include_finished": true})).await;
    let all = all["sessions"].as_array().unwrap();
    let child = all.iter().find(|it| it["id"] == json!(done)).unwrap();
    assert_eq!(child["pr"], json!({"number": 1, "id": pr.id, "status": "open"}));
    assert_eq!(child["report"], "Did it.");
    assert_eq!(all.len(), 2, "the manager itself is not listed");
}

#[tokio::test]
async fn a_message_reaches_a_worker_of_the_objective_and_nobody_else() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let other = stage.manager().await;
    let worker = stage.worker(manager.objective, Role::Custom).await;
    let say = |id: SessionId| json!({"session_id": id, "message": "Mind the gap."});
    manager.get("message_session", say(worker.id)).await;
    let heard =
        stage.view(manager.objective, move |world| world.waiting_messages(worker.id).next().cloned()).await.unwrap();
    assert_eq!(heard.from, message::Sender::Manager { session: manager.id });
    assert_eq!(heard.text, format!("Your manager (session {}) says:\nMind the gap.", manager.id));

    assert!(manager.refusal("message_session", say(manager.id)).await.contains("is the manager"));
    assert!(other.refusal("message_session", say(worker.id)).await.contains("there is no session"));
    assert!(other.refusal("cancel_session", json!({"session_id": worker.id})).await.contains("there is no session"));
    assert!(manager.refusal("cancel_session", json!({"session_id": manager.id})).await.contains("is the manager"));
    manager.get("cancel_session", json!({"session_id": worker.id})).await;
    manager.get("cancel_session", json!({"session_id": worker.id})).await;
    let said = manager.refusal("message_session", say(worker.id)).await;
    assert!(said.contains("has ended (canceled)"), "{said}");
}

#[tokio::test]
async fn an_objective_is_not_done_while_a_pull_request_is_open() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let (_, pr) = stage.published(&manager).await;
    let said = manager.refusal("mark_objective_done", json!({"summary": "All there."})).await;
    assert!(said.contains("pull requests are still open: #1"), "{said}");
    let merge = pull_request::Input::Merge { method: orcha_model::effect::MergeMethod::Merge };
    stage.orch.pull_request_request(manager.objective, pr.id, merge).await.unwrap();
    manager.get("mark_objective_done", json!({"summary": "All there."})).await;
    let objective = stage.view(manager.objective, |world| world.objective.clone()).await;
    assert_eq!(objective.state, objective::State::Succeeded);
    assert_eq!(objective.summary.as_deref(), Some("All there."));
}

#[tokio::test]
async fn a_push_that_the_rules_forbid_is_refused_with_the_rule() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let (_, pr) = stage.published(&manager).await;
    let merge = pull_request::Input::Merge { method: orcha_model::effect::MergeMethod::Merge };
    stage.orch.pull_request_request(manager.objective, pr.id, merge).await.unwrap();
    let said = manager.refusal("update_pr", json!({"pr_id": 1, "commit_message": "More"})).await;
    assert!(said.contains("merged"), "{said}");
    let said = manager.refusal("address_pr_feedback", json!({"pr_id": 1, "instructions": "More."})).await;
    assert!(said.contains("pull request #1 is merged"), "{said}");
}

#[tokio::test]
async fn ids_of_another_objective_are_as_if_they_were_not_there() {
    let stage = Stage::open().await;
    let mine = stage.manager().await;
    let theirs = stage.manager().await;
    let (_, pr) = stage.published(&theirs).await;
    let nobody = PullRequestId::fixed(1);
    for id in [pr.id, nobody] {
        for tool in ["update_pr", "comment_pr", "address_pr_feedback"] {
            let mut wish = json!({"pr_id": id});
            match tool {
                "comment_pr" => wish["body"] = json!("Hi."),
                "address_pr_feedback" => wish["instructions"] = json!("Do."),
                _ => {}
            }
            let said = mine.refusal(tool, wish).await;
            let unknown = format!("there is no pull request `{id}` in this objective; there are none yet");
            assert_eq!(said, unknown, "{tool}");
        }
    }
}
