//! The daemon's settings file, `orchad.toml`: limits, supervision, permissions, further agents and providers of models. Options of the command line are not in it.
//!
//! It is read once, at the start. A field that is not known is an error that names it: a misspelt limit must not be a
//! limit that is silently not there.

mod tool_servers;

use self::tool_servers::ToolServerTable;
use anyhow::{Context, Result};
use orcha_agent::llm::Providers;
use orcha_delivery::NamedSecrets;
use orcha_model::guard::Limits;
use orcha_model::{Amount, Permissions};
use orcha_orch::LentServer;
use orcha_outbound::Allowed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// The name of the file in the data folder.
pub const FILE: &str = "orchad.toml";

/// A day in seconds.
const DAY: u64 = 24 * 3600;

/// The longest that a person may be waited for while a turn stands still: a week, in seconds.
const MOST: u64 = 7 * 24 * 3600;

/// What the file may say; what it leaves out keeps its usual value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What an objective that names no limits of its own may use up. Zero switches a limit off.
    pub limits: Limits,
    /// How objectives are supervised.
    pub supervision: Supervision,
    /// What turns are expected to take, and the caps over several objectives.
    pub budgets: Budgets,
    /// What becomes of what agents ask for: rules, and who is asked about the rest.
    pub permissions: Permissions,
    /// Where results may be delivered to.
    pub delivery: DeliveryRules,
    /// Where the secrets of tenants lie: a table for each tenant, with a name for each secret.
    #[serde(skip_serializing_if = "NamedSecrets::is_empty")]
    pub secrets: NamedSecrets,
    /// How runs are learned from.
    pub refiner: Refiner,
    /// Who takes over from whom, and recipes of agents.
    agents: AgentTables,
    /// Further providers of models, and changes to the known ones: a table each, whose name is the kind of agent.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    providers: toml::Table,
    /// What a million tokens cost, by model. It goes before the table that comes with the program.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    prices: toml::Table,
    /// Tool servers that roles are lent.
    #[serde(rename = "mcp_server", skip_serializing_if = "Vec::is_empty")]
    tool_servers: Vec<ToolServerTable>,
}

/// What turns are expected to take: so much is set aside before one begins. And the caps over several objectives; those
/// of a session and of an objective are limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// Tokens of a turn, while none like it was completed; then it is what those took on average.
    pub turn_tokens: u64,
    /// Money of such a turn in millionths of a US dollar.
    pub turn_micro_usd: u64,
    /// Tokens that are left for a session to hand back what it has.
    pub hand_back_tokens: u64,
    /// Money that is left for that.
    pub hand_back_micro_usd: u64,
    /// Tokens of all objectives of one project; 0 is no cap.
    pub project_tokens: u64,
    /// Money of all objectives of one project in millionths of a US dollar; 0 is no cap.
    pub project_micro_usd: u64,
    /// Tokens of everything of one tenant; 0 is no cap.
    pub tenant_tokens: u64,
    /// Money of everything of one tenant in millionths of a US dollar; 0 is no cap.
    pub tenant_micro_usd: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self::of(&orcha_orch::Settings::default())
    }
}

impl Budgets {
    fn of(settings: &orcha_orch::Settings) -> Self {
        let its = &settings.plan.estimates;
        Self {
            turn_tokens: its.turn.tokens,
            turn_micro_usd: its.turn.micro_usd,
            hand_back_tokens: its.hand_back.tokens,
            hand_back_micro_usd: its.hand_back.micro_usd,
            project_tokens: settings.shared_caps.project.tokens,
            project_micro_usd: settings.shared_caps.project.micro_usd,
            tenant_tokens: settings.shared_caps.tenant.tokens,
            tenant_micro_usd: settings.shared_caps.tenant.micro_usd,
        }
    }
}

/// Where results may be delivered to, besides the public internet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryRules {
    /// Hosts that a webhook may call although their addresses are not public: a name, an address, or a range.
    pub allow_hosts: Vec<String>,
}

impl DeliveryRules {
    /// Returns the hosts as they are compared.
    pub fn hosts(&self) -> Result<Vec<Allowed>> {
        let host = |it: &String| it.parse::<Allowed>().context("delivery.allow_hosts");
        self.allow_hosts.iter().map(host).collect()
    }
}

/// How runs are learned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Refiner {
    /// Whether proposals go on trial only when a person says so.
    pub ask_a_person: bool,
    /// How many trials a scope may have at once.
    pub trials_at_once: usize,
    /// How many runs of both sides together a trial may take.
    pub trial_runs: usize,
    /// How many days it may take.
    pub trial_days: u64,
    /// How often finished runs are searched for what comes again, in seconds.
    pub search_every_secs: u64,
    /// How many runs of a scope are searched, the newest.
    pub search_runs: u32,
}

impl Default for Refiner {
    fn default() -> Self {
        Self::of(&orcha_orch::Settings::default())
    }
}

impl Refiner {
    fn of(settings: &orcha_orch::Settings) -> Self {
        let its = &settings.refiner;
        Self {
            ask_a_person: !its.by_itself,
            trials_at_once: its.trial.at_once,
            trial_runs: its.trial.most_runs,
            trial_days: its.trial.most_time.as_secs() / DAY,
            search_every_secs: its.search_every.as_secs(),
            search_runs: its.search_runs,
        }
    }
}

/// What the file says of agents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct AgentTables {
    /// Which kinds take over from which, while the provider of those refuses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fallback: BTreeMap<String, Vec<String>>,
    /// Kinds that are as good as each other: an objective that names none gets the one with the most left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    equals: Vec<String>,
    /// Further ACP agents, and other recipes for the known ones: a table each, whose name is the kind.
    #[serde(flatten)]
    recipes: toml::Table,
}

/// How objectives are supervised. Times are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Supervision {
    /// How long a manager may be idle before it is poked.
    pub manager_idle_secs: u64,
    /// How many managers that had their chance an objective may use up.
    pub managers_genuine: u32,
    /// How many managers it may use up in all.
    pub managers_total: u32,
    /// How many pokes in a row may lead to nothing.
    pub pokes: u32,
    /// How long feedback is collected before somebody is sent.
    pub feedback_debounce_secs: u64,
    /// How long a finished workspace is left alone.
    pub reclaim_after_secs: u64,
    /// A wait for a provider that is shorter is sat out by whoever has a conversation; otherwise another kind of agent
    /// takes over, where one may.
    pub fallback_after_secs: u64,
    /// How often a code host is asked about open pull requests.
    pub watch_every_secs: u64,
    /// How often targets are probed.
    pub probe_every_secs: u64,
}

impl Default for Supervision {
    fn default() -> Self {
        Self::of(&orcha_orch::Settings::default())
    }
}

impl Supervision {
    fn of(settings: &orcha_orch::Settings) -> Self {
        let plan = &settings.plan;
        Self {
            manager_idle_secs: plan.manager_idle.as_secs(),
            managers_genuine: plan.managers_genuine,
            managers_total: plan.managers_total,
            pokes: plan.pokes,
            feedback_debounce_secs: plan.feedback_debounce.as_secs(),
            reclaim_after_secs: plan.reclaim_after.as_secs(),
            fallback_after_secs: plan.fallback_after.as_secs(),
            watch_every_secs: settings.watch_every.as_secs(),
            probe_every_secs: settings.probe_every.as_secs(),
        }
    }
}

impl Config {
    /// Reads a file that must be there, or the one in the data folder, which need not.
    pub fn load(named: Option<&Path>, data: &Path) -> Result<Self> {
        let usual = data.join(FILE);
        let path = named.unwrap_or(&usual);
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("{} is not understood", path.display())),
            Err(fault) if fault.kind() == ErrorKind::NotFound && named.is_none() => Ok(Self::default()),
            Err(fault) => Err(fault).with_context(|| format!("{} could not be read", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        let its = &config.supervision;
        for (field, value) in [("watch_every_secs", its.watch_every_secs), ("probe_every_secs", its.probe_every_secs)] {
            anyhow::ensure!(value > 0, "supervision.{field} must be at least 1");
        }
        config.limits.check()?;
        config.delivery.hosts()?;
        config.secrets.check().map_err(anyhow::Error::msg)?;
        if let Some(tenant) = config.secrets.tenants().find(|it| !orcha_api::is_name(it.as_str())) {
            anyhow::bail!("secrets.{tenant}: no tenant can be called so");
        }
        config.tool_servers(&[])?;
        let refiner = &config.refiner;
        anyhow::ensure!(refiner.search_every_secs > 0, "refiner.search_every_secs must be at least 1");
        anyhow::ensure!((1..=10_000).contains(&refiner.search_runs), "refiner.search_runs must be between 1 and 10000");
        anyhow::ensure!(refiner.trial_runs <= 1000, "refiner.trial_runs must be at most 1000");
        if let Some(path) = config.permissions.sandbox.relative() {
            anyhow::bail!("permissions.sandbox names `{path}`, which is neither absolute nor begins with `~/`");
        }
        let expiry = config.permissions.expiry_secs;
        anyhow::ensure!((1..=MOST).contains(&expiry), "permissions.expiry_secs must be between 1 and {MOST}");
        Ok(config)
    }

    /// Writes it down as the file would say it, every field named.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).context("the settings cannot be written as TOML")
    }

    /// Returns the recipes of agents as their own document, for whoever understands them.
    pub fn agents(&self) -> Result<String> {
        toml::to_string(&self.agents.recipes).context("the agents cannot be written as TOML")
    }

    /// Refuses a name that no kind of agent has.
    pub fn known(&self, kinds: &[&str]) -> Result<()> {
        let named = self.agents.fallback.iter().flat_map(|(from, to)| std::iter::once(from).chain(to));
        for name in named.chain(&self.agents.equals) {
            anyhow::ensure!(
                kinds.contains(&name.as_str()),
                "[agents] names `{name}`, which is no kind of agent; there are: {}",
                kinds.join(", ")
            );
        }
        Ok(())
    }

    /// Returns the providers of models: the ones of this file over the built-in ones, with keys of an environment.
    pub fn providers(&self, environment: &[(String, String)]) -> Result<Providers> {
        let text = |table| toml::to_string(table).context("the providers cannot be written as TOML");
        Providers::read(environment, &text(&self.providers)?, &text(&self.prices)?)
            .context("the providers of the settings file are not understood")
    }

    /// Returns the tool servers, with what they are given of an environment.
    pub fn tool_servers(&self, environment: &[(String, String)]) -> Result<Vec<LentServer>> {
        tool_servers::read(&self.tool_servers, environment)
    }

    /// Puts what it says into the settings of the wheel.
    pub fn apply(self, settings: &mut orcha_orch::Settings) {
        let its = self.supervision;
        settings.limits = self.limits;
        settings.rules = self.permissions;
        settings.plan.manager_idle = Duration::from_secs(its.manager_idle_secs);
        settings.plan.managers_genuine = its.managers_genuine;
        settings.plan.managers_total = its.managers_total;
        settings.plan.pokes = its.pokes;
        settings.plan.feedback_debounce = Duration::from_secs(its.feedback_debounce_secs);
        settings.plan.reclaim_after = Duration::from_secs(its.reclaim_after_secs);
        settings.plan.fallback_after = Duration::from_secs(its.fallback_after_secs);
        settings.plan.fallback = self.agents.fallback;
        settings.equals = self.agents.equals;
        let its_budgets = self.budgets;
        let estimates = &mut settings.plan.estimates;
        estimates.turn = Amount { tokens: its_budgets.turn_tokens, micro_usd: its_budgets.turn_micro_usd };
        estimates.hand_back =
            Amount { tokens: its_budgets.hand_back_tokens, micro_usd: its_budgets.hand_back_micro_usd };
        let caps = &mut settings.shared_caps;
        caps.project = Amount { tokens: its_budgets.project_tokens, micro_usd: its_budgets.project_micro_usd };
        caps.tenant = Amount { tokens: its_budgets.tenant_tokens, micro_usd: its_budgets.tenant_micro_usd };
        settings.watch_every = Duration::from_secs(its.watch_every_secs);
        settings.probe_every = Duration::from_secs(its.probe_every_secs);
        let refiner = &mut settings.refiner;
        refiner.by_itself = !self.refiner.ask_a_person;
        refiner.trial.at_once = self.refiner.trials_at_once;
        refiner.trial.most_runs = self.refiner.trial_runs;
        refiner.trial.most_time = Duration::from_secs(self.refiner.trial_days.saturating_mul(DAY));
        refiner.search_every = Duration::from_secs(self.refiner.search_every_secs);
        refiner.search_runs = self.refiner.search_runs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_keeps_its_usual_value() {
        let config = Config::parse("[limits]\nsame_error = 7\n[supervision]\npokes = 1\n").unwrap();
        assert_eq!(config.limits, Limits { same_error: 7, ..Limits::default() });
        assert_eq!(config.supervision, Supervision { pokes: 1, ..Supervision::default() });
    }

    #[test]
    fn c24_all_that_it_says_reaches_the_wheel_and_reads_back() {
        let text = Config::default().to_toml().unwrap();
        // Every number is another one than the usual.
        let mut other = String::new();
        for line in text.lines() {
            match line.rsplit_once(" = ") {
                Some(("mode", _)) => other.push_str("mode = \"deny\"\n"),
                Some(("level", "\"none\"")) => other.push_str("level = \"landlock\"\n"),
                Some((field @ ("write" | "hide"), _)) => other.push_str(&format!("{field} = [\"/srv\"]\n")),
                Some((field, "false")) => other.push_str(&format!("{field} = true\n")),
                Some((field, "[]")) => other.push_str(&format!("{field} = [\"hooks.lan\"]\n")),
                Some((field, "true")) => other.push_str(&format!("{field} = false\n")),
                Some((field, value)) => {
                    let value: u64 = value.parse().unwrap();
                    other.push_str(&format!("{field} = {}\n", value + 1));
                }
                None => other.push_str(&format!("{line}\n")),
            }
        }
        let config = Config::parse(&other).unwrap();
        let mut settings = orcha_orch::Settings::default();
        config.clone().apply(&mut settings);
        assert_eq!(Supervision::of(&settings), config.supervision);
        assert_eq!(Budgets::of(&settings), config.budgets);
        assert_eq!(Refiner::of(&settings), config.refiner);
        assert_eq!(settings.limits, config.limits);
        assert_eq!(settings.rules, config.permissions);
        assert_eq!(config.delivery.allow_hosts, ["hooks.lan"]);
        assert_eq!(config.to_toml().unwrap(), other);
    }

    #[test]
    fn p17_a_misspelt_field_is_refused_by_its_name() {
        for (text, name) in [
            ("[limits]\nsame_eror = 3\n", "same_eror"),
            ("[limits]\ndeadline_secs = 31536001\n", "deadline_secs must be at most 31536000"),
            ("[limit]\n", "limit"),
            ("[supervision]\npokes = \"many\"\n", "many"),
            ("[supervision]\nwatch_every_secs = 0\n", "watch_every_secs"),
            ("[permissions]\nmode = \"never\"\n", "never"),
            ("[permissions]\nexpiry_secs = 0\n", "expiry_secs"),
            ("[permissions.sandbox]\nlevel = \"docker\"\n", "docker"),
            ("[permissions.sandbox]\nwrite = [\"cache\"]\n", "cache"),
            ("[permissions]\nallow = [{ comand = \"ls\" }]\n", "comand"),
            ("[permissions]\nallow = [{}]\n", "names a `tool`"),
            ("[permissions]\ndeny = [{ command = \"a; b\" }]\n", "plain command"),
            ("[delivery]\nallow_hosts = [\"http://x\"]\n", "allow_hosts"),
            ("[permissions.roles.boss]\nmode = \"deny\"\n", "boss"),
            ("[secrets.acme]\nhook = \"canary\"\n", "a secret is named, not given"),
            ("[secrets.acme]\nhook = { name = \"other\" }\n", "secrets.acme.hook"),
            ("[secrets.acme]\nhook = { file = \"relative\" }\n", "secrets.acme.hook"),
            ("[secrets.acme]\n\"a b\" = { env = \"X\" }\n", "at most 100"),
            ("[secrets.Acme]\nhook = { env = \"X\" }\n", "secrets.Acme"),
        ] {
            let refused = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn rules_are_said_for_everybody_and_for_a_role() {
        let text = "[permissions]\nmode = \"ask\"\nallow = [{ command = \"git status\" }, { tool = \"Edit\", path = \"docs\" }]\n\
                    [permissions.roles.reviewer]\nmode = \"deny\"\ndeny = [{ tool = \"Web*\" }]\n";
        let config = Config::parse(text).unwrap();
        let reviewer = config.permissions.policy(orcha_model::Role::Reviewer, None);
        assert_eq!((reviewer.mode.to_string().as_str(), reviewer.allow.len(), reviewer.deny.len()), ("deny", 2, 1));
        assert_eq!(config.permissions.policy(orcha_model::Role::Implementer, None).mode.to_string(), "ask");
        assert_eq!(Config::parse(&config.to_toml().unwrap()).unwrap(), config);
    }

    #[test]
    fn secrets_of_tenants_are_places_and_read_back() {
        let text =
            "[secrets.acme]\nhook = { env = \"ACME_HOOK\" }\n[secrets.default]\nhook = { file = \"/run/hook\" }\n";
        let config = Config::parse(text).unwrap();
        assert!(!config.secrets.is_empty());
        assert_eq!(Config::parse(&config.to_toml().unwrap()).unwrap(), config);
    }

    #[test]
    fn an_agent_of_its_own_is_known_by_its_name() {
        let config = Config::parse("[agents.mine]\ncommand = [\"mine\", \"--acp\"]\n").unwrap();
        let mut agents = orcha_agent::Agents::new(Vec::new()).unwrap();
        agents.configure(&config.agents().unwrap()).unwrap();
        assert!(agents.dialect("mine").is_some());
        assert!(agents.configure("[mine]\ncommands = \"x\"\n").is_err());
    }

    #[test]
    fn who_takes_over_stands_beside_the_recipes_and_is_none() {
        let text = "[agents]\nfallback = { claude = [\"codex\", \"mine\"] }\n[agents.mine]\ncommand = [\"mine\"]\n";
        let config = Config::parse(text).unwrap();
        assert!(!config.agents().unwrap().contains("fallback"));
        assert!(config.agents().unwrap().contains("[mine]"));
        config.known(&["claude", "codex", "mine"]).unwrap();
        let unknown = config.known(&["claude", "codex"]).unwrap_err().to_string();
        assert!(unknown.contains("mine"), "{unknown}");
        let mut settings = orcha_orch::Settings::default();
        config.apply(&mut settings);
        assert_eq!(settings.plan.fallback["claude"], ["codex", "mine"]);
        let config = Config::parse("[agents]\nequals = [\"claude\", \"codex\"]\n").unwrap();
        assert!(config.known(&["claude"]).is_err());
        config.apply(&mut settings);
        assert_eq!(settings.equals, ["claude", "codex"]);
        assert!(Config::parse("[agents]\nfallback = [\"codex\"]\n").is_err());
    }

    #[test]
    fn a_named_file_must_be_there_and_the_usual_one_need_not() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(Config::load(None, data.path()).unwrap(), Config::default());
        let named = data.path().join("mine.toml");
        assert!(Config::load(Some(&named), data.path()).is_err());
        std::fs::write(data.path().join(FILE), "[supervision]\npokes = 9\n").unwrap();
        assert_eq!(Config::load(None, data.path()).unwrap().supervision.pokes, 9);
    }
}
