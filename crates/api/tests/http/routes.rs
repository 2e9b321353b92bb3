//! What each route does, in the published shapes.

use crate::stage::{Stage, repo, request, text};
use axum::body::Body;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

#[tokio::test]
async fn an_objective_is_made_and_its_repository_becomes_a_project() {
    let stage = Stage::open().await;
    let wish = json!({"title": "Site", "prompt": "wait for it", "repo": repo(), "limits": {"same_error": 7}});
    let made = stage.post("/api/objectives", wish).await.ok(201);
    let (objective, manager) = (&made["objective"], &made["manager"]);
    assert_eq!(objective["title"], "Site");
    assert_eq!((&objective["status"], &objective["strategy"]), (&json!("active"), &json!("manager")));
    assert_eq!(objective["manager_session_id"], manager["id"]);
    assert_eq!((&manager["role"], &manager["mode"]), (&json!("manager"), &json!("interactive")));
    assert_eq!((&objective["limits"]["same_error"], &objective["limits"]["no_progress"]), (&json!(7), &json!(5)));
    let projects = stage.get("/api/projects").await.ok(200);
    assert_eq!((&projects[0]["name"], &projects[0]["id"]), (&json!("site"), &objective["metadata"]["project_id"]));

    let again = json!({"prompt": "wait", "project_id": projects[0]["id"]});
    let again = stage.post("/api/objectives", again).await.ok(201);
    assert_eq!(again["objective"]["metadata"]["repo"], json!(repo()));
    assert_eq!(stage.get("/api/projects").await.ok(200).as_array().unwrap().len(), 1);

    let detail = stage.get(&format!("/api/objectives/{}", text(&objective["id"]))).await.ok(200);
    for list in ["sessions", "pull_requests", "questions", "artifacts"] {
        assert!(detail[list].is_array(), "{list}");
    }
    assert_eq!(detail["usage"]["total_tokens"], 0);
    let usage = stage.get(&format!("/api/objectives/{}/usage", text(&objective["id"]))).await.ok(200);
    assert_eq!(usage, detail["usage"]);
}

#[tokio::test]
async fn c20_a_request_with_a_key_takes_effect_once() {
    let stage = Stage::open().await;
    let post = |path: &str, key: &str, body: Value| {
        let request = request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
        request.header("idempotency-key", key).body(Body::from(body.to_string())).unwrap()
    };
    let wish = json!({"prompt": "wait", "repo": repo()});
    let first = stage.send(post("/api/objectives", "one", wish.clone())).await.ok(201);
    let second = stage.send(post("/api/objectives", "one", wish.clone())).await.ok(201);
    let other = stage.send(post("/api/objectives", "two", wish.clone())).await.ok(201);
    assert_eq!(first["objective"]["id"], second["objective"]["id"]);
    assert_eq!(first["manager"]["id"], second["manager"]["id"]);
    assert_ne!(first["objective"]["id"], other["objective"]["id"]);
    assert_eq!(stage.get("/api/objectives").await.ok(200).as_array().unwrap().len(), 2);

    let steer = format!("/api/objectives/{}/steer", text(&first["objective"]["id"]));
    let said = stage.send(post(&steer, "one", json!({"message": "hurry"}))).await.ok(200);
    let again = stage.send(post(&steer, "one", json!({"message": "hurry"}))).await.ok(200);
    assert_eq!(said["message"]["id"], again["message"]["id"]);
    let refused = stage.send(post("/api/objectives", "", wish)).await;
    assert_eq!(refused.problem(), (422, "invalid".into()));
    let other = stage.send(post("/api/objectives", "one", json!({"prompt": "wait for something else"}))).await;
    assert_eq!(other.problem(), (422, "invalid".into()));
    assert_eq!(other.json()["field"], "idempotency-key");
    assert_eq!(stage.get("/api/objectives").await.ok(200).as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_retry_is_answered_as_the_first_time_whatever_happened_since() {
    let stage = Stage::open().await;
    let post = |path: &str, key: &str, body: Value| {
        let request = request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
        request.header("idempotency-key", key).body(Body::from(body.to_string())).unwrap()
    };
    // What has names of its own that are taken is made once, too, and the second answer is the first one.
    for (path, body) in [
        ("/api/projects", json!({"repo": "/srv/new.git"})),
        ("/api/targets", json!({"name": "big"})),
        ("/api/objectives", json!({"prompt": "wait", "strategy": "direct"})),
    ] {
        let first = stage.send(post(path, "k", body.clone())).await;
        assert_eq!(first.status.as_u16(), 201, "{}", first.text);
        let again = stage.send(post(path, "k", body.clone())).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{path}");
        assert_eq!(again.headers.get(header::LOCATION), first.headers.get(header::LOCATION));
        assert_eq!(
            (again.headers["idempotency-replayed"].to_str().unwrap(), first.headers.get("idempotency-replayed")),
            ("true", None)
        );
    }
    // What was refused had no effect, and may go well later.
    let refused = stage.send(post("/api/objectives", "l", json!({"prompt": ""}))).await;
    assert_eq!(refused.problem().0, 422);
    stage.send(post("/api/objectives", "l", json!({"prompt": "wait"}))).await.ok(201);
    // A login link is a secret, and made anew each time.
    let link = || async { stage.send(post("/api/login-link", "k", json!({}))).await.ok(200)["url"].clone() };
    assert_ne!(link().await, link().await);
}

#[tokio::test]
async fn who_edits_what_somebody_else_edited_meanwhile_is_told() {
    let stage = Stage::open().await;
    let (objective, _) = stage.one("wait", "running").await;
    let target = text(&stage.get("/api/targets").await.ok(200)[0]["id"]);
    for (path, edits) in [
        (format!("/api/objectives/{objective}"), [json!({"title": "One"}), json!({"title": "Two"})]),
        (format!("/api/targets/{target}"), [json!({"capacity_sessions": 3}), json!({"capacity_sessions": 4})]),
    ] {
        let seen = stage.get(&path).await.headers[header::ETAG].clone();
        let edit = |tag: &http::HeaderValue, body: &Value| {
            let request = request(Method::PATCH, &path).header(header::CONTENT_TYPE, "application/json");
            request.header(header::IF_MATCH, tag).body(Body::from(body.to_string())).unwrap()
        };
        let first = stage.send(edit(&seen, &edits[0])).await;
        first.ok(200);
        let late = stage.send(edit(&seen, &edits[1])).await;
        assert_eq!(late.problem(), (412, "changed".into()));
        assert_eq!(late.json()["field"], "if-match");
        stage.send(edit(&first.headers[header::ETAG], &edits[1])).await.ok(200);
        stage.send(edit(&"*".parse().unwrap(), &edits[0])).await.ok(200);
        stage.call(Method::PATCH, &path, edits[1].clone()).await.ok(200);
    }
    // What goes on by itself is no edit.
    let path = format!("/api/objectives/{objective}");
    let seen = stage.get(&path).await.headers[header::ETAG].clone();
    stage.verb(&format!("{path}/pause")).await.ok(200);
    assert_eq!(stage.get(&path).await.headers[header::ETAG], seen);
}

#[tokio::test]
async fn a_list_of_sessions_tells_what_each_waits_for() {
    let stage = Stage::open().await;
    let made = stage.post("/api/objectives", json!({"prompt": "wait", "repo": repo()})).await.ok(201);
    let objective: orcha_base::ObjectiveId = text(&made["objective"]["id"]).parse().unwrap();
    let worker = |title: &str| orcha_plan::NewSession::new(orcha_model::Role::Implementer, title, "wait");
    let first = stage.orch.new_session(objective, worker("First")).await.unwrap();
    let mut second = worker("Second");
    second.depends_on = vec![first];
    stage.orch.new_session(objective, second).await.unwrap();
    let mut nowhere = worker("Third");
    nowhere.labels = vec!["gpu".into()];
    stage.orch.new_session(objective, nowhere).await.unwrap();
    let path = format!("/api/sessions?objective_id={objective}");
    let row =
        |all: &Value, title: &str| all.as_array().unwrap().iter().find(|it| it["title"] == title).unwrap().clone();
    let all = stage
        .until(&path, |all| row(all, "First")["turn"] == "busy" && row(all, "Third")["status"] == "waiting_capacity")
        .await;
    assert_eq!(row(&all, "Second")["reason"], "it waits for sessions that it depends on");
    assert!(text(&row(&all, "Third")["reason"]).contains("no target takes it"), "{all}");
    assert_eq!(row(&all, "First").get("reason"), None);
}

#[tokio::test]
async fn lists_page_and_filter() {
    let stage = Stage::open().await;
    let mut made = Vec::new();
    for n in 0..7 {
        let wish = json!({"prompt": format!("wait {n}"), "strategy": "direct"});
        made.push(text(&stage.post("/api/objectives", wish).await.ok(201)["objective"]["id"]));
    }
    for id in &made[..3] {
        stage.verb(&format!("/api/objectives/{id}/cancel")).await.ok(200);
    }
    for (path, expected) in
        [("/api/objectives?", 7), ("/api/objectives?state=canceled&", 3), ("/api/sessions?state=canceled&", 3)]
    {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let reply = stage.get(&format!("{path}limit=2{after}")).await;
            let rows = reply.ok(200);
            seen.extend(rows.as_array().unwrap().iter().map(|it| text(&it["id"])));
            let Some(next) = reply.headers.get("x-next-cursor") else { break };
            after = format!("&after={}", next.to_str().unwrap());
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), expected, "{path}");
    }
    let row = &stage.get("/api/objectives?state=active&limit=1").await.ok(200)[0];
    for key in ["active_sessions", "pr_count", "open_questions", "needs_user", "latest_activity", "repo"] {
        assert!(!row[key].is_null(), "{key}");
    }
    let events = stage.get("/api/events?after=0&limit=3").await;
    assert_eq!(events.headers["x-next-cursor"], "3");
    let ids = |it: &Value| it.as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids(&events.ok(200)), [1, 2, 3]);
    let newest = ids(&stage.get("/api/events?limit=2").await.ok(200));
    assert_eq!(newest[1], newest[0] + 1);
    let before = ids(&stage.get(&format!("/api/events?limit=2&before={}", newest[0])).await.ok(200));
    assert_eq!(before, [newest[0] - 2, newest[0] - 1]);
    let of = stage.get(&format!("/api/events?objective_id={}", made[0])).await.ok(200);
    assert!(of.as_array().unwrap().iter().all(|it| it["objective_id"] == json!(made[0])));
}

#[tokio::test]
async fn short_ids_work_while_they_fit_one() {
    let stage = Stage::open().await;
    let (objective, session) = stage.one("wait", "running").await;
    let short = |id: &str| id[id.len() - 8..].to_owned();
    for (path, id) in [("objectives", &objective), ("sessions", &session)] {
        let found = stage.get(&format!("/api/{path}/{}", short(id).to_uppercase())).await.ok(200);
        let found = found.get("objective").unwrap_or(&found);
        assert_eq!(found["id"], json!(id));
    }
    let why = stage.get(&format!("/api/why/{}", short(&session))).await.ok(200);
    assert_eq!((&why["noun"], &why["id"], &why["state"]), (&json!("session"), &json!(session), &json!("running")));
    let why = stage.get(&format!("/api/why/{objective}")).await.ok(200);
    assert_eq!(why["noun"], "objective");
    let target = &stage.get("/api/targets").await.ok(200)[0];
    let why = stage.get(&format!("/api/why/{}", text(&target["id"]))).await.ok(200);
    assert_eq!((&why["noun"], &why["state"]), (&json!("target"), &json!("online")));
    let workspace = text(&stage.get(&format!("/api/sessions/{session}")).await.ok(200)["workspace_id"]);
    assert_eq!(stage.get(&format!("/api/why/{}", short(&workspace))).await.ok(200)["noun"], "workspace");
    for missing in ["00000000", "nonsense"] {
        assert_eq!(stage.get(&format!("/api/sessions/{missing}")).await.problem(), (404, "not_found".into()));
        assert_eq!(stage.get(&format!("/api/why/{missing}")).await.problem(), (404, "not_found".into()));
    }
    // Two ids with the same last digits are a question back.
    let mut twins = Vec::new();
    for n in [1_u64, 2] {
        let found = stage.orch.view(objective.parse().unwrap(), move |world| world.objective.clone()).await.unwrap();
        let mut twin = found;
        twin.id = orcha_base::ObjectiveId::fixed((n << 32) + 0xabcd_abcd);
        twin.state = orcha_model::objective::State::Succeeded;
        twins.push(twin.id.to_string());
        let mut commit = orcha_store::Commit::at(stage.orch.now());
        commit.changes.push(orcha_store::Change { row: orcha_store::Row::Objective(twin), expected: None });
        stage.orch.store().commit(commit).await.unwrap();
    }
    let reply = stage.get("/api/objectives/abcdabcd").await;
    assert_eq!(reply.problem(), (409, "ambiguous_id".into()));
    assert!(twins.iter().all(|it| reply.text.contains(it)), "{}", reply.text);
}

#[tokio::test]
async fn sessions_are_steered_paused_resumed_canceled_and_tried_again() {
    let stage = Stage::open().await;
    let (objective, session) = stage.one("wait", "running").await;
    let at = |verb: &str| format!("/api/sessions/{session}/{verb}");
    let steered = stage.post(&at("messages"), json!({"message": "wait more"})).await.ok(200);
    assert_eq!((&steered["status"], &steered["session_id"]), (&json!("sent"), &json!(session)));
    let steering = stage.get(&at("steering")).await.ok(200);
    assert_eq!((&steering[0]["content"], &steering[0]["source"]), (&json!("wait more"), &json!("user")));
    let all = stage.get(&format!("/api/messages?session_id={session}")).await.ok(200);
    assert_eq!(all.as_array().unwrap().len(), steering.as_array().unwrap().len());
    let both = format!("/api/messages?session_id={session}&objective_id={objective}");
    assert_eq!(stage.get(&both).await.problem(), (422, "invalid".into()));
    assert_eq!(stage.post(&at("messages"), json!({"message": " "})).await.problem(), (422, "invalid".into()));
    let no_manager = stage.post(&format!("/api/objectives/{objective}/steer"), json!({"message": "x"})).await;
    assert_eq!(no_manager.problem(), (409, "state".into()));

    let said = |it: &Value| it.as_array().unwrap().iter().any(|it| it["kind"] == "text" && it["source"] == "agent");
    let messages = stage.until(&at("messages"), said).await;
    assert_eq!((&messages[0]["seq"], &messages[0]["session_id"]), (&json!(1), &json!(session)));
    assert_eq!(stage.get(&at("messages?tail=1")).await.ok(200).as_array().unwrap().len(), 1);
    assert_eq!(stage.get(&at("messages?tail=1&after=1")).await.problem(), (422, "invalid".into()));

    assert_eq!(stage.verb(&at("pause")).await.ok(200)["status"], "paused");
    let resumed = stage.verb(&at("resume")).await.ok(200);
    assert_ne!(resumed["status"], "paused");
    let canceled = stage.post(&at("cancel"), json!({"reason": "enough"})).await.ok(200);
    assert_eq!((&canceled["status"], &canceled["reason"]), (&json!("canceled"), &json!("enough")));
    assert_eq!(stage.verb(&at("resume")).await.problem(), (409, "over".into()));
    let told = stage.post(&at("messages"), json!({"message": "hello?"})).await;
    assert_eq!(told.problem(), (409, "over".into()));
    let failed = stage.get(&format!("/api/objectives/{objective}")).await.ok(200);
    if failed["objective"]["status"] == "active" {
        let again = stage.verb(&at("retry")).await.ok(201 - 1);
        assert_eq!(again["metadata"]["retries"], json!(session));
    }
}

#[tokio::test]
async fn objectives_are_edited_paused_ended_and_made_anew() {
    let stage = Stage::open().await;
    let (objective, _) = stage.one("wait", "running").await;
    let at = format!("/api/objectives/{objective}");
    let edit = json!({"title": "New", "priority": 9, "limits": {"session_tokens": 5}});
    let edited = stage.call(Method::PATCH, &at, edit).await.ok(200);
    assert_eq!((&edited["title"], &edited["priority"]), (&json!("New"), &json!(9)));
    assert_eq!((&edited["limits"]["session_tokens"], &edited["limits"]["same_error"]), (&json!(5), &json!(3)));
    assert_eq!(stage.verb(&format!("{at}/pause")).await.ok(200)["status"], "paused");
    assert_eq!(stage.verb(&format!("{at}/resume")).await.ok(200)["status"], "active");
    let canceled = stage.post(&format!("{at}/cancel"), json!({"reason": "enough"})).await.ok(200);
    assert_eq!((&canceled["status"], &canceled["reason"]), (&json!("canceled"), &json!("enough")));
    assert_eq!(stage.verb(&format!("{at}/pause")).await.problem(), (409, "over".into()));
    let again = stage.verb(&format!("{at}/retry")).await.ok(200);
    assert_ne!(again["id"], json!(objective));
    assert_eq!(
        (&again["prompt"], &again["title"], &again["status"]),
        (&json!("wait"), &json!("New"), &json!("active"))
    );
    let detail = stage.get(&format!("/api/objectives/{}", text(&again["id"]))).await.ok(200);
    assert_eq!(detail["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn questions_are_listed_and_answered_once() {
    let stage = Stage::open().await;
    let (objective, session) = stage.one("wait", "running").await;
    let new = orcha_plan::NewQuestion {
        session: Some(session.parse().unwrap()),
        cause: "test".into(),
        about: orcha_model::question::About::Asked,
        priority: 5,
        text: "Blue or red?".into(),
        context: None,
        options: vec!["blue".into(), "red".into()],
    };
    stage.orch.submit(objective.parse().unwrap(), orcha_plan::Stimulus::NewQuestion(new)).await.unwrap();
    let open = stage.get("/api/questions").await.ok(200);
    assert_eq!((&open[0]["question"], &open[0]["about"]), (&json!("Blue or red?"), &json!("asked")));
    let id = text(&open[0]["id"]);
    let short = &id[id.len() - 8..];
    assert_eq!(stage.get(&format!("/api/why/{short}")).await.ok(200)["noun"], "question");
    let at = format!("/api/questions/{short}");
    assert_eq!(stage.post(&format!("{at}/answer"), json!({"answer": ""})).await.problem(), (422, "invalid".into()));
    let answered = stage.post(&format!("{at}/answer"), json!({"answer": "blue"})).await.ok(200);
    assert_eq!(answered["answer"], "blue");
    assert_eq!(stage.post(&format!("{at}/answer"), json!({"answer": "red"})).await.status.as_u16(), 409);
    assert_eq!(stage.get(&at).await.ok(200)["answer"], "blue");
    assert!(stage.get("/api/questions").await.ok(200).as_array().unwrap().is_empty());
    assert_eq!(stage.get("/api/questions?state=delivered").await.problem(), (422, "invalid".into()));
    let path = format!("/api/questions?objective_id={objective}&state=answered");
    stage.until(&path, |it| it.as_array().unwrap().len() == 1).await;
}

#[tokio::test]
async fn pull_requests_are_commented_reviewed_checked_merged_closed_and_opened_again() {
    let stage = Stage::open().await;
    let (objective, pr) = stage.pull_request().await;
    let at = |verb: &str| format!("/api/pull-requests/{pr}/{verb}");
    let listed = stage.get(&format!("/api/pull-requests?objective_id={objective}&state=open")).await.ok(200);
    assert_eq!((&listed[0]["id"], &listed[0]["number"]), (&json!(pr), &json!(1)));
    assert_eq!(stage.get("/api/pull-requests?state=merged").await.ok(200), json!([]));

    let path = format!("pushed/{}", text(&listed[0]["head_sha"]));
    stage.post(&at("comment"), json!({"body": "Please mend", "path": path, "line": 1})).await.ok(200);
    let elsewhere = stage.post(&at("comment"), json!({"body": "x", "path": "README", "line": 1})).await;
    assert_eq!((elsewhere.problem().0, elsewhere.json()["field"].clone()), (422, json!("path")));
    let half = stage.post(&at("comment"), json!({"body": "x", "path": "about.html"})).await;
    assert_eq!(half.problem(), (422, "invalid".into()));
    assert_eq!(stage.post(&at("comment"), json!({"body": ""})).await.problem(), (422, "invalid".into()));
    let detail = stage.get(&format!("/api/pull-requests/{pr}")).await.ok(200);
    let comment = &detail["comments"][0];
    assert_eq!(
        (&comment["author"], &comment["trust"], &comment["ours"]),
        (&json!("user"), &json!("trusted"), &json!(false))
    );
    assert_eq!(detail["pending_feedback"][0]["kind"], "review_comment");

    let reviewed = stage.post(&at("review"), json!({"verdict": "approve"})).await.ok(200);
    assert_eq!(reviewed["review_state"], "approved");
    let checked = stage.post(&at("check"), json!({"name": "build", "state": "passing"})).await.ok(200);
    assert_eq!(checked["checks_state"], "passing");
    assert_eq!(stage.verb(&at("refresh")).await.ok(200)["status"], "open");

    let closed = stage.post(&at("close"), json!({"reason": "not now"})).await.ok(200);
    assert_eq!(closed["status"], "closed");
    assert_eq!(stage.verb(&at("merge")).await.status.as_u16(), 409);
    assert_eq!(stage.verb(&at("reopen")).await.ok(200)["status"], "open");
    let merged = stage.post(&at("merge"), json!({"method": "squash"})).await.ok(200);
    assert_eq!(merged["status"], "merged");
    let why = stage.get(&format!("/api/why/{}", &pr[pr.len() - 8..])).await.ok(200);
    assert_eq!((&why["noun"], &why["state"]), (&json!("pull_request"), &json!("merged")));
}

#[tokio::test]
async fn closing_what_is_closed_is_answered_at_once_with_a_key_and_without() {
    let stage = Stage::open().await;
    let (_, pr) = stage.pull_request().await;
    for key in [None, Some("one"), Some("two"), None] {
        let mut wish = request(Method::POST, &format!("/api/pull-requests/{pr}/close"));
        if let Some(key) = key {
            wish = wish.header("idempotency-key", key);
        }
        // There is only so long that an answer is waited for.
        assert_eq!(stage.send(wish.body(Body::empty()).unwrap()).await.ok(200)["status"], "closed", "{key:?}");
    }
}

#[tokio::test]
async fn a_comment_with_a_key_is_written_once() {
    let stage = Stage::open().await;
    let (_, pr) = stage.pull_request().await;
    for _ in 0..2 {
        let request = request(Method::POST, &format!("/api/pull-requests/{pr}/comment"))
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", "one")
            .body(Body::from(json!({"body": "Please mend"}).to_string()));
        stage.send(request.unwrap()).await.ok(200);
    }
    let detail = stage.get(&format!("/api/pull-requests/{pr}")).await.ok(200);
    assert_eq!(detail["comments"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn targets_are_registered_edited_and_left_alone() {
    let stage = Stage::open().await;
    let made =
        stage.post("/api/targets", json!({"name": "big", "labels": ["gpu"], "capacity_sessions": 2})).await.ok(201);
    assert_eq!((&made["target"]["status"], &made["target"]["available_sessions"]), (&json!("online"), &json!(2)));
    let at = format!("/api/targets/{}", text(&made["target"]["id"]));
    assert_eq!(stage.post("/api/targets", json!({"name": "big"})).await.problem(), (409, "conflict".into()));
    for bad in [
        json!({"name": ""}),
        json!({"name": "x", "labels": ["two words"]}),
        json!({"name": "x", "labels": ["x".repeat(61)]}),
        json!(["x", "local"]),
        json!({"name": "x", "work_root": "work"}),
        json!({"name": "x", "kind": "ssh"}),
    ] {
        assert_eq!(stage.post("/api/targets", bad).await.problem(), (422, "invalid".into()));
    }
    let edited = stage.call(Method::PATCH, &at, json!({"capacity_sessions": 3})).await.ok(200);
    assert_eq!((&edited["capacity_sessions"], &edited["labels"]), (&json!(3), &json!(["gpu"])));
    assert_eq!(
        stage.call(Method::PATCH, &at, json!({"capacity_sessions": 0})).await.problem(),
        (422, "invalid".into())
    );
    assert_eq!(stage.verb(&format!("{at}/drain")).await.ok(200)["status"], "draining");
    assert_eq!(stage.verb(&format!("{at}/disable")).await.ok(200)["status"], "disabled");
    stage.verb(&format!("{at}/enable")).await.ok(200);
    let report = stage.verb(&format!("{at}/healthcheck")).await.ok(200);
    assert_eq!((&report["target"]["status"], report.get("error")), (&json!("online"), None));
    assert_eq!(stage.get("/api/targets").await.ok(200).as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn projects_are_made_edited_and_forgotten() {
    let stage = Stage::open().await;
    let made = stage.post("/api/projects", json!({"repo": repo(), "base_branch": "main"})).await.ok(201);
    assert_eq!((&made["name"], &made["base_branch"]), (&json!("site"), &json!("main")));
    assert_eq!(stage.post("/api/projects", json!({"repo": repo()})).await.problem(), (409, "conflict".into()));
    let at = format!("/api/projects/{}", text(&made["id"]));
    let edited = stage.call(Method::PUT, &at, json!({"name": "The site", "base_branch": ""})).await.ok(200);
    assert_eq!(
        (&edited["name"], edited.get("base_branch"), &edited["repo"]),
        (&json!("The site"), None, &json!(repo()))
    );
    let bad = stage.call(Method::PUT, &at, json!({"base_branch": "-x"})).await;
    assert_eq!(bad.problem(), (422, "invalid".into()));
    let rules = json!({"mode": "ask", "allow": [{"command": "make test"}], "deny": [{"tool": "Web*"}]});
    let edited = stage.call(Method::PUT, &at, json!({"permissions": rules})).await.ok(200);
    assert_eq!((&edited["permissions"], &edited["name"]), (&rules, &json!("The site")));
    for (wrong, why) in [
        (json!({"allow": [{"command": "make"}, {"command": "make; rm x"}]}), "allow[1]"),
        (json!({"deny": [{}]}), "deny[0]"),
        (json!({"deny": [{"comand": "x"}]}), "comand"),
        (json!({"mode": "never"}), "never"),
    ] {
        let bad = stage.call(Method::PUT, &at, json!({"permissions": wrong})).await;
        assert_eq!(bad.problem().0, 422, "{}", bad.text);
        assert!(bad.text.contains(why), "{}", bad.text);
    }
    stage.post("/api/projects", json!({"repo": "/srv/other.git"})).await.ok(201);
    let taken = stage.call(Method::PUT, &at, json!({"repo": "/srv/other.git"})).await;
    assert_eq!(taken.problem(), (409, "conflict".into()));
    assert_eq!(stage.call(Method::DELETE, &at, json!({})).await.ok(200), json!({"status": "deleted"}));
    assert_eq!(stage.call(Method::DELETE, &at, json!({})).await.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn of_edits_at_the_same_instant_only_one_was_made_on_what_is_there() {
    let stage = Stage::open().await;
    let (objective, _) = stage.one("wait", "running").await;
    let target = text(&stage.get("/api/targets").await.ok(200)[0]["id"]);
    let project = text(&stage.get("/api/projects").await.ok(200)[0]["id"]);
    let places = [
        (Method::PATCH, format!("/api/objectives/{objective}"), "priority"),
        (Method::PATCH, format!("/api/targets/{target}"), "capacity_sessions"),
        (Method::PUT, format!("/api/projects/{project}"), "name"),
    ];
    for (method, path, field) in places {
        let edit = |tag: Option<&http::HeaderValue>, n: usize| {
            let value = if field == "name" { json!(format!("name {n}")) } else { json!(n) };
            let mut request = request(method.clone(), &path).header(header::CONTENT_TYPE, "application/json");
            if let Some(tag) = tag {
                request = request.header(header::IF_MATCH, tag);
            }
            stage.send(request.body(Body::from(json!({field: value}).to_string())).unwrap())
        };
        for round in 1..=10 {
            let seen = edit(None, 100 * round).await.headers[header::ETAG].clone();
            let answers = futures::future::join_all((1..=8).map(|n| edit(Some(&seen), 100 * round + n))).await;
            let done = answers.iter().filter(|it| it.status == StatusCode::OK).count();
            assert_eq!(done, 1, "{path}: {:?}", answers.iter().map(|it| it.status).collect::<Vec<_>>());
            for late in answers.iter().filter(|it| it.status != StatusCode::OK) {
                assert_eq!(late.problem(), (412, "changed".into()));
                assert_eq!(late.json()["field"], "if-match");
            }
        }
    }
}

#[tokio::test]
async fn edits_of_different_things_at_the_same_instant_are_all_kept() {
    let stage = Stage::open().await;
    let (objective, _) = stage.one("wait", "running").await;
    let project = text(&stage.get("/api/projects").await.ok(200)[0]["id"]);
    let at = (format!("/api/objectives/{objective}"), format!("/api/projects/{project}"));
    let edits = [
        (Method::PATCH, &at.0, json!({"limits": {"same_error": 7}})),
        (Method::PATCH, &at.0, json!({"limits": {"no_progress": 8}})),
        (Method::PATCH, &at.0, json!({"priority": 9})),
        (Method::PUT, &at.1, json!({"name": "The site"})),
        (Method::PUT, &at.1, json!({"base_branch": "dev"})),
        (Method::PUT, &at.1, json!({"permissions": {"mode": "ask"}})),
    ];
    let answers = edits.map(|(method, path, body)| stage.call(method, path, body));
    for answer in futures::future::join_all(answers).await {
        answer.ok(200);
    }
    let one = stage.get(&at.0).await.ok(200)["objective"].clone();
    assert_eq!(
        (&one["limits"]["same_error"], &one["limits"]["no_progress"], &one["priority"]),
        (&json!(7), &json!(8), &json!(9))
    );
    let one = stage.get("/api/projects").await.ok(200)[0].clone();
    assert_eq!(
        (&one["name"], &one["base_branch"], &one["permissions"]["mode"]),
        (&json!("The site"), &json!("dev"), &json!("ask"))
    );
    // Rules can be edited, so they are part of what an edit was made on.
    let tag = |reply: crate::stage::Reply| reply.headers[header::ETAG].clone();
    let before = tag(stage.call(Method::PUT, &at.1, json!({"name": "The site"})).await);
    let after = tag(stage.call(Method::PUT, &at.1, json!({"permissions": {"mode": "deny"}})).await);
    assert_ne!(before, after);
}

#[tokio::test]
async fn what_was_said_is_listed_for_a_session_an_objective_and_everybody_page_by_page() {
    let stage = Stage::open().await;
    let (first, one) = stage.one("wait", "running").await;
    let (_, other) = stage.one("wait", "running").await;
    for n in 0..3 {
        for session in [&one, &other] {
            let said = json!({"message": format!("wait {n}")});
            stage.post(&format!("/api/sessions/{session}/messages"), said).await.ok(200);
        }
    }
    // Each list is read by pages of two, and is whole, without a repeat, the newest first.
    for (filter, to) in [
        (String::new(), vec![&one, &other]),
        (format!("objective_id={first}&"), vec![&one]),
        (format!("session_id={other}&"), vec![&other]),
    ] {
        let (mut rows, mut after) = (Vec::new(), String::new());
        loop {
            let page = stage.get(&format!("/api/messages?{filter}limit=2{after}")).await;
            let part = page.ok(200).as_array().unwrap().clone();
            assert!(part.len() <= 2);
            rows.extend(part);
            match page.headers.get(orcha_wire::NEXT_CURSOR) {
                Some(next) => after = format!("&after={}", next.to_str().unwrap()),
                None => break,
            }
        }
        let said = |it: &&Value| it["source"] == "user" && it["content"].as_str().unwrap().starts_with("wait ");
        let said: Vec<&Value> = rows.iter().filter(said).collect();
        assert_eq!(said.len(), 3 * to.len(), "{filter}: {rows:?}");
        let ids: std::collections::HashSet<String> = rows.iter().map(|it| text(&it["id"])).collect();
        assert_eq!(ids.len(), rows.len(), "{filter}");
        assert!(rows.is_sorted_by(|a, b| text(&a["created_at"]) >= text(&b["created_at"])), "{filter}");
        assert!(rows.iter().all(|it| to.iter().any(|to| it["session_id"] == json!(to))), "{filter}");
    }
}

#[tokio::test]
async fn workspaces_are_shown_with_what_was_kept_and_brought_back() {
    let stage = Stage::open().await;
    let (objective, session) = stage.one("finish", "succeeded").await;
    let id = text(&stage.get(&format!("/api/sessions/{session}")).await.ok(200)["workspace_id"]);
    let at = format!("/api/workspaces/{id}");
    let detail = stage.until(&at, |it| !it["snapshots"].as_array().unwrap().is_empty()).await;
    assert_eq!((&detail["workspace"]["vcs"], &detail["snapshots"][0]["number"]), (&json!("git"), &json!(1)));
    assert_eq!(stage.get(&format!("/api/workspaces?objective_id={objective}")).await.ok(200)[0]["id"], json!(id));
    stage.until(&at, |it| it["workspace"]["snapshot"].is_string()).await;
    let restored = stage.verb(&format!("{at}/restore")).await.ok(200);
    assert_eq!(restored["workspace"]["id"], json!(id));
    stage.verb(&format!("{at}/reclaim")).await.ok(200);
}

#[tokio::test]
async fn the_doctor_looks_at_the_daemon_and_at_each_target() {
    let stage = Stage::open().await;
    let whole = stage.get("/api/doctor").await.ok(200);
    let named = |checks: &Value, name: &str| {
        checks.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{checks}")).clone()
    };
    let database = named(&whole["checks"], "database");
    assert_eq!((&database["ok"], &database["grade"]), (&json!(true), &json!("fine")), "{database}");
    assert!(text(&database["detail"]).contains("journal wal"), "{database}");
    let target = &whole["targets"][0];
    assert!(named(&target["checks"], "git").is_object());
    let id = text(&target["target_id"]);
    for alone in [
        stage.get(&format!("/api/targets/{id}/doctor")).await.ok(200),
        stage.verb(&format!("/api/targets/{id}/doctor")).await.ok(200),
    ] {
        assert_eq!((&alone["target"], &alone["ok"]), (&target["target"], &target["ok"]));
    }
    assert_eq!(stage.get("/api/targets/00000000/doctor").await.problem().0, 404);
}

#[tokio::test]
async fn the_daemon_says_how_it_fares_and_ends_when_asked() {
    let stage = Stage::open().await;
    stage.one("wait", "running").await;
    let health = stage.get("/api/health").await.ok(200);
    assert_eq!((&health["status"], &health["active_objectives"]), (&json!("ok"), &json!(1)));
    assert_eq!((&health["running_sessions"], &health["version"]), (&json!(1), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(stage.verb("/api/shutdown").await.ok(200)["status"], "stopping");
    assert!(stage.orch.stopping().is_cancelled());
    stage.orch.shut_down().await;
    let late = stage.post("/api/objectives", json!({"prompt": "late"})).await;
    assert_eq!(late.problem(), (503, "unavailable".into()));
    assert_eq!(stage.get("/api/objectives").await.problem(), (503, "unavailable".into()));
}
