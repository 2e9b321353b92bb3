//! `orchad serve`: opens the store, connects this machine as a target, starts the wheel and serves the API.

use crate::config::Config;
use crate::files::{self, Address};
use crate::models::Asked;
use crate::signals;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use orcha_agent::{Agents, Permissions};
use orcha_base::Redacted;
use orcha_delivery::{Deliveries, Lookup, Settings as DeliverySettings};
use orcha_exec::git::{Git, GitSettings};
use orcha_exec::{Host, LocalHost, LocalSettings};
use orcha_forge::LocalForge;
use orcha_orch::{Actor, CheckSettings, Clock, Hands, Looker, Orch, ProjectChecks, Settings, SystemClock, TargetHands};
use orcha_outbound::Outbound;
use orcha_store::{Store, StoreOptions};
use orcha_workspace::Workspaces;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tracing::{info, warn};

/// The port that is used when none is named.
const PORT: u16 = 7420;

/// How the daemon serves.
#[derive(Debug, Args)]
pub struct Options {
    /// The data folder: database, token, and by default the work root. One daemon per folder.
    #[arg(long, env = "ORCHA_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen. Port 0 takes a free one, and the same again after a restart.
    #[arg(long, env = "ORCHA_LISTEN", value_name = "ADDRESS", default_value_t = SocketAddr::from(([127, 0, 0, 1], PORT)))]
    listen: SocketAddr,
    /// Further names under which clients may reach it, as they stand in `Host`: `name:port`.
    #[arg(long, env = "ORCHA_HOSTS", value_name = "HOST", value_delimiter = ',')]
    host: Vec<String>,
    /// Where checkouts and runs lie.
    #[arg(long, env = "ORCHA_WORK_ROOT", value_name = "DIR")]
    work_root: Option<PathBuf>,
    /// How many workers may run on this machine at once.
    #[arg(long, env = "ORCHA_CAPACITY", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    capacity: u32,
    /// How many workers may run over all targets; managers are exempt.
    #[arg(long, env = "ORCHA_MAX_CONCURRENT", value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    max_concurrent: u32,
    /// The program of the agent kind `claude`; `claude` on the PATH by default.
    #[arg(long, env = "ORCHA_CLAUDE_BIN", value_name = "PROGRAM")]
    claude_bin: Option<String>,
    /// What agents may do without asking.
    #[arg(long, env = "ORCHA_AGENT_PERMISSIONS", value_enum, default_value_t = AgentPermissions::Edits)]
    agent_permissions: AgentPermissions,
    /// The settings file: limits and supervision. By default `orchad.toml` in the data folder, if it is there.
    #[arg(long, env = "ORCHA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How logs are written to standard error; RUST_LOG filters them.
    #[arg(long, env = "ORCHA_LOG", value_enum, default_value_t = LogFormat::Text)]
    log: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AgentPermissions {
    /// Everything: for agents in a sandbox of their own.
    Everything,
    /// Edits in their checkout; anything else is judged by `[permissions]`, and a person decides the rest.
    Edits,
    /// Nothing: each request is judged by `[permissions]`, and a person decides the rest.
    Ask,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Serves until a signal comes.
pub fn main(options: Options) -> Result<ExitCode> {
    start_logs(options.log);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime could not be started")?;
    runtime.block_on(serve(options))?;
    // Whatever blocks now must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(2));
    Ok(ExitCode::SUCCESS)
}

fn start_logs(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "info,rmcp=warn,refinery_core=warn".into());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => logs.json().init(),
    }
}

async fn serve(options: Options) -> Result<()> {
    let data = options.data.clone().map_or_else(files::default_data, Ok)?;
    let data = std::path::absolute(&data)?;
    files::private_folder(&data)?;
    let config = Config::load(options.config.as_deref(), &data)?;
    let opened = data.clone();
    // The store's lock comes first: nothing else in this folder is touched by a second daemon.
    let store = tokio::task::spawn_blocking(move || Store::open(&opened, StoreOptions::default()))
        .await?
        .with_context(|| format!("nothing can be kept in {}; choose another folder with --data", data.display()))?;
    let token = files::token(&data)?;
    let listener = listen(&options, &data).await?;
    let address = listener.local_addr()?;
    let url = format!("http://{address}");
    let work_root = options.work_root.clone().unwrap_or_else(|| data.join("work"));
    files::private_folder(&work_root)?;

    let agents = agents(&options, &config)?;
    warn_of_missing_agent(&agents, &Settings::default().agent.kind);
    warn_of_root(&options);
    let myself = std::env::current_exe().context("the program does not know its own path")?.display().to_string();
    let looker = Looker {
        command: vec![myself, "llm-agent".to_owned(), orcha_llm_agent::LOOK.to_owned()],
        env: agents.environment_of_providers(),
    };
    let hears_once = agents.hear_once().map(str::to_owned).collect();
    let local = this_machine(agents, &work_root).await?;
    let hands = Hands::new(Arc::new(LocalForge::new(Arc::clone(&local.host), git())));
    let hands = hands.clone().with_checker(Arc::new(ProjectChecks::new(hands, around_checks())));
    let hands = hands.with_deliverer(Arc::new(deliveries(&data, &config)?));
    let hands = hands.with_models(Arc::new(Asked(config.providers(&environment())?)));
    for target in store.all_targets().await? {
        // Known ones are connected before anything is taken up on them.
        hands.add_target(target.id, local.clone());
    }
    let mut settings = Settings {
        cap: options.max_concurrent,
        permissions: match options.agent_permissions {
            AgentPermissions::Everything => Permissions::Everything,
            AgentPermissions::Edits => Permissions::Edits,
            AgentPermissions::Ask => Permissions::Ask,
        },
        secret: Redacted::new(token.clone()),
        mcp_url: Some(format!("{url}/mcp")),
        ..Settings::default()
    };
    let kinds: Vec<&str> = local.runners.keys().map(String::as_str).collect();
    config.known(&kinds)?;
    settings.tool_servers = config.tool_servers(&environment())?;
    settings.looker = looker;
    config.apply(&mut settings);
    settings.own_folders = vec![data.clone()];
    settings.home = std::env::var_os("HOME").map(PathBuf::from);
    settings.plan.hears_once = hears_once;
    let orch =
        Orch::start(store, hands, settings, Arc::new(SystemClock)).await.context("the wheel could not be started")?;
    let actor = Actor::default();
    let target =
        orch.register_target(&actor, "local", &work_root.display().to_string(), options.capacity, Vec::new()).await?;
    orch.connect_target(target.id, local).await?;

    let api = orcha_api::ApiSettings::new(Redacted::new(token), hosts(address, &options.host));
    let app = orcha_api::router_with(orch.clone(), api, orcha_dashboard::pages(orch.store().clone()));
    files::write_address(&data, &Address { url: url.clone(), pid: std::process::id() })?;
    info!("serving on {url}, data in {}", data.display());
    announce(&url);
    let stopping = orch.stopping();
    let server = tokio::spawn(orcha_api::serve(listener, app, stopping.clone()));
    let asked = signals::first_of(&signals::ASKED)?;
    tokio::select! {
        _ = asked => info!("stopping; agents go on"),
        () = stopping.cancelled() => info!("asked to stop; agents go on"),
    }
    orch.shut_down().await;
    match tokio::time::timeout(Duration::from_secs(3), server).await {
        Ok(ended) => ended.context("the server failed")?,
        Err(_) => warn!("connections were still open"),
    }
    Ok(())
}

/// Says on standard output that it serves: whoever started it waits for this line.
fn announce(url: &str) {
    use std::io::Write;
    if let Err(fault) = writeln!(std::io::stdout(), "orchad serves on {url}") {
        warn!("nobody reads the standard output: {fault}");
    }
}

/// Listens where it was asked to. A free port is taken again after a restart: running agents know it.
async fn listen(options: &Options, data: &Path) -> Result<TcpListener> {
    if !options.listen.ip().is_loopback() {
        warn!("listening on {}, which is reachable from other machines, without TLS", options.listen);
    }
    if options.listen.port() == 0
        && let Some(last) = files::last_address(data)
        && let Some(address) = last.url.strip_prefix("http://").and_then(|it| it.parse::<SocketAddr>().ok())
        && let Ok(listener) = TcpListener::bind(address).await
    {
        return Ok(listener);
    }
    TcpListener::bind(options.listen).await.map_err(|fault| {
        let what = match fault.kind() {
            ErrorKind::AddrInUse => "is taken; stop what listens there, or choose another with --listen",
            ErrorKind::AddrNotAvailable => "is no address of this machine; choose another with --listen",
            ErrorKind::PermissionDenied => "may not be used by you; choose a port above 1023 with --listen",
            _ => "cannot be listened on; choose another with --listen",
        };
        anyhow::Error::new(fault).context(format!("{} {what}", options.listen))
    })
}

fn hosts(address: SocketAddr, more: &[String]) -> Vec<String> {
    let port = address.port();
    let mut hosts =
        vec![format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}"), address.to_string()];
    hosts.extend(more.iter().cloned());
    hosts.dedup();
    hosts
}

/// Connects this machine: its processes, its checkouts, its agents.
async fn this_machine(agents: Agents, work_root: &Path) -> Result<TargetHands> {
    let myself = std::env::current_exe().context("the program does not know its own path")?;
    let keeper = vec![myself.display().to_string(), "keeper".to_owned()];
    let settings = LocalSettings { search_path: search_path(), ..LocalSettings::detect(work_root, keeper) };
    let host = LocalHost::new(settings).context("this machine cannot keep runs")?;
    let host: Arc<dyn Host> = Arc::new(host);
    let checkouts = Workspaces::open(Arc::clone(&host), git()).await.context("git cannot be used")?;
    let runners = agents.runners(&host);
    Ok(TargetHands { host, checkouts: Arc::new(checkouts), runners })
}

/// The kinds of agents. Each sees its own part of the daemon's environment and no more.
fn agents(options: &Options, config: &Config) -> Result<Agents> {
    let environment = environment();
    let providers = config.providers(&environment)?;
    let mut agents = Agents::new(environment).context("a built-in agent is not understood")?;
    let myself = std::env::current_exe().context("the program does not know its own path")?;
    agents.bridge_by(vec![myself.display().to_string(), "terminal".to_owned()]);
    agents.configure(&config.agents()?).context("the agents of the settings file are not understood")?;
    if let Some(program) = &options.claude_bin {
        agents.run_claude_by(program);
    }
    let myself = std::env::current_exe().context("the program does not know its own path")?;
    let program = [myself.display().to_string(), "llm-agent".to_owned()];
    agents.add_providers(&program, &providers).context("a provider cannot be an agent")?;
    Ok(agents)
}

/// Returns the environment as text; what is no text is nothing that we read.
pub(crate) fn environment() -> Vec<(String, String)> {
    let text = |(key, value): (OsString, OsString)| Some((key.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

fn search_path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| orcha_exec::DEFAULT_PATH.to_owned())
}

/// What becomes of results: below the data folder, and by calls to servers that may be called.
fn deliveries(data: &Path, config: &Config) -> Result<Deliveries> {
    let outbound = Outbound::new(config.delivery.hosts()?);
    let secrets = Lookup::new(|name| std::env::var(name).ok()).with(config.secrets.clone());
    let now = || SystemClock.now().as_micros() / 1_000_000;
    Ok(Deliveries::new(DeliverySettings::new(data.join("deliveries"), secrets, now), outbound))
}

/// What the checks of workflows find around them: where their tools lie, and nothing that is secret.
fn around_checks() -> CheckSettings {
    let names = [
        "HOME",
        "USER",
        "TMPDIR",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "GOPATH",
        "GOMODCACHE",
        "GOCACHE",
        "JAVA_HOME",
        "PYENV_ROOT",
        "NVM_DIR",
        "VOLTA_HOME",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
    ];
    let env = names.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    CheckSettings { path: search_path(), env: env.collect() }
}

/// Says aloud when the agent of objectives that name none is not there: they would all fail at their first step.
fn warn_of_missing_agent(agents: &Agents, kind: &str) {
    let Some(program) = agents.dialect(kind).map(|it| it.program()) else {
        warn!("there is no agent `{kind}`, and objectives that name none would get it; name others by --agent");
        return;
    };
    let name = program.command.first().map_or("", String::as_str);
    if let Err(fault) = orcha_exec::find_program(name, &program.env) {
        let step = match kind {
            "claude" => "install it, or name another program by --claude-bin",
            _ => "install it, or name another program in the settings file",
        };
        warn!(
            "the agent `{kind}` cannot be started: {fault}; {step}, or choose other agents by `orcha run --agent`; `orcha doctor` shows which are there"
        );
    }
}

/// Says aloud what Claude Code would say only to each session that it does not begin.
fn warn_of_root(options: &Options) {
    let asks_nothing = matches!(options.agent_permissions, AgentPermissions::Everything);
    if asks_nothing && rustix::process::geteuid().is_root() && std::env::var_os("IS_SANDBOX").is_none() {
        warn!(
            "as root, Claude Code does not run with `--agent-permissions everything` unless a session has a sandbox; run orchad as another user, or set IS_SANDBOX=1 where this machine is one"
        );
    }
}

fn git() -> Git {
    let mut settings = GitSettings::new(search_path());
    settings.home = std::env::var_os("HOME").map(PathBuf::from);
    settings.ssh_auth_sock = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
    Git::new(settings)
}
