//! Tenants and scopes: a named token opens its tenant and nothing else, on every route, whatever the headers say.

use crate::stage::{Stage, TOKEN, bare, repo, request, text};
use axum::body::Body;
use http::{Method, StatusCode, header};
use orcha_wire::{Route, routes};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// What somebody who was given a token has.
struct Tenant {
    name: &'static str,
    token: String,
    /// Everything that has an id: the path of its list's rows, and the id.
    ids: BTreeSet<String>,
    /// Words that stand in its rows and nowhere else.
    words: Vec<String>,
}

impl Tenant {
    /// Fills a tenant with one of everything.
    async fn furnish(stage: &mut Stage, name: &'static str) -> Self {
        let made = stage.post("/api/tokens", json!({"name": format!("{name}-ci"), "tenant": name})).await.ok(201);
        stage.more = vec![("x-tenant-id", name.to_owned())];
        let secret = format!("{name}-secret");
        let (objective, _) = stage.pull_request().await;
        let (other, session) = stage.one(&format!("wait for {secret}"), "running").await;
        stage
            .post(&format!("/api/sessions/{session}/messages"), json!({"message": format!("think of {secret}, wait")}))
            .await
            .ok(200);
        let owner = orcha_store::CredentialOwner {
            session: session.parse().unwrap(),
            attempt: orcha_base::Attempt::FIRST,
            objective: other.parse().unwrap(),
            role: orcha_model::Role::Implementer,
            tenant: orcha_base::TenantId::new(name),
            scope: orcha_base::ScopeId::default(),
        };
        stage.orch.ask_user(&owner, format!("What is {secret}?"), None, vec![]).await.unwrap();
        stage.orch.keep_note(&owner, &secret, "a note").await.unwrap();
        stage.post("/api/targets", json!({"name": format!("{secret}-machine")})).await.ok(201);
        // Ended, so that nothing moves by itself while others try to move it.
        let file = json!({"name": "plan.md", "text": format!("{secret} stands here")});
        let wish = json!({"request": format!("{secret} flows"), "attachments": [file]});
        let workflow = stage.post("/workflows", wish).await.ok(201);
        let workflow = text(&workflow["id"]);
        stage.verb(&format!("/workflows/{workflow}/cancel")).await.ok(200);
        let kind = "prompt_overlay";
        let rules = json!({"kind": kind, "name": "rules", "body": format!("Keep {secret} to yourself.")});
        stage.call(Method::PUT, "/api/customizations", rules).await.ok(200);
        learned(stage, name, &workflow, &secret).await;
        let files = stage.get(&format!("/workflows/{workflow}/attachments")).await.ok(200);
        let mut ids = BTreeSet::from([objective, other, session, workflow, text(&files[0]["id"])]);
        for list in LISTS {
            let rows = stage.get(list).await.ok(200);
            let rows = rows.as_array().unwrap();
            assert!(!rows.is_empty(), "{name} has nothing at {list}");
            let id = if list == "/api/runs" { "workflow_id" } else { "id" };
            ids.extend(rows.iter().filter(|it| it["name"] != "here").map(|it| text(&it[id])));
        }
        stage.more.clear();
        Self { name, token: text(&made["token"]), ids, words: vec![secret] }
    }

    /// Asks as this tenant, with further headers.
    async fn ask(
        &self,
        stage: &Stage,
        method: Method,
        path: &str,
        body: Option<&Value>,
        more: &[(&str, &str)],
    ) -> (StatusCode, String) {
        let mut request = bare(method, path).header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let reply = stage.send(request.body(body).unwrap()).await;
        (reply.status, reply.text)
    }

    /// Tells what of this tenant stands in an answer to somebody else, who named some of it.
    fn seen_in(&self, answer: &str, named: &str) -> Vec<&str> {
        let told = self.ids.iter().chain(&self.words).map(String::as_str);
        told.filter(|it| *it != named && answer.contains(it)).collect()
    }

    /// Everything that the operator sees of this tenant.
    async fn whole(&self, stage: &mut Stage) -> Vec<Value> {
        stage.more = vec![("x-tenant-id", self.name.to_owned())];
        let mut all = Vec::new();
        for list in LISTS {
            all.push(stage.get(list).await.ok(200));
        }
        stage.more.clear();
        all
    }
}

/// A proposal of a tenant, as the Refiner of its workflow makes one.
async fn learned(stage: &Stage, tenant: &str, workflow: &str, secret: &str) {
    use orcha_model::proposal::{Change, Priority, Proposal, Source, State};
    let surface: orcha_model::text::Surface = "role_overlay/qa".parse().unwrap();
    let now = stage.orch.now();
    let mut commit = orcha_store::Commit::at(now);
    let row = Proposal {
        id: orcha_base::ProposalId::from_uuid(uuid::Uuid::now_v7()),
        tenant: orcha_base::TenantId::new(tenant),
        scope: orcha_base::ScopeId::default(),
        revision: orcha_base::Revision(1),
        cause: "text:role_overlay/qa".into(),
        surface,
        change: Change::Update,
        priority: Priority::Low,
        problem: format!("{secret} was forgotten."),
        proposed_fix: format!("Think of {secret}."),
        body: Some(format!("Think of {secret}.")),
        source: Source::Retrospective,
        evidence: vec![workflow.parse().unwrap()],
        seen: 1,
        state: State::Proposed,
        created_at: now,
        updated_at: now,
    };
    commit.changes.push(orcha_store::Change { row: orcha_store::Row::Proposal(row), expected: None });
    stage.orch.store().commit(commit).await.unwrap();
}

const LISTS: [&str; 10] = [
    "/api/objectives",
    "/api/sessions",
    "/api/targets",
    "/api/questions",
    "/api/pull-requests",
    "/api/projects",
    "/api/workspaces",
    "/api/customizations",
    "/api/proposals",
    "/api/runs",
];

/// A body that a route takes, so that it is not refused for its shape.
fn body_for(route: &Route) -> Option<Value> {
    Some(match *route {
        routes::CREATE_OBJECTIVE => json!({"prompt": "wait"}),
        routes::EDIT_OBJECTIVE => json!({"title": "mine"}),
        routes::STEER_OBJECTIVE | routes::STEER_SESSION | routes::STEER_PULL_REQUEST => json!({"message": "mine"}),
        routes::CREATE_TARGET => json!({"name": "mine"}),
        routes::EDIT_TARGET => json!({"capacity_sessions": 1}),
        routes::ANSWER_QUESTION => json!({"answer": "mine"}),
        routes::COMMENT_PULL_REQUEST => json!({"body": "mine"}),
        routes::REVIEW_PULL_REQUEST => json!({"verdict": "approve", "body": "mine"}),
        routes::CHECK_PULL_REQUEST => json!({"name": "mine", "state": "passing"}),
        routes::CREATE_PROJECT => json!({"repo": "https://example.com/mine.git"}),
        routes::EDIT_PROJECT => json!({"name": "mine"}),
        routes::CREATE_TOKEN => json!({"name": "mine", "tenant": "globex"}),
        routes::CREATE_WORKFLOW => json!({"request": "wait"}),
        routes::RETRY_WORKFLOW => json!({"from": "direct"}),
        routes::SKIP_TASK => json!({"task": "1", "reason": "mine"}),
        routes::ADD_TASK => json!({"title": "mine", "description": "mine"}),
        routes::APPROVE_WORKFLOW => json!({"approve": true}),
        routes::SET_CUSTOMIZATION => json!({"kind": "prompt_overlay", "name": "mine", "body": "mine"}),
        routes::DECLINE_PROPOSAL | routes::REVERT_PROPOSAL => json!({"reason": "mine"}),
        routes::PIN_MCP_SERVER => json!({"hash": "sha256:0"}),
        routes::EDIT_WORKFLOW => json!({"step": "charter", "document": {}}),
        _ => return None,
    })
}

#[tokio::test]
async fn c14_no_route_tells_or_does_anything_to_another_tenant() {
    let mut stage = Stage::open().await;
    let acme = Tenant::furnish(&mut stage, "acme").await;
    let globex = Tenant::furnish(&mut stage, "globex").await;
    let before = globex.whole(&mut stage).await;
    let mut asked = 0;
    for route in routes::ALL.iter().filter(|it| **it != routes::LOGIN) {
        let method: Method = route.method.as_str().parse().unwrap();
        let body = body_for(route);
        let streams = *route == routes::STREAM;
        if route.path.contains("{id}") {
            for full in &globex.ids {
                // The short form of one is enough: it is found in the same way everywhere.
                let short = globex.ids.first() == Some(full);
                for id in [full.as_str(), &full[full.len() - 8..]].into_iter().take(1 + usize::from(short)) {
                    let path = route.path.replace("{id}", id);
                    let (status, answer) = acme.ask(&stage, method.clone(), &path, body.as_ref(), &[]).await;
                    assert!(matches!(status.as_u16(), 403 | 404), "{method} {path}: {status} {answer}");
                    assert_eq!(globex.seen_in(&answer, id), [""; 0], "{method} {path}");
                    asked += 1;
                }
            }
        } else if !streams {
            let (status, answer) = acme.ask(&stage, method.clone(), route.path, body.as_ref(), &[]).await;
            assert!(!status.is_server_error(), "{method} {}: {status} {answer}", route.path);
            assert_eq!(globex.seen_in(&answer, ""), [""; 0], "{method} {}", route.path);
            // Named in a query, the other's things are not there either.
            for id in globex.ids.iter().filter(|_| method == Method::GET) {
                for key in ["objective_id", "session_id", "after"] {
                    let path = format!("{}?{key}={id}", route.path);
                    let (status, answer) = acme.ask(&stage, method.clone(), &path, None, &[]).await;
                    assert!(!status.is_server_error(), "{path}: {status} {answer}");
                    assert_eq!(globex.seen_in(&answer, id), [""; 0], "{path}");
                    asked += 1;
                }
            }
        }
        // No header leads out of the token: not one is even looked at.
        let path = route.path.replace("{id}", globex.ids.first().unwrap());
        let (status, answer) =
            acme.ask(&stage, method.clone(), &path, body.as_ref(), &[("x-tenant-id", "globex")]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {answer}");
        asked += 1;
    }
    // Ids in bodies.
    for id in &globex.ids {
        let (status, answer) = acme
            .ask(&stage, Method::POST, "/api/objectives", Some(&json!({"prompt": "wait", "project_id": id})), &[])
            .await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    }
    assert!(asked > 500, "only {asked} questions were asked");
    assert_eq!(globex.whole(&mut stage).await, before, "something of globex was changed");
}

#[tokio::test]
async fn the_journal_of_another_tenant_is_neither_listed_nor_streamed() {
    let mut stage = Stage::open().await;
    let acme = Tenant::furnish(&mut stage, "acme").await;
    let globex = Tenant::furnish(&mut stage, "globex").await;
    let (_, listed) = acme.ask(&stage, Method::GET, "/api/events?limit=1000", None, &[]).await;
    assert_eq!(globex.seen_in(&listed, ""), [""; 0]);
    assert!(listed.contains("session"), "{listed}");
    let mut stream = stage.stream_as(&acme.token, "/api/stream?after=0", None).await;
    let (status, _) =
        acme.ask(&stage, Method::POST, "/api/objectives", Some(&json!({"prompt": "wait, the last one"})), &[]).await;
    assert_eq!(status, StatusCode::CREATED);
    loop {
        let sent = stream.any().await.unwrap().data.to_string();
        assert_eq!(globex.seen_in(&sent, ""), [""; 0], "{sent}");
        if sent.contains("the last one") {
            break;
        }
    }
}

#[tokio::test]
async fn a_scope_of_a_token_is_all_that_it_sees_and_makes() {
    let stage = Stage::open().await;
    let made = stage.post("/api/tokens", json!({"name": "web", "tenant": "acme", "scopes": ["web", "ops"]})).await;
    let made = made.ok(201);
    assert_eq!(made["scopes"], json!(["web", "ops"]));
    let token = text(&made["token"]);
    let ask = |method: Method, path: &'static str, scope: Option<&'static str>, body: Value| {
        let mut request = bare(method, path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(scope) = scope {
            request = request.header("x-scope-id", scope);
        }
        let request = request.header(header::CONTENT_TYPE, "application/json");
        stage.send(request.body(Body::from(if body.is_null() { String::new() } else { body.to_string() })).unwrap())
    };
    let wish = || json!({"prompt": "wait"});
    ask(Method::POST, "/api/objectives", None, wish()).await.ok(201);
    ask(Method::POST, "/api/objectives", Some("ops"), wish()).await.ok(201);
    let count = |reply: crate::stage::Reply| reply.ok(200).as_array().unwrap().len();
    assert_eq!(count(ask(Method::GET, "/api/objectives", None, Value::Null).await), 1);
    assert_eq!(count(ask(Method::GET, "/api/objectives", Some("ops"), Value::Null).await), 1);
    let refused = ask(Method::GET, "/api/objectives", Some("global"), Value::Null).await;
    assert_eq!((refused.problem(), refused.json()["field"].clone()), ((403, "forbidden".into()), json!("x-scope-id")));
    let who = ask(Method::GET, "/api/whoami", None, Value::Null).await.ok(200);
    assert_eq!((&who["userId"], &who["tenant"], &who["scope"]), (&json!("web"), &json!("acme"), &json!("web")));
    // The operator sees the whole tenant, and picks another by the header alone.
    let all = request(Method::GET, "/api/objectives").header("x-tenant-id", "acme").body(Body::empty()).unwrap();
    assert_eq!(count(stage.send(all).await), 2);
    assert_eq!(count(stage.get("/api/objectives").await), 0);
}

#[tokio::test]
async fn a_token_is_told_once_and_worth_nothing_once_it_is_revoked() {
    let stage = Stage::open().await;
    let made = stage.post("/api/tokens", json!({"name": "ci", "tenant": "acme"})).await.ok(201);
    let (id, token) = (text(&made["id"]), text(&made["token"]));
    let listed = stage.get("/api/tokens").await;
    assert_eq!(listed.ok(200)[0]["name"], "ci");
    assert!(!listed.text.contains(&token), "a token is told twice");
    let again = stage.post("/api/tokens", json!({"name": "ci", "tenant": "globex"})).await;
    assert_eq!(again.problem(), (409, "conflict".into()));
    for (body, field) in [
        (json!({"name": "operator", "tenant": "acme"}), "name"),
        (json!({"name": "x", "tenant": "Acme Inc"}), "tenant"),
        (json!({"name": "x", "tenant": "acme", "scopes": [""]}), "scopes"),
        (json!({"name": "x", "tenant": "acme", "admin": true}), "admin"),
    ] {
        let refused = stage.post("/api/tokens", body).await;
        assert_eq!((refused.problem(), refused.json()["field"].as_str()), ((422, "invalid".into()), Some(field)));
    }
    let asks = |path: &'static str, token: String| {
        let request = bare(Method::GET, path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        stage.send(request.body(Body::empty()).unwrap())
    };
    asks("/api/objectives", token.clone()).await.ok(200);
    // A browser that it logs in is nobody else.
    let link = bare(Method::POST, "/api/login-link").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let link = text(&stage.send(link.body(Body::empty()).unwrap()).await.ok(200)["url"]);
    let ticket = link.split_once("/login").unwrap().1.to_owned();
    let entered = stage.send(bare(Method::GET, &format!("/login{ticket}")).body(Body::empty()).unwrap()).await;
    let cookie = entered.headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let browses = || bare(Method::GET, "/api/whoami").header(header::COOKIE, &cookie).body(Body::empty()).unwrap();
    assert_eq!(stage.send(browses()).await.ok(200)["userId"], "ci");

    // A stream that it opened ends with it; that of the operator goes on.
    let mut stream = stage.stream_as(&token, "/api/stream?after=0", None).await;
    let mut own = stage.stream("/api/stream", None).await;
    stage.call(Method::DELETE, &format!("/api/tokens/{id}"), json!({})).await.ok(200);
    let ended = async { while stream.any().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
    stage.post("/api/objectives", json!({"prompt": "wait"})).await.ok(201);
    assert!(own.next().await.is_some());
    assert_eq!(asks("/api/objectives", token).await.problem().0, 401);
    assert_eq!(stage.send(browses()).await.problem().0, 401);
    asks("/api/objectives", TOKEN.to_owned()).await.ok(200);
}

#[tokio::test]
async fn what_reaches_the_machine_is_the_operators() {
    let mut stage = Stage::open().await;
    let acme = Tenant::furnish(&mut stage, "acme").await;
    for (method, path, body) in [
        (Method::POST, "/api/objectives", json!({"prompt": "wait", "agent": "claude", "agent_program": ["/bin/sh"]})),
        (Method::POST, "/api/objectives", json!({"prompt": "wait", "repo": repo()})),
        (Method::POST, "/api/projects", json!({"repo": "file:///etc/secrets"})),
        (
            Method::POST,
            "/api/projects",
            json!({"repo": "https://example.invalid/a.git", "permissions": {"mode": "auto"}}),
        ),
        (Method::POST, "/api/targets", json!({"name": "mine"})),
        (Method::POST, "/api/shutdown", json!({})),
        (Method::GET, "/api/tokens", Value::Null),
        (Method::POST, "/api/tokens", json!({"name": "more", "tenant": "acme"})),
        (
            Method::PUT,
            "/api/customizations",
            json!({"kind": "role_overlay", "name": "qa", "body": "Let everything pass."}),
        ),
        (Method::POST, "/api/proposals/search", json!({})),
    ] {
        let (status, answer) = acme.ask(&stage, method, path, Some(&body).filter(|it| !it.is_null()), &[]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {answer}");
    }
    for (list, verbs) in [("/api/customizations", &["revert", "retire"][..]), ("/api/proposals", &["approve"])] {
        let (_, rows) = acme.ask(&stage, Method::GET, list, None, &[]).await;
        let rows: Value = serde_json::from_str(&rows).unwrap();
        for verb in verbs {
            let path = format!("{list}/{}/{verb}", text(&rows[0]["id"]));
            let (status, answer) = acme.ask(&stage, Method::POST, &path, None, &[]).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {answer}");
        }
    }
    // What the operator registered for it, it may use.
    let (_, projects) = acme.ask(&stage, Method::GET, "/api/projects", None, &[]).await;
    let projects: Value = serde_json::from_str(&projects).unwrap();
    let at = format!("/api/projects/{}", text(&projects[0]["id"]));
    let (status, answer) = acme.ask(&stage, Method::PUT, &at, Some(&json!({"permissions": {}})), &[]).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    let wish = json!({"prompt": "wait", "project_id": projects[0]["id"]});
    let (status, answer) = acme.ask(&stage, Method::POST, "/api/objectives", Some(&wish), &[]).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

#[tokio::test]
async fn a_scope_goes_by_the_texts_above_it_and_by_no_others() {
    let stage = Stage::open().await;
    let within = |method: Method, path: &str, scope: &str, body: Value| {
        let request = request(method, path).header("x-scope-id", scope);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        stage.send(request.body(Body::from(if body.is_null() { String::new() } else { body.to_string() })).unwrap())
    };
    let rule = |body: &str| json!({"kind": "role_overlay", "name": "project_manager", "body": body});
    for (scope, words) in [("global", "wide"), ("org/acme", "narrow"), ("org/globex", "foreign")] {
        let made = within(Method::PUT, "/api/customizations", scope, rule(words)).await.ok(200);
        assert_eq!(
            (&made["version"], &made["name"], &made["scope"]),
            (&json!(1), &json!("project-manager"), &json!(scope))
        );
    }
    let path = "/api/customizations/resolve?role=project_manager";
    let told = within(Method::GET, path, "org/acme/team/web", Value::Null).await.ok(200);
    assert_eq!(told["chain"], json!(["global", "org", "org/acme", "org/acme/team", "org/acme/team/web"]));
    assert_eq!(
        (told["customizations"].as_array().unwrap().len(), &told["customizations"][0]["scope"]),
        (1, &json!("org/acme"))
    );
    assert!(told["told"].as_str().unwrap().contains("narrow"), "{told}");
    let other = within(Method::GET, "/api/customizations/resolve?role=qa", "web", Value::Null).await.ok(200);
    assert_eq!((&other["customizations"][0]["body"], &other["told"]), (&json!("wide"), &json!("")));
    // Versions stay, and come back as new ones.
    let second = within(Method::PUT, "/api/customizations", "global", rule("wider")).await.ok(200);
    assert_eq!(second["version"], 2);
    let all = "/api/customizations?kind=role_overlay&name=project_manager&all=true";
    let versions = within(Method::GET, all, "global", Value::Null).await.ok(200);
    let first = text(&versions[1]["id"]);
    assert_eq!((&versions[1]["status"], versions[1].get("body")), (&json!("retired"), None));
    let back =
        within(Method::POST, &format!("/api/customizations/{first}/revert"), "global", Value::Null).await.ok(200);
    assert_eq!((&back["version"], &back["body"], &back["author"]), (&json!(3), &json!("wide"), &json!("operator")));
    for (body, field) in [
        (json!({"kind": "role_overlay", "name": "boss", "body": "x"}), "name"),
        (json!({"kind": "skill", "name": "sh", "body": "no front matter"}), "body"),
        (json!({"kind": "prompt_overlay", "name": "../x", "body": "x"}), "name"),
        (json!({"kind": "prompt_overlay", "name": "x", "body": "x", "scope": "y"}), "scope"),
    ] {
        let refused = within(Method::PUT, "/api/customizations", "global", body).await;
        assert_eq!((refused.problem(), refused.json()["field"].as_str()), ((422, "invalid".into()), Some(field)));
    }
}

#[tokio::test]
async fn what_a_scope_goes_by_is_told_in_the_published_shape_too() {
    let stage = Stage::open().await;
    let within = |method: Method, path: &str, scope: &str, body: Value| {
        let request = request(method, path).header("x-scope-id", scope);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        stage.send(request.body(Body::from(if body.is_null() { String::new() } else { body.to_string() })).unwrap())
    };
    let text = |kind: &str, name: &str, body: &str| json!({"kind": kind, "name": name, "body": body});
    let mut at = Vec::new();
    for (scope, body) in [
        ("global", text("skill", "shell", "---\nname: Shell\ndescription: plain sh\n---\nQuote.")),
        ("global", text("role_overlay", "qa", "Look.")),
        ("org", text("role_overlay", "qa", "Look twice.")),
        ("org", text("prompt_overlay", "house", "Be brief.")),
        ("elsewhere", text("prompt_overlay", "foreign", "Be loud.")),
        ("global", text("policy", "run", r#"{"approve_plan": true}"#)),
    ] {
        let made = within(Method::PUT, "/api/customizations", scope, body).await.ok(200);
        at.push(format!("/api/customizations/{}", made["id"].as_str().unwrap()));
    }
    let source =
        |name: &str, source: &str, path: &str| json!({"name": name, "source": source, "path": path, "version": 1});
    let expected = json!({
        "scope_id": "org/web",
        "skills": [source("shell", "global", &at[0])],
        "agents": [source("qa", "org", &at[2])],
        "prompts": [source("house", "org", &at[3])],
        "policy": [{"rule": "approve_plan", "value": true, "scope": "global", "version": 1}],
    });
    for path in ["/customizations/resolve", "/api/v1/customizations/resolve"] {
        assert_eq!(within(Method::GET, path, "org/web", Value::Null).await.ok(200), expected, "{path}");
    }
    // The path leads to the words.
    assert_eq!(stage.get(&at[2]).await.ok(200)["body"], "Look twice.");
}
