//! Whether an agent may do what it asks for.
//!
//! A request is answered at once, because a turn stands still until it is. How the answer travels is not known here.

use crate::role::{Role, Tool};

/// What the verdict depends on.
#[derive(Clone, Copy, Debug)]
pub struct PermissionFacts<'a> {
    /// Who asks.
    pub role: Role,
    /// The tool of the agent that it wants to use.
    pub tool: &'a str,
}

/// The answer to "may I use this?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermissionVerdict {
    /// No, and nobody is asked.
    Deny {
        /// Why, and what it may do instead: the agent reads it.
        reason: String,
    },
}

/// Judges a request.
///
/// Nobody is asked: what an agent may do without asking is the operator's setting, and everything beyond it is a no.
pub fn permission_verdict(facts: PermissionFacts<'_>) -> PermissionVerdict {
    let instead = if facts.role.traits().tools.contains(&Tool::AskUser) {
        "Do it with the tools that you may use without asking. If there is no other way, call `ask_user`, say what you need \
         it for, and end your turn: the answer comes as your next message."
    } else {
        "Do it with the tools that you may use without asking."
    };
    PermissionVerdict::Deny { reason: format!("`{}` is not allowed in this session. {instead}", facts.tool) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::IntoEnumIterator;

    #[test]
    fn every_role_hears_what_it_may_do_instead() {
        for role in Role::iter() {
            let PermissionVerdict::Deny { reason } = permission_verdict(PermissionFacts { role, tool: "Bash" });
            assert!(reason.starts_with("`Bash` is not allowed"), "{reason}");
            assert_eq!(reason.contains("ask_user"), role.traits().tools.contains(&Tool::AskUser));
        }
    }
}
