//! `[[mcp_server]]`: tool servers that the operator lends to roles.
//!
//! Values of variables and headers are named by a variable of the daemon's environment, and never stand here.

use anyhow::{Context, Result, ensure};
use orcha_agent::llm::Reach;
use orcha_api::{is_name, is_scope};
use orcha_base::{ScopeId, TenantId};
use orcha_model::tool_server::Transport;
use orcha_model::{Role, ToolServer};
use orcha_orch::LentServer;
use orcha_outbound::Outbound;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The longest that a server may be waited for: an hour, in seconds.
const LONGEST: u64 = 3600;

/// What the file says of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolServerTable {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Which roles get it.
    roles: Vec<Role>,
    /// Whether a call may change something.
    #[serde(default = "yes")]
    writes: bool,
    /// The program and its arguments; or `url`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Hosts behind names that may be reached although their addresses are not public.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allow_hosts: Vec<String>,
    /// What it must say of its tools. Without it a person approves of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(default = "connect_secs")]
    connect_secs: u64,
    #[serde(default = "call_secs")]
    call_secs: u64,
    /// Variables of the program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, Secret>,
    /// Headers of each request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Secret>,
}

/// Where a secret lies: in a variable of the daemon's environment. `None` is something else, perhaps the secret itself,
/// which no complaint repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Secret(Option<String>);

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BTreeMap::from([("env", self.0.as_deref().unwrap_or_default())]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        let named = value.as_table().filter(|it| it.len() == 1).and_then(|it| it.get("env"));
        Ok(Self(named.and_then(toml::Value::as_str).filter(|it| is_variable(it)).map(str::to_owned)))
    }
}

const fn yes() -> bool {
    true
}

const fn connect_secs() -> u64 {
    30
}

const fn call_secs() -> u64 {
    120
}

fn is_variable(name: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
    !name.is_empty() && name.len() <= 100 && name.bytes().all(plain) && !name.as_bytes()[0].is_ascii_digit()
}

/// Reads the servers of the file. A variable that is not set is not an error of the file: the server says so where it is wanted.
pub(super) fn read(tables: &[ToolServerTable], environment: &[(String, String)]) -> Result<Vec<LentServer>> {
    let mut all: Vec<LentServer> = Vec::with_capacity(tables.len());
    for table in tables {
        let it = table.lent(environment).with_context(|| format!("[[mcp_server]] `{}`", table.name))?;
        let same = |other: &LentServer| {
            let (it, other) = (&it.server, &other.server);
            (&it.tenant, &it.scope, &it.name) == (&other.tenant, &other.scope, &other.name)
        };
        ensure!(!all.iter().any(same), "[[mcp_server]] `{}` stands twice in one scope", table.name);
        all.push(it);
    }
    Ok(all)
}

impl ToolServerTable {
    fn lent(&self, environment: &[(String, String)]) -> Result<LentServer> {
        let rule = "lower case letters, digits, `-`, `_` and `.`";
        ensure!(self.tenant.as_deref().is_none_or(is_name), "`tenant` is made of {rule}");
        ensure!(self.scope.as_deref().is_none_or(is_scope), "`scope` is a few names with `/` between them, of {rule}");
        let scope = self.scope.as_deref().map_or_else(ScopeId::default, ScopeId::new);
        for (field, secs) in [("connect_secs", self.connect_secs), ("call_secs", self.call_secs)] {
            ensure!((1..=LONGEST).contains(&secs), "`{field}` must be between 1 and {LONGEST}");
        }
        let (transport, place, secrets) = match (self.command.as_slice(), &self.url) {
            ([program, ..], None) => {
                // One that is looked up from the folder of a session would be whatever the repository brings.
                let fine = !program.is_empty() && (program.starts_with('/') || !program.contains('/'));
                ensure!(fine, "`command` begins with an absolute path, or with a name that is looked up in PATH");
                ensure!(!self.command.iter().any(|it| it.contains('\0')), "`command` holds a zero byte");
                ensure!(self.headers.is_empty(), "`headers` are for a server with a `url`; a program has `env`");
                ensure!(self.allow_hosts.is_empty(), "`allow_hosts` is for a server with a `url`");
                ensure!(self.env.keys().all(|it| is_variable(it)), "`env` names what is no variable");
                (Transport::Stdio, program.clone(), &self.env)
            }
            ([], Some(url)) => {
                ensure!(self.env.is_empty(), "`env` is for a server with a `command`; one with a `url` has `headers`");
                let allowed = self.allowed(url).iter().map(|it| it.parse()).collect::<Result<Vec<_>, _>>()?;
                Outbound::new(allowed).takes(url)?;
                // Some servers want their key in the query: everybody of the tenant is shown the place.
                let place = url.split(['?', '#']).next().unwrap_or_default().to_owned();
                (Transport::Http, place, &self.headers)
            }
            _ => anyhow::bail!("either `command` or `url` says how it is reached"),
        };
        let server = ToolServer {
            name: self.name.clone(),
            tenant: self.tenant.as_deref().map_or_else(TenantId::default, TenantId::new),
            scope,
            transport,
            place,
            roles: self.roles.clone(),
            writes: self.writes,
            hash: self.hash.clone(),
        };
        server.plausible()?;
        let named = |(name, it): (&String, &Secret)| Some((name.clone(), it.0.clone()?));
        let named: Option<Vec<_>> = secrets.iter().map(named).collect();
        let named = named.context("`env` and `headers` name their secrets and do not hold them: { env = \"NAME\" }")?;
        let value = |(name, variable): (String, String)| {
            let set = environment.iter().find(|(key, value)| *key == variable && !value.is_empty());
            let unset = || format!("the variable {variable} is not set in the daemon's environment");
            set.map(|(_, value)| (name, value.clone())).ok_or_else(unset)
        };
        let values = named.into_iter().map(value).collect::<Result<Vec<_>, String>>();
        let reach = values.map(|values| match &self.url {
            None => Reach::Stdio { command: self.command.clone(), env: values },
            Some(url) => Reach::Http { url: url.clone(), headers: values, allow_hosts: self.allowed(url) },
        });
        Ok(LentServer { server, reach, connect_secs: self.connect_secs, call_secs: self.call_secs })
    }

    /// Returns the hosts that may be reached whatever their address: those that are named, and an address of this very
    /// machine or network that stands in the address itself.
    fn allowed(&self, url: &str) -> Vec<String> {
        let behind = url.split_once("://").map_or("", |(_, it)| it);
        let authority = behind.split(['/', '?', '#']).next().unwrap_or_default();
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|it| it.is_ascii_digit()) => host,
            Some(_) | None => authority,
        };
        let plain = host.trim_matches(['[', ']']);
        let explicit = plain == "localhost" || plain.parse::<IpAddr>().is_ok();
        self.allow_hosts.iter().cloned().chain(explicit.then(|| plain.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const STDIO: &str = "[[mcp_server]]\nname = \"tickets\"\nroles = [\"implementer\"]\ncommand = [\"tickets-mcp\"]\n";
    const HTTP: &str =
        "[[mcp_server]]\nname = \"wiki\"\nroles = [\"qa\"]\nwrites = false\nurl = \"https://wiki.example/mcp\"\n";

    fn lent(text: &str, environment: &[(&str, &str)]) -> Vec<LentServer> {
        let environment: Vec<_> = environment.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Config::parse(text).unwrap().tool_servers(&environment).unwrap()
    }

    #[test]
    fn a_server_is_a_program_or_an_address_with_secrets_of_the_environment() {
        let text = format!(
            "{STDIO}scope = \"org/web\"\nenv = {{ TOKEN = {{ env = \"TICKETS\" }} }}\n{HTTP}headers = {{ Authorization = {{ env = \"WIKI\" }} }}\n"
        );
        let all = lent(&text, &[("TICKETS", "hunter2")]);
        let env = vec![("TOKEN".to_owned(), "hunter2".to_owned())];
        assert_eq!(all[0].reach, Ok(Reach::Stdio { command: vec!["tickets-mcp".into()], env }));
        assert_eq!((all[0].server.scope.as_str(), all[0].server.writes, all[0].call_secs), ("org/web", true, 120));
        assert_eq!(all[1].reach, Err("the variable WIKI is not set in the daemon's environment".into()));
        assert!(!format!("{all:?}").contains("hunter2"));
        let keyed = lent(&HTTP.replace("/mcp", "/mcp?key=hunter2"), &[]);
        assert_eq!(keyed[0].server.place, "https://wiki.example/mcp");
        let config = Config::parse(&text).unwrap();
        assert_eq!(Config::parse(&config.to_toml().unwrap()).unwrap(), config);
    }

    #[test]
    fn c12_a_private_address_is_gone_to_only_where_the_operator_names_it() {
        let hosts = |url: &str, more: &str| {
            let text = format!("{}{more}", HTTP.replace("https://wiki.example/mcp", url));
            match &lent(&text, &[])[0].reach {
                Ok(Reach::Http { allow_hosts, .. }) => allow_hosts.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(hosts("http://127.0.0.1:8080/mcp", ""), ["127.0.0.1"]);
        assert_eq!(hosts("http://[::1]:8080/mcp", ""), ["::1"]);
        assert_eq!(hosts("http://localhost/mcp", ""), ["localhost"]);
        assert_eq!(hosts("https://wiki.example/mcp", ""), [""; 0]);
        assert_eq!(hosts("https://127.0.0.1.example/mcp", ""), [""; 0]);
        assert_eq!(hosts("https://wiki.lan/mcp", "allow_hosts = [\"wiki.lan\"]\n"), ["wiki.lan"]);
        // Another spelling of an address is not named by it.
        assert!(Config::parse(&HTTP.replace("wiki.example", "2130706433")).is_err());
    }

    #[test]
    fn p17_what_is_wrong_with_a_server_is_named_and_a_secret_is_not_repeated() {
        for (text, name) in [
            (STDIO.replace("[\"implementer\"]", "[\"boss\"]"), "boss"),
            (STDIO.replace("[\"implementer\"]", "[\"qa\"]"), "only looks"),
            (STDIO.replace("[\"implementer\"]", "[\"director\"]\nwrites = false"), "gets no tools"),
            (STDIO.replace("name = \"tickets\"", "name = \"tick_ets\""), "tick_ets"),
            (STDIO.replace("tickets-mcp", "./tickets-mcp"), "absolute path"),
            (format!("{STDIO}url = \"https://x.example\"\n"), "either `command` or `url`"),
            (STDIO.replace("command", "comand"), "comand"),
            (format!("{STDIO}headers = {{ A = {{ env = \"B\" }} }}\n"), "`headers`"),
            (format!("{STDIO}call_secs = 0\n"), "call_secs"),
            (format!("{STDIO}hash = \"abc\"\n"), "hash"),
            (format!("{STDIO}{STDIO}"), "twice"),
            (format!("{STDIO}scope = \"a/b/c/d/e/f/g\"\n"), "scope"),
            (format!("{STDIO}tenant = \"A b\"\n"), "tenant"),
            (HTTP.replace("https://wiki.example", "ftp://wiki.example"), "http"),
            (HTTP.replace("https://", "https://me:hunter2@"), "password"),
            (format!("{HTTP}allow_hosts = [\"a b\"]\n"), "a b"),
            (format!("{STDIO}env = {{ TOKEN = \"hunter2\" }}\n"), "name their secrets"),
            (format!("{STDIO}env = {{ TOKEN = {{ env = \"hunter2 \" }} }}\n"), "name their secrets"),
        ] {
            let refused = Config::parse(&text).unwrap_err();
            let words = format!("{refused:#}");
            assert!(words.contains(name) && !words.contains("hunter2"), "{name}: {words}");
        }
    }
}
