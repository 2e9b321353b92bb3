//! The stage: a daemon without a socket, its agents, and a client that says exactly what a test wants it to say.

use crate::roles::Roles;
use axum::Router;
use axum::body::{Body, Bytes};
use futures::StreamExt;
use http::{HeaderMap, Method, Request, StatusCode, header};
use orcha_agent::fake::FakeRunner;
use orcha_agent::{Runner, Say, TurnEnd};
use orcha_api::{ApiSettings, Connect, router_with};
use orcha_base::{Redacted, RepoUrl};
use orcha_delivery::{Deliveries, Lookup, Settings as DeliverySettings};
use orcha_exec::{ExitStatus, fake::FakeHost};
use orcha_forge::fake::FakeForge;
use orcha_model::casting::OfferedModel;
use orcha_orch::{Actor, Hands, Models, NoModels, Orch, Settings, SystemClock, TargetHands};
use orcha_outbound::Outbound;
use orcha_store::{Store, StoreOptions};
use orcha_workspace::Label;
use orcha_workspace::fake::FakeCheckouts;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

pub const HOST: &str = "127.0.0.1:7420";
pub const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
/// How long anything may take in real time.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn repo() -> RepoUrl {
    "/srv/site.git".parse().unwrap()
}

/// A daemon without a socket.
pub struct Stage {
    pub orch: Orch,
    pub app: Router,
    forge: FakeForge,
    checkouts: Arc<FakeCheckouts>,
    pub folder: tempfile::TempDir,
    /// The agents of the kind `roles`.
    pub roles: Roles,
    /// Headers that each request has besides.
    pub more: Vec<(&'static str, String)>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} is not JSON: {}", self.status, self.text))
    }

    /// The document of an answer that must have a status.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    /// The status and code of a problem.
    #[track_caller]
    pub fn problem(&self) -> (u16, String) {
        let problem = self.json();
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["error"], problem["detail"]);
        (self.status.as_u16(), problem["code"].as_str().unwrap().to_owned())
    }
}

#[derive(Debug)]
struct Here(TargetHands);

#[async_trait::async_trait]
impl Connect for Here {
    async fn local(&self, _: &str, work_root: Option<&str>) -> Result<(String, TargetHands), String> {
        Ok((work_root.unwrap_or("/nowhere/else").to_owned(), self.0.clone()))
    }
}

impl Stage {
    pub async fn open() -> Self {
        Self::open_with(Router::new()).await
    }

    pub async fn open_with(pages: Router) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        let main = "main".parse().unwrap();
        let forge = FakeForge::new();
        forge.commit(&repo(), &main, "README", "hello");
        forge.add_repo(&repo(), main.clone());
        let checkouts = Arc::new(FakeCheckouts::new());
        checkouts.add_repo(&repo(), &main, &[("README", "hello")]);
        // An agent that is told to wait does; any other says what it heard and is done.
        let agents: Arc<dyn Runner> = Arc::new(FakeRunner::new(|mut agent| async move {
            agent.ready();
            while let Some(said) = agent.hear().await {
                match said {
                    Say::Prompt { text, .. } => {
                        // Before the last line stands what every agent is told.
                        let last = text.lines().last().unwrap_or_default();
                        agent.text(format!("I heard: {last}"));
                        if !last.contains("wait") {
                            agent.end_turn(TurnEnd::Completed);
                        }
                    }
                    Say::Interrupt { .. } => agent.end_turn(TurnEnd::Interrupted),
                    Say::Permission { .. } => {}
                }
            }
            ExitStatus::Code(0)
        }));
        let roles = Roles::default();
        let local = TargetHands {
            host: Arc::new(FakeHost::new("/nowhere")),
            checkouts: Arc::clone(&checkouts) as _,
            runners: HashMap::from([
                ("claude".to_owned(), agents),
                (crate::roles::KIND.to_owned(), Arc::new(roles.runner().with_effort()) as Arc<dyn Runner>),
            ]),
        };
        let secrets = Lookup::new(|name| (name == "HOOK_SECRET").then(|| "canary-0123456789abcdef".to_owned()));
        let named = serde_json::json!({"blue": {"hook": {"env": "HOOK_SECRET"}}});
        let secrets = secrets.with(serde_json::from_value(named).unwrap());
        let made = DeliverySettings::new(folder.path().join("deliveries"), secrets, || 1_800_000_000);
        let deliveries = Deliveries::new(made, Outbound::new(vec!["127.0.0.1".parse().unwrap()]));
        let hands = Hands::new(Arc::new(forge.clone())).with_deliverer(Arc::new(deliveries)).with_models(Arc::new(Two));
        let settings = Settings { watch_every: Duration::from_secs(3600), ..Settings::default() };
        let orch = Orch::start(store, hands, settings, Arc::new(SystemClock)).await.unwrap();
        let target = orch.register_target(&Actor::default(), "here", "/nowhere", 8, vec![]).await.unwrap();
        orch.connect_target(target.id, local.clone()).await.unwrap();
        let mut settings =
            ApiSettings::new(Redacted::new(TOKEN.to_owned()), vec![HOST.to_owned(), "[::1]:7420".into()]);
        settings.connect = Some(Arc::new(Here(local)));
        let app = router_with(orch.clone(), settings, pages);
        roles.orch.set(orch.clone()).unwrap();
        Self { orch, app, forge, checkouts, folder, roles, more: Vec::new() }
    }

    /// Makes a request as it is given. What is answered must be what the document says.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let reply = self.send_unseen(request).await;
        crate::document::check(&method, &path, &reply);
        reply
    }

    /// Makes a request as it is given. Of a stream only the head is read.
    pub async fn send_unseen(&self, request: Request<Body>) -> Reply {
        let asked = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        let answer = tokio::time::timeout(PATIENCE, self.app.clone().oneshot(request)).await;
        let (head, body) = answer.unwrap_or_else(|_| panic!("no answer to {asked}")).unwrap().into_parts();
        let streams = head.headers.get(header::CONTENT_TYPE).is_some_and(|it| it == "text/event-stream");
        let body = if streams { Bytes::new() } else { axum::body::to_bytes(body, 64 << 20).await.unwrap() };
        Reply { status: head.status, headers: head.headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        self.more.iter().fold(request(method, path), |request, (name, value)| request.header(*name, value))
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, body).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> Reply {
        let request = self.request(method, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// A verb without a body.
    pub async fn verb(&self, path: &str) -> Reply {
        self.send(self.request(Method::POST, path).body(Body::empty()).unwrap()).await
    }

    /// Opens a stream.
    pub async fn stream(&self, path: &str, last: Option<i64>) -> Events {
        self.stream_as(TOKEN, path, last).await
    }

    /// Opens a stream with another token.
    pub async fn stream_as(&self, token: &str, path: &str, last: Option<i64>) -> Events {
        let mut request = bare(Method::GET, path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        Events { body: answer.into_body().into_data_stream().boxed(), text: String::new() }
    }

    /// Makes an objective of one session that works on the repository, and waits until it is in a state.
    pub async fn one(&self, prompt: &str, state: &str) -> (String, String) {
        let wish = json!({"prompt": prompt, "strategy": "direct", "repo": repo()});
        let made = self.post("/api/objectives", wish).await.ok(201);
        let (objective, session) = (text(&made["objective"]["id"]), text(&made["manager"]["id"]));
        self.until(&format!("/api/sessions/{session}"), |it| it["status"] == state).await;
        (objective, session)
    }

    /// Asks until something holds, again whenever something was stored.
    pub async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut journal = self.orch.journal();
        let mut last = Value::Null;
        let wait = async {
            loop {
                last = self.get(path).await.ok(200);
                if holds(&last) {
                    return;
                }
                // What is stored without a line is seen soon.
                drop(tokio::time::timeout(Duration::from_millis(50), journal.recv()).await);
            }
        };
        let came = tokio::time::timeout(PATIENCE, wait).await;
        assert!(came.is_ok(), "it never came to be: {last}");
        last
    }

    /// A pull request for the work of one session.
    pub async fn pull_request(&self) -> (String, String) {
        // An objective with a manager goes on when its worker is done.
        let made = self.post("/api/objectives", json!({"prompt": "wait", "repo": repo()})).await.ok(201);
        let objective = text(&made["objective"]["id"]);
        let worker = orcha_plan::NewSession::new(orcha_model::Role::Implementer, "Worker", "wait");
        let session = self.orch.new_session(objective.parse().unwrap(), worker).await.unwrap().to_string();
        self.until(&format!("/api/sessions/{session}"), |it| it["status"] == "running").await;
        let place = self.get(&format!("/api/sessions/{session}")).await.ok(200)["workspace_id"].clone();
        let place = self.get(&format!("/api/workspaces/{}", text(&place))).await.ok(200)["workspace"].clone();
        let label = Label::new(place["id"].as_str().unwrap()).unwrap();
        self.checkouts.write(&label, "about.html", Some("about\n"));
        let sha = self.checkouts.commit(&label, "About");
        self.forge.push(&repo(), &place["branch_name"].as_str().unwrap().parse().unwrap(), &sha);
        self.post(&format!("/api/sessions/{session}/messages"), json!({"message": "finish", "interrupt": true}))
            .await
            .ok(200);
        let request = orcha_orch::PublishRequest {
            session: session.parse().unwrap(),
            title: "About".into(),
            body: "Says who we are.".into(),
            commit_message: None,
        };
        self.until(&format!("/api/sessions/{session}"), |it| it["status"] == "succeeded").await;
        let pr = self.orch.publish(objective.parse().unwrap(), request).await.unwrap();
        (objective, pr.id.to_string())
    }
}

/// A request of the operator.
pub fn request(method: Method, path: &str) -> http::request::Builder {
    bare(method, path).header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
}

/// A request of nobody.
pub fn bare(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, HOST)
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The events of a stream.
pub struct Events {
    body: futures::stream::BoxStream<'static, Result<Bytes, axum::Error>>,
    text: String,
}

/// One server-sent event.
#[derive(Debug, PartialEq)]
pub struct Sent {
    pub id: Option<i64>,
    pub name: Option<String>,
    pub data: Value,
}

impl Events {
    /// Returns the next event that is kept; none at the end of the stream.
    pub async fn next(&mut self) -> Option<Sent> {
        loop {
            let sent = self.any().await?;
            if sent.name.as_deref() != Some(orcha_wire::ACTIVITY) {
                return Some(sent);
            }
        }
    }

    /// Returns the next event of any kind; none at the end of the stream.
    pub async fn any(&mut self) -> Option<Sent> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(ToOwned::to_owned)
                };
                let data = field("data").map(|it| serde_json::from_str(&it).unwrap());
                let sent = data.map(|data| Sent {
                    id: field("id").and_then(|it| it.parse().ok()),
                    name: field("event"),
                    data,
                });
                self.text = rest.to_owned();
                if sent.is_some() {
                    return sent;
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("the stream is silent")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }
}

/// Two providers: one says which models it has, the other one does not know us.
#[derive(Debug)]
struct Two;

#[async_trait::async_trait]
impl Models for Two {
    fn kinds(&self) -> Vec<String> {
        ["listed", "silent"].map(str::to_owned).to_vec()
    }

    async fn models(&self, kind: &str) -> Result<Vec<OfferedModel>, NoModels> {
        match kind {
            "listed" => Ok(vec![OfferedModel { id: "big".into(), tools: Some(true), about: "8B".into() }]),
            _ => Err(NoModels::Refused("401: no such key".into())),
        }
    }
}
