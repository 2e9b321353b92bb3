//! Tool servers of the settings: which of them a session is lent, what they say of their tools, and what a person approved of.
//!
//! Who may have which is decided by `model::tool_server`. A server is looked at by a process of ours in a run of its own,
//! confined as sessions are; nobody calls its tools there.

use crate::confine;
use crate::execute::chain;
use crate::inbox::SubmitError;
use crate::orch::{Actor, Orch, Shared};
use orcha_agent::llm::{Definitions, LONGEST_TOOLS, Reach, Server, hash_of};
use orcha_base::{ScopeId, TenantId};
use orcha_exec::{Grace, Host, RunLabel, RunSpec, RunState, Sandbox, Seen, Stream};
use orcha_model::text::{self, Text};
use orcha_model::tool_server::{approved, of_scope, of_session, surface};
use orcha_model::{Refusal, Role, ToolServer, target};
use orcha_store::ReadError;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;
use uuid::Uuid;

/// What the names of runs that look at a server begin with.
const RUN: &str = "look-";

/// What a run that looks at a server is told: a private file, which it deletes.
const FILE: &str = "server.json";

/// How much longer than the server the run may take.
const SLACK: Duration = Duration::from_secs(20);

/// A tool server of the settings, and how it is reached.
#[derive(Clone, Debug)]
pub struct LentServer {
    /// What is decided by.
    pub server: ToolServer,
    /// How it is reached, or what is missing for that.
    pub reach: Result<Reach, String>,
    /// How long it may take until it has said which tools it has, in seconds.
    pub connect_secs: u64,
    /// How long a call may take, in seconds.
    pub call_secs: u64,
}

/// The program that looks at a server: an agent over a model's API.
#[derive(Clone, Debug, Default)]
pub struct Looker {
    /// The program and its arguments; the file stands behind them. Empty: nobody looks.
    pub command: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
}

/// A server of a scope, with what a person approved of.
#[derive(Clone, Debug)]
pub struct KnownServer {
    /// The server.
    pub server: ToolServer,
    /// What was approved; where the settings name a hash, that counts instead.
    pub approved: Option<Text>,
}

impl KnownServer {
    /// Returns the hash of what its tools must be.
    pub fn hash(&self) -> Option<String> {
        self.server.hash.clone().or_else(|| self.approved.as_ref().map(|it| hash_of(&it.body)))
    }
}

/// What was seen of a server: its tools, or why it did not say.
pub type Looked = Result<Definitions, String>;

impl LentServer {
    /// Returns how an agent is told of it.
    fn told(&self, hash: Option<String>) -> Result<Server, String> {
        Ok(Server {
            name: self.server.name.clone(),
            reach: self.reach.clone()?,
            hash,
            writes: self.server.writes,
            connect_secs: self.connect_secs,
            call_secs: self.call_secs,
        })
    }
}

/// What a session gets: the servers, and which it does not get and why.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    pub servers: Vec<Server>,
    pub withheld: Vec<(String, String)>,
}

impl Shared {
    /// Says which servers a session gets.
    pub(crate) async fn lent(&self, tenant: &TenantId, scope: &ScopeId, role: Role) -> Result<Lent, ReadError> {
        let all = self.settings.tool_servers.iter().map(|it| it.server.clone()).collect::<Vec<_>>();
        let mine = of_session(&all, tenant, scope, role);
        let mut lent = Lent::default();
        if mine.is_empty() {
            return Ok(lent);
        }
        let texts = self.store.texts_in_use(tenant, text::chain(scope)).await?;
        for server in mine {
            let known = KnownServer { server: server.clone(), approved: approved(server, &texts).cloned() };
            let told = match (known.hash(), self.settings.tool_servers.iter().find(|it| it.server == *server)) {
                (Some(hash), Some(it)) => it.told(Some(hash)),
                _ => Err(format!("nobody has approved of them yet; `orcha mcp show {}` shows them", server.name)),
            };
            match told {
                Ok(server) => lent.servers.push(server),
                Err(why) => lent.withheld.push((server.name.clone(), why)),
            }
        }
        Ok(lent)
    }
}

impl Orch {
    /// Returns the tool servers of a scope, by name; without one, of all scopes of a tenant.
    pub async fn tool_servers(
        &self,
        tenant: &TenantId,
        scope: Option<&ScopeId>,
    ) -> Result<Vec<KnownServer>, ReadError> {
        let all = self.shared.settings.tool_servers.iter().map(|it| it.server.clone()).collect::<Vec<_>>();
        let mine: Vec<ToolServer> = match scope {
            Some(scope) => of_scope(&all, tenant, scope).into_iter().cloned().collect(),
            None => all.into_iter().filter(|it| it.tenant == *tenant).collect(),
        };
        let scopes: BTreeSet<ScopeId> = mine.iter().map(|it| it.scope.clone()).collect();
        let texts = self.shared.store.texts_in_use(tenant, scopes.into_iter().collect()).await?;
        let known = |it: ToolServer| KnownServer { approved: approved(&it, &texts).cloned(), server: it };
        Ok(mine.into_iter().map(known).collect())
    }

    /// Returns the tool server that a name means in a scope.
    pub async fn tool_server(&self, actor: &Actor, name: &str) -> Result<KnownServer, SubmitError> {
        let all = self.tool_servers(&actor.tenant, Some(&actor.scope)).await?;
        let hint = format!("; the settings of the daemon name none as [[mcp_server]] for the scope {}", actor.scope);
        let unknown = || Refusal::Unknown { noun: "tool server", id: name.chars().take(80).collect(), hint };
        Ok(all.into_iter().find(|it| it.server.name == name).ok_or_else(unknown)?)
    }

    /// Asks a server what it says of its tools now.
    pub async fn look_at_tools(&self, server: &ToolServer) -> Result<Looked, SubmitError> {
        let shared = &self.shared;
        let lent = shared.settings.tool_servers.iter().find(|it| it.server == *server);
        let told = lent.map(|it| (it.told(None), it.connect_secs));
        let (Some((Ok(told), secs)), false) = (told.clone(), shared.settings.looker.command.is_empty()) else {
            let missing = told.and_then(|(it, _)| it.err());
            return Ok(Err(missing.unwrap_or_else(|| "this daemon has no program that looks at it".to_owned())));
        };
        let (also, server) = (Arc::clone(shared), server.clone());
        // In a task of its own: whoever asks may go away, and what was started must be put away all the same.
        let looking = shared.tasks.spawn(async move {
            // One at a time: it is a person who looks.
            let _turn = also.looking_turn.lock().await;
            run_to_look(&also, &server, &told, Duration::from_secs(secs) + SLACK).await
        });
        let looked = looking.await.map_err(|_| SubmitError::ShuttingDown)?;
        Ok(looked.and_then(|it| it))
    }

    /// Approves of what a server says of its tools, as a person saw it. Sessions that are launched from now on get them.
    pub async fn approve_tools(
        &self,
        by: &str,
        server: &ToolServer,
        definitions: &Definitions,
    ) -> Result<Text, SubmitError> {
        if server.hash.is_some() {
            let rule = "its hash stands in the settings of the daemon, and that alone counts";
            let (noun, id) = ("tool server", server.name.clone());
            return Err(Refusal::State { noun, id, state: "pinned", rule }.into());
        }
        let actor = Actor { tenant: server.tenant.clone(), scope: server.scope.clone() };
        let surface = surface(&server.name).map_err(Refusal::from)?;
        self.set_text(&actor, by, surface, definitions.text()).await
    }
}

/// Looks at a server by a process in a run, and forgets the run.
async fn run_to_look(
    shared: &Arc<Shared>,
    server: &ToolServer,
    told: &Server,
    within: Duration,
) -> Result<Looked, String> {
    let targets = shared.store.all_targets().await.map_err(|fault| chain(&fault))?;
    // Its secrets are nobody else's: they go where its tenant's sessions go.
    let mut fit = targets.iter().filter(|it| it.serves(&server.tenant) && it.state != target::State::Disabled);
    let hands = fit.find_map(|it| shared.hands.target(it.id));
    let host = hands.as_ref().map(|it| Arc::clone(&it.host)).ok_or("no target of its tenant is connected")?;
    // As a session of the first of its roles would be, where no project says otherwise.
    let role = server.roles.first().copied().unwrap_or(Role::Custom);
    let confine = shared.settings.rules.confine(role, None);
    let level = confine::level(&*host, confine).await?;
    let label = RunLabel::new(&format!("{RUN}{}", Uuid::now_v7())).map_err(|fault| chain(&fault))?;
    let dir = host.run_dir(&label);
    let sandbox = Sandbox { run_dir: true, ..confine::of_all(shared, &*host, level, confine.strict).await? };
    let mut command = shared.settings.looker.command.iter().cloned();
    let program = command.next().ok_or("there is no program that looks")?;
    let spec = RunSpec {
        label: label.clone(),
        program,
        args: command.chain([format!("{{run_dir}}/{FILE}")]).collect(),
        dir,
        env: shared.settings.looker.env.clone(),
        files: vec![(FILE.to_owned(), serde_json::to_string(told).map_err(|fault| chain(&fault))?)],
        input: Vec::new(),
        line_cap: MOST,
        backlog_cap: 2 * MOST,
        sandbox,
    };
    let said = tokio::time::timeout(within, follow(&*host, &spec)).await;
    put_away(&*host, &label).await;
    let said = said.map_err(|_| "it did not say which tools it has in time".to_owned())??;
    let line: serde_json::Value = serde_json::from_slice(&said).map_err(|_| "what looked at it said nothing")?;
    match (line["tools"].as_str(), line["fault"].as_str()) {
        (Some(text), _) => Ok(Definitions::read(text).map_err(|fault| chain(&fault))),
        (None, fault) => Ok(Err(fault.unwrap_or("what looked at it said nothing").to_owned())),
    }
}

/// What a run may say: the definitions as a text in a line, where each byte may take two.
const MOST: u64 = 2 * LONGEST_TOOLS as u64 + 4096;

/// Starts a run and reads what it says until its end.
async fn follow(host: &dyn Host, spec: &RunSpec) -> Result<Vec<u8>, String> {
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    host.start(spec).await.map_err(|fault| chain(&fault))?;
    let mut said = Vec::new();
    loop {
        // In this order: what was said before the end is read after it is known.
        let state = host.look(&spec.label).await.map_err(|fault| chain(&fault))?;
        loop {
            let from = said.len() as u64;
            let chunk = host.read(&spec.label, Stream::Output, from, most).await.map_err(|fault| chain(&fault))?;
            if chunk.bytes.is_empty() {
                break;
            }
            said.extend(chunk.bytes);
            if said.len() > most {
                return Err("what it says of its tools is too long".to_owned());
            }
        }
        match state {
            RunState::Running(_) => {
                let seen = Seen { output: said.len() as u64, error: u64::MAX };
                host.changed(&spec.label, seen).await.map_err(|fault| chain(&fault))?;
            }
            RunState::Ended(_) | RunState::Lost | RunState::Absent => return Ok(said),
        }
    }
}

/// Forgets runs that looked at a server for a daemon that is gone.
pub(crate) async fn forget_looks(shared: &Shared, host: &dyn Host) {
    let _turn = shared.looking_turn.lock().await;
    let runs = match host.runs().await {
        Ok(runs) => runs,
        Err(fault) => return warn!(error = %chain(&fault), "runs could not be listed; some may be left"),
    };
    for run in runs.into_iter().filter(|it| it.label.as_str().starts_with(RUN)) {
        put_away(host, &run.label).await;
    }
}

/// Ends and forgets a run that looked at a server.
async fn put_away(host: &dyn Host, label: &RunLabel) {
    let gone = async {
        host.stop(label, Grace::QUICK).await?;
        host.forget(label).await
    };
    if let Err(fault) = gone.await {
        warn!(run = %label, error = %chain(&fault), "what looked at a tool server could not be put away");
    }
}
