//! Workflows in the published shapes: made, refused, moved, told.

use crate::stage::{Stage, bare, repo, request, text};
use axum::body::Body;
use http::Method;
use orcha_wire::END;
use serde_json::{Value, json};

async fn make(stage: &Stage) -> String {
    let wish = json!({"request": "Say goodbye", "mode": "code", "repo": repo(), "delivery": {"action": "github-pr"}});
    let made = stage.post("/workflows", wish).await.ok(201);
    assert_eq!((&made["tenant_id"], &made["scope_id"]), (&json!("default"), &json!("global")));
    assert_eq!(
        (&made["request"], &made["mode"], &made["step"]),
        (&json!("Say goodbye"), &json!("software"), &json!("direct"))
    );
    assert_eq!(made["delivery_action"], "pull_request");
    for list in ["tasks", "artifacts", "review_thread", "blocking_issues", "all_suggestions"] {
        assert_eq!(made[list], json!([]), "{list}");
    }
    text(&made["id"])
}

/// The id of an event as it is compared.
fn place(event: &Value) -> (u64, u64) {
    let id = text(&event["id"]);
    let (number, second) = id.split_once('.').unwrap_or((&id, "0"));
    (number.parse().unwrap(), second.parse().unwrap())
}

#[tokio::test]
async fn c28_a_workflow_is_made_rests_goes_on_and_is_ended_and_all_of_it_is_told() {
    let stage = Stage::open().await;
    let id = make(&stage).await;
    let at = |verb: &str| format!("/workflows/{id}/{verb}");
    assert_eq!(stage.verb(&at("pause")).await.ok(200)["status"], "paused");
    let resumed = stage.verb(&at("resume")).await.ok(200);
    assert!(["running", "pending"].contains(&resumed["status"].as_str().unwrap()), "{resumed}");
    assert_eq!(stage.post(&at("cancel"), json!({"reason": "enough"})).await.ok(200)["status"], "cancelled");
    let over = stage.get(&format!("/workflows/{id}")).await.ok(200);
    assert_eq!((&over["status"], &over["error_message"]), (&json!("cancelled"), &json!("enough")));
    assert_eq!(stage.verb(&at("resume")).await.problem(), (409, "over".into()));
    let edit = json!({"step": "charter", "document": {}});
    assert_eq!(stage.post(&at("edit"), edit).await.problem(), (409, "over".into()));

    let all = stage.get(&at("events")).await.ok(200);
    let events = all["events"].as_array().unwrap().clone();
    assert_eq!(all["count"], events.len());
    let kinds: Vec<&str> = events.iter().map(|it| it["type"].as_str().unwrap()).collect();
    for kind in ["workflow.created", "workflow.paused", "workflow.resumed", "workflow.cancelled", "state.transition"] {
        assert!(kinds.contains(&kind), "{kind} was not told: {kinds:?}");
    }
    assert!(events.is_sorted_by(|a, b| place(a) < place(b)), "{events:?}");
    assert!(events.iter().all(|it| it["workflow_id"] == json!(id)));

    // From anywhere on, listed or streamed, comes the rest: no gap, no repeat; and then the end.
    for (seen, event) in events.iter().enumerate() {
        let after = text(&event["id"]);
        let rest = stage.get(&format!("{}?after={after}", at("events"))).await.ok(200);
        assert_eq!(rest["events"].as_array().unwrap()[..], events[seen + 1..], "after {after}");
        let mut stream = stage.stream(&format!("{}?after={after}", at("stream")), None).await;
        for expected in &events[seen + 1..] {
            assert_eq!(stream.next().await.unwrap().data, *expected);
        }
        let closed = stream.next().await.unwrap();
        assert_eq!(
            (&closed.data["type"], &closed.data["reason"]),
            (&json!("stream.closed"), &json!("workflow_terminal"))
        );
        assert_eq!(stream.next().await.unwrap().name.as_deref(), Some(END));
        assert!(stream.next().await.is_none());
    }
    // And page by page, whatever the size.
    for size in [1, 2, 3] {
        let (mut read, mut query) = (Vec::new(), format!("limit={size}"));
        loop {
            let page = stage.get(&format!("{}?{query}", at("events"))).await.ok(200);
            read.extend(page["events"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            assert_eq!(page["count"], size);
            query = format!("limit={size}&after={next}");
        }
        assert_eq!(read, events, "pages of {size}");
    }
    assert_eq!(stage.get(&format!("{}?limit=1001", at("events"))).await.problem().0, 422);
    let wrong = stage.get(&format!("{}?after=x", at("events"))).await;
    assert_eq!((wrong.problem(), wrong.json()["field"].clone()), ((422, "invalid".into()), json!("after")));
}

#[tokio::test]
async fn a_policy_is_written_shown_and_kept() {
    let stage = Stage::open().await;
    let policy = |body: &str| json!({"kind": "policy", "name": "run", "body": body});
    let set = |body: &str| stage.call(Method::PUT, "/api/customizations", policy(body));
    set(r#"{"deliveries": {"value": ["answer"], "locked": true}, "max_qa_retries": 1}"#).await.ok(200);
    for wrong in ["nothing", "{\"rockets\": 1}", "{\"agents\": []}"] {
        let refused = set(wrong).await;
        assert_eq!((refused.problem().0, refused.json()["field"].clone()), (422, json!("body")));
    }
    let named = json!({"kind": "policy", "name": "other", "body": "{}"});
    assert_eq!(stage.call(Method::PUT, "/api/customizations", named).await.json()["field"], "name");
    let resolved = stage.get("/api/customizations/resolve").await.ok(200);
    assert_eq!(resolved["customizations"], json!([]));
    let rules = json!([
        {"rule": "max_qa_retries", "value": 1, "scope": "global", "version": 1},
        {"rule": "deliveries", "value": ["answer"], "scope": "global", "version": 1, "locked_by": "global"},
    ]);
    assert_eq!(resolved["policy"], rules);
    let wish = |action: &str| json!({"request": "Say goodbye", "repo": repo(), "delivery": {"action": action}});
    let refused = stage.post("/workflows", wish("github-pr")).await;
    assert_eq!((refused.problem().0, refused.json()["field"].clone()), (422, json!("delivery")));
    let made = stage.post("/workflows", wish("answer")).await.ok(201);
    assert_eq!((&made["policy"], &made["execution"]["max_qa_retries"]), (&rules, &json!(1)));
    stage.verb(&format!("/workflows/{}/cancel", text(&made["id"]))).await.ok(200);
}

#[tokio::test]
async fn a_role_has_its_own_model_and_effort_and_the_workflows_where_it_says_nothing() {
    let stage = Stage::open().await;
    let personas = json!({
        "qa": {"effort": "max"},
        "architect": {"model": "small"},
        "implementer": {"provider": "claude"},
    });
    let wish =
        json!({"request": "Say goodbye", "provider": "roles", "model": "big", "effort": "low", "personas": personas});
    let made = stage.post("/workflows", wish).await.ok(201);
    let id = text(&made["id"]);
    stage.verb(&format!("/workflows/{id}/pause")).await.ok(200);
    let shown = stage.get(&format!("/workflows/{id}")).await.ok(200);
    let said = |field: &str| shown[field].clone();
    assert_eq!(
        (said("provider_name"), said("model_name"), said("effort")),
        (json!("roles"), json!("big"), json!("low"))
    );
    assert_eq!(said("persona_providers"), json!({"architect": "roles", "implementer": "claude", "qa": "roles"}));
    assert_eq!(said("persona_models"), json!({"architect": "small", "qa": "big"}));
    assert_eq!(said("persona_efforts"), json!({"architect": "low", "qa": "max"}));
    let first = stage.get(&format!("/api/objectives/{id}")).await.ok(200)["sessions"][0]["id"].clone();
    let director = stage.get(&format!("/api/sessions/{}", text(&first))).await.ok(200);
    assert_eq!((&director["role"], &director["effort"]), (&json!("director"), &json!("low")));
    stage.verb(&format!("/workflows/{id}/cancel")).await.ok(200);
}

#[tokio::test]
async fn a_stream_that_is_asked_for_a_time_ends_by_it() {
    let stage = Stage::open().await;
    let id = make(&stage).await;
    stage.verb(&format!("/workflows/{id}/pause")).await.ok(200);
    let nowhere = stage.get(&format!("/workflows/{id}/stream?source=kafka")).await;
    assert_eq!((nowhere.problem().0, &nowhere.json()["field"]), (422, &json!("source")));
    let mut stream = stage.stream(&format!("/workflows/{id}/stream?timeout=1&source=auto"), None).await;
    loop {
        let sent = stream.next().await.unwrap();
        if sent.data["type"] == "stream.closed" {
            assert_eq!(sent.data["reason"], "timeout");
            return;
        }
    }
}

#[tokio::test]
async fn workflows_are_listed_where_published_clients_look() {
    let stage = Stage::open().await;
    stage.post("/api/objectives", json!({"prompt": "wait"})).await.ok(201);
    let (first, second) = (make(&stage).await, make(&stage).await);
    stage.verb(&format!("/workflows/{first}/cancel")).await.ok(200);
    let ids = |list: &Value| -> Vec<String> {
        list["workflows"].as_array().unwrap().iter().map(|it| text(&it["id"])).collect()
    };
    let list = stage.get("/workflows").await.ok(200);
    assert_eq!(
        (ids(&list), &list["limit"], &list["offset"]),
        (vec![second.clone(), first.clone()], &json!(20), &json!(0))
    );
    assert_eq!(ids(&stage.get("/workflows?limit=1&offset=1").await.ok(200)), std::slice::from_ref(&first));
    assert_eq!(ids(&stage.get("/workflows?status=cancelled").await.ok(200)), std::slice::from_ref(&first));
    for (query, field) in [("limit=0", "limit"), ("limit=101", "limit"), ("offset=10001", "offset")] {
        let refused = stage.get(&format!("/workflows?{query}")).await;
        assert_eq!((refused.problem().0, refused.json()["field"].as_str()), (422, Some(field)));
    }
    let page = stage.get("/workflows?limit=1").await.ok(200);
    let next = text(&page["next"]);
    // What is made meanwhile shifts nothing.
    make(&stage).await;
    let rest = stage.get(&format!("/workflows?limit=1&after={next}")).await.ok(200);
    assert_eq!((ids(&page), ids(&rest), &rest["next"]), (vec![second], vec![first], &Value::Null));
    for (query, field) in [("after=x", "after"), (&*format!("after={next}&offset=1"), "offset")] {
        let refused = stage.get(&format!("/workflows?{query}")).await;
        assert_eq!((refused.problem().0, refused.json()["field"].as_str()), (422, Some(field)));
    }
    let published = request(Method::GET, "/api/v1/workflows?limit=2").body(Body::empty()).unwrap();
    let published = stage.send_unseen(published).await.ok(200);
    assert_eq!(ids(&published).len(), 2);
    // An objective that no pipeline runs is no workflow.
    let list = stage.get("/workflows").await.ok(200);
    let other = stage.get("/api/objectives").await.ok(200);
    let other = other.as_array().unwrap().iter().map(|it| text(&it["id"])).find(|it| !ids(&list).contains(it)).unwrap();
    assert_eq!(stage.get(&format!("/workflows/{other}")).await.problem(), (404, "not_found".into()));
}

fn hook(url: &str, secret: Value) -> Value {
    json!({"delivery": {"action": "webhook-dispatch", "config": {"url": url, "secret": secret}}})
}

#[tokio::test]
async fn c13_a_delivery_is_shown_as_it_was_wished_for_but_for_what_may_be_secret() {
    let stage = Stage::open().await;
    let mut wish = hook("http://127.0.0.1:9/in/secret-path", json!({"env": "HOOK_SECRET"}));
    wish["request"] = json!("Say goodbye");
    let made = stage.post("/workflows", wish.clone()).await.ok(201);
    assert_eq!(made["delivery_action"], "webhook");
    let shown = json!({"url": "http://127.0.0.1:9/…", "secret": {"env": "HOOK_SECRET"}});
    assert_eq!(made["delivery_config"], shown);
    // The variables of the daemon are not those of its tenants.
    let token = stage.post("/api/tokens", json!({"name": "blue", "tenant": "blue"})).await.ok(201);
    let refused = {
        let token = text(&token["token"]);
        let request = bare(Method::POST, "/workflows").header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", "application/json").body(Body::from(wish.to_string())).unwrap();
        stage.send(request).await
    };
    assert_eq!(
        (refused.problem(), &refused.json()["field"]),
        ((403, "forbidden".into()), &json!("delivery.config.secret"))
    );
    // A secret of its own is there for the tenant, and for nobody else, the operator in another tenant included.
    let mut own = hook("http://127.0.0.1:9/in/secret-path", json!({"name": "hook"}));
    own["request"] = json!("Say goodbye");
    let refused = stage.post("/workflows", own.clone()).await;
    assert_eq!(
        (refused.problem(), &refused.json()["field"]),
        ((422, "invalid".into()), &json!("delivery.config.secret"))
    );
    let request = bare(Method::POST, "/workflows").header("authorization", format!("Bearer {}", text(&token["token"])));
    let request = request.header("content-type", "application/json").body(Body::from(own.to_string())).unwrap();
    let made = stage.send(request).await.ok(201);
    assert_eq!(made["delivery_config"]["secret"], json!({"name": "hook"}));
    let wish = json!({"request": "Say goodbye", "repo": repo(),
        "delivery": {"action": "github-pr", "config": {"title": "T", "head_branch": "f/x", "draft": true, "base_branch": "main"}}});
    let made = stage.post("/workflows", wish).await.ok(201);
    assert_eq!(made["delivery_config"], json!({"title": "T", "head_branch": "f/x", "draft": true}));
}

#[tokio::test]
async fn c20_what_is_wrong_with_a_wish_is_named() {
    let stage = Stage::open().await;
    for (change, field, said) in [
        (json!({"constitution_override": {}}), "constitution_override", "unknown field"),
        (json!({"request": " "}), "request", "`request`"),
        (json!({"mode": "knitting"}), "mode", "software"),
        (json!({"delivery": {"action": "carrier-pigeon"}}), "delivery", "pull_request"),
        (json!({"delivery": {"action": "github-pr"}, "repo": null}), "delivery", "repository"),
        (json!({"delivery": {"action": "github-pr", "token": "secret"}}), "delivery", "token"),
        (json!({"delivery": {"action": "repo-commit-only"}, "repo": null}), "delivery", "repository"),
        (
            json!({"delivery": {"action": "github-pr", "config": {"token": "canary"}}}),
            "delivery.config.token",
            "settings",
        ),
        (
            json!({"delivery": {"action": "github-pr", "config": {"draft": true}, "merge": true}}),
            "delivery.merge",
            "draft",
        ),
        (json!({"delivery": {"action": "blog-draft", "merge": true}}), "delivery.merge", "pull request"),
        (
            json!({"delivery": {"action": "blog-draft", "config": {"slug": "../x"}}}),
            "delivery.config.slug",
            "small letters",
        ),
        (
            json!({"delivery": {"action": "artifact-bundle", "config": {"names": "x"}}}),
            "delivery.config",
            "unknown field",
        ),
        (hook("http://10.0.0.1/in", json!({"env": "HOOK_SECRET"})), "delivery.config.url", "private network"),
        (hook("http://127.0.0.1/in", json!({"env": "NOT_SET"})), "delivery.config.secret", "is not set"),
        (hook("http://127.0.0.1/in", json!("canary")), "delivery.config", "a secret is named, not given"),
        (
            json!({"base_branch": "main", "delivery": {"action": "github-pr", "config": {"base_branch": "next"}}}),
            "delivery.config.base_branch",
            "if both are named",
        ),
        (json!({"max_qa_retries": 21}), "max_qa_retries", "20"),
        (json!({"checks": [{"name": "", "command": ["true"]}]}), "checks", "name"),
        (json!({"checks": [{"name": "x", "command": []}]}), "checks", "program"),
        (json!({"personas": {"chef": {}}}), "personas", "chef"),
        (json!({"personas": {"qa": {"provider": "nobody"}}}), "personas", "nobody"),
        (json!({"personas": {"qa": {"effort": "turbo"}}}), "personas", "xhigh"),
        (json!({"personas": {"qa": {"effort": "high"}}}), "personas", "is nothing that `claude` can be told"),
        (json!({"provider": "nobody"}), "provider", "nobody"),
        (json!({"effort": "high"}), "effort", "is nothing that `claude` can be told"),
        (json!({"template_id": "none"}), "template_id", "software-default"),
        (json!({"title": "two\nlines"}), "title", ""),
    ] {
        let mut wish = json!({"request": "Say goodbye", "repo": repo()});
        for (key, value) in change.as_object().unwrap() {
            wish[key] = value.clone();
        }
        let refused = stage.post("/workflows", wish).await;
        assert_eq!(refused.status.as_u16(), 422, "{change}: {}", refused.text);
        assert_eq!(refused.problem(), (422, "invalid".into()), "{change}");
        let problem = refused.json();
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{problem}");
        assert!(!refused.text.contains("canary"), "{problem}");
    }
    assert_eq!(stage.post("/workflows", json!({})).await.problem(), (422, "invalid".into()));
    assert_eq!(stage.get("/workflows").await.ok(200)["workflows"], json!([]));
}

#[tokio::test]
async fn what_the_step_does_not_allow_is_refused_and_changes_nothing() {
    let stage = Stage::open().await;
    let id = make(&stage).await;
    stage.verb(&format!("/workflows/{id}/pause")).await.ok(200);
    for (verb, body, problem) in [
        ("skip", json!({"task": "7", "reason": "no need"}), (404, "not_found")),
        ("skip", json!({"task": "7"}), (422, "invalid")),
        ("tasks", json!({"title": "More", "description": "Do more"}), (409, "state")),
        ("tasks", json!({"title": "More", "description": "Do more", "specialty": "chef"}), (422, "invalid")),
        ("approve", json!({"approve": true}), (409, "state")),
        ("retry", json!({"from": "deliver"}), (409, "state")),
        ("retry", json!({"from": "dessert"}), (422, "invalid")),
        ("edit", json!({"step": "deliver", "document": {}}), (422, "invalid")),
        ("edit", json!({"step": "charter", "document": []}), (422, "invalid")),
    ] {
        let refused = stage.post(&format!("/workflows/{id}/{verb}"), body.clone()).await;
        assert_eq!(refused.problem(), (problem.0, problem.1.to_owned()), "{verb} {body}: {}", refused.text);
    }
    let edit = json!({"step": "charter", "document": {}});
    let refused = stage.post(&format!("/workflows/{id}/edit"), edit).await;
    assert_eq!((refused.problem().0, &refused.json()["field"]), (422, &json!("document")), "{}", refused.text);
    let now = stage.get(&format!("/workflows/{id}")).await.ok(200);
    assert_eq!((&now["status"], &now["step"], &now["tasks"]), (&json!("paused"), &json!("direct"), &json!([])));
}

#[tokio::test]
async fn a_clone_is_the_same_wish_under_another_id() {
    let stage = Stage::open().await;
    let wish = json!({"request": "Say goodbye", "repo": repo(), "template_id": "software-careful"});
    let first = text(&stage.post("/workflows", wish).await.ok(201)["id"]);
    stage.verb(&format!("/workflows/{first}/cancel")).await.ok(200);
    let second = text(&stage.verb(&format!("/workflows/{first}/clone")).await.ok(201)["id"]);
    assert_ne!(first, second);
    let (old, new) = (
        stage.get(&format!("/workflows/{first}")).await.ok(200),
        stage.get(&format!("/workflows/{second}")).await.ok(200),
    );
    for field in ["request", "mode", "delivery_action", "provider_name"] {
        assert_eq!(old[field], new[field], "{field}");
    }
    // What the template filled in came along.
    assert_eq!((&new["execution"]["max_qa_retries"], &new["mode"]), (&json!(3), &json!("software")));
    let templates = stage.get("/workflow-templates").await.ok(200);
    assert_eq!(templates["templates"].as_array().unwrap().len(), 4);
    assert_eq!(stage.get("/workflow-templates/software-careful").await.ok(200)["fills"]["approve_plan"], true);
    assert_eq!(stage.get("/workflow-templates/none").await.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn what_is_made_once_more_stays_in_its_scope_and_under_its_policy() {
    let mut stage = Stage::open().await;
    stage.more = vec![("x-scope-id", "org/web".to_owned())];
    let policy = json!({"kind": "policy", "name": "run", "body": r#"{"approve_plan": true}"#});
    stage.call(Method::PUT, "/api/customizations", policy).await.ok(200);
    let workflow = text(&stage.post("/workflows", json!({"request": "wait"})).await.ok(201)["id"]);
    let objective = stage.post("/api/objectives", json!({"prompt": "wait", "strategy": "direct"})).await.ok(201);
    let objective = text(&objective["objective"]["id"]);
    for verb in [format!("/workflows/{workflow}/cancel"), format!("/api/objectives/{objective}/cancel")] {
        stage.verb(&verb).await.ok(200);
    }
    // The operator sees every scope, and names none.
    stage.more.clear();
    let cloned = text(&stage.verb(&format!("/workflows/{workflow}/clone")).await.ok(201)["id"]);
    let retried = text(&stage.verb(&format!("/api/objectives/{workflow}/retry")).await.ok(200)["id"]);
    for id in [&cloned, &retried] {
        let made = stage.get(&format!("/workflows/{id}")).await.ok(200);
        assert_eq!((&made["scope_id"], &made["policy"][0]["scope"]), (&json!("org/web"), &json!("org/web")), "{made}");
    }
    let again = text(&stage.verb(&format!("/api/objectives/{objective}/retry")).await.ok(200)["id"]);
    stage.more = vec![("x-scope-id", "org/web".to_owned())];
    for id in [cloned, retried, again] {
        stage.get(&format!("/api/objectives/{id}")).await.ok(200);
    }
}

#[tokio::test]
async fn who_can_play_a_role_is_listed_with_the_models_that_its_provider_says_it_has() {
    let stage = Stage::open().await;
    let kinds = stage.get("/providers").await.ok(200);
    let named = |name: &str| kinds["providers"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned();
    assert_eq!(named("claude").unwrap()["capabilities"], json!(["tools", "streaming"]));
    let models = stage.get("/api/v1/providers/listed/models").await.ok(200);
    assert_eq!(models["models"][0], json!({"id": "big", "tools": true, "description": "8B"}));
    assert_eq!(stage.get("/providers/silent/models").await.problem(), (503, "unavailable".into()));
    assert_eq!(stage.get("/providers/claude/models").await.problem(), (404, "not_found".into()));
    assert_eq!(stage.verb("/providers/listed/test").await.ok(200), json!({"healthy": true}));
    let silent = stage.verb("/providers/silent/test").await.ok(200);
    assert_eq!(silent, json!({"healthy": false, "error": "401: no such key"}));
    assert_eq!(stage.verb("/providers/claude/test").await.problem(), (404, "not_found".into()));
}
