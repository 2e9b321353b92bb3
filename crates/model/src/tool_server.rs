//! Tool servers: programs and addresses whose tools the operator lends to roles.
//!
//! A server is named in the settings and belongs to a scope; the narrower scope wins by name. What it says of its tools is
//! trusted only once a person has approved of it, word by word. How it is reached, and what it is given of secrets, is
//! not known here.

use crate::text::{Kind, State, Surface, Text, WrongText, chain};
use crate::{Note, NoteKind, Role};
use orcha_base::{ScopeId, TenantId};
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

/// How long the name of a server may be: that of a tool stands behind it.
const LONGEST_NAME: usize = 32;

/// What a role may have of tool servers, if the operator lends it some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lends {
    /// None.
    Nothing,
    /// Those that change nothing.
    Looking,
    /// All.
    Everything,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Transport {
    /// Over the standard streams of a process of the session.
    Stdio,
    /// Over HTTP.
    Http,
}

/// A tool server as the settings name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolServer {
    /// Its name: what its tools' names begin with.
    pub name: String,
    /// Whose sessions get it.
    pub tenant: TenantId,
    /// The scope whose sessions get it, with those below.
    pub scope: ScopeId,
    /// How it is spoken to.
    pub transport: Transport,
    /// The program or the address, for people.
    pub place: String,
    /// Which roles get it.
    pub roles: Vec<Role>,
    /// Whether a call may change something.
    pub writes: bool,
    /// The hash of what it must say of its tools, where the settings name it.
    pub hash: Option<String>,
}

/// Why something cannot be a tool server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongServer {
    /// Its name is not one.
    #[error(
        "`{name}` is no name of a tool server: lower case letters, digits and dashes, at most {LONGEST_NAME}, beginning with a letter; `mcp` is taken"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// It names no role.
    #[error("tool server `{name}` names no `roles`, so nobody would get it")]
    NoRoles {
        /// The server.
        name: String,
    },
    /// It names a role that may not have it.
    #[error("tool server `{name}` names the role `{role}`, which {rule}")]
    Role {
        /// The server.
        name: String,
        /// The role.
        role: Role,
        /// Why not.
        rule: &'static str,
    },
    /// The hash is none.
    #[error("the `hash` of tool server `{name}` must be `sha256:` and 64 digits, as `orcha mcp show` says it")]
    Hash {
        /// The server.
        name: String,
    },
}

impl ToolServer {
    /// Looks whether it can be one.
    pub fn plausible(&self) -> Result<(), WrongServer> {
        let name = || self.name.chars().take(80).collect::<String>();
        match surface(&self.name) {
            Ok(it) if it.name == self.name && self.name.len() <= LONGEST_NAME && self.name != "mcp" => {}
            Ok(_) | Err(_) => return Err(WrongServer::Name { name: name() }),
        }
        if self.roles.is_empty() {
            return Err(WrongServer::NoRoles { name: name() });
        }
        if let Some(role) = self.roles.iter().find(|it| !may_have(**it, self.writes)) {
            let rule = match role.traits().servers {
                Lends::Nothing => "gets no tools of servers",
                Lends::Looking => "only looks: it may have one that changes nothing, with `writes = false`",
                Lends::Everything => "may not have it",
            };
            return Err(WrongServer::Role { name: name(), role: *role, rule });
        }
        let is_hash = |it: &str| {
            let digits = it.strip_prefix("sha256:").unwrap_or_default();
            digits.len() == 64 && digits.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
        };
        if self.hash.as_deref().is_some_and(|it| !is_hash(it)) {
            return Err(WrongServer::Hash { name: name() });
        }
        Ok(())
    }
}

/// Tells whether a role may have a server that writes, or one that does not.
fn may_have(role: Role, writes: bool) -> bool {
    match role.traits().servers {
        Lends::Nothing => false,
        Lends::Looking => !writes,
        Lends::Everything => true,
    }
}

/// Returns the text that is what a person approved of, whatever its version.
pub fn surface(server: &str) -> Result<Surface, WrongText> {
    Surface::new(Kind::ToolServer, server)
}

/// Returns the servers of a scope: of each name the one that stands nearest.
pub fn of_scope<'s>(all: &'s [ToolServer], tenant: &TenantId, scope: &ScopeId) -> Vec<&'s ToolServer> {
    let chain = chain(scope);
    let depth = |it: &ToolServer| chain.iter().position(|scope| *scope == it.scope).filter(|_| it.tenant == *tenant);
    let mut found: Vec<(usize, &ToolServer)> = all.iter().filter_map(|it| Some((depth(it)?, it))).collect();
    found.sort_by(|a, b| a.1.name.cmp(&b.1.name).then(b.0.cmp(&a.0)));
    found.dedup_by(|a, b| a.1.name == b.1.name);
    found.into_iter().map(|(_, it)| it).collect()
}

/// Returns the servers of a session. Which one a name means is said by the scope alone: one that stands nearer and is not
/// for this role does not open the way to another.
pub fn of_session<'s>(all: &'s [ToolServer], tenant: &TenantId, scope: &ScopeId, role: Role) -> Vec<&'s ToolServer> {
    let mut servers = of_scope(all, tenant, scope);
    servers.retain(|it| it.roles.contains(&role) && may_have(role, it.writes));
    servers
}

/// Finds what a person approved of a server's tools, in the very scope that the server belongs to.
pub fn approved<'t>(server: &ToolServer, texts: &'t [Text]) -> Option<&'t Text> {
    texts.iter().find(|it| {
        it.surface.kind == Kind::ToolServer
            && it.surface.name == server.name
            && it.state == State::Active
            && (&it.tenant, &it.scope) == (&server.tenant, &server.scope)
    })
}

/// Says in the journal that a session does not get the tools of a server.
pub(crate) fn withheld(title: &str, server: &str, why: &str) -> Note {
    let words = format!("{title} does not get the tools of `{server}`: {why}");
    Note::new(NoteKind::ToolsWithheld, words).with("server", server).with("why", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use orcha_base::{Revision, TextId, Timestamp};
    use strum::IntoEnumIterator;

    fn server(name: &str, scope: &str, roles: &[Role], writes: bool) -> ToolServer {
        ToolServer {
            name: name.into(),
            tenant: TenantId::default(),
            scope: ScopeId::new(scope),
            transport: Transport::Stdio,
            place: "tickets".into(),
            roles: roles.to_vec(),
            writes,
            hash: None,
        }
    }

    fn names(all: &[ToolServer], scope: &str, role: Role) -> Vec<String> {
        let found = of_session(all, &TenantId::default(), &ScopeId::new(scope), role);
        found.iter().map(|it| format!("{}@{}", it.name, it.scope)).collect()
    }

    #[test]
    fn c12_who_only_looks_gets_no_server_that_writes_and_the_director_gets_none() {
        let nothing = [Role::Director, Role::Refiner];
        let works =
            [Role::Implementer, Role::Validator, Role::Researcher, Role::Custom, Role::PrFollowup, Role::CiFollowup];
        for role in Role::iter() {
            // Whatever the settings name: the table says no.
            let all = [server("look", "global", &[role], false), server("write", "global", &[role], true)];
            let gets = names(&all, "global", role);
            if nothing.contains(&role) {
                assert!(gets.is_empty(), "{role}: {gets:?}");
            } else if works.contains(&role) {
                assert_eq!(gets, ["look@global", "write@global"], "{role}");
            } else {
                assert_eq!(gets, ["look@global"], "{role}");
            }
            assert!(role.only_looks() || works.contains(&role), "{role}");
            let plausible = all.each_ref().map(|it| it.plausible().is_ok());
            assert_eq!(plausible.iter().filter(|it| **it).count(), gets.len(), "{role}");
        }
    }

    #[test]
    fn c15_the_nearer_server_of_a_name_is_the_only_one_and_other_branches_and_tenants_have_none() {
        let qa = &[Role::Qa][..];
        let mut all = vec![
            server("tickets", "global", qa, false),
            server("wiki", "global", qa, false),
            server("tickets", "org/web", qa, false),
            server("wiki", "org/web", &[Role::Implementer], false),
            server("other", "org/ops", qa, false),
        ];
        assert_eq!(names(&all, "global", Role::Qa), ["tickets@global", "wiki@global"]);
        assert_eq!(names(&all, "org/web/team", Role::Qa), ["tickets@org/web"]);
        assert_eq!(names(&all, "org/web", Role::Implementer), ["wiki@org/web"]);
        for it in &mut all {
            it.tenant = TenantId::new("acme");
        }
        assert!(names(&all, "global", Role::Qa).is_empty());
    }

    #[test]
    fn what_was_approved_holds_for_the_server_of_that_scope_alone() {
        let text = |scope: &str, state| Text {
            id: TextId::fixed(1),
            tenant: TenantId::default(),
            scope: ScopeId::new(scope),
            revision: Revision(1),
            surface: surface("tickets").unwrap(),
            version: 1,
            body: "[]\n".into(),
            author: crate::text::Author::Person { name: "operator".into() },
            state,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        };
        let near = server("tickets", "org/web", &[Role::Qa], false);
        let found = |texts: &[Text]| approved(&near, texts).is_some();
        assert!(found(&[text("org/web", State::Active)]));
        assert!(!found(&[text("global", State::Active), text("org/web", State::Retired)]));
        assert!(!found(&[Text { tenant: TenantId::new("acme"), ..text("org/web", State::Active) }]));
    }

    #[test]
    fn p17_a_server_that_cannot_be_is_refused_with_its_rule() {
        let refused = |it: ToolServer| it.plausible().unwrap_err().to_string();
        let implementer = &[Role::Implementer][..];
        for name in ["", "Tickets", "tick_ets", "a__b", "1a", "mcp", "a b", &"a".repeat(33)] {
            assert!(refused(server(name, "global", implementer, true)).contains("is no name"), "{name}");
        }
        assert!(refused(server("tickets", "global", &[], true)).contains("names no `roles`"));
        assert!(refused(server("tickets", "global", &[Role::Qa], true)).contains("`qa`, which only looks"));
        assert!(refused(server("tickets", "global", &[Role::Director], false)).contains("`director`, which gets no"));
        for hash in ["", "sha256:", "sha256:ABC", &format!("md5:{}", "0".repeat(64))] {
            let it = ToolServer { hash: Some(hash.into()), ..server("tickets", "global", implementer, true) };
            assert!(refused(it).contains("`hash`"), "{hash}");
        }
        let hash = Some(format!("sha256:{}", "0a".repeat(32)));
        let it = ToolServer { hash, ..server("tickets", "global", implementer, true) };
        assert_eq!(it.plausible(), Ok(()));
    }
}
