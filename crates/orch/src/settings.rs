//! What the wheel goes by; a person may change each of them.

use crate::purses::SharedCaps;
use crate::texts::RefinerSettings;
use crate::tool_servers::{LentServer, Looker};
use data_encoding::BASE64URL_NOPAD;
use orcha_agent::Permissions;
use orcha_base::Redacted;
use orcha_exec::git::Identity;
use orcha_model::guard::Limits;
use orcha_model::session::AgentChoice;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the wheel.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many workers may run at once over all targets; managers are exempt. 32 by default.
    pub cap: u32,
    /// What supervision, triage and reclaim go by.
    pub plan: orcha_plan::Settings,
    /// The limits of objectives that name none.
    pub limits: Limits,
    /// The caps over all objectives of a project, and of a tenant.
    pub shared_caps: SharedCaps,
    /// The agent of objectives that name none.
    pub agent: AgentChoice,
    /// Kinds of agents that are as good as each other: an objective that names none gets the one whose provider has the
    /// most left for each hour until its window starts anew. Empty: always the usual one.
    pub equals: Vec<String>,
    /// What agents may do without asking.
    pub permissions: Permissions,
    /// What becomes of what they ask for beyond that.
    pub rules: orcha_model::Permissions,
    /// Folders of the daemon's own, which no confined agent sees.
    pub own_folders: Vec<PathBuf>,
    /// The home folder: what `~/` stands for in rules about sandboxes.
    pub home: Option<PathBuf>,
    /// What credentials of agents are derived from: the same after a restart, so that a launch that is made again
    /// hands out the same one. By default one of this process alone.
    pub secret: Redacted<String>,
    /// Where agents reach the daemon's tools; none switches tools off (tests without an API).
    pub mcp_url: Option<String>,
    /// Who commits and merges on behalf of orcha.
    pub identity: Identity,
    /// How often a code host is asked about open pull requests.
    pub watch_every: Duration,
    /// How often a passing fault of an effect is tried again before it counts as failed.
    pub effect_tries: u32,
    /// How many effects of all lanes are under way at once.
    pub parallel_effects: usize,
    /// How often targets are probed.
    pub probe_every: Duration,
    /// What learning from runs goes by.
    pub refiner: RefinerSettings,
    /// The tool servers that sessions may be lent.
    pub tool_servers: Vec<LentServer>,
    /// What looks at them, when a person wants to see what they say.
    pub looker: Looker,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cap: 32,
            plan: orcha_plan::Settings::default(),
            limits: Limits::default(),
            shared_caps: SharedCaps::default(),
            agent: AgentChoice::of("claude"),
            equals: Vec::new(),
            permissions: Permissions::Everything,
            rules: orcha_model::Permissions::default(),
            own_folders: Vec::new(),
            home: None,
            secret: Redacted::new(BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>())),
            mcp_url: None,
            identity: Identity { name: "orcha".into(), email: "orcha@localhost".into() },
            watch_every: Duration::from_secs(2),
            effect_tries: 5,
            parallel_effects: 32,
            probe_every: Duration::from_secs(30),
            refiner: RefinerSettings::default(),
            tool_servers: Vec::new(),
            looker: Looker::default(),
        }
    }
}
