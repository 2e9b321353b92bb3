//! A daemon on a free port, the agents that it launches, and a client that speaks MCP by hand.

use orcha_agent::fake::FakeRunner;
use orcha_agent::{Event, Launch, Runner, TurnEnd};
use orcha_base::{ObjectiveId, PullRequestId, RepoUrl, SessionId, WorkspaceId};
use orcha_exec::{ExitStatus, RunLabel, fake::FakeHost};
use orcha_forge::fake::FakeForge;
use orcha_model::objective::Strategy;
use orcha_model::session::RepoChoice;
use orcha_model::{PullRequest, Role, Session};
use orcha_orch::{Actor, Hands, NewObjective, Orch, Settings, SystemClock, TargetHands};
use orcha_plan::{NewSession, World};
use orcha_store::{Store, StoreOptions};
use orcha_workspace::Label;
use orcha_workspace::fake::FakeCheckouts;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// How long a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn repo() -> RepoUrl {
    "/srv/origin.git".parse().unwrap()
}

/// The daemon.
pub(super) struct Stage {
    pub orch: Orch,
    pub forge: FakeForge,
    pub checkouts: Arc<FakeCheckouts>,
    pub runner: FakeRunner,
    pub url: String,
    launches: Mutex<mpsc::UnboundedReceiver<Launch>>,
    folder: Option<tempfile::TempDir>,
}

/// A session as its agent sees the daemon.
pub(super) struct Agent {
    pub id: SessionId,
    pub objective: ObjectiveId,
    pub label: RunLabel,
    pub token: String,
    pub client: Client,
}

/// Speaks JSON-RPC over HTTP and knows nothing of MCP.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    headers: HeaderMap,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} is not JSON: {}", self.status, self.text))
    }

    /// The result of a call: its words, and whether it is an error.
    pub fn said(&self) -> (String, bool) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        let result = &self.json()["result"];
        let blocks = result["content"].as_array().unwrap_or_else(|| panic!("no content in {}", self.text));
        let text = blocks.iter().filter_map(|it| it["text"].as_str()).collect::<Vec<_>>().join("\n");
        (text, result["isError"] == json!(true))
    }
}

impl Stage {
    pub async fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap()).await
    }

    async fn open_in(folder: tempfile::TempDir) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tell, launches) = mpsc::unbounded_channel();
        let runner = FakeRunner::new(move |mut agent| {
            tell.send(agent.launch().clone()).unwrap();
            agent.ready();
            async move {
                while agent.hear().await.is_some() {}
                ExitStatus::Code(0)
            }
        });
        let forge = FakeForge::new();
        forge.commit(&repo(), &"main".parse().unwrap(), "README", "hello");
        forge.add_repo(&repo(), "main".parse().unwrap());
        let checkouts = Arc::new(FakeCheckouts::new());
        checkouts.add_repo(&repo(), &"main".parse().unwrap(), &[("README", "hello")]);

        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let plan = orcha_plan::Settings { feedback_debounce: Duration::from_millis(50), ..Default::default() };
        let settings = Settings {
            mcp_url: Some(url.clone()),
            watch_every: Duration::from_secs(3600),
            plan,
            ..Settings::default()
        };
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        let hands = Hands::new(Arc::new(forge.clone()));
        let orch = Orch::start(store, hands, settings, Arc::new(SystemClock)).await.unwrap();
        let target = orch.register_target(&Actor::default(), "here", "/nowhere", 8, vec!["big".into()]).await.unwrap();
        let agents: Arc<dyn Runner> = Arc::new(runner.clone());
        let hands = TargetHands {
            host: Arc::new(FakeHost::new("/nowhere")),
            checkouts: Arc::clone(&checkouts) as _,
            runners: HashMap::from([("claude".to_owned(), Arc::clone(&agents)), ("other".to_owned(), agents)]),
        };
        orch.connect_target(target.id, hands).await.unwrap();

        let app = axum::Router::new().nest("/mcp", crate::mcp::routes(orch.clone(), Vec::new()));
        let stop = orch.stopping();
        tokio::spawn(async move {
            axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await.unwrap();
        });
        Self { orch, forge, checkouts, runner, url, launches: Mutex::new(launches), folder: Some(folder) }
    }

    /// Stops the daemon and starts another one on the same data. Agents in memory do not live on.
    pub async fn restart(mut self) -> Self {
        self.orch.shut_down().await;
        Self::open_in(self.folder.take().unwrap()).await
    }

    /// An objective with a manager.
    pub async fn manager(&self) -> Agent {
        let wish = NewObjective { repo: Some(RepoChoice { url: repo(), base: None }), ..NewObjective::new("Do it.") };
        let (objective, made) = self.orch.create_objective(&Actor::default(), wish).await.unwrap();
        self.launched(objective.id, made[0]).await
    }

    /// An objective of one worker and nobody who steers.
    pub async fn alone(&self, role: Role) -> Agent {
        let wish = NewObjective {
            strategy: Strategy::Direct,
            sessions: vec![(NewSession::new(role, "Alone", "Do it."), vec![])],
            repo: Some(RepoChoice { url: repo(), base: None }),
            ..NewObjective::new("Do it.")
        };
        let (objective, made) = self.orch.create_objective(&Actor::default(), wish).await.unwrap();
        self.launched(objective.id, made[0]).await
    }

    /// A worker of an objective, made behind the tools' back.
    pub async fn worker(&self, objective: ObjectiveId, role: Role) -> Agent {
        let id = self.orch.new_session(objective, NewSession::new(role, "Worker", "Do it.")).await.unwrap();
        self.launched(objective, id).await
    }

    /// Waits until a session's agent runs.
    pub async fn launched(&self, objective: ObjectiveId, id: SessionId) -> Agent {
        let mut launches = self.launches.lock().await;
        let launch = loop {
            let Ok(launch) = tokio::time::timeout(PATIENCE, launches.recv()).await else {
                let session = self.view(objective, move |world| world.sessions[&id].clone()).await;
                panic!("it was not launched, it is {:?}", session.state);
            };
            let launch = launch.unwrap();
            if launch.label.as_str().starts_with(&id.to_string()) {
                break launch;
            }
        };
        drop(launches);
        self.until(objective, move |world| {
            matches!(world.sessions[&id].state, orcha_model::session::State::Running { .. })
        })
        .await;
        let mcp = launch.mcp.unwrap();
        assert_eq!(mcp.url, self.url);
        let token = mcp.token.expose().clone();
        let client = self.client(Some(&token));
        Agent { id, objective, label: launch.label, token, client }
    }

    pub fn client(&self, token: Option<&str>) -> Client {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, "application/json, text/event-stream".parse().unwrap());
        headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Client { http, url: self.url.clone(), headers }
    }

    pub async fn view<R: Send + 'static>(
        &self,
        objective: ObjectiveId,
        look: impl FnOnce(&World) -> R + Send + 'static,
    ) -> R {
        self.orch.view(objective, look).await.unwrap()
    }

    /// Waits until something holds, looking again whenever something was stored.
    pub async fn until(&self, objective: ObjectiveId, holds: impl Fn(&World) -> bool + Clone + Send + 'static) {
        let mut journal = self.orch.journal();
        let wait = async {
            while !self.view(objective, holds.clone()).await {
                // What is stored without a line is seen with the next one, or soon.
                let next = tokio::time::timeout(Duration::from_millis(50), journal.recv()).await;
                drop(next);
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it never came to be");
    }

    pub async fn session(&self, of: &Agent) -> Session {
        let id = of.id;
        self.view(of.objective, move |world| world.sessions[&id].clone()).await
    }

    /// Ends an agent's turn and waits until its session is over.
    pub async fn finish(&self, agent: &Agent) {
        self.runner.emit(&agent.label, Event::TurnEnded(TurnEnd::Completed)).unwrap();
        let id = agent.id;
        self.until(agent.objective, move |world| world.sessions[&id].is_over()).await;
    }

    /// Lets an agent commit a file, and the code host see it as soon as it is pushed.
    pub async fn commit(&self, agent: &Agent, path: &str) -> WorkspaceId {
        let id = agent.id;
        let (workspace, branch) = self
            .view(agent.objective, move |world| {
                let workspace = &world.workspaces[&world.sessions[&id].workspace.unwrap()];
                (workspace.id, workspace.branch.clone().unwrap())
            })
            .await;
        let label = Label::new(&workspace.to_string()).unwrap();
        self.checkouts.write(&label, path, Some("work\n"));
        let sha = self.checkouts.commit(&label, "Work");
        self.forge.push(&repo(), &branch, &sha);
        workspace
    }

    /// A worker whose work is in an open pull request.
    pub async fn published(&self, manager: &Agent) -> (SessionId, PullRequest) {
        let worker = self.worker(manager.objective, Role::Implementer).await;
        self.commit(&worker, "src/it.rs").await;
        assert!(!worker.call("report_result", json!({"summary": "Did it."})).await.1);
        self.finish(&worker).await;
        let args = json!({"session_id": worker.id, "title": "Do it", "body": "Does it."});
        let said = manager.call("publish_pr", args).await;
        assert!(!said.1, "{}", said.0);
        let id = worker.id;
        let find = move |world: &World| world.pull_requests.values().find(|it| it.session == id).cloned().unwrap();
        (worker.id, self.view(manager.objective, find).await)
    }

    /// The session that is sent to a pull request.
    pub async fn follow_up(&self, objective: ObjectiveId, pr: PullRequestId) -> Agent {
        self.until(objective, move |world| world.follow_up_on(pr).is_some()).await;
        let id = self.view(objective, move |world| world.follow_up_on(pr).unwrap().id).await;
        self.launched(objective, id).await
    }
}

impl Agent {
    /// Calls a tool and returns what it says, and whether that is an error.
    pub async fn call(&self, tool: &str, arguments: Value) -> (String, bool) {
        self.client.call(tool, arguments, None).await.said()
    }

    /// Calls a tool that must succeed; returns its data.
    pub async fn get(&self, tool: &str, arguments: Value) -> Value {
        let reply = self.client.call(tool, arguments, None).await;
        let (text, error) = reply.said();
        assert!(!error, "{tool}: {text}");
        reply.json()["result"]["structuredContent"].clone()
    }

    /// Calls a tool that must refuse; returns why.
    pub async fn refusal(&self, tool: &str, arguments: Value) -> String {
        let (text, error) = self.call(tool, arguments).await;
        assert!(error, "{tool}: {text}");
        text
    }
}

impl Client {
    pub fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.insert(header, value.parse().unwrap());
        self
    }

    pub async fn send(&self, method: Method, body: impl Into<reqwest::Body>) -> Reply {
        let mut request = self.http.request(method, &self.url).headers(self.headers.clone()).body(body);
        if let Some(host) = self.headers.get(HOST) {
            request = request.header(HOST, host);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }

    pub async fn request(&self, method: &str, params: Value) -> Reply {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        self.send(Method::POST, message.to_string()).await
    }

    /// Calls a tool, as the use of that id if there is one.
    pub async fn call(&self, tool: &str, arguments: Value, id: Option<&str>) -> Reply {
        let mut params = json!({"name": tool, "arguments": arguments});
        if let Some(id) = id {
            params["_meta"] = json!({"claudecode/toolUseId": id});
        }
        self.request("tools/call", params).await
    }

    pub async fn initialize(&self, version: &str) -> Reply {
        let info = json!({"name": "test", "version": "1"});
        self.request("initialize", json!({"protocolVersion": version, "capabilities": {}, "clientInfo": info})).await
    }

    pub async fn tools(&self) -> Vec<String> {
        let reply = self.request("tools/list", json!({})).await;
        let json = reply.json();
        let tools = json["result"]["tools"].as_array().unwrap_or_else(|| panic!("{}", reply.text));
        tools.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    }
}
